"""The runs of lesson 05: steps to a target, the noise scale on the way, branches, and warm-up."""

import copy
import functools

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from tutorlib.measure.ensemble import fit_ensemble
from tutorlib.measure.noise import exact_noise
from tutorlib.measure.race import look_at, steps_to_target
from tutorlib.nn.data import Data, digits
from tutorlib.nn.models import make
from tutorlib.nn.optimizers import adamw, sgd
from tutorlib.records import Run
from tutorlib.theory.trade_off import critical_from_noise
from tutorlib.trials import Diverged

OPTIMIZERS = {"SGD": sgd, "Adam": adamw}


@functools.lru_cache(maxsize=2)
def all_digits(held_out: int, device: str) -> tuple[Data, Data]:
    """All 1,797 digits in one shuffled order, and the first ``held_out`` of them, on which nobody trains."""
    data = digits(1797, seed=12345, device=device)
    return data, Data(data.x[:held_out], data.y[:held_out])


def subset(seed: int, examples: int, held_out: int) -> torch.Tensor:
    """The seed's own training examples, drawn from those that are not held out."""
    return torch.from_numpy(held_out + np.random.default_rng([seed, 5]).permutation(1797 - held_out)[:examples])


def problem(runs: list[Run], device: str, **shape) -> tuple[Data, Data, list, torch.Tensor]:
    """All digits, those held out, and for every run its fresh net and the indices of its own training examples."""
    s = runs[0].settings
    models = [make("mlp", run.seed, device, **shape) for run in runs]
    subsets = torch.stack([subset(run.seed, s["examples"], s["held_out"]) for run in runs])
    return *all_digits(s["held_out"], device), models, subsets


def steps(runs: list[Run], device: str) -> list[dict]:
    """Steps to the target at one batch, for every rate and seed: the rates of one seed race in lockstep."""
    s = runs[0].settings
    data, held_out, models, subsets = problem(runs, device)
    done = steps_to_target(
        models,
        cross_entropy,
        data,
        held_out,
        batch=s["batch"],
        rates=[run.settings["rate"] for run in runs],
        seeds=[run.seed for run in runs],
        subsets=subsets,
        target=s["target"],
        most_steps=s["most_steps"],
        optimizer=OPTIMIZERS[s["optimizer"]],
    )
    return [{"steps": end.steps, "reached": int(end.reached), "diverged": int(end.diverged)} for end in done]


def noise_along(runs: list[Run], device: str) -> list:
    """The exact noise scale at evenly spaced steps of small-batch runs, until each reaches the target.

    ``predicted`` is the B_crit they add up to (:func:`~tutorlib.theory.trade_off.critical_from_noise`).
    """
    s = runs[0].settings
    data, held_out, models, subsets = problem(runs, device)
    scales, losses = [[] for _ in runs], [[] for _ in runs]

    def look(ensemble):
        if ensemble.steps_done % s["every"] and ensemble.steps_done > 1:
            return
        ensemble.write(ensemble.live)
        for r, value in zip(ensemble.live, ensemble.losses_on(held_out).tolist(), strict=True):
            own = Data(data.x[subsets[r]], data.y[subsets[r]])
            scales[r].append(exact_noise(models[r], cross_entropy, own).scale)
            losses[r].append(value)
        ensemble.stop([r for r in ensemble.live if losses[r][-1] <= s["target"]])

    train(models, data, runs, subsets=subsets, steps=s["most_steps"], after_step=look)
    return [
        {
            "scales": tuple(scales[r]),
            "losses": tuple(losses[r]),
            "predicted": critical_from_noise(scales[r], s["batch"]),
        }
        if losses[r] and losses[r][-1] <= s["target"]
        else Diverged("the target was not reached")
        for r in range(len(runs))
    ]


def branches(runs: list[Run], device: str) -> list[dict]:
    """From one checkpoint of a small-batch run: the loss after the same examples at ``factor`` times the batch.

    Every branch has the rate of its run. An optimizer's memory is not carried over, at factor 1 neither. ``scale`` is
    the exact noise scale at the checkpoint. Source: Merrill et al. 2025, arXiv 2505.23971 (branched training).
    """
    s = runs[0].settings
    values = {}
    first = [run for run in runs if run.settings["factor"] == 1]
    data, held_out, models, subsets = problem(first, device)
    train(models, data, first, subsets=subsets, steps=s["checkpoint"])
    own = [Data(data.x[chosen], data.y[chosen]) for chosen in subsets]
    scales = [exact_noise(model, cross_entropy, part).scale for model, part in zip(models, own, strict=True)]
    for k in sorted({run.settings["factor"] for run in runs}):
        these = [run for run in runs if run.settings["factor"] == k]
        twins = copy.deepcopy(models)
        plan = {"batch": k * s["batch"], "steps": s["branch_examples"] // (k * s["batch"])}
        train(twins, data, these, subsets=subsets, seeds=[(run.seed, k) for run in these], **plan)
        for run, twin, scale in zip(these, twins, scales, strict=True):
            values[run.key] = {"loss": held_out_loss(twin, held_out), "scale": scale}
    return [values[run.key] for run in runs]


def cliff(runs: list[Run], device: str) -> list[dict]:
    """The loss on held-out examples before and after a run of fixed length, and where it first reached the target.

    ``arrived`` is 0 where it never did. A run that diverged keeps the parameters of its last finite step.
    """
    s = runs[0].settings
    data, held_out, models, subsets = problem(runs, device)
    arrived = [0] * len(runs)
    before = [held_out_loss(model, held_out) for model in models]

    def look(ensemble):
        if ensemble.steps_done in look_at(s["steps"]):
            for r, loss in zip(ensemble.live, ensemble.losses_on(held_out), strict=True):
                arrived[r] = arrived[r] or ensemble.steps_done * int(loss <= s["target"])

    train(models, data, runs, subsets=subsets, steps=s["steps"], after_step=look)
    after = [held_out_loss(model, held_out) for model in models]
    return [{"before": a, "after": b, "arrived": c} for a, b, c in zip(before, after, arrived, strict=True)]


@torch.no_grad()
def held_out_loss(model: torch.nn.Module, held_out: Data) -> float:
    """The loss on held-out examples, at most 1e6: a run that failed is no better or worse beyond that."""
    loss = float(cross_entropy(model(held_out.x), held_out.y))
    return min(loss, 1e6) if loss == loss else 1e6


def train(models: list, data: Data, runs: list[Run], **changes) -> list:
    """``fit_ensemble`` at the settings of these runs, or with some of them changed."""
    s = runs[0].settings
    settings = {
        "batch": s["batch"],
        "rates": [run.settings["rate"] for run in runs],
        "seeds": [run.seed for run in runs],
        "optimizer": OPTIMIZERS[s["optimizer"]],
        **changes,
    }
    return fit_ensemble(models, cross_entropy, data, **settings)


def curves(runs: list[Run], device: str) -> list:
    """The loss on held-out examples along a run of fixed length: at step 1, 2, 3 …, later a tenth apart."""
    s = runs[0].settings
    data, held_out, models, subsets = problem(runs, device)
    looks, losses = look_at(s["steps"]), [[] for _ in runs]

    def look(ensemble):
        if ensemble.steps_done in looks:
            for r, loss in zip(ensemble.live, ensemble.losses_on(held_out).tolist(), strict=True):
                losses[r].append(round(loss, 4))

    fits = train(models, data, runs, subsets=subsets, steps=s["steps"], after_step=look)
    at = tuple(sorted(looks))
    return [
        Diverged() if done.diverged else {"at": at, "losses": tuple(row)}
        for done, row in zip(fits, losses, strict=True)
    ]


def warm_up(runs: list[Run], device: str) -> list[dict]:
    """The loss, at most 10, of a deep net at a large batch and a high rate, started in one of three ways."""
    s = runs[0].settings
    data, held_out, models, subsets = problem(runs, device, width=s["width"], depth=s["depth"])
    rates = [ramp(run.settings["warm_up"], run.settings["rate"], s["ramp_steps"]) for run in runs]
    train(models, data, runs, rates=rates, subsets=subsets, steps=s["steps"])
    return [{"loss": min(held_out_loss(model, held_out), 10.0)} for model in models]


def ramp(kind: str, rate: float, steps: int):
    """The rate of every step: "none", "gradual" (linear from rate/steps), or "constant" (rate/8, then a jump)."""
    if kind == "none":
        return rate
    low = {"gradual": lambda step: rate * (step + 1) / steps, "constant": lambda step: rate / 8}[kind]
    return lambda step: low(step) if step < steps else rate
