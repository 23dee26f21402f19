"""How long a training step takes: warmed up, synchronised on both sides, in parts."""

import copy
import functools
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from tutorlib.errors import Refused
from tutorlib.measure.fit import batches
from tutorlib.nn.data import Data
from tutorlib.nn.device import synchronize
from tutorlib.theory.noise import check_batch

STANDING = functools.partial(torch.optim.SGD, lr=0.0)


@dataclass(frozen=True)
class StepSeconds:
    """Medians over the repeats, in seconds: the forward pass with its loss, the backward pass, and the whole step."""

    forward: float
    backward: float
    step: float


def now(device: torch.device) -> float:
    """The clock, once the device has finished."""
    synchronize(device)
    return time.perf_counter()


def undisturbed(device: torch.device) -> float:
    """The time that this thread has computed, where it computes alone: other programs on the machine do not count.

    :func:`now` elsewhere, on a device or with several threads.
    """
    if device.type == "cpu" and torch.get_num_threads() == 1:
        return time.thread_time()
    return now(device)


def step_seconds(
    model: nn.Module,
    loss: Callable,
    data: Data,
    *,
    batch: int,
    micro_batch: int | None = None,
    repeats: int = 9,
    warm_up: int = 3,
    seed=0,
    precision: torch.dtype | None = None,
    optimizer: Callable = STANDING,
    clock: Callable = now,
) -> StepSeconds:
    """Time ``repeats`` steps of ``model`` at ``batch``, after ``warm_up`` steps that do not count.

    ``micro_batch`` examples at a time, all at once by default: forward and backward are then sums over the parts.

    ``optimizer(parameters)`` steps a copy of the model, plain SGD by default, with examples already on the device.
    Fetching data and moving it are not timed: a slow loader looks like a slow device, so time yours first.
    ``clock(device)`` tells the seconds.
    ``precision`` is what autocast computes in (``torch.bfloat16``, say); by default everything is as it comes.
    """
    check_batch(batch, len(data))
    micro_batch = check_batch(batch if micro_batch is None else micro_batch, batch, "micro_batch", "the batch")
    check_batch(repeats, name="repeats")
    if isinstance(warm_up, bool) or not isinstance(warm_up, int) or warm_up < 0:
        raise Refused(f"warm_up is {warm_up!r}; allowed: a whole number of at least 0")
    model = copy.deepcopy(model)  # its gradients and running statistics stay as they are
    stepper = optimizer([p for p in model.parameters() if p.requires_grad])
    order, device, rows = batches(len(data), batch, seed, data.x.device), data.x.device, []
    for _ in range(warm_up + repeats):
        parts = [(data.x[part], data.y[part]) for part in next(order).split(micro_batch)]
        forward = backward = 0.0
        began = clock(device)
        for x, y in parts:
            start = clock(device)
            with torch.autocast(device.type, dtype=precision, enabled=precision is not None):
                value = loss(model(x), y) * (len(x) / batch)
            half = clock(device)
            value.backward()
            forward, backward = forward + half - start, backward + clock(device) - half
        stepper.step()
        stepper.zero_grad()
        rows.append((forward, backward, clock(device) - began))
    return StepSeconds(*(statistics.median(column) for column in zip(*rows[warm_up:], strict=True)))


def matrix_peak(device: torch.device, precision: torch.dtype, size: int = 8192, repeats: int = 9) -> float:
    """The rate of one square matrix product, in operations a second: 2·size³ over the median of its seconds.

    The highest rate that a model made of matrix products can hope for on this device.
    """
    a, b = (torch.randn(size, size, device=device, dtype=precision) for _ in range(2))
    seconds = []
    for _ in range(3 + repeats):
        began = now(device)
        a @ b
        seconds.append(now(device) - began)
    return 2 * size**3 / statistics.median(seconds[3:])
