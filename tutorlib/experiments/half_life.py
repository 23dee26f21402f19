"""Lesson 07: how long AdamW should remember squared gradients, in steps or in examples."""

import numpy as np

from tutorlib.records import Experiment
from tutorlib.results import column

FIXED, LIBRARY, REFERENCE = 0.95, 0.999, 256  # β₂ of many language models, of torch, and the batch it is kept for
SMALL, MIDDLE, LARGE = 1, 8, 64
BATCHES = (SMALL, MIDDLE, LARGE, REFERENCE)


def half_life(batch: int) -> float:
    """β₂ that remembers as many examples at ``batch`` as 0.95 does at batch 256: β₂^(B/B₀).

    Source: Marek et al. 2025, arXiv 2507.07101, section 3.
    """
    return FIXED ** (batch / REFERENCE)


# Rates of lowest loss on sixteen other seeds, from seven (batch 1: six) in steps of √2, the same ones for every β₂ (the
# library's at batch 1: not searched, that of "kept"); every best is inside its grid.
# WIDE has four times the hidden units.
RATES = {SMALL: {"fixed": 0.001, "kept": 0.002, "library": 0.002}, MIDDLE: 0.0057, LARGE: 0.016, REFERENCE: 0.045}
WIDTH, WIDE, WIDE_RATE = 32, 128, 0.0057
KEPT = {FIXED: "fixed", LIBRARY: "library"}


def point(batch: int, beta2: float, rate: float | None = None, width: int = WIDTH) -> dict:
    own = RATES[batch] if isinstance(RATES[batch], float) else RATES[batch][KEPT.get(beta2, "kept")]
    return {"batch": batch, "beta2": beta2, "rate": rate or own, "width": width}


HALF_LIFE = Experiment(
    name="half_life",
    question="Is a β₂ of 0.95 too short a memory at a small batch?",
    trial="half_life.held_out_loss",
    points=(
        *(point(batch, beta2) for batch in BATCHES for beta2 in sorted({FIXED, half_life(batch), LIBRARY})),
        point(MIDDLE, half_life(MIDDLE), RATES[REFERENCE]),
        point(REFERENCE, FIXED, RATES[MIDDLE]),
        point(LARGE, half_life(LARGE), width=WIDE, rate=WIDE_RATE),
        point(LARGE, half_life(LARGE), width=WIDE, rate=RATES[LARGE]),
    ),
    print_under="Standard-library text, {examples:,} places seen once and {held_out:,} held out, dealt anew for every "
    "seed; an MLP reads six letters; AdamW, the best rate for every batch and β₂ on 16 other seeds",
    held={"examples": 8192, "held_out": 2048},
    together=("seed", "rate", "beta2"),
    side_by_side=True,
    seeds=8,
)


def loss(records, batch: int, beta2: float, rate: float | None = None, width: int = WIDTH) -> np.ndarray:
    """Held-out loss in nats a letter at this batch and β₂, at the best rate if none is named: one a seed."""
    return column(records, "loss", **point(batch, beta2, rate, width))
