"""The runs of lesson 07 that train a small language model with AdamW at one β₂ or another."""

import functools

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from tutorlib.measure.ensemble import fit_ensemble
from tutorlib.nn.data import Data, joined, text
from tutorlib.nn.models import make
from tutorlib.nn.optimizers import adamw
from tutorlib.records import Run
from tutorlib.trials import Diverged
from tutorlib.trials.stream import loss_on

CONTEXT, CODE, LETTERS = 6, 8, 128


def held_out_loss(runs: list[Run], device: str) -> list:
    """Loss on held-out places of the text, in nats a letter, after every training place was seen once.

    A letter is eight fixed random numbers; an MLP reads six letters and says which comes next. Places are dealt anew
    for every seed.
    """
    s = runs[0].settings
    seeds = sorted({run.seed for run in runs})
    held_out, own = {}, []
    for seed in seeds:
        places = np.random.default_rng([seed, 7]).permutation(len(letters()) - CONTEXT)[: s["held_out"] + s["examples"]]
        held_out[seed] = before_and_next(places[: s["held_out"]], device)
        own.append(before_and_next(places[s["held_out"] :], device))
    models = [make("mlp", run.seed, device, inputs=CONTEXT * CODE, width=s["width"], classes=LETTERS) for run in runs]
    rows = torch.arange(len(seeds) * s["examples"]).view(len(seeds), -1)
    fits = fit_ensemble(
        models,
        cross_entropy,
        joined(own),
        batch=s["batch"],
        rates=[run.settings["rate"] for run in runs],
        steps=s["examples"] // s["batch"],
        seeds=[run.seed for run in runs],
        subsets=rows[[seeds.index(run.seed) for run in runs]],
        optimizer=adamw,
        knobs={"beta2": [run.settings["beta2"] for run in runs]},
    )
    return [
        Diverged() if fit.diverged else {"loss": loss_on(model, held_out[run.seed])}
        for run, model, fit in zip(runs, models, fits, strict=True)
    ]


@functools.cache
def letters() -> torch.Tensor:
    """The text as ASCII codes."""
    return torch.tensor([min(ord(letter), LETTERS - 1) for letter in text()])


def before_and_next(places: np.ndarray, device: str) -> Data:
    """The letters before each place, as their codes side by side, and the letter there."""
    table = torch.randn(LETTERS, CODE, generator=torch.Generator().manual_seed(0))
    first = torch.from_numpy(places)
    return Data(table[letters()[first[:, None] + torch.arange(CONTEXT)]].flatten(1), letters()[first + CONTEXT]).to(
        device
    )
