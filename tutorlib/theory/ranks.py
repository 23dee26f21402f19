"""Ranks with intervals: which order a handful of paired seeds settles, and which they leave open."""

import numpy as np
from scipy.special import stdtr

from tutorlib.errors import Refused
from tutorlib.theory.statistics import LEVEL


def clear_order(values, level: float = LEVEL) -> np.ndarray:
    """+1 where the row's method is clearly above the column's, −1 where below, 0 where it is open (methods, methods).

    ``values`` (seeds, methods), rows paired. Every pair gets a paired t test, and all of them together are wrong with
    a probability of at most 1 − ``level``, by Holm's step-down rule. Differences that are the same for every seed,
    as where two runs were both stopped at the same step, have no spread: clear if they are not 0. Raises
    ``ValueError`` for fewer than three seeds.
    Source: Holm 1979, Scandinavian Journal of Statistics 6, 65.
    """
    values = np.asarray(values, dtype=float)
    if values.ndim != 2 or len(values) < 3 or not np.isfinite(values).all():
        raise Refused(f"values has shape {values.shape}; allowed: (seeds, methods), 3 seeds or more, all finite")
    rows, columns = np.triu_indices(values.shape[1], 1)
    apart = values[:, rows] - values[:, columns]
    mean, error = apart.mean(axis=0), apart.std(axis=0, ddof=1) / np.sqrt(len(values))
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(error > 0, np.abs(mean) / error, np.where(mean != 0, np.inf, 0.0))
    p = 2 * stdtr(len(values) - 1, -t)
    order, clear = np.argsort(p), np.zeros(len(p), dtype=bool)
    for done, pair in enumerate(order):
        if p[pair] > (1 - level) / (len(p) - done):
            break
        clear[pair] = True
    found = np.zeros((values.shape[1],) * 2, dtype=int)
    found[rows, columns] = np.where(clear, np.sign(mean), 0)
    return found - found.T


def rank_intervals(order: np.ndarray) -> list[tuple[int, int]]:
    """The best and the worst rank that each method may have, 1 for the lowest value, given a :func:`clear_order`.

    One more than the methods clearly below it, and all of them less those clearly above. All intervals cover the
    ranks of the true means at once, with the order's probability. Source: Mogstad, Romano, Shaikh and Wilhelm 2024,
    Review of Economic Studies 91, 476, section 3.
    """
    return [(1 + int((row > 0).sum()), len(order) - int((row < 0).sum())) for row in order]
