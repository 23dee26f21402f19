"""The diagonal linear net, where gradient noise is known to matter: its gradient in closed form, many replicas at once.

It computes x·β with β = u² − v² (squares by coordinate) from u = v = ``start``. With fewer examples than inputs many β
fit the data; a small start leads to nearly the one of least ℓ1 norm, and noise that vanishes with the residuals acts
like a smaller start. Source: Woodworth et al. 2020, arXiv 2002.09277; Pesme, Pillaud-Vivien and Flammarion 2021, arXiv
2106.09524; HaoChen et al. 2021, arXiv 2006.08680. It is linear regression with a twist, not a deep net.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tutorlib.errors import Refused
from tutorlib.theory.noise import check_batch

BLOCK = 200  # steps whose weights are drawn at once


@dataclass(frozen=True)
class Regression:
    """Replicas of a sparse regression: ``x`` (replicas, examples, inputs), ``y`` (replicas, examples), the true β."""

    x: np.ndarray
    y: np.ndarray
    truth: np.ndarray

    def error(self, beta: np.ndarray) -> np.ndarray:
        """|β − β*|²: the mean squared error on fresh inputs, which are standard normal, one a replica."""
        return ((beta - self.truth) ** 2).sum(axis=1)

    def losses(self, beta: np.ndarray) -> np.ndarray:
        """Mean of ½ (x·β − y)² over the training examples, one a replica."""
        return 0.5 * ((times(self.x, beta) - self.y) ** 2).mean(axis=1)


def sparse_regression(seeds: Sequence, examples: int = 40, inputs: int = 100, nonzero: int = 5) -> Regression:
    """Standard normal inputs, y = x·β* without label noise, the first ``nonzero`` of β* ones: one draw a seed."""
    check_batch(nonzero, check_batch(inputs, name="inputs"), "nonzero", "inputs")
    shape = (check_batch(examples, name="examples"), inputs)
    x = np.array([np.random.default_rng([seed, 1]).standard_normal(shape) for seed in seeds])
    truth = np.zeros((len(x), inputs))
    truth[:, :nonzero] = 1
    return Regression(x, np.einsum("rni,ri->rn", x, truth), truth)


def plain(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Weight 1 for every example: full-batch gradient descent."""
    return np.ones(shape)


def train(
    task: Regression,
    weights: Callable[[np.random.Generator, tuple[int, int]], np.ndarray] = plain,
    *,
    rate: float | Sequence,
    steps: int,
    seeds: Sequence,
    start: float = 0.1,
    isotropic: float = 0.0,
    apart: float = 0.0,
    penalty: float = 0.0,
) -> np.ndarray:
    """β (replicas, inputs) after ``steps`` updates on mean ½ w r², all examples at once; NaN where a replica diverged.

    ``weights(rng, (steps, examples))`` draws what every example counts in every step: 1 for gradient descent, counts
    for a minibatch, anything of mean 1 for bought noise. ``rate`` is one number or one a replica; a seed draws the
    same at every rate. ``isotropic`` = 1/B adds Gaussian noise of equal size in all directions, its trace that of batch
    B here and now; ``apart`` = 1/B adds it to every parameter apart, each as noisy as under batch B: no direction, but
    the sizes. ``penalty`` adds λ · mean |g_i|² to the loss, with its gradient.
    """
    (replicas, examples, inputs), squares, rate = task.x.shape, task.x**2, np.reshape(rate, (-1, 1))
    for name, given, allowed in (("seeds", len(seeds), (replicas,)), ("rate", len(rate), (1, replicas))):
        if given not in allowed:
            raise Refused(f"{name} has {given} entries; allowed: one for each of the {replicas} replicas")
    rngs = [np.random.default_rng([seed, 2]) for seed in seeds]
    w = np.full((2, *task.truth.shape), float(start))  # u and v, whose gradients differ in sign
    signs = np.array([1.0, -1.0])[:, None, None]
    with np.errstate(over="ignore", invalid="ignore"):  # a replica that diverges goes to NaN, alone
        for step in range(check_batch(steps, name="steps")):
            if step % BLOCK == 0:
                drawn = np.stack([weights(rng, (BLOCK, examples)) for rng in rngs], axis=1)
            both = w * w
            residual = times(task.x, both[0] - both[1]) - task.y
            pull = times(task.x, residual * drawn[step % BLOCK], back=True) * (2 / examples)
            towards = signs * pull * w
            if isotropic or penalty:
                lengths = 4 * times(squares, both.sum(axis=0))  # |g_i|² = r_i² · this
            if apart or penalty:
                slopes = 4 * times(squares, residual**2, back=True) / examples  # mean g_i² of a parameter is w² · this
            if isotropic or apart:
                noise = np.stack([rng.standard_normal((2, inputs)) for rng in rngs], axis=1)
            if isotropic:
                trace = isotropic * (residual**2 * lengths).mean(axis=1, keepdims=True)
                towards += np.sqrt(trace / (2 * inputs)) * noise
            if apart:
                towards += w * np.sqrt(apart * slopes) * noise
            if penalty:
                first = 4 * times(task.x, residual * lengths, back=True) / examples
                towards += penalty * w * (2 * slopes + signs * first)
            w -= rate * towards
        return w[0] ** 2 - w[1] ** 2


def times(matrices: np.ndarray, vectors: np.ndarray, back: bool = False) -> np.ndarray:
    """Every replica's matrix (examples, inputs) times its vector; ``back``: the transposed matrix."""
    return (vectors[:, None] @ matrices)[:, 0] if back else (matrices @ vectors[..., None])[..., 0]
