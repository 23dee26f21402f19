"""Lesson 07: two thirds of a run at a lower rate, or at a larger batch."""

import numpy as np

from tutorlib.records import Experiment
from tutorlib.results import column

FACTOR, PHASES = 5, 3
PLANS = ("left", "lower", "raise")
EXAMPLES = 15_000
SMALL, LARGE = 8, 200
# Lowest error with the rate lowered, on sixteen other seeds, of 0.15, 0.3, 0.6 (batch 8) and 2, 4, 8 (batch 200).
RATES = {SMALL: 0.3, LARGE: 4.0}

SCHEDULES = Experiment(
    name="raise_the_batch",
    question="Can a batch be raised where a rate would be lowered?",
    trial="raise_the_batch.phases",
    points=(
        *({"batch": SMALL, "plan": plan, "rate": RATES[SMALL]} for plan in PLANS),
        *({"batch": LARGE, "plan": plan, "rate": RATES[LARGE]} for plan in PLANS[1:]),
    ),
    print_under="A teacher net's classes of Gaussian inputs, {examples:,} seen once, new for every seed, {fresh:,} "
    "fresh ones to judge by; MLP with one hidden layer of {width}, plain SGD; from third to third of the run the rate "
    "is divided by five, the batch multiplied by five, or neither",
    held={"examples": EXAMPLES, "fresh": 4096, "width": 64},
    together=("seed",),
    side_by_side=True,
    seeds=24,
)


def found(records, batch: int, plan: str, name: str = "error") -> np.ndarray:
    """Error in per cent, "loss" or "updates" of the run that begins at this batch: one a seed."""
    return column(records, name, batch=batch, plan=plan)
