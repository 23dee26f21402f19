"""Small steps against one accumulated step on a quadratic bowl, in closed form and simulated.

The loss is ½ θᵀ diag(h) θ and one example's gradient is hθ plus noise. With θ fixed for all K
micro-batches the accumulated step uses one average; K small steps each see a new θ.
"""

import numpy as np

from tutorlib.theory.noise import check_batch


def small_steps_mean(start, curvature, rate: float, steps: int):
    """Mean position after ``steps`` small steps: (1 − ηh)^K θ₀, a coordinate at a time."""
    return (1 - rate * np.asarray(curvature)) ** steps * np.asarray(start)


def drift_ratio(curvature: float, rate: float, steps: int) -> float:
    """How many times further K small steps drift than one step at the same rate.

    (1 − (1 − ηh)^K) / (ηh): close to K while Kηh ≪ 1, and 1/(ηh) once the walker has arrived.
    """
    if rate * curvature == 0:
        return float(steps)
    return (1 - (1 - rate * curvature) ** steps) / (rate * curvature)


def largest_rate(curvature) -> float:
    """2/h_max: any higher rate makes the steepest coordinate grow at every step."""
    return 2 / float(np.max(curvature))


def walk(start, curvature, noise: float, rate: float, batch: int, examples: int, seed: int) -> np.ndarray:
    """Positions of ``examples // batch`` SGD steps, shape (steps + 1, dimensions).

    Each example's gradient is hθ + noise·ξ with standard normal ξ; a step averages ``batch`` of them.
    The same seed gives the same ξ at every batch, so two walks see the same examples.
    """
    check_batch(batch, examples)
    start, curvature = np.asarray(start, dtype=float), np.asarray(curvature, dtype=float)
    xi = np.random.default_rng(seed).standard_normal((examples, len(start)))
    path = [start]
    for step in range(examples // batch):
        gradient = curvature * path[-1] + noise * xi[step * batch : (step + 1) * batch].mean(axis=0)
        path.append(path[-1] - rate * gradient)
    return np.array(path)
