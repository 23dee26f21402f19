"""The runs of lesson 07 that lower the rate twice, raise the batch twice, or do neither."""

import torch
from torch.nn.functional import cross_entropy

from tutorlib.experiments.raise_the_batch import FACTOR, PHASES
from tutorlib.measure.ensemble import fit_ensemble
from tutorlib.nn.data import joined
from tutorlib.nn.models import make
from tutorlib.records import Run
from tutorlib.trials import Diverged
from tutorlib.trials.mind_the_batchnorm import chosen, error
from tutorlib.trials.stream import INPUTS, loss_on, taught


def phases(runs: list[Run], device: str) -> list:
    """Error in per cent and loss on fresh examples after a stream in three equal parts, and the updates it took.

    From part to part the rate is divided by five ("lower"), the batch multiplied by five ("raise"), or neither
    ("left"). Plain SGD: no state is carried from part to part.
    """
    s = runs[0].settings
    lessons = [taught(run.seed, s["examples"] + s["fresh"], device) for run in runs]
    models = [make("mlp", run.seed, device, inputs=INPUTS, width=s["width"]) for run in runs]
    length, updates, diverged = s["examples"] // PHASES, 0, set()
    for phase in range(PHASES):
        rate, batch = s["rate"], s["batch"]
        if s["plan"] == "lower":
            rate /= FACTOR**phase
        if s["plan"] == "raise":
            batch *= FACTOR**phase
        here = torch.arange(phase * length, (phase + 1) * length)
        parts = [chosen(data, here) for data in lessons]
        fits = fit_ensemble(
            models,
            cross_entropy,
            joined(parts),
            batch=batch,
            rates=[rate] * len(runs),
            steps=length // batch,
            seeds=[run.seed for run in runs],
            subsets=torch.arange(len(runs) * length).view(len(runs), -1),
        )
        updates += length // batch
        diverged |= {number for number, fit in enumerate(fits) if fit.diverged}
    fresh = [chosen(data, torch.arange(s["examples"], s["examples"] + s["fresh"])) for data in lessons]
    return [
        Diverged()
        if number in diverged
        else {"error": error(model, unseen), "loss": loss_on(model, unseen), "updates": updates}
        for number, (model, unseen) in enumerate(zip(models, fresh, strict=True))
    ]
