"""A net whose implicit bias is known: the diagonal linear net, trained in closed form, many seeds and arms at once."""

from collections.abc import Callable, Sequence

import numpy as np


def descend(
    x: np.ndarray, y: np.ndarray, weigh: Callable[[int], np.ndarray], rates: Sequence, steps: int, start: float
) -> np.ndarray:
    """Gradient descent on w = u² − v² with weighted examples, from u = v = ``start``: the last w (seeds, d, arms).

    The loss is Σ_i a_i (x_i·w − y_i)² / 2n, with x (seeds, n, d), y (seeds, n) and weights a = ``weigh(step)``
    (seeds, n, arms). With g = Σ_i a_i (x_i·w − y_i) x_i / n the chain rule gives ∂u = 2 u g and ∂v = −2 v g: a step
    multiplies u and v. Without noise a small start leads to nearly the w of least ℓ1 norm; noise acts like a smaller
    start.
    Source: Woodworth et al. 2020, arXiv 2002.09277; Pesme, Pillaud-Vivien and Flammarion 2021, arXiv 2106.09524.
    """
    (seeds, examples, d), rates = x.shape, np.asarray(rates, dtype=float)
    u = np.full((seeds, d, len(rates)), start)
    v, transposed, y = u.copy(), np.ascontiguousarray(x.transpose(0, 2, 1)), y[..., None]
    with np.errstate(over="ignore", invalid="ignore"):  # an arm that diverges says so at the end
        for step in range(steps):
            move = 2 * rates / examples * (transposed @ (weigh(step) * (x @ (u * u - v * v) - y)))
            u, v = u * (1 - move), v * (1 + move)
        return u * u - v * v


def weights(rng: np.random.Generator, kind: str, batch: int, examples: int, steps: int) -> np.ndarray:
    """The weights of all examples at every step (steps, examples): mean 1, variance about ``examples/batch``.

    "draws" is a batch drawn with replacement: an example counts as often as it is drawn, times examples/batch; nothing
    is random where the batch is all of them. "gaussian" is the full batch, each example with a weight of
    1 + ξ √(examples/batch): the noise of a small batch without a small batch.
    """
    if kind == "gaussian":
        return 1 + rng.standard_normal((steps, examples)) * np.sqrt(examples / batch)
    if batch == examples:
        return np.ones((steps, examples))
    drawn = rng.integers(0, examples, (steps, batch)) + examples * np.arange(steps)[:, None]
    return np.bincount(drawn.ravel(), minlength=steps * examples).reshape(steps, examples) * (examples / batch)
