"""Laws of gradient noise: how the variance falls with the batch, and the scale at which it matters.

One example's gradient is g_i, the mean over the data G, the covariance Σ. Everything here is about two
numbers, tr Σ (squared gradient units) and |G|² (the same units), and their ratio in examples.
"""

from dataclasses import dataclass

import numpy as np

from tutorlib.errors import Refused
from tutorlib.theory.statistics import Estimate, mean_interval, ratio_interval


def check_batch(
    batch: int, examples: int | None = None, name: str = "batch", limit_is: str = "the number of examples"
) -> int:
    """``batch`` if it is a whole number from 1 to ``examples``; a ``ValueError`` that says so if not."""
    limit = "" if examples is None else f" to {examples:,} ({limit_is})"
    if isinstance(batch, bool) or not isinstance(batch, int | np.integer):
        raise Refused(f"{name} is {batch!r}; allowed: a whole number from 1{limit}")
    if batch < 1 or (examples is not None and batch > examples):
        advice = "take fewer" if batch > 0 else "take at least one"
        raise Refused(f"{name} is {batch}; allowed: a whole number from 1{limit}: {advice}")
    return int(batch)


@dataclass(frozen=True)
class Noise:
    """The two numbers that decide the noise of every batch: tr Σ and |G|².

    Σ is the covariance of one example's gradient, so ``trace`` is its mean squared distance from G.
    Source: McCandlish et al. 2018, arXiv 1812.06162, section 2.2 and equation 2.9.
    """

    trace: float
    grad_sq: float

    @property
    def scale(self) -> float:
        """B_simple = tr Σ / |G|², in examples: the batch at which noise and signal are equally long."""
        return self.trace / self.grad_sq

    def variance(self, batch, examples: int | None = None):
        """E|g_B − G|² = tr Σ / B; drawn without replacement from ``examples``, times (N − B)/(N − 1)."""
        sizes = np.asarray(batch)
        if not (sizes >= 1).all() or (examples and not (sizes <= examples).all()):
            raise Refused(f"batch is {batch}; allowed: from 1 to {examples or 'any number of'} examples")
        factor = 1.0 if examples is None else finite_population_factor(batch, examples)
        return self.trace / np.asarray(batch) * factor

    def cosine(self, batch):
        """About the cosine between a minibatch gradient and G: |G| / √(|G|² + tr Σ/B).

        Exact for the root mean square length; the mean of the cosine itself differs a little.
        """
        return 1 / np.sqrt(1 + self.scale / np.asarray(batch))


def finite_population_factor(batch, examples: int):
    """(N − B)/(N − 1): what drawing without replacement leaves of the variance. Zero at B = N.

    With Σ taken as the plain mean over the N examples (divided by N, not N − 1).
    Source: Cochran 1977, *Sampling Techniques*; with N − 1 in Σ it reads (N − B)/N.
    """
    # Two different draws have covariance −σ²/(N − 1), since all N deviations sum to zero; adding the B(B − 1)
    # such pairs to the B variances gives σ²/B · (1 − (B − 1)/(N − 1)).
    if examples == 1:
        return np.zeros_like(np.asarray(batch, dtype=float))
    return (examples - np.asarray(batch)) / (examples - 1)


def two_batch_estimates(small_sq, big_sq, small: int, big: int):
    """Unbiased (tr Σ, |G|²) from squared gradient lengths at two batch sizes.

    E|g_B|² = |G|² + tr Σ/B is a straight line in 1/B. Two points give its slope and its intercept:

        tr Σ = (|g_small|² − |g_big|²) / (1/small − 1/big)
        |G|² = (big·|g_big|² − small·|g_small|²) / (big − small)

    Shapes: ``small_sq`` and ``big_sq`` broadcast; one value a draw gives one pair of estimates a draw.
    A single |G|² may be negative: average both before dividing them. Source: McCandlish et al. 2018,
    appendix A.1. Raises ``ValueError`` unless small < big: two equal sizes are one point of the line.
    """
    if check_batch(small, name="small") >= check_batch(big, name="big"):
        raise Refused(
            f"small is {small} and big is {big}; allowed: small < big. Two different batch sizes are "
            "needed, because a line is not known from one of its points"
        )
    small_sq, big_sq = np.asarray(small_sq, dtype=float), np.asarray(big_sq, dtype=float)
    trace = (small_sq - big_sq) / (1 / small - 1 / big)
    grad_sq = (big * big_sq - small * small_sq) / (big - small)
    return trace, grad_sq


@dataclass(frozen=True)
class NoiseDraws:
    """Estimates of tr Σ and |G|², one pair a draw; a single |G|² may be negative."""

    trace_draws: np.ndarray
    grad_sq_draws: np.ndarray

    @property
    def noise(self) -> Noise:
        """The averages. Divide these, never draw by draw: the mean of ratios is not the ratio of means."""
        return Noise(float(np.mean(self.trace_draws)), float(np.mean(self.grad_sq_draws)))

    @property
    def trace(self) -> Estimate:
        return mean_interval(self.trace_draws)

    @property
    def grad_sq(self) -> Estimate:
        return mean_interval(self.grad_sq_draws)

    @property
    def scale(self) -> Estimate:
        """The noise scale in examples with Fieller's interval; ``ValueError`` if |G|² is lost in its noise."""
        return ratio_interval(self.trace_draws, self.grad_sq_draws)
