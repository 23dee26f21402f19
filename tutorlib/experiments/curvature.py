"""Lesson 06: sharpness against batch and rate at one training loss, and a rescaling that moves it at will."""

import numpy as np

from tutorlib.records import Experiment, grid
from tutorlib.results import column
from tutorlib.theory.statistics import slopes

BATCHES, RATES = (8, 64, 256), (0.1, 0.2, 0.3)
PROBLEM = {"examples": 256, "width": 32}

# The rates are those at which all batches arrive; at 0.4 batches 8 and 64 did not, on other seeds (course/log.md).
SHARPNESS = Experiment(
    name="sharpness",
    question="At the same training loss: does the batch decide how sharp it is, or the rate?",
    trial="curvature.sharpness",
    points=grid(batch=BATCHES, rate=RATES),
    print_under="digits, {examples} to train on and the rest held out, dealt anew for every seed; tanh MLP, {width} "
    "hidden units, half the squared error summed over classes, SGD until the training loss is {target}; λ: top "
    "eigenvalue of the Hessian on all training examples",
    held={**PROBLEM, "target": 0.1, "most_steps": 12000},
    together=("seed", "rate"),
    side_by_side=True,
    seeds=24,
)

FACTORS = (1, 3, 10, 30, 100)
RESCALED = Experiment(
    name="rescaled",
    question="Can a net be made sharper without changing what it computes?",
    trial="curvature.rescaled_net",
    points=(*grid(factor=FACTORS, undone=(True,)), {"factor": 10, "undone": False}),
    print_under="ReLU MLP, {width} hidden units, {examples} digits, {steps} full-batch steps at rate {rate}; first "
    "layer × c, second ÷ c; float64; ε-sharpness in a box of {box:g}·(|θ| + 1)",
    held={**PROBLEM, "rate": 0.1, "steps": 500, "box": 1e-3},
    together=("seed", "factor", "undone"),
    side_by_side=True,
    seeds=8,
)

# What the landscape panel draws: one ReLU net a batch and rate, from one start, rescaled and seen by two rulers.
RULERS = ("length", "own size")
RESCALES = (0.25, 0.5, 1.0, 2.0, 4.0)
FIRST = {"batch": 8, "rate": 0.1}
PLACES = tuple(k * abs(k) / 64 for k in range(-8, 9))  # across a slice, from edge to edge, close together in the middle
LINE = 33  # points along the line between
REACH = {"length": (0.5, 3.5), "own size": (2.5, 0.8)}  # half the width and half the height of a slice

LANDSCAPE = Experiment(
    name="landscape",
    question="What does the loss look like around a solution, and who holds the ruler?",
    trial="landscape.slices",
    points=grid(batch=BATCHES, rate=RATES, rescale=RESCALES, ruler=RULERS),
    print_under="ReLU MLP, {width} hidden units, {examples} digits, one start, SGD until the training loss is {target}",
    held={**PROBLEM, "target": 0.1, "most_steps": 12000},
    together=("rescale", "ruler"),
    seeds=1,
)


def table(records, name: str) -> np.ndarray:
    """One measured number (seeds, batches, rates)."""
    cells = [[column(records, name, batch=batch, rate=rate) for rate in RATES] for batch in BATCHES]
    return np.moveaxis(np.array(cells), -1, 0)


def log_slopes(records, name: str = "sharpness") -> tuple[np.ndarray, np.ndarray]:
    """d log λ / d log batch and d log λ / d log rate of every seed, least squares on the balanced table."""
    logs = np.log(table(records, name))
    return slopes(np.log(BATCHES), logs.mean(axis=2)), slopes(np.log(RATES), logs.mean(axis=1))


def cost_of_doubling(records, name: str = "sharpness") -> np.ndarray:
    """Points of held-out error for every doubling of ``name``, over the nets of one seed: one slope a seed."""
    doublings, errors = np.log2(table(records, name)), table(records, "error")
    return np.array([slopes(x.ravel(), y.ravel()) for x, y in zip(doublings, errors, strict=True)])


def rescaled(records, name: str, factor: int, undone: bool = True) -> np.ndarray:
    """A number of the rescaled nets: one a seed."""
    return column(records, name, factor=factor, undone=undone)
