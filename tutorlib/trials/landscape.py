"""The slices that the landscape panel draws: the loss around rescaled solutions, and on the straight line to them."""

import functools

import numpy as np
import torch
from torch import nn

from tutorlib.experiments.curvature import FIRST, LINE, PLACES, REACH
from tutorlib.measure.curvature import Top, top_eigenvalues
from tutorlib.measure.landscape import around, between, filter_normalised, random_direction, weights
from tutorlib.nn.data import Data
from tutorlib.nn.rescale import rescaled
from tutorlib.records import Run
from tutorlib.trials.curvature import dealt, error, problem, relu, squared_error, train_to


@functools.lru_cache(maxsize=2)
def solution(
    seed: int, batch: int, rate: float, examples: int, width: int, target: float, most_steps: int, device: str
):
    """A ReLU net trained from the start that the seed decides until its training loss is ``target``."""
    held = {"batch": batch, "rate": rate, "examples": examples, "target": target, "most_steps": most_steps}
    net = relu(seed, width, device)
    train_to([net], [Run("landscape", held, seed)], problem(device), dealt([seed], examples)[0])
    return net


def slices(runs: list[Run], device: str) -> list:
    """The logarithm of the loss around a rescaled solution, and along the straight line to it from the first one.

    ``slice`` holds a value at PLACES × PLACES, a row a height, ``line`` LINE values from the first solution on.
    By the ruler "length" a slice is θ + a·v + b·r with v the sharpest direction and r a random one, both of length 1.
    By "own size" it is θ + a·|θ|v + b·r, with v the sharpest direction of T H T and r normalised by filters.
    """
    held = {name: runs[0].settings[name] for name in ("examples", "width", "target", "most_steps")}
    seed, where = runs[0].seed, {name: runs[0].settings[name] for name in FIRST}
    first, net = (solution(seed, **each, **held, device=device) for each in (FIRST, where))
    (own,), (held_out,) = dealt([seed], held["examples"])
    data, found = Data(problem(device).x[own], problem(device).y[own]), []
    for run in runs:
        model, ruler = rescaled(net, run.settings["rescale"]), run.settings["ruler"]
        plain, adaptive = (top_eigenvalues([model], squared_error, data, adaptive=kind)[0] for kind in (False, True))
        directions = axes_of(model, adaptive if ruler == "own size" else plain, ruler)
        values = around(model, *directions, squared_error, data, PLACES)
        found.append(
            {
                "slice": decades(values),
                "line": decades(between(first, model, squared_error, data, np.linspace(0, 1, LINE))),
                "sharpness": plain.value,
                "adaptive": adaptive.value,
                "error": error(model, problem(device), held_out),
            }
        )
    return found


def axes_of(model: nn.Module, top: Top, ruler: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Half the width of a slice and half its height, as steps from the solution."""
    wide, high = REACH[ruler]
    sharpest = top.vector * top.vector.sum().sign()  # an eigenvector has no sign of its own
    if ruler == "own size":
        return wide * weights(model).abs() * sharpest, high * filter_normalised(model, seed=1)
    return wide * sharpest, high * random_direction(model, seed=1)


def decades(losses: np.ndarray) -> tuple[float, ...]:
    return tuple(np.round(np.log10(losses.astype(float)), 3).ravel().tolist())
