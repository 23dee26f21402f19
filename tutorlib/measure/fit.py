"""The training loop, with its micro-batches written out."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn.utils import get_total_norm

from tutorlib.errors import Refused
from tutorlib.nn.data import Data
from tutorlib.nn.optimizers import sgd
from tutorlib.theory.noise import check_batch


@dataclass(frozen=True)
class Fit:
    """Training loss before each update; ``diverged`` if the last one was not finite (and is left out)."""

    losses: tuple[float, ...]
    diverged: bool = False


def fit(
    model: nn.Module,
    loss: Callable,
    data: Data,
    *,
    batch: int,
    rate: float | Callable[[int], float],
    steps: int,
    seed,
    micro_batch: int | None = None,
    optimizer: Callable = sgd,
    after_step: Callable | None = None,
) -> Fit:
    """Train ``model`` in place for ``steps`` updates of ``batch`` examples, ``micro_batch`` at a time.

    ``loss(outputs, targets)`` is a mean over examples. Each part counts by its share of the batch, so a
    smaller last part is right too; ``batch = micro_batch × accumulation``. ``rate`` is a number or a schedule,
    step → rate from step 0. A loss or step that is not finite ends the run as a result, with the parameters of
    the step before. ``after_step(model)`` watches.
    """
    check_batch(batch, len(data))
    micro_batch = check_batch(batch if micro_batch is None else micro_batch, batch, "micro_batch", "the batch")
    paces = pace(rate, check_batch(steps, name="steps"))
    model.zero_grad()
    states, losses = {}, []
    for rate, examples in zip(paces, batches(len(data), batch, seed, data.x.device), strict=False):
        total = 0.0
        for part in examples.split(micro_batch):
            share = len(part) / len(examples)
            part_loss = share * loss(model(data.x[part]), data.y[part])  # divide by the parts
            part_loss.backward()  # accumulate into p.grad
            total += part_loss.item()
        seen = [p for p in model.parameters() if p.grad is not None]
        with torch.no_grad():
            stepped = [optimizer(p, p.grad, states.get(p), rate) for p in seen]  # step
            length = float(get_total_norm([new for new, _ in stepped]))
            if not math.isfinite(total + length):
                model.zero_grad()
                return Fit(tuple(losses), diverged=True)
            for p, (new, states[p]) in zip(seen, stepped, strict=True):
                p.copy_(new)
        model.zero_grad()  # zero
        losses.append(total)
        if after_step:
            after_step(model)
    return Fit(tuple(losses))


def pace(rate: float | Callable[[int], float], steps: int) -> list[float]:
    """The rate of every step; ``ValueError`` where it is not a finite number of at least 0."""
    rates = [rate(step) for step in range(steps)] if callable(rate) else [rate]
    for step, value in enumerate(rates):
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
            at = f" at step {step}" if callable(rate) else ""
            raise Refused(f"rate is {value!r}{at}; allowed: a finite number of at least 0")
    return rates if callable(rate) else rates * steps


def batches(examples: int, batch: int, seed, device="cpu") -> Iterator[torch.Tensor]:
    """Indices of one batch after another, for ever, epoch by epoch.

    The order depends on the seed alone, so batch 1 and batch 128 walk through the same examples.
    """
    for epoch in epochs(examples, batch, seed):
        yield from epoch.to(device)


def epochs(examples: int, batch: int, seed) -> Iterator[torch.Tensor]:
    """Indices (steps, batch) of one epoch after another: each a new order, its incomplete end dropped."""
    rng = np.random.default_rng(seed)
    while True:
        order = torch.from_numpy(rng.permutation(examples))
        yield order[: examples // batch * batch].view(-1, batch)
