"""Eight optimizers on one ill-conditioned bowl of a 2 × 2 matrix, each at its best rate, small enough to draw live.

The loss is ½ tr(G D A Dᵀ) with D = W − W*: that of a linear layer whose inputs have covariance A and whose outputs
count by G. The update rules are those of ``nn/optimizers.py`` and ``nn/matrix_optimizers.py``, written again for numpy,
which is faster on four numbers; a test holds the two together.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

STEPS, DRAWS = 40, 4
RATES = np.geomspace(0.004, 8.0, 18)
START, BEST = np.array([[-0.6, 0.9], [0.8, -0.5]]), np.array([[1.0, -0.4], [0.3, 0.7]])


@dataclass(frozen=True)
class Bowl:
    """Curvatures 1, κ^−½, κ^−½ and 1/κ, their axes ``turned`` (degrees) away from the rows and columns of W."""

    condition: float = 100.0
    turned: float = 0.0

    @property
    def frame(self) -> np.ndarray:
        cos, sin = math.cos(math.radians(self.turned)), math.sin(math.radians(self.turned))
        return np.array([[cos, -sin], [sin, cos]])

    def factor(self, power: float = 1.0) -> np.ndarray:
        """A^power, which is G^power too: eigenvalues 1 and κ^−½."""
        return self.frame * np.array([1.0, self.condition**-0.5]) ** power @ self.frame.T

    def losses(self, away: np.ndarray) -> np.ndarray:
        """½ tr(G D A Dᵀ) of D (…, 2, 2)."""
        return (away * (self.factor() @ away @ self.factor())).sum(axis=(-2, -1)) / 2


@dataclass(frozen=True)
class Walk:
    """One optimizer at its best rate: losses (steps + 1,), a mean over draws, and the first draw's way (steps + 1, 2).

    The way has two of four coordinates: D along the steepest and along the flattest direction.
    """

    losses: np.ndarray
    way: np.ndarray
    rate: float


def walks(bowl: Bowl, batch: int, noise: float, steps: int = STEPS, seed: int = 0) -> dict[str, Walk]:
    """All eight from one start, with the same noise: of one example, covariance ``noise``² times the curvature.

    Rates fall to 0 on a straight line, for steps of constant length would never settle. Eighteen first rates × four
    draws go side by side; the best is the one whose mean loss at the end is lowest.
    """
    root = bowl.factor(0.5)
    draws = root @ np.random.default_rng(seed).standard_normal((steps, 1, DRAWS, 2, 2)) @ root
    return {name: walk(bowl, rule, noise / math.sqrt(batch) * draws) for name, rule in rules(bowl).items()}


def walk(bowl: Bowl, rule: Callable, kicks: np.ndarray) -> Walk:
    """``rule(w, g, state, t)`` → (step for a rate of 1, state), with ``state`` ``None`` and t = 1 on the first step."""
    position, state, factor = np.broadcast_to(START, (len(RATES), DRAWS, 2, 2)), None, bowl.factor()
    passed = [position]
    with np.errstate(all="ignore"):  # too high a rate overflows, and is not the best
        for t, kick in enumerate(kicks, start=1):
            gradient = factor @ (position - BEST) @ factor + kick
            step, state = rule(position, gradient, state, t)
            position = position - (1 - (t - 1) / len(kicks)) * RATES[:, None, None, None] * step
            passed.append(position)
        away = np.array(passed) - BEST
        losses = bowl.losses(away).mean(axis=2)
    chosen = int(np.nan_to_num(losses[-1], nan=np.inf).argmin())
    along = bowl.frame.T @ away[:, chosen, 0] @ bowl.frame
    return Walk(losses[:, chosen], along.diagonal(axis1=-2, axis2=-1), float(RATES[chosen]))


def rules(bowl: Bowl) -> dict[str, Callable]:
    """K-FAC is told the two factors, which it would have to estimate; the others see gradients only."""
    inverse = np.linalg.inv(bowl.factor())
    return {
        "SGD": momentum,
        "AdamW": adam,
        "Lion": lion,
        "LARS": lars,
        "LAMB": lamb,
        "Shampoo": shampoo,
        "K-FAC": lambda w, g, state, t: (inverse @ g @ inverse, None),
        "Muon": muon,
    }


def momentum(w, g, velocity, t, mu=0.9):
    velocity = g if velocity is None else mu * velocity + g
    return velocity, velocity


def adam(w, g, state, t, beta1=0.9, beta2=0.999, eps=1e-8):
    m, v = (0.0, 0.0) if state is None else state
    m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g * g
    return m / (1 - beta1**t) / (np.sqrt(v / (1 - beta2**t)) + eps), (m, v)


def lion(w, g, m, t, beta1=0.9, beta2=0.99):
    m = 0 * g if m is None else m
    return np.sign(beta1 * m + (1 - beta1) * g), beta2 * m + (1 - beta2) * g


def length(matrix):
    return np.sqrt((matrix * matrix).sum(axis=(-2, -1), keepdims=True))


def lars(w, g, velocity, t):
    """With trust 1: here the rate alone says how far."""
    return momentum(w, length(w) / length(g) * g, velocity, t)


def lamb(w, g, state, t):
    direction, state = adam(w, g, state, t, eps=1e-6)
    return length(w) / length(direction) * direction, state


def shampoo(w, g, sums, t, eps=1e-6):
    left, right = (0.0, 0.0) if sums is None else sums
    left, right = left + g @ g.swapaxes(-1, -2), right + g.swapaxes(-1, -2) @ g
    return inverse_fourth_root(left, eps) @ g @ inverse_fourth_root(right, eps), (left, right)


def inverse_fourth_root(matrix, eps):
    values, vectors = np.linalg.eigh(np.where(np.isfinite(matrix), matrix, 0.0))
    return vectors * ((np.maximum(values, 0) + eps) ** -0.25)[..., None, :] @ vectors.swapaxes(-1, -2)


def muon(w, g, m, t, mu=0.95):
    m = (1 - mu) * g if m is None else mu * m + (1 - mu) * g
    ahead = mu * m + (1 - mu) * g
    x = ahead / np.maximum(length(ahead), 1e-7)
    for _ in range(5):
        gram = x @ x.swapaxes(-1, -2)
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return 0.2 * math.sqrt(2) * x, m
