"""The noise scale along a short training run, from micro-batches at evenly spaced steps."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from tutorlib.errors import Refused
from tutorlib.measure.fit import batches
from tutorlib.measure.guards import forward
from tutorlib.measure.noise import check_gradient, gradient_sampler, micro_batch_noise
from tutorlib.nn.data import Data
from tutorlib.theory.noise import check_batch
from tutorlib.theory.statistics import Estimate, ratio_interval

PROBE = 512  # examples whose loss says whether a run gets anywhere


@dataclass(frozen=True)
class Look:
    """One moment of the run: its step, the loss, and |G|²/tr Σ = 1/B_noise with its interval."""

    step: int
    loss: float
    signal: Estimate


def short_run(
    model: nn.Module,
    loss: Callable,
    data: Data,
    optimizer: Callable,
    *,
    batch: int,
    steps: int,
    looks: int = 5,
    micro_batch: int = 16,
    accumulation: int = 16,
    draws: int = 16,
    seed=0,
    deadline: float = math.inf,
) -> list[Look]:
    """Train ``model`` in place and look ``looks`` times, first at step 0, last at the end.

    A look takes ``draws`` gradients of ``accumulation`` micro-batches
    (:func:`~tutorlib.measure.noise.micro_batch_noise`): tr Σ from what sets these apart, which is never lost in noise,
    and |G|² from their mean, which may be. So the ratio is taken upside down. Past ``deadline`` (of
    :func:`time.perf_counter`) the run ends with the next look. With BatchNorm every micro-batch has statistics of its
    own, and the law tr Σ/B is approximate. Raises ``ValueError`` where the run diverges, or its loss does not fall.
    """
    check_batch(batch, len(data))
    every, order = max(1, check_batch(steps, name="steps") // (looks - 1)), batches(len(data), batch, seed)
    stepper = optimizer([p for p in model.parameters() if p.requires_grad])
    found = [look(model, loss, data, 0, micro_batch, accumulation, draws, seed)]
    for number in range(1, looks):
        for _ in range(every):
            part = next(order).to(data.x.device)
            value = loss(model(data.x[part]), data.y[part])
            value.backward()
            stepper.step()
            stepper.zero_grad()
        found.append(look(model, loss, data, number * every, micro_batch, accumulation, draws, (seed, number)))
        if time.perf_counter() > deadline:
            break
    first, last = found[0].loss, found[-1].loss
    if not last < first:
        raise Refused(
            f"model does not train: its loss is {first:.4g} before and {last:.4g} after {found[-1].step} updates of "
            f"{batch} examples; allowed: one whose loss falls. Hand in an optimizer with "
            "another rate, after the loader"
        )
    return found


def look(
    model: nn.Module, loss: Callable, data: Data, step: int, micro_batch: int, accumulation: int, draws: int, seed
) -> Look:
    value = loss_of(model, loss, data)
    if not math.isfinite(value):
        raise Refused(
            f"loss is {value} after {step} updates; allowed: a run that stays finite. Lower the rate of your optimizer"
        )
    noise = micro_batch_noise(gradient_sampler(model, loss, data, seed), micro_batch, accumulation, draws)
    check_gradient(float(abs(noise.trace_draws).sum() + abs(noise.grad_sq_draws).sum()))
    return Look(step, value, ratio_interval(noise.grad_sq_draws, noise.trace_draws))


@torch.no_grad()
def loss_of(model: nn.Module, loss: Callable, data: Data) -> float:
    return float(loss(forward(model, data.x[:PROBE]), data.y[:PROBE]))
