"""Runs on the diagonal linear net, the positive control of lesson 06: every seed's own problem at once."""

import functools
from collections.abc import Callable

import numpy as np

from tutorlib.measure.diagonal_net import Regression, plain, sparse_regression, train
from tutorlib.records import Run
from tutorlib.theory import bought_noise
from tutorlib.trials import Diverged


def weights_of(noise: str, batch: float) -> Callable:
    """The function that draws an arm's weights."""
    name, *index = noise.split()
    if name == "none":
        return plain
    if name == "minibatch":
        return functools.partial(bought_noise.minibatch, batch=int(batch))
    more = {"alpha": float(index[0])} if index else {}
    return functools.partial(getattr(bought_noise, name), batch=batch, **more)


def outcomes(task: Regression, beta: np.ndarray) -> list:
    """Error |β − β*|² of every replica, and the ``loss`` that says whether it is fitted; or that it diverged."""
    return [
        {"error": float(error), "loss": float(loss)} if np.isfinite(error) else Diverged()
        for error, loss in zip(task.error(beta), task.losses(beta), strict=True)
    ]


def recover(runs: list[Run], device: str) -> list:
    """What one kind of noise finds of every seed's sparse truth; arms that differ in rate alone draw the same noise."""
    s, seeds = runs[0].settings, [run.seed for run in runs]
    task = sparse_regression(seeds, s["examples"], s["inputs"], s["nonzero"])
    weights = weights_of(s["noise"], s["batch"])
    rates = [run.settings["rate"] for run in runs]
    return outcomes(task, train(task, weights, rate=rates, steps=s["steps"], seeds=seeds, start=s["start"]))
