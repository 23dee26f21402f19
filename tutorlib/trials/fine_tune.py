"""The runs of lesson 06 that train on: a net that knows one task learns another from few examples."""

import torch
from torch.nn.functional import cross_entropy

from tutorlib.measure.ensemble import fit_ensemble
from tutorlib.nn.data import Data
from tutorlib.nn.models import make
from tutorlib.records import Run
from tutorlib.trials import Diverged
from tutorlib.trials.mind_the_batchnorm import MOMENTUM, chosen, dealt, error, problem


def tuned(runs: list[Run], device: str) -> list:
    """Error on mirrored digits after training on ``examples`` of them, and what it cost on the digits known before.

    Each seed's net first learns ``first_examples`` other digits as they are. ``error``, ``train`` and ``before`` are of
    mirrored digits (held out, trained on, held out before training on), ``known`` and ``forgot`` of held-out digits as
    they are: the error after, and by how much it rose.
    """
    s = runs[0].settings
    data = problem("digits", device)
    mirrored = Data(data.x.view(-1, 8, 8).flip(2).flatten(1), data.y)
    held_out, own, others = dealt(runs, data, s["held_out"], s["examples"], s["first_examples"])
    models = [make("mlp", run.seed, device, width=s["width"]) for run in runs]
    first = {"batch": 20, "rates": [s["first_rate"]] * len(runs), "steps": s["first_steps"]}
    train(models, data, runs, others, 1, **first)
    before = [
        (error(m, chosen(mirrored, row)), error(m, chosen(data, row))) for m, row in zip(models, held_out, strict=True)
    ]
    plan = {"batch": s["batch"], "rates": [run.settings["rate"] for run in runs], "steps": s["steps"]}
    fits = train(models, mirrored, runs, own, 2, **plan)
    found = []
    for model, done, (new, old), row, mine in zip(models, fits, before, held_out, own, strict=True):
        known = error(model, chosen(data, row))
        values = {"error": error(model, chosen(mirrored, row)), "train": error(model, chosen(mirrored, mine))}
        found.append(Diverged() if done.diverged else {**values, "before": new, "known": known, "forgot": known - old})
    return found


def train(models: list, data: Data, runs: list[Run], subsets: torch.Tensor, part: int, **plan) -> list:
    seeds = [(run.seed, part) for run in runs]
    return fit_ensemble(models, cross_entropy, data, seeds=seeds, subsets=subsets, optimizer=MOMENTUM, **plan)
