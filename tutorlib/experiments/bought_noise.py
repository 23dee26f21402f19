"""Buying noise back: the full batch with noise of several kinds on a net where a small batch helps, and its price."""

import numpy as np

from tutorlib.records import Experiment
from tutorlib.results import Results, column

RATE = 0.02
# What each arm adds to the full batch. "noise" names a function of theory/bought_noise.py, "batch" whose noise it is.
NOTHING = {"noise": "none", "batch": 1.0, "rate": RATE, "isotropic": 0.0, "apart": 0.0, "penalty": 0.0}


def arm(name: str, **changes) -> dict:
    return {"arm": name, **NOTHING, **changes}


ARMS = (
    arm("full batch"),
    arm("full batch, 8 × the rate", rate=8 * RATE),
    arm("batch 1", noise="minibatch"),
    arm("Gaussian weights", noise="gaussian"),
    arm("1 ± sd weights", noise="rademacher"),
    arm("Student-t weights", noise="student"),
    arm("all directions, same trace", isotropic=1.0),
    arm("each parameter apart", apart=1.0),
    arm("penalty", penalty=RATE / 4),
)
FULL, FAST, SMALL, GAUSSIAN, SIGNS, STUDENT, ISOTROPIC, APART, PENALTY = (a["arm"] for a in ARMS)
HELD = {"examples": 40, "inputs": 100, "nonzero": 5, "length": 120.0}
PRINT = (
    "Diagonal linear net from 0.1, {examples} examples, {inputs} inputs, {nonzero} of them used; data of its own for "
    "every seed; rate 0.02 unless it says so, rate × steps = {length:g}; noise of batch 1"
)

BUY = Experiment(
    name="bought_noise",
    question="Can the full batch buy the noise of batch 1?",
    trial="bought_noise.diagonal",
    points=ARMS,
    print_under=PRINT,
    held=HELD,
    together=("seed",),
    seeds=24,
)

JUMPS = Experiment(
    name="bought_jumps",
    question="And if the weights are truly α-stable?",
    trial="bought_noise.diagonal",
    points=(
        arm("α = 1.8 weights", noise="levy 1.8"),
        arm("α = 1.5 weights", noise="levy 1.5"),
        arm("Gaussian weights, 2 × the variance", noise="gaussian", batch=0.5),
    ),
    print_under=f"{PRINT}; α-stable weights have the quartiles of the Gaussian ones",
    held=HELD,
    together=("seed",),
    seeds=24,
)
MILD, WILD, DOUBLE = (a["arm"] for a in JUMPS.points)

TWICE = Experiment(
    name="bought_at_twice_the_rate",
    question="And at the rate where batch 1 gains most?",
    trial="bought_noise.diagonal",
    points=tuple(
        arm(name, noise=noise, rate=2 * RATE)
        for name, noise in ((FULL, "none"), (SMALL, "minibatch"), (GAUSSIAN, "gaussian"))
    ),
    print_under=f"{PRINT}; rate 0.04, half as many steps",
    held=HELD,
    together=("seed",),
    seeds=24,
)

PRICE = Experiment(
    name="price_of_noise",
    question="What does one step with bought noise cost?",
    trial="bought_noise.price",
    points=({},),
    print_under="MLP of 9,610 parameters, all {examples:,} digits in one step; the shortest of {repeats} steps of each "
    "kind, taken in turn",
    held={"examples": 1024, "repeats": 25},
    seeds=8,
)


def errors(records, name: str) -> np.ndarray:
    """|β − β*|² of one arm: one a seed."""
    return column(records, "error", arm=name)


def over(records, name: str, other: str) -> np.ndarray:
    """Error of one arm over that of another: one a seed."""
    return errors(records, name) / errors(records, other)


def gaps(records, name: str) -> np.ndarray:
    """What an arm closes, and what batch 1 does, of the logarithm of the full batch's error: (seeds, 2).

    Their means' ratio is the share of batch 1's gain that the arm buys: 1 for all of it, 0 for nothing.
    """
    full, small, other = (np.log(errors(records, n)) for n in (FULL, SMALL, name))
    return np.stack([full - other, full - small], axis=1)


def ends(jumps: Results, name: str) -> dict[int, float]:
    """Error of one arm by seed, infinite where the run diverged."""
    chosen = [r for r in jumps if r.run.settings["arm"] == name]
    return {r.run.seed: r["error"] if r.outcome == "ok" else np.inf for r in chosen}
