"""The rungs of lesson 02's ladder: one thing is changed, and the same update is made two ways."""

import copy
import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from tutorlib.measure import ladder
from tutorlib.measure.accumulation import IGNORED
from tutorlib.measure.fit import fit
from tutorlib.nn.data import Data, digits, mnist1d, text, tokens
from tutorlib.nn.device import with_float64
from tutorlib.nn.models import make
from tutorlib.nn.optimizers import adamw, sgd
from tutorlib.records import Run

OPTIMIZERS = {"SGD": sgd, "AdamW": adamw}
SIZES = {
    "mlp": {"width": 32},
    "cnn": {"channels": 8},
    "gpt": {"vocabulary": 128, "context": 16, "width": 16, "heads": 2, "blocks": 1},
}


@dataclass(frozen=True)
class Rung:
    """What one rung changes; all else is :func:`~tutorlib.measure.accumulation.accumulate` in float64."""

    merge: str = ""
    loss: Callable = ladder.mean_loss
    precision: torch.dtype = torch.float64
    accumulator: torch.dtype = torch.float64
    clip: str = ""
    layer: str = ""
    ragged: bool = False
    last_window: bool = False


SINGLE = {"precision": torch.float32, "accumulator": torch.float32}
RUNGS = {
    "float64": Rung(),
    "float32": Rung(**SINGLE),
    "float16 accumulator": Rung("float16 sum", precision=torch.float32, accumulator=torch.float16),
    "bfloat16 accumulator": Rung("bfloat16 sum", precision=torch.float32, accumulator=torch.bfloat16),
    "dropout": Rung(layer="dropout", **SINGLE),
    "another dropout rate": Rung(layer="dropout", **SINGLE),
    "BatchNorm": Rung("weighted", layer="BatchNorm"),
    "division by K": Rung("mean of means"),
    "no division": Rung("no division"),
    "targets counted": Rung(ragged=True),
    "mean of means": Rung("mean of means", ragged=True),
    "clip once": Rung(clip="once"),
    "clip every part": Rung("weighted", clip="every part"),
    "last window by its own": Rung(last_window=True),
    "last window by full K": Rung("division by full K", last_window=True),
    "in-batch negatives": Rung("weighted", loss=ladder.negatives_loss),
    "load balancing": Rung("weighted", loss=ladder.balance_loss),
}


def rungs(runs: list[Run], device: str) -> list[dict]:
    """One rung of one model and seed, for every optimizer: they see the same gradients.

    ``distance`` is relative; ``tolerance`` is what rounding may do to it, ``floor`` what it was seen to do. Routes that
    draw masks have ``shift`` and ``spread`` too, and the tolerance of the same rung without dropout.
    """
    s, seed, place = runs[0].settings, runs[0].seed, with_float64(device)
    rung = RUNGS[s["rung"]]
    model, x, y = start(s["model"], seed, s["batch"], s["trained"], place)
    model = copy.deepcopy(model).to(rung.precision)
    x = x.to(rung.precision) if x.is_floating_point() else x
    y = ragged(y, s["micro_batch"], seed) if rung.ragged else y
    if rung.last_window:  # two parts of a window, the last of them smaller
        left = s["micro_batch"] + s["micro_batch"] // 4
        x, y = x[:left], y[:left]
    whole, parts = [(x, y)], ladder.split(x, y, s["micro_batch"])
    optimizers = [OPTIMIZERS[run.settings["optimizer"]] for run in runs]
    routes = deterministic(rung, model, whole, parts, s["batch"] // s["micro_batch"], seed)
    answers = [{"distance": routes.distance(o), "tolerance": routes.tolerance(o)} for o in optimizers]
    if rung.layer == "dropout":
        rates = s["dropout"], s["other_dropout"] if s["rung"] == "another dropout rate" else s["dropout"]
        draws = with_masks(s["model"], model, whole, parts, rates, s["draws"], seed)
        answers = [answer | draws.compare(o) for answer, o in zip(answers, optimizers, strict=True)]
    return [answer | {"floor": routes.floor(o)} for answer, o in zip(answers, optimizers, strict=True)]


def deterministic(rung: Rung, model: nn.Module, whole: list, parts: list, full: int, seed: int) -> ladder.Routes:
    """The two routes of a rung that draws nothing (dropout stays out here)."""
    if rung.layer == "BatchNorm":
        model = before_readout(model, BatchNorm(readout_width(model)).to(whole[0][0].device, rung.precision))
    clip = 0.5 * float(ladder.accumulated(model, whole, rung.loss).norm()) if rung.clip else None

    def route(some: list) -> torch.Tensor:
        if not rung.merge:
            return ladder.accumulated(model, some, rung.loss, clip)
        gradients, counts = ladder.part_gradients(model, some, rung.loss)
        gradients = ladder.clipped(gradients, clip) if rung.clip else gradients
        return ladder.MERGE[rung.merge](gradients, counts, full if len(some) > 1 else 1)

    gradients, counts = ladder.part_gradients(model, parts, rung.loss)
    sizes = ladder.MERGE["weighted"](gradients.abs(), counts, full)
    return ladder.two_routes(route, whole, parts, sizes, rung.accumulator, seed)


def with_masks(name: str, model: nn.Module, whole: list, parts: list, rates, draws: int, seed: int) -> ladder.Draws:
    one, other = (before_readout(copy.deepcopy(model), nn.Dropout(rate)) for rate in rates)
    return ladder.random_routes(
        lambda: ladder.accumulated(one, whole, ladder.mean_loss),
        lambda: ladder.accumulated(other, parts, ladder.mean_loss),
        draws,
        seed,
    )


class BatchNorm(nn.BatchNorm1d):
    """Over every axis but the last: examples, and time where there is one."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.flatten(0, -2)).view_as(x)


def readout_width(model: nn.Module) -> int:
    return model[-1].in_features if isinstance(model, nn.Sequential) else model.norm.normalized_shape[0]


def before_readout(model: nn.Module, layer: nn.Module) -> nn.Module:
    """The model with one more layer, just before its scores."""
    if isinstance(model, nn.Sequential):
        model[-1] = nn.Sequential(layer, model[-1])
    else:
        model.norm = nn.Sequential(model.norm, layer)
    return model


@functools.lru_cache(maxsize=8)
def start(name: str, seed: int, batch: int, trained: int, device: torch.device) -> tuple:
    """A model a few steps old, and a batch it has not seen: at initialization a router would send all to one expert."""
    data = DATA[name]()
    order = torch.from_numpy(np.random.default_rng([seed, 2]).permutation(len(data)))
    x, y = data.x[order], data.y[order]
    model = make(name, seed, **SIZES[name])
    seen = Data(x[batch : batch + 512], y[batch : batch + 512])
    fit(model, ladder.mean_loss, seen, batch=32, rate=0.004, steps=trained, seed=seed, optimizer=adamw)
    return model.to(device), x[:batch].to(device), y[:batch].to(device)


DATA = {
    "mlp": lambda: digits(1797),
    "cnn": lambda: mnist1d(1000),
    "gpt": functools.cache(lambda: tokens(text(), SIZES["gpt"]["context"])),
}


def ragged(y: torch.Tensor, micro_batch: int, seed: int) -> torch.Tensor:
    """The targets with all but the first few of every example ignored, in some examples all; one left in each part."""
    wide = y.reshape(len(y), -1)
    keep = np.random.default_rng([seed, 3]).integers(0, wide.shape[1] + 1, len(y))
    keep[::micro_batch] = np.maximum(keep[::micro_batch], 1)
    ignored = torch.arange(wide.shape[1]) >= torch.from_numpy(keep)[:, None]
    return wide.masked_fill(ignored.to(y.device), IGNORED).view_as(y)
