"""The runs of lesson 07 that start at a low rate, or do not."""

import math
from collections.abc import Callable

from torch.nn.functional import cross_entropy

from tutorlib.measure.ensemble import fit_ensemble
from tutorlib.nn.models import make
from tutorlib.records import Run
from tutorlib.trials.mind_the_batchnorm import MOMENTUM, problem
from tutorlib.trials.stream import loss_on

CHANCE, FAILED = math.log(10), 2.0  # the loss of ten equal scores, and what is not much better


def final_loss(runs: list[Run], device: str) -> list[dict]:
    """Loss on the training examples after the last step, at most that of chance, and whether the run failed.

    A run that diverged has failed: it counts as chance.
    """
    s, data = runs[0].settings, problem("digits", device)
    models = [make("mlp", run.seed, device, width=s["width"], depth=s["depth"], norm="layer") for run in runs]
    fits = fit_ensemble(
        models,
        cross_entropy,
        data,
        batch=s["batch"],
        rates=[warmed_up(s["kind"], run.settings["rate"], s["low"], s["warm"]) for run in runs],
        steps=s["steps"],
        seeds=[run.seed for run in runs],
        optimizer=MOMENTUM,
    )
    losses = [
        CHANCE if fit.diverged else min(loss_on(model, data), CHANCE) for model, fit in zip(models, fits, strict=True)
    ]
    return [{"loss": loss, "failed": float(loss > FAILED)} for loss in losses]


def warmed_up(kind: str, rate: float, low: float, warm: int) -> Callable[[int], float]:
    """Step → rate: "none", "gradual" from ``low`` in a line over ``warm`` steps, "constant" at ``low`` so long.

    Source: Goyal et al. 2017, arXiv 1706.02677, section 2.2.
    """
    if kind == "none":
        return lambda step: rate
    if kind == "gradual":
        return lambda step: low + (rate - low) * min(1, step / warm)
    return lambda step: low if step < warm else rate
