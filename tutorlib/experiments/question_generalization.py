"""Lesson 06: small, large and full batch on few examples, compared under four budgets."""

import numpy as np

from tutorlib.records import Experiment
from tutorlib.results import column

SMALL, LARGE, FULL = 10, 100, 500
BATCHES = (SMALL, LARGE, FULL)
NET = {"examples": 500, "width": 64, "wrong": 0}
DEALT = (
    "{examples} examples of {data} to train on and {held_out:,} held out, dealt anew for every seed; MLP with one "
    "hidden layer of {width}, momentum 0.9, a constant rate; "
)

# The rate of lowest held-out error on sixteen other seeds, by updates: 500 of the small batch are 10 epochs, 5,000 are
# 100. Searched in steps of √2 (10 epochs) or 2 around the best of a wider grid, and further where the best was on an
# edge. Only "mnist1d" with 500 updates of the full batch ends on one: below it the net is stopped before it fits.
RATES = {
    "digits": {
        (SMALL, 500): 0.042,
        (LARGE, 50): 0.25,
        (FULL, 10): 1.4,
        (SMALL, 5000): 0.12,
        (LARGE, 500): 0.8,
        (FULL, 500): 0.2,
        (FULL, 100): 0.35,
    },
    "mnist1d": {
        (SMALL, 500): 0.03,
        (LARGE, 50): 0.25,
        (FULL, 10): 1.4,
        (SMALL, 5000): 0.0037,
        (LARGE, 500): 0.025,
        (FULL, 500): 0.025,
        (FULL, 100): 0.17,
    },
}
SHORT = {SMALL: 500, LARGE: 50, FULL: 10}
# budget: the updates of every batch. In the first, all take the rate of the small batch.
BUDGETS = {
    "10 epochs, same rate": SHORT,
    "10 epochs, own rate": SHORT,
    "500 updates": {SMALL: 500, LARGE: 500, FULL: 500},
    "100 epochs": {SMALL: 5000, LARGE: 500, FULL: 100},
}
SAME_RATE, OWN_RATE, UPDATES, EXAMPLES = BUDGETS
CALM = 0.015  # an eighth of the best rate of the small batch on digits: the control for its noise


def rate(data: str, budget: str, batch: int) -> float:
    """The rate of a batch under a budget."""
    known = RATES[data]
    return known[SMALL, SHORT[SMALL]] if budget == SAME_RATE else known[batch, BUDGETS[budget][batch]]


def audit(data: str, held_out: int) -> Experiment:
    """The small batch's 500 updates serve three budgets: a point is run once."""
    cells = {(b, BUDGETS[name][b], rate(data, name, b)) for name in BUDGETS for b in BATCHES}
    cells |= {(SMALL, BUDGETS[EXAMPLES][SMALL], CALM)} if data == "digits" else set()
    return Experiment(
        name=f"four_budgets_{data}",
        question="Does a large batch generalize worse, and when?",
        trial="question_generalization.errors",
        points=tuple({"batch": b, "steps": steps, "rate": rate} for b, steps, rate in sorted(cells)),
        print_under=DEALT + "rates chosen on 16 other seeds",
        held={"data": data, "held_out": held_out, **NET},
        together=("seed", "rate"),
        side_by_side=True,
        seeds=24,
    )


DIGITS, MNIST1D = audit("digits", 1000), audit("mnist1d", 2000)

WIDTHS = (16, 64, 256)
# Chosen as above, for 10 epochs of three batches, and for the large batch with as many updates as the small one.
WIDE_RATES = {
    (16, SMALL, 500): 0.021,
    (16, FULL, 10): 2.0,
    (16, LARGE, 500): 0.025,
    (64, SMALL, 500): 0.03,
    (64, FULL, 10): 1.4,
    (64, LARGE, 500): 0.025,
    (256, SMALL, 500): 0.028,
    (256, FULL, 10): 0.99,
    (256, LARGE, 500): 0.4,
}

WIDER = Experiment(
    name="width_and_batch",
    question="Do more parameters make up for a large batch?",
    trial="question_generalization.errors",
    points=tuple({"width": w, "batch": b, "steps": s, "rate": rate} for (w, b, s), rate in WIDE_RATES.items()),
    print_under="{examples} examples of {data} to train on and {held_out:,} held out, dealt anew for every seed; MLP "
    "with one hidden layer, momentum 0.9; a rate for each width, batch and number of updates, chosen on 16 other seeds",
    held={"data": "mnist1d", "held_out": 2000, "examples": 500, "wrong": 0},
    together=("seed",),
    side_by_side=True,
    seeds=24,
)


def cell(records, data: str, budget: str, batch: int, name: str = "error") -> np.ndarray:
    """What one batch came to under one budget: one number a seed, in per cent."""
    at = {"batch": batch, "steps": BUDGETS[budget][batch], "rate": rate(data, budget, batch)}
    return column(records, name, **at)


def gap(records, data: str, budget: str, batch: int = FULL, name: str = "error") -> np.ndarray:
    """A batch minus the small one under one budget, in points: one a seed."""
    return cell(records, data, budget, batch, name) - cell(records, data, budget, SMALL, name)


def wide(records, width: int, batch: int, steps: int, name: str = "error") -> np.ndarray:
    """Held-out error of one width at one batch, or that in training ("train"), in per cent: one a seed."""
    return column(records, name, width=width, batch=batch, steps=steps)
