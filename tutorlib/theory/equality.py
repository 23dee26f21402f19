"""When are two updates the same? Equal to rounding, equal in distribution, or not equal: by rule, not by eye."""

import numpy as np

from tutorlib.errors import Refused
from tutorlib.theory.statistics import geometric_interval, mean_interval, sample

ROUNDINGS = 8  # how many machine epsilons of the gradient, or how many times the noise floor, still count as rounding
MEAN_WITHIN, SPREAD_WITHIN = 0.15, 1.25  # of the mean update's length; as a factor of the total variance
TO_ROUNDING, IN_DISTRIBUTION, NOT_EQUAL = CLASSES = ("equal to rounding", "equal in distribution", "not equal")
NOT_SETTLED = "not settled"


def classify(distances, tolerances, shifts=None, spreads=None) -> str:
    """One of the three classes, or *not settled*, from one number a seed.

    *Equal to rounding*: every relative distance is within its own tolerance. Failing that, two routes that draw at
    random are *equal in distribution* if two equivalence tests at the 5 % level (Schuirmann 1987) both say so: the mean
    updates are less than ``MEAN_WITHIN`` apart (``shifts``, from :func:`mean_shift`), and the total variances less than
    a factor of ``SPREAD_WITHIN`` (``spreads``). They are *not equal* if a 95 % interval lies outside one of these
    margins. Mean and total variance only: routes that differ in nothing but their correlations pass.
    Routes without chance (no ``shifts``) are *not equal* if most seeds are beyond their tolerance.
    """
    distances, tolerances = sample(distances, "distances", 1), sample(tolerances, "tolerances", 1)
    beyond = distances > tolerances
    if not beyond.any():
        return TO_ROUNDING
    if shifts is None:
        return NOT_EQUAL if beyond.mean() > 0.5 else NOT_SETTLED
    margin = MEAN_WITHIN**2
    wide = mean_interval(shifts), geometric_interval(spreads)
    narrow = mean_interval(shifts, 0.90), geometric_interval(spreads, 0.90)
    if narrow[0].high <= margin and narrow[1].within(1 / SPREAD_WITHIN, SPREAD_WITHIN):
        return IN_DISTRIBUTION
    apart = wide[0].low > margin or wide[1].low > SPREAD_WITHIN or wide[1].high < 1 / SPREAD_WITHIN
    return NOT_EQUAL if apart else NOT_SETTLED


def mean_shift(whole, parts) -> float:
    """|E Δ_parts − E Δ_whole|² ÷ |E Δ_whole|² from independent draws (draws, parameters); may be negative.

    Both squares are averages of a·b over pairs of *different* draws, so their own noise adds nothing on average.
    """
    whole, parts = check_draws(whole), check_draws(parts)
    if whole.shape != parts.shape:
        raise Refused(f"whole has shape {whole.shape} and parts {parts.shape}; allowed: the same draws of both")
    return squared_mean(parts - whole) / squared_mean(whole)


def squared_mean(draws: np.ndarray) -> float:
    """Unbiased |E x|²: (|Σ x|² − Σ |x|²) / (R (R − 1)), what is left of the double sum without its diagonal."""
    count, total = len(draws), draws.sum(axis=0)
    return float(total @ total - (draws**2).sum()) / (count * (count - 1))


def spread_ratio(whole, parts) -> float:
    """Total variance of the parts' updates over that of the whole batch's, from draws (draws, parameters)."""
    return float(check_draws(parts).var(axis=0, ddof=1).sum() / check_draws(whole).var(axis=0, ddof=1).sum())


def check_draws(draws) -> np.ndarray:
    draws = np.asarray(draws, dtype=float)
    if draws.ndim != 2 or len(draws) < 2:
        raise Refused(f"draws have shape {draws.shape}; allowed: (draws, parameters) with at least two draws")
    return draws
