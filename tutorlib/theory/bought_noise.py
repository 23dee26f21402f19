"""Weights that turn the full batch into something as noisy as a small one: w = 1 + ξ √(n/B), ξ of mean 0.

The noise is (1/n) Σ (w_i − 1) g_i: with ξ of variance 1 its covariance is (1/B) · mean g_i g_iᵀ, that of a minibatch
drawn with replacement but for G Gᵀ/B, whatever the law of ξ. Source: Wu et al. 2020, arXiv 1906.07405, section 3.
Each function draws weights (steps, examples).
"""

import functools

import numpy as np
from scipy.optimize import brentq

from tutorlib.errors import Refused
from tutorlib.theory.noise import check_batch
from tutorlib.theory.tails import check_alpha, stable

QUARTILE = 0.6744898  # of a standard normal


def minibatch(rng: np.random.Generator, shape: tuple[int, int], batch: int) -> np.ndarray:
    """n/B for every time an example is drawn: the minibatch itself."""
    steps, examples = shape
    chosen = rng.integers(examples, size=(steps, check_batch(batch)))
    counts = np.zeros(shape)
    np.add.at(counts, (np.arange(steps)[:, None], chosen), examples / batch)
    return counts


def around_one(kicks: np.ndarray, batch: float) -> np.ndarray:
    if not batch > 0:
        raise Refused(f"batch is {batch!r}; allowed: above 0")
    return 1 + np.sqrt(kicks.shape[1] / batch) * kicks


def gaussian(rng: np.random.Generator, shape: tuple[int, int], batch: float) -> np.ndarray:
    """ξ standard normal. ``batch`` may be below 1: more noise than any minibatch has."""
    return around_one(rng.standard_normal(shape), batch)


def rademacher(rng: np.random.Generator, shape: tuple[int, int], batch: float) -> np.ndarray:
    """ξ = ±1: the lightest tail there is."""
    return around_one(rng.choice((-1.0, 1.0), size=shape), batch)


def student(rng: np.random.Generator, shape: tuple[int, int], batch: float, degrees: int = 3) -> np.ndarray:
    """ξ from Student's t, scaled to variance 1: with 3 degrees a tail index of 3, kurtosis infinite."""
    return around_one(rng.standard_t(degrees, shape) * np.sqrt((degrees - 2) / degrees), batch)


def levy(rng: np.random.Generator, shape: tuple[int, int], batch: float, alpha: float) -> np.ndarray:
    """ξ symmetric α-stable. It has no variance to match: half of it lies within the quartiles of a standard normal."""
    return around_one(stable(alpha, shape, rng) * QUARTILE / stable_quartile(alpha), batch)


@functools.cache
def stable_quartile(alpha: float) -> float:
    """The upper quartile of the symmetric stable law: √2 times the normal one at α = 2, 1 at α = 1 (Cauchy).

    P(0 < X < x) = (1/π) ∫ sin(tx)/t · e^(−t^α) dt (Gil-Pelaez 1951, Biometrika 38, 481). In z = α log t the integrand
    is smooth and vanishes at both ends, so a plain sum is exact.
    """
    z = np.arange(-60, 4, 1e-3)
    t, mass = np.exp(z / check_alpha(alpha)), np.exp(-np.exp(z)) * 1e-3 / (np.pi * alpha)
    return float(brentq(lambda x: np.sin(t * x) @ mass - 0.25, 0.1, 10))
