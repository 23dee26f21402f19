"""The runs of lesson 06 that train an MLP on few examples: the four budgets, wrong labels, widths."""

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from tutorlib.measure.ensemble import fit_ensemble
from tutorlib.nn.data import Data, joined
from tutorlib.nn.models import make
from tutorlib.records import Run
from tutorlib.trials import Diverged
from tutorlib.trials.mind_the_batchnorm import MOMENTUM, chosen, dealt, error, problem


def errors(runs: list[Run], device: str) -> list:
    """Error on the seed's own held-out examples and on its own training examples ("train"), in per cent.

    ``wrong`` of the training labels, in per cent, are replaced by one of the nine other classes; the held-out ones stay
    as they are. ``train`` counts against the labels the net was given.
    """
    s = runs[0].settings
    data = problem(s["data"], device)
    held_out, own = dealt(runs, data, s["held_out"], s["examples"])
    given = [mislabelled(chosen(data, row), s["wrong"], run.seed) for run, row in zip(runs, own, strict=True)]
    models = [make("mlp", run.seed, device, inputs=data.x.shape[1], width=s["width"]) for run in runs]
    fits = fit_ensemble(
        models,
        cross_entropy,
        joined(given),
        batch=s["batch"],
        rates=[run.settings["rate"] for run in runs],
        steps=s["steps"],
        seeds=[run.seed for run in runs],
        subsets=torch.arange(len(runs) * s["examples"]).view(len(runs), -1),
        optimizer=MOMENTUM,
    )
    return [
        Diverged() if done.diverged else {"error": error(model, chosen(data, unseen)), "train": error(model, seen)}
        for model, done, seen, unseen in zip(models, fits, given, held_out, strict=True)
    ]


def mislabelled(data: Data, wrong: float, seed: int, classes: int = 10) -> Data:
    """The same examples with exactly ``wrong`` per cent of the labels moved to one of the other classes."""
    rng = np.random.default_rng([seed, 6])
    moved = rng.permutation(len(data))[: round(len(data) * wrong / 100)]
    labels = data.y.clone()
    labels[moved] = (labels[moved] + torch.from_numpy(rng.integers(1, classes, len(moved)))) % classes
    return Data(data.x, labels)
