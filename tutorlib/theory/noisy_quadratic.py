"""The noisy quadratic model: what momentum, preconditioning and averaging do at every batch, without one random number.

The loss is ½ Σ h_i θ_i², one example's gradient along direction i is h_i θ_i plus noise of variance c_i, and a batch
divides c_i by B. Directions do not meet, so each is a small linear recursion whose mean squares are known exactly.
Source: Zhang et al. 2019, arXiv 1907.04164, section 3. Assumed, not checked here: curvature that never changes, noise
that does not depend on θ, a preconditioner that is known from the start, one rate for the whole run.
"""

from dataclasses import dataclass

import numpy as np

from tutorlib.errors import Refused

LONGEST = 20  # a run of 2^20 steps, a million, is one that does not arrive
DECADES, POINTS, ZOOMS = 5, 9, 4  # of the search for the best rate: below the largest stable one


@dataclass(frozen=True)
class Quadratic:
    """Curvature h and noise c of every direction, both (directions,); every E[θ_i²] is 1 at the start."""

    curvature: np.ndarray
    noise: np.ndarray

    def __post_init__(self):
        for name in ("curvature", "noise"):
            values = np.asarray(getattr(self, name), dtype=float)
            object.__setattr__(self, name, values)
            if values.shape != (len(self.curvature),) or not (np.isfinite(values) & (values >= 0)).all():
                raise Refused(f"{name} is {values}; allowed: one finite number of at least 0 for each direction")
        if not (self.curvature > 0).all():
            raise Refused("curvature has a 0; allowed: numbers above 0, or the direction never arrives")

    @classmethod
    def power_law(cls, directions: int, exponent: float = 1.0, noise_exponent: float = 1.0) -> "Quadratic":
        """h_i = i^−exponent and c_i = h_i^noise_exponent; the paper has both at 1, so that C = H."""
        curvature = np.arange(1, directions + 1) ** -float(exponent)
        return cls(curvature, curvature**noise_exponent)


@dataclass(frozen=True)
class Method:
    """θ ← θ − η u with u ← μ u + H^−p g, judged at the running mean θ̄ ← γ θ̄ + (1 − γ) θ.

    ``momentum`` μ, ``power`` p (0 plain, 1 Newton's method) and ``average`` γ; all 0 is SGD.
    """

    momentum: float = 0.0
    power: float = 0.0
    average: float = 0.0

    def __post_init__(self):
        for name, top in (("momentum", 1), ("average", 1)):
            if not 0 <= getattr(self, name) < top:
                raise Refused(f"{name} is {getattr(self, name)}; allowed: at least 0 and less than 1")
        if not 0 <= self.power <= 1:
            raise Refused(f"power is {self.power}; allowed: 0 (no preconditioner) to 1 (Newton's method)")

    def largest_rate(self, quadratic: Quadratic) -> float:
        """2 (1 + μ) / max h^(1 − p): beyond it a direction grows at every step, whatever the batch.

        (θ, u) shrinks where both roots of z² − (1 + μ − ηh) z + μ do: μ < 1 and ηh < 2 (1 + μ).
        """
        return float(2 * (1 + self.momentum) / (quadratic.curvature ** (1 - self.power)).max())

    def recursion(self, quadratic: Quadratic, rates, batch: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """A, Q and M at the start, for the mean squares M ← A M Aᵀ + Q of (u, θ, θ̄); each (n, n, rates, directions).

        Only what the method has: n = 1 for SGD. u' = μu + hθ + ξ, θ' = (1 − ηh)θ − ημu − ηξ, θ̄' = γθ̄ + (1 − γ)θ', with
        h^(1 − p) in place of h, and noise ξ of variance c h^(−2p) / B. At the start u is 0 and θ̄ is θ.
        """
        eta, mu, gamma = np.asarray(rates, dtype=float)[:, None], self.momentum, self.average
        h = quadratic.curvature ** (1 - self.power) * np.ones_like(eta)
        eta, zero = eta * np.ones_like(h), np.zeros_like(h)
        matrix = np.array([[zero + mu, h, zero], [-eta * mu, 1 - eta * h, zero], [zero, zero, zero]])
        matrix[2] = (1 - gamma) * matrix[1]
        matrix[2, 2] += gamma
        kicks = np.array([zero + 1, -eta, -(1 - gamma) * eta])
        variance = quadratic.noise * quadratic.curvature ** (-2 * self.power) / batch
        kept = [row for row, there in enumerate((mu > 0, True, gamma > 0)) if there]
        matrix, kicks, begin = matrix[np.ix_(kept, kept)], kicks[kept], np.array([0.0, 1.0, 1.0])[kept]
        start = np.outer(begin, begin)[:, :, None, None] * np.ones_like(h)
        return matrix, kicks[:, None] * kicks * variance, start


def expected_losses(quadratic: Quadratic, method: Method, rates, batch: float, steps: int) -> np.ndarray:
    """½ Σ h_i E[θ̄_i²] after ``steps``, one a rate.

    For SGD each E[θ_i²] is ρ^t + ηc/(Bh(2 − ηh)) (1 − ρ^t) with ρ = (1 − ηh)²: the paper's recursion, solved.
    Steps are taken in powers of two: t and then s of them are A_s (A_t M A_tᵀ + Q_t) A_sᵀ + Q_s, exact for any t.
    """
    matrix, noise, moments = method.recursion(quadratic, rates, batch)
    with np.errstate(all="ignore"):
        while steps:
            moments = moved(moments, matrix, noise) if steps % 2 else moments
            matrix, noise, steps = product(matrix, matrix), moved(noise, matrix, noise), steps // 2
    return losses(quadratic, moments)


def steps_to_target(quadratic: Quadratic, method: Method, rates, batch: float, target: float) -> np.ndarray:
    """The step, a fraction of at least 1, at which the expected loss passes ``target``: one a rate, infinite for never.

    Found between two powers of two by halving, and taken to fall exponentially within a step. Where the loss comes back
    up, as with much momentum, it is *a* step at which it passes and not surely the first.
    """
    matrix, noise, moments = method.recursion(quadratic, rates, batch)
    if not 0 < target < losses(quadratic, moments)[0]:
        raise Refused(
            f"target is {target}; allowed: above 0 and below the loss {losses(quadratic, moments)[0]:.3g} at the start"
        )
    before, levels, arrived = moments.copy(), [], np.full(len(rates), LONGEST + 1)
    with np.errstate(all="ignore"):  # above the largest stable rate mean squares overflow, and never arrive
        for level in range(LONGEST + 1):
            after = moved(moments, matrix, noise)  # 2^level steps
            late = arrived > LONGEST
            arrived[late & (losses(quadratic, after) <= target)] = level
            before[:, :, arrived > level] = after[:, :, arrived > level]  # the last power of two above the target
            levels.append((matrix, noise))
            if (arrived <= LONGEST).all():
                break
            matrix, noise = product(matrix, matrix), moved(noise, matrix, noise)
        steps = np.where(arrived > 0, 2.0 ** (arrived - 1), 0.0)
        for level in range(len(levels) - 2, -1, -1):
            after = moved(before, *levels[level])
            further = (level < arrived - 1) & (losses(quadratic, after) > target)
            before[:, :, further], steps[further] = after[:, :, further], steps[further] + 2.0**level
        above, below = (losses(quadratic, m) for m in (before, moved(before, *levels[0])))
        steps = np.maximum(steps + np.log(above / target) / np.log(above / below), 1)
        return np.where(arrived <= LONGEST, steps, np.inf)


def fewest_steps(quadratic: Quadratic, method: Method, batch: float, target: float) -> tuple[float, float]:
    """Steps to ``target`` at the rate that needs fewest, and that rate; an infinite ``batch`` has no noise.

    The rate is searched over five decades below the largest stable one, then three times again around the best. With
    momentum, steps against rate have more than one valley, and this may find the second best: 11 % worse in a test.
    """
    largest = method.largest_rate(quadratic)
    low, high = np.log(largest) - DECADES * np.log(10), np.log(largest)
    for _ in range(ZOOMS):
        logs = np.linspace(low, high, POINTS)
        steps = steps_to_target(quadratic, method, np.exp(logs), batch, target)
        best = int(np.argmin(steps))
        low, high = logs[max(best - 1, 0)], logs[min(best + 1, POINTS - 1)]
    return float(steps[best]), float(np.exp(logs[best]))


def critical_batch(batches, steps, fewest: float) -> float:
    """The batch from which on a run takes at most twice the ``fewest`` steps, those without noise.

    Between two batches it is read off a straight line in logs. Raises ``ValueError`` where the curve does not pass
    there. Source: McCandlish et al. 2018, arXiv 1812.06162, section 2.3, whose law S_min (1 + B_crit/B) has it there.
    """
    ratio = np.log(np.asarray(steps, dtype=float) / (2 * fewest))
    if not (np.isfinite(ratio).all() and ratio[0] > 0 >= ratio[-1]):
        raise Refused(
            f"steps are {np.asarray(steps).tolist()} with {fewest:g} at the fewest; allowed: a curve that begins above "
            "twice the fewest and ends below. Add smaller or larger batches"
        )
    after = int((ratio <= 0).argmax())
    between = slice(after - 1, after + 1)
    return float(np.exp(np.interp(0, -ratio[between], np.log(batches)[between])))


def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a b, for many small matrices (n, n, …) at once."""
    return sum(a[:, k, None] * b[None, k] for k in range(len(a)))


def moved(moments: np.ndarray, matrix: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """A M Aᵀ + Q."""
    return product(product(matrix, moments), matrix.swapaxes(0, 1)) + noise


def losses(quadratic: Quadratic, moments: np.ndarray) -> np.ndarray:
    """½ Σ h E[θ̄²], one a rate: what is judged comes last. Beyond the largest numbers ∞ − ∞ comes up: infinite too."""
    return np.nan_to_num(moments[-1, -1] @ quadratic.curvature / 2, nan=np.inf)
