"""Intervals: how far a handful of seeds lets us speak.

Quantiles come from :mod:`scipy.special`, not :mod:`scipy.stats`: the same numbers, a tenth of the import.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv, stdtrit

from tutorlib.errors import Refused

LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A value and its interval, 95 % unless said otherwise."""

    value: float
    low: float
    high: float

    def within(self, low: float, high: float) -> bool:
        return low <= self.low and self.high <= high

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


def t_quantile(level: float, degrees: int) -> float:
    return float(stdtrit(degrees, 0.5 + level / 2))


def sample(values, name: str = "values", least: int = 2) -> np.ndarray:
    values = np.asarray(values, dtype=float).ravel()
    if len(values) < least or not np.isfinite(values).all():
        raise Refused(
            f"{name} has {len(values)} number(s), {np.isfinite(values).sum()} of them finite; allowed: "
            f"at least {least}, all finite. One draw or one seed has no spread: take more of them"
        )
    return values


def mean_interval(values, level: float = LEVEL) -> Estimate:
    """Mean of independent values with Student's t interval: x̄ ± t·s/√n."""
    values = sample(values)
    mean = values.mean()
    half = t_quantile(level, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return Estimate(mean, mean - half, mean + half)


def geometric_interval(values, level: float = LEVEL) -> Estimate:
    """Geometric mean of positive values, with the interval of their logarithms: for ratios."""
    with np.errstate(invalid="ignore", divide="ignore"):  # refused below, with a sentence
        log = mean_interval(np.log(sample(values)), level)
    return Estimate(*np.exp([log.value, log.low, log.high]))


def share_interval(hits, level: float = LEVEL) -> Estimate:
    """The share of ``hits`` (0 or 1, one a run) with its exact interval.

    Source: Clopper and Pearson 1934, Biometrika 26, 404; the bounds are quantiles of beta distributions.
    """
    hits = sample(hits, "hits", least=1)
    hit, runs, tail = hits.sum(), len(hits), (1 - level) / 2
    low = betaincinv(hit, runs - hit + 1, tail) if hit else 0.0
    high = betaincinv(hit + 1, runs - hit, 1 - tail) if hit < runs else 1.0
    return Estimate(hit / runs, low, high)


def slopes(x, y) -> np.ndarray:
    """Least-squares slope of every row of ``y`` (replicas, points) against ``x`` (points,)."""
    x = np.asarray(x, dtype=float) - np.mean(x)
    if not (x @ x) > 0:
        raise Refused(f"x is {list(x)} around its mean; allowed: at least two different values")
    return np.asarray(y, dtype=float) @ x / (x @ x)


def ratio_interval(numerators, denominators, level: float = LEVEL) -> Estimate:
    """Ratio of two means from paired draws, with Fieller's interval (Fieller 1954).

    The ratio r is inside when  mean(a) − r·mean(b)  is not further from 0 than t of its standard errors,
    which is a quadratic in r. Assumes the means are near normal. Raises ``ValueError`` when the mean of
    the denominators is not clearly different from zero: then no bounded interval exists.
    """
    a, b = sample(numerators, "numerators"), sample(denominators, "denominators")
    (var_a, cov), (_, var_b) = np.cov(a, b) / len(a)
    t2 = t_quantile(level, len(a) - 1) ** 2
    mean_a, mean_b = a.mean(), b.mean()
    square = mean_b**2 - t2 * var_b
    if square <= 0:
        raise Refused(
            f"denominators average {mean_b:.3g} ± {np.sqrt(var_b):.2g}: not clearly different from zero, so their "
            "ratio has no bounded interval. Take more draws, or a bigger batch for the large one"
        )
    linear = mean_a * mean_b - t2 * cov
    root = np.sqrt(max(linear**2 - square * (mean_a**2 - t2 * var_a), 0.0))
    return Estimate(mean_a / mean_b, (linear - root) / square, (linear + root) / square)
