"""Lesson 06: what a large and a small batch make of labels that are wrong, some of them or all."""

import numpy as np

from tutorlib.experiments.question_generalization import BATCHES, DEALT, FULL, LARGE, NET, SMALL
from tutorlib.records import Experiment
from tutorlib.results import column

STEPS = {SMALL: 1500, LARGE: 150, FULL: 30}  # 30 epochs
# OWN: with 30 % wrong labels, the rate of lowest held-out error on sixteen other seeds, in steps of √2, from grids of
# 0.0012 … 0.03, 0.015 … 0.25 and 0.03 … 1; every best is inside. Low as they are, they stop the nets early. SAME is
# the best of batch 100 with wrong labels, and suits the small batch with right ones; with wrong ones it is 8 times too
# high for that.
SAME, OWN = 0.03, {SMALL: 0.0035, LARGE: 0.03, FULL: 0.18}

LABELS = Experiment(
    name="wrong_labels",
    question="Which batch learns wrong labels by heart?",
    trial="question_generalization.errors",
    points=(
        *({"wrong": wrong, "batch": b, "steps": STEPS[b], "rate": SAME} for wrong in (0, 30) for b in BATCHES),
        *({"wrong": 30, "batch": b, "steps": STEPS[b], "rate": OWN[b]} for b in (SMALL, FULL)),
    ),
    print_under=DEALT + "30 epochs; of the training labels, 0 or 30 % are wrong, of the held-out ones none",
    held={"data": "digits", "held_out": 1000} | {name: NET[name] for name in ("examples", "width")},
    together=("seed", "rate"),
    side_by_side=True,
    seeds=24,
)

# Rates at which eight other seeds learnt nearly all labels (batch 20: 0.03, 0.05, 0.08; 200: 0.1, 0.14, 0.2, 0.3, where
# half of them failed).
RANDOM = Experiment(
    name="random_labels",
    question="Can a large batch learn by heart what has no rule?",
    trial="question_generalization.errors",
    points=({"batch": 20, "steps": 1000, "rate": 0.08}, {"batch": 200, "steps": 300, "rate": 0.2}),
    print_under="{examples} digits to train on and {held_out:,} held out, dealt anew for every seed; {wrong} % of the "
    "training labels are wrong: they say nothing about the image; MLP with one hidden layer of {width}, momentum 0.9",
    held={"data": "digits", "held_out": 1000, "examples": 200, "width": 128, "wrong": 90},
    together=("seed",),
    side_by_side=True,
    seeds=16,
)


def found(records, wrong: int, batch: int, rate: float, name: str = "error") -> np.ndarray:
    """Per cent of held-out ("error") or given ("train") labels that a net misses: one a seed."""
    return column(records, name, wrong=wrong, batch=batch, rate=rate)
