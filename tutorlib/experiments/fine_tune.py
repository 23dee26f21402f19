"""Lesson 06: fine-tuning in small: batches from 8 to all examples, for few and for many epochs."""

import numpy as np

from tutorlib.records import Experiment
from tutorlib.results import column

SMALL, MIDDLE, FULL = BATCHES = (8, 48, 240)
# Updates and rate of every batch: 90, 15 and 3 updates are 3 epochs, 900, 150 and 30 are 30. Rates of lowest error on
# mirrored digits, sixteen other seeds, in steps of √2 or 2, further where the best was on an edge; none ends on one.
# Batch 48 is flat from 0.12 to 0.5 after 30 epochs, and twice as wrong at 0.71.
SAME_RATE, OWN_RATE, LONGER, UPDATES, GENTLE = (
    "3 epochs, same rate",
    "3 epochs",
    "30 epochs",
    "90 updates",
    "30 epochs, gentle rates",
)
BUDGETS = {
    SAME_RATE: {SMALL: (90, 0.042), MIDDLE: (15, 0.042), FULL: (3, 0.042)},
    OWN_RATE: {SMALL: (90, 0.042), MIDDLE: (15, 0.25), FULL: (3, 0.5)},
    LONGER: {SMALL: (900, 0.06), MIDDLE: (150, 0.5), FULL: (30, 0.5)},
    UPDATES: {SMALL: (90, 0.042), FULL: (90, 0.35)},
    GENTLE: {SMALL: (900, 0.015), MIDDLE: (150, 0.06)},  # on the other seeds, both forgot a quarter
}

TUNED = Experiment(
    name="fine_tune",
    question="Does fine-tuning want a small batch?",
    trial="fine_tune.tuned",
    points=tuple(
        {"batch": batch, "steps": steps, "rate": rate}
        for batch, steps, rate in sorted({(b, *plan) for plans in BUDGETS.values() for b, plan in plans.items()})
    ),
    print_under="MLP of width {width}, pretrained on {first_examples} digits, then trained on {examples} mirrored; "
    "{held_out} held out; all dealt anew for every seed; momentum 0.9, rates chosen on 16 other seeds",
    held={"examples": 240, "held_out": 600, "first_examples": 800, "first_rate": 0.03, "first_steps": 400, "width": 64},
    together=("seed", "rate"),
    side_by_side=True,
    seeds=24,
)


def cell(records, budget: str, batch: int, name: str = "error") -> np.ndarray:
    """Error on mirrored digits, or what was "forgot"ten of the others, in points: one a seed."""
    steps, rate = BUDGETS[budget][batch]
    return column(records, name, batch=batch, steps=steps, rate=rate)
