"""Lesson 07: a raised rate with and without a warm-up, on a deep net and on a shallow one."""

import numpy as np

from tutorlib.records import Experiment, grid
from tutorlib.results import column

KINDS = ("none", "gradual", "constant")
# SCALED is sixteen times RATE_8, the rate of lowest loss at batch 8 after as many epochs, on sixteen other seeds, of
# 0.00075, 0.0015, 0.003 and 0.006. On those seeds SCALED was the best rate of batch 128, with and without a warm-up, of
# 0.012, 0.024 and 0.048.
SMALL, LARGE, RATE_8 = 8, 128, 0.0015
SCALED = LARGE // SMALL * RATE_8
RATES = tuple(k * SCALED for k in (1, 2, 4, 8, 16))
HIGH, HIGHEST = RATES[-2:]
DEEP, SHALLOW = 8, 1

WARM_UP = Experiment(
    name="warm_up_of_a_raised_rate",
    question="Which rate does a large batch bear, with and without a warm-up?",
    trial="warm_up.final_loss",
    points=(*grid(depth=(DEEP,), kind=KINDS, rate=RATES), *grid(depth=(SHALLOW,), kind=KINDS[:2], rate=(HIGH,))),
    print_under="1,797 digits, batch {batch}, {steps} steps; MLP with hidden layers of {width} and LayerNorm, "
    "momentum 0.9; warm-up over the first {warm} steps, from a rate of {low}; loss on all of them at the end, that of "
    "chance where a run is worse",
    held={"batch": LARGE, "steps": 60, "warm": 15, "width": 32, "low": RATE_8},
    together=("seed", "rate"),
    side_by_side=True,
    seeds=16,
)


def loss(records, kind: str, rate: float, depth: int = DEEP, name: str = "loss") -> np.ndarray:
    """Final loss on the training examples, or whether the run "failed" (1 or 0): one a seed."""
    return column(records, name, kind=kind, rate=rate, depth=depth)
