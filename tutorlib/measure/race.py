"""Steps to a target: every learning rate of one batch races in lockstep, and who is clearly beaten leaves."""

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from tutorlib.errors import Refused
from tutorlib.measure.ensemble import Ensemble, fit_ensemble
from tutorlib.nn.data import Data
from tutorlib.nn.optimizers import sgd

LOOKS = 1.1  # the loss is looked at after 1, 2, 3 … steps, later every tenth more


@dataclass(frozen=True)
class Finish:
    """Where one replica ended: ``steps`` to the target if ``reached``, else the steps after which it was stopped."""

    steps: float
    reached: bool
    diverged: bool = False


def steps_to_target(
    models: Sequence[nn.Module],
    loss: Callable,
    data: Data,
    held_out: Data,
    *,
    batch: int,
    rates: Sequence[float],
    seeds: Sequence,
    target: float,
    most_steps: int,
    subsets: torch.Tensor | None = None,
    micro_batch: int | None = None,
    optimizer: Callable = sgd,
    knobs: Mapping[str, Sequence[float]] | None = None,
    precondition: Callable | None = None,
    slack: float = 1.5,
) -> list[Finish]:
    """Train until the loss on ``held_out`` is at most ``target``; one :class:`Finish` a replica.

    Replicas of equal seed race each other: once the first has arrived after S steps, the others have until
    ``slack``·S. Between two looks the loss is taken to fall exponentially, so steps are fractions. ``knobs`` and
    ``precondition`` are those of ``fit_ensemble``. Raises ``ValueError`` for a slack of less than 1.
    """
    if not slack >= 1:
        raise Refused(f"slack is {slack!r}; allowed: at least 1, the steps of the first to arrive")
    looks, finished, first = look_at(most_steps), {}, {}
    before = defaultdict(lambda: (0, math.inf))

    def watch(ensemble: Ensemble) -> None:
        step = ensemble.steps_done
        if step not in looks:
            return
        for replica, value in zip(ensemble.live, ensemble.losses_on(held_out).tolist(), strict=True):
            if value <= target:
                finished[replica] = Finish(crossing(*before[replica], step, value, target), True)
                first.setdefault(seeds[replica], step)
            before[replica] = (step, value)
        ensemble.stop([r for r in ensemble.live if r in finished or step >= slack * first.get(seeds[r], math.inf)])

    fits = fit_ensemble(
        models,
        loss,
        data,
        batch=batch,
        rates=rates,
        steps=most_steps,
        seeds=seeds,
        subsets=subsets,
        micro_batch=micro_batch,
        optimizer=optimizer,
        knobs=knobs,
        precondition=precondition,
        after_step=watch,
    )
    return [finished.get(r) or Finish(float(len(fit.losses)), False, fit.diverged) for r, fit in enumerate(fits)]


def look_at(most_steps: int) -> set[int]:
    """The steps after which the loss is looked at: all at first, then a tenth apart."""
    looks = [1]
    while looks[-1] < most_steps:
        looks.append(min(max(looks[-1] + 1, int(looks[-1] * LOOKS)), most_steps))
    return set(looks)


def crossing(step: int, value: float, later: int, lower: float, target: float) -> float:
    """The step at which a loss falling exponentially from ``value`` to ``lower`` passes ``target``."""
    if not math.isfinite(value) or lower <= 0:
        return float(later)
    return step + (later - step) * math.log(value / target) / math.log(value / lower)
