"""Three readings of a tail, excess kurtosis, Hill index and index of sums, each with what it reads on known laws.

A tail index α says how rare the large is: P(|x| > s) ∝ s^(−α). Below 2 the variance is infinite; a Gaussian has none,
its tail falls faster than any power.
"""

import numpy as np

from tutorlib.errors import Refused
from tutorlib.theory.statistics import Estimate

Z95 = 1.959964


def excess_kurtosis(values, axis: int = 0) -> np.ndarray:
    """E(x − μ)⁴ / σ⁴ − 3 along ``axis``: 0 for a Gaussian, −2 for two equal points, 6/(ν − 4) for Student's t.

    Of n draws it is at most n − 3 or so: where the fourth moment is infinite it grows with n and never settles. NaN
    where all values are the same.
    """
    centred = np.asarray(values, dtype=float)
    centred = centred - centred.mean(axis=axis, keepdims=True)
    squares = centred**2
    with np.errstate(invalid="ignore"):
        return (squares**2).mean(axis=axis) / squares.mean(axis=axis) ** 2 - 3


def kurtosis_of_mean(excess, batch):
    """Excess kurtosis of the mean of ``batch`` independent draws: κ/B, exactly, where the fourth moment is finite.

    Cumulants of independent terms add: κ₄ of a sum is B κ₄ and its variance B σ², so κ₄/σ⁴ is κ/B. Drawn with
    replacement from N examples this is an identity, for N numbers have every moment.
    """
    return np.asarray(excess, dtype=float) / np.asarray(batch)


def hill(values, top: int) -> Estimate:
    """Tail index of |x| from its ``top`` largest values, with its 95 % interval.

    1/α̂ is the mean of log(|x|₍ᵢ₎ / |x|₍ₖ₊₁₎) over the k largest, the maximum-likelihood estimate for an exact power law
    beyond |x|₍ₖ₊₁₎; then k α/α̂ is a sum of k unit exponentials, and α̂ is off by α/√k. No power law is needed to get a
    number: on a Gaussian it is finite and grows with the threshold. Source: Hill 1975, Annals of Statistics 3, 1163.
    """
    index = float(hill_indices(values, top)[-1])
    half = Z95 * index / np.sqrt(top)
    return Estimate(index, index - half, index + half)


def hill_indices(values, most: int) -> np.ndarray:
    """The Hill index at every threshold: from the 2 largest values to the ``most`` largest, shape (most − 1,)."""
    ordered = np.sort(np.abs(np.ravel(values)))[::-1]
    if not 2 <= most < len(ordered):
        raise Refused(f"top is {most}; allowed: from 2 to {len(ordered) - 1}, one fewer than there are values")
    if not ordered[most] > 0:
        raise Refused(f"the value below the top {most} is {ordered[most]:g}; allowed: above 0. Take a smaller top")
    log = np.log(ordered[: most + 1])
    gaps = np.cumsum(log[:-1]) / np.arange(1, most + 1) - log[1:]
    if not gaps[-1] > 0:
        raise Refused(f"the top {most} values are all equal; allowed: values with a tail. Take more of them")
    with np.errstate(divide="ignore"):
        return 1 / gaps[1:]


def log_scale(values, axis: int = 0) -> np.ndarray:
    """Mean of log|x| along ``axis``: a scale that exists for every law without an atom at 0, however heavy its tail."""
    values = np.abs(np.asarray(values, dtype=float))
    if not values.all():
        raise Refused("values has a zero; allowed: none, for its logarithm is minus infinity. Leave such columns out")
    return np.log(values).mean(axis=axis)


def sum_index(before, after, factor: float):
    """α from the log scales of x and of sums of ``factor`` independent x: stable sums are like F^(1/α) x.

    α = log F / (log scale of sums − log scale of x). A finite variance gives 2 once sums are Gaussian, and may give
    anything before. The terms must be independent draws of *one* law: coordinates of different size are not.
    Source: Mohammadi, Mohammadpour and Ogata 2015, Metrika 78, 549, corollary 2.4.
    """
    return np.log(factor) / (np.asarray(after) - np.asarray(before))


def pooled_index(values, factor: int = 16) -> float:
    """:func:`sum_index` of one sample in its given order: neighbouring blocks of ``factor`` values are the sums."""
    values = np.ravel(values)[: len(np.ravel(values)) // factor * factor]
    return float(sum_index(log_scale(values), log_scale(values.reshape(-1, factor).sum(axis=1)), factor))


def bend(log_scales, axis: int = -1) -> np.ndarray:
    """How much 1/α changes from the first factor of the batch to the last: 0 for *every* symmetric stable law.

    ``log_scales`` are those of sums at batches a constant factor F apart; divided by log F the bend is in units of 1/α.
    They are means of logarithms, of finite variance whatever α, so that a bend has an interval. It speaks of the whole
    law, its middle included, and hardly of a tail such as Student's t₃.
    """
    steps = np.diff(np.asarray(log_scales, dtype=float), axis=axis)
    return np.take(steps, -1, axis=axis) - np.take(steps, 0, axis=axis)


def stable(alpha: float, size, rng: np.random.Generator) -> np.ndarray:
    """Draws of the symmetric α-stable law with characteristic function exp(−|t|^α); at α = 2 that is N(0, 2).

    Source: Chambers, Mallows and Stuck 1976, JASA 71, 340.
    """
    check_alpha(alpha)
    angle = np.pi * (rng.random(size) - 0.5)
    wait = rng.standard_exponential(size)
    return (
        np.sin(alpha * angle)
        / np.cos(angle) ** (1 / alpha)
        * (np.cos((1 - alpha) * angle) / wait) ** ((1 - alpha) / alpha)
    )


def elliptical(sizes: np.ndarray, columns: int, rng: np.random.Generator) -> np.ndarray:
    """Rows of Gaussians, each times a size of its own, as an example's gradient is long or short in every direction."""
    return np.asarray(sizes, dtype=float)[:, None] * rng.standard_normal((len(sizes), columns))


def stable_sizes(alpha: float, count: int, rng: np.random.Generator) -> np.ndarray:
    """Sizes with which :func:`elliptical` rows have the law of :func:`stable` in every direction, for α < 2.

    √(2A), where A ≥ 0 is stable of index a = α/2 with Laplace transform exp(−s^a). Source: Kanter 1975, Annals of
    Probability 3, 697; tested by both transforms.
    """
    if check_alpha(alpha) == 2:
        raise Refused("alpha is 2; allowed: below 2, for Gaussian rows are all of one size. Take ones")
    a = alpha / 2
    angle, wait = np.pi * rng.random(count), rng.standard_exponential(count)
    return np.sqrt(2 * np.sin(a * angle) / np.sin(angle) ** (1 / a) * (np.sin((1 - a) * angle) / wait) ** ((1 - a) / a))


def check_alpha(alpha: float) -> float:
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not 0 < alpha <= 2:
        raise Refused(f"alpha is {alpha!r}; allowed: above 0, at most 2, where the stable law is Gaussian")
    return float(alpha)


def settles(values, axis: int = 0) -> np.ndarray:
    """E x⁴/(E x²)² of the first quarter of the draws over that of all: 1 where a fourth moment exists and n is enough.

    About ¼ for every α-stable law with α < 2, because there the largest of n draws is as large as all others together
    and the ratio grows like n. Between the two it says: not enough draws to see the fourth moment.
    """
    values = np.moveaxis(np.asarray(values, dtype=float), axis, 0)
    quarter, whole = (excess_kurtosis(part) + 3 for part in (values[: len(values) // 4], values))
    return quarter / whole
