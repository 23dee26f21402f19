"""The runs of the race in lesson 07: two problems, eight optimizers, steps to a target."""

import functools
import itertools
import math
import time
from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from tutorlib.experiments.race_optimizers import KNOBS, trials
from tutorlib.measure.ensemble import fit_ensemble
from tutorlib.measure.kfac import kfac
from tutorlib.measure.race import steps_to_target
from tutorlib.nn.data import Data, digits, text
from tutorlib.nn.matrix_optimizers import muon, shampoo
from tutorlib.nn.models import TORCH_STREAM
from tutorlib.nn.optimizers import adamw, lamb, lars, lion, sgd
from tutorlib.records import Run

OPTIMIZERS = {
    "SGD": sgd,
    "AdamW": adamw,
    "Lion": lion,
    "LARS": lars,
    "LAMB": lamb,
    "Shampoo": partial(shampoo, every=20),
    "K-FAC": partial(sgd, momentum=0.9),
    "Muon": muon,
}
SIZES = {"autoencoder": (64, 32, 16, 8, 16, 32, 64), "language": (128, 48, 48, 32)}
LOSSES = {"autoencoder": F.mse_loss, "language": F.cross_entropy}
CURVATURE = {"autoencoder": "squared", "language": "softmax"}
SYMBOLS = "abcdefghijklmnopqrstuvwxyz_ \n.,"  # and one for all others


def search(runs: list[Run], device: str) -> list[dict]:
    """Steps to the target of every trial of a search, a seed and a draw: they race each other in lockstep."""
    s = runs[0].settings
    tried = [trials(s["optimizer"], run.settings["draw"], s["trials"]) for run in runs]
    entries = [(run.seed, run.settings["draw"], one) for run, each in zip(runs, tried, strict=True) for one in each]
    done = race(s, *zip(*entries, strict=True), device)
    return [
        {
            "rates": tuple(one["rate"] for one in each),
            "knobs": tuple(one["knob"] for one in each),
            "steps": tuple(round(end.steps, 1) for end in ends),
            "reached": tuple(int(end.reached) for end in ends),
        }
        for each, ends in ((each, done[k * len(each) : (k + 1) * len(each)]) for k, each in enumerate(tried))
    ]


def race(s, seeds: Sequence[int], draws: Sequence[int], settings: Sequence[dict], device: str, slack: float = 1.3):
    """One :class:`~tutorlib.measure.race.Finish` a replica; those of one seed and draw have the same data order."""
    data, held_out = examples(s["problem"], s["held_out"], device)
    models, replicas = field(s, data, seeds, draws, settings, device)
    how = {"target": s["target"], "most_steps": s["most_steps"], "slack": slack}
    return steps_to_target(models, LOSSES[s["problem"]], data, held_out, **replicas, **how)


def field(s, data: Data, seeds: Sequence[int], draws: Sequence[int], settings: Sequence[dict], device: str):
    """The models, and what else differs between the replicas of one optimizer at one batch."""
    curved = s["optimizer"] == "K-FAC"
    return [fresh(s["problem"], seed, device) for seed in seeds], {
        "batch": s["batch"],
        "rates": [one["rate"] for one in settings],
        "knobs": {KNOBS[s["optimizer"]][0]: [one["knob"] for one in settings]},
        "seeds": list(zip(seeds, draws, strict=True)),
        "subsets": torch.stack([subset(seed, s["examples"], s["held_out"], len(data)) for seed in seeds]),
        "optimizer": OPTIMIZERS[s["optimizer"]],
        "precondition": partial(kfac, loss=CURVATURE[s["problem"]], draws=1, seed=seeds[0]) if curved else None,
    }


@functools.lru_cache(maxsize=4)
def examples(problem: str, held_out: int, device: str) -> tuple[Data, Data]:
    """All examples of a problem in one shuffled order, and the first ``held_out`` of them, on which nobody trains."""
    data = pictures(device) if problem == "autoencoder" else symbols(device)
    return data, Data(data.x[:held_out], data.y[:held_out])


def pictures(device: str) -> Data:
    """All 1,797 digits, each its own target."""
    x = digits(1797, seed=12345, device=device).x
    return Data(x, x)


def symbols(device: str, context: int = 4, count: int = 20480) -> Data:
    """Places of the text, shuffled: the ``context`` symbols before, one-hot and side by side, and the symbol there.

    Lower case, 32 symbols. Source of the model's shape: Bengio et al. 2003, JMLR 3, 1137 (here without an embedding).
    """
    number = {letter: k for k, letter in enumerate(SYMBOLS)}
    codes = torch.tensor([number.get(letter, len(SYMBOLS)) for letter in text().lower()])
    chosen = torch.from_numpy(np.random.default_rng(12345).permutation(len(codes) - context)[:count])
    before = torch.stack([codes[chosen + k] for k in range(context)], dim=1)
    return Data(F.one_hot(before, len(SYMBOLS) + 1).flatten(1).float(), codes[chosen + context]).to(device)


def subset(seed: int, examples: int, held_out: int, of: int) -> torch.Tensor:
    """The seed's own training examples, drawn from those that are not held out."""
    return torch.from_numpy(held_out + np.random.default_rng([seed, 7]).permutation(of - held_out)[:examples])


def fresh(problem: str, seed: int, device: str) -> nn.Sequential:
    """The problem's net, tanh between linear layers, with weights drawn from ``seed`` alone."""
    with TORCH_STREAM, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = [(nn.Linear(i, o), nn.Tanh()) for i, o in itertools.pairwise(SIZES[problem])]
    return nn.Sequential(*[part for pair in layers for part in pair][:-1]).to(device)


def report(runs: list[Run], device: str) -> list[dict]:
    """Steps to the target of chosen settings: nobody is stopped for being slow, unless the runs name a ``slack``."""
    chosen = [{"rate": run.settings["rate"], "knob": run.settings["knob"]} for run in runs]
    seeds, draws = [run.seed for run in runs], [run.settings["draw"] for run in runs]
    done = race(runs[0].settings, seeds, draws, chosen, device, runs[0].settings.get("slack", math.inf))
    return [{"steps": end.steps, "reached": int(end.reached)} for end in done]


def seconds(run: Run, device: str) -> dict:
    """Seconds that a processor works on one step of one net alone: the least of ``repeats``, waiting not counted.

    From the difference of a long and a short run, so that beginning costs nothing, and Shampoo takes its roots as
    seldom as later on.
    """
    s = run.settings
    data, _ = examples(s["problem"], s["held_out"], device)
    least = {s["short"]: math.inf, s["long"]: math.inf}
    for steps in s["repeats"] * list(least):
        models, replicas = field(s, data, [run.seed], [0], [trials(s["optimizer"], 0)[0]], device)
        began = time.process_time()
        fit_ensemble(models, LOSSES[s["problem"]], data, steps=steps, **replicas)
        least[steps] = min(least[steps], time.process_time() - began)
    return {"step": (least[s["long"]] - least[s["short"]]) / (s["long"] - s["short"])}
