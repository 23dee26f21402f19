"""The runs of lesson 06 that see every example once, and those that see few examples often."""

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from tutorlib.measure.ensemble import fit_ensemble
from tutorlib.nn.data import Data, joined
from tutorlib.nn.models import make
from tutorlib.records import Run
from tutorlib.trials import Diverged
from tutorlib.trials.mind_the_batchnorm import MOMENTUM

INPUTS, TEACHER_WIDTH, TEACHER_SEED = 20, 32, 1_000_003


def once_or_often(runs: list[Run], device: str) -> list:
    """The loss on examples that were trained on and on as many fresh ones, after ``seen`` examples in batches.

    ``examples`` different ones, over and over until ``seen`` have passed: a stream where both are the same number. A
    teacher net with weights of the seed's own says which class a Gaussian input is.
    """
    s = runs[0].settings
    lessons = [taught(run.seed, 2 * s["examples"], device) for run in runs]
    own = [Data(data.x[: s["examples"]], data.y[: s["examples"]]) for data in lessons]
    fresh = [Data(data.x[s["examples"] :], data.y[s["examples"] :]) for data in lessons]
    models = [make("mlp", run.seed, device, inputs=INPUTS, width=s["width"]) for run in runs]
    fits = fit_ensemble(
        models,
        cross_entropy,
        joined(own),
        batch=s["batch"],
        rates=[run.settings["rate"] for run in runs],
        steps=s["seen"] // s["batch"],
        seeds=[run.seed for run in runs],
        subsets=torch.arange(len(runs) * s["examples"]).view(len(runs), -1),
        optimizer=MOMENTUM,
    )
    return [
        Diverged() if done.diverged else {"train": loss_on(model, old), "loss": loss_on(model, new)}
        for model, done, old, new in zip(models, fits, own, fresh, strict=True)
    ]


@torch.no_grad()
def loss_on(model: torch.nn.Module, data: Data) -> float:
    return float(cross_entropy(model(data.x), data.y))


def taught(seed: int, examples: int, device: str) -> Data:
    """Gaussian inputs, and the class that a teacher net of this seed scores highest."""
    teacher = make("mlp", TEACHER_SEED + seed, inputs=INPUTS, width=TEACHER_WIDTH)
    x = torch.from_numpy(np.random.default_rng([seed, 9]).standard_normal((examples, INPUTS))).float()
    with torch.no_grad():
        return Data(x, teacher(2 * x).argmax(dim=1)).to(device)
