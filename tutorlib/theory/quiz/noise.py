"""Situations of noise: statistics of few examples, and what a noise scale says about a larger batch."""

import numpy as np

from tutorlib.theory.batch_statistics import ENOUGH, variance_sd
from tutorlib.theory.memo import NORMS, SCALE, Look
from tutorlib.theory.noise import NoiseDraws, two_batch_estimates
from tutorlib.theory.quiz.situation import Found, Situation
from tutorlib.theory.statistics import Estimate


def ask_statistics(micro_batch, accumulation, frozen, seed):
    how = "frozen BatchNorm" if frozen else "BatchNorm"
    return f"A net with {how} trains badly at {micro_batch} × {accumulation}, better at 64 × 1. Is it the statistics?"


def measure_statistics(micro_batch, accumulation, frozen, seed):
    draws = np.random.default_rng(seed).standard_normal((4000, micro_batch))
    spread = 0.0 if frozen else float(draws.var(axis=1, ddof=1).std())
    limit = float(variance_sd(ENOUGH))
    answer = "statistics" if spread > limit else "other"
    told = f"its variances scatter by {spread:.0%} at micro-batch {micro_batch}, by {limit:.0%} at {ENOUGH} examples"
    return Found(answer, told)


def noise_scale(scale, micro_batch, accumulation, updates, seed) -> Estimate | None:
    """Of gradients of 200 numbers, |G|² = 1 and tr Σ = ``scale``, read as accumulation does; None if |G|² is lost."""
    rng = np.random.default_rng(seed)
    parts = rng.standard_normal((updates, accumulation, 200)) * np.sqrt(scale / 200 / micro_batch) + np.sqrt(1 / 200)
    squares = (parts**2).sum(2).mean(1), (parts.mean(1) ** 2).sum(1)
    draws = NoiseDraws(*two_batch_estimates(*squares, micro_batch, micro_batch * accumulation))
    return draws.scale if draws.grad_sq.low > 0 else None


def ask_noise(scale, micro_batch, accumulation, updates, seed):
    return (
        f"You train at {micro_batch} × {accumulation} = {micro_batch * accumulation:,} and have logged {updates} "
        "updates. Would a batch four times as large save steps?"
    )


def measure_noise(scale, micro_batch, accumulation, updates, seed):
    found, batch = noise_scale(scale, micro_batch, accumulation, updates, seed), micro_batch * accumulation
    if found is None:
        return Found(
            "unknown", f"after {updates} updates |G|² is not clearly above 0: the noise scale has no upper end"
        )
    answer = "many" if found.low > batch else "few" if found.high < batch else "unknown"
    told = f"noise scale {found.value:,.0f} [{found.low:,.0f}, {found.high:,.0f}], beside a batch of {batch:,}"
    return Found(answer, told)


NOISE = (
    Situation(
        "BatchNorm and accumulation",
        ask_statistics,
        {
            "statistics": "yes: each is made of too few examples, and accumulating more will not help",
            "other": "no: look elsewhere",
        },
        measure_statistics,
        Look("sd of a statistic of n values", "theory.batch_statistics.variance_sd", NORMS),
        (
            {"micro_batch": 2, "accumulation": 32, "frozen": False, "seed": 0},
            {"micro_batch": 32, "accumulation": 2, "frozen": False, "seed": 1},
            {"micro_batch": 2, "accumulation": 32, "frozen": True, "seed": 2},
        ),
    ),
    Situation(
        "four times the batch",
        ask_noise,
        {
            "many": "many: noise is still larger than the gradient",
            "few": "few: the gradient is already larger than its noise",
            "unknown": "it cannot be told from these updates",
        },
        measure_noise,
        SCALE,
        (
            {"scale": 500, "micro_batch": 64, "accumulation": 8, "updates": 4, "seed": 0},
            {"scale": 2000, "micro_batch": 64, "accumulation": 8, "updates": 400, "seed": 1},
            {"scale": 200, "micro_batch": 128, "accumulation": 16, "updates": 100, "seed": 2},
        ),
    ),
)
