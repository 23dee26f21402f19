"""The two speeds: how many steps a batch needs, how long a step takes, and what their product costs."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar

from tutorlib.errors import Refused


@dataclass(frozen=True)
class TradeOff:
    """Steps to a target: S(B) = S_min (1 + B_crit/B), so E(B) = B·S(B) = E_min (1 + B/B_crit) examples.

    E_min = B_crit·S_min. At B = B_crit a run takes twice the fewest steps and twice the fewest examples.
    Source: McCandlish et al. 2018, arXiv 1812.06162, from equations 2.11 and 2.12.
    """

    steps_min: float
    critical: float

    def steps(self, batch):
        return self.steps_min * (1 + self.critical / np.asarray(batch))

    def examples(self, batch):
        return self.steps(batch) * np.asarray(batch)


def fit_trade_off(batches, steps) -> TradeOff:
    """Least squares in log S over B_crit; S_min follows in closed form.

    ``batches`` and ``steps`` (points,), both positive. The search spans 1/30 of the smallest to 30 times the
    largest batch; a fit at one end of it is refused, for then the points show one regime only.
    """
    batches, steps = positive_pairs(batches, steps, "steps", least=3)
    log_steps = np.log(steps)

    def residuals(log_critical):
        return log_steps - np.log1p(np.exp(log_critical) / batches)

    # The best log S_min at any B_crit is the mean of what is left, so the search is over one number.
    low, high = np.log(batches.min() / 30), np.log(batches.max() * 30)
    best = minimize_scalar(lambda c: residuals(c).var(), bounds=(low, high), method="bounded")
    if not low + 0.05 < best.x < high - 0.05:
        raise Refused(
            f"steps fall alike over all batches from {batches.min():g} to {batches.max():g}; allowed: points on both "
            "sides of the bend. Add larger or smaller batches"
        )
    return TradeOff(float(np.exp(residuals(best.x).mean())), float(np.exp(best.x)))


def positive_pairs(batches, values, name: str, least: int) -> tuple[np.ndarray, np.ndarray]:
    """Both as arrays; ``ValueError`` unless they pair up, are positive and finite, at ``least`` different batches."""
    batches, values = np.asarray(batches, dtype=float).ravel(), np.asarray(values, dtype=float).ravel()
    both = np.concatenate([batches, values])
    if len(batches) != len(values) or len(set(batches)) < least or not (np.isfinite(both) & (both > 0)).all():
        raise Refused(
            f"batches are {batches.tolist()} and {name} {values.tolist()}; allowed: pairs of positive numbers, at "
            f"at least {least} different batches"
        )
    return batches, values


@dataclass(frozen=True)
class StepTime:
    """Seconds a step takes: t(B) = t₀ + c·B, a fixed part and a price an example."""

    fixed: float
    per_example: float

    def seconds(self, batch):
        return self.fixed + self.per_example * np.asarray(batch)

    def utilization(self, batch):
        """The share of a step that is spent on examples: c·B / t(B), 1 when the device is saturated."""
        return 1 - self.fixed / self.seconds(batch)

    def saturation(self, share: float = 0.9) -> float:
        """The batch at which this share of the step is spent on examples; t₀/c for a half."""
        return self.fixed / self.per_example * share / (1 - share)

    def across(self, ranks: int) -> "StepTime":
        """The same batch divided over ``ranks`` devices, if moving gradients between them cost nothing."""
        return StepTime(self.fixed, self.per_example / ranks)


def fit_step_time(batches, seconds) -> StepTime:
    """Least squares of (t₀ + c·B)/t − 1: relative errors, so the smallest batches count as much as the largest."""
    batches, seconds = positive_pairs(batches, seconds, "seconds", least=2)
    design = np.stack([1 / seconds, batches / seconds], axis=1)
    fixed, slope = np.linalg.lstsq(design, np.ones(len(batches)), rcond=None)[0]
    if not slope > 0:
        raise Refused(
            f"seconds do not grow with the batch from {batches.min():g} to {batches.max():g}; allowed: times from a "
            "wider range of batches. Add larger ones"
        )
    if fixed < 0:  # no fixed part is left: the best price an example without one
        fixed, slope = 0.0, design[:, 1].sum() / (design[:, 1] @ design[:, 1])
    return StepTime(float(fixed), float(slope))


def fastest_batch(trade_off: TradeOff, step_time: StepTime) -> float:
    """The batch that reaches the target soonest: √(B_crit · t₀/c), between the bends of the two curves.

    S(B)·t(B) ∝ (1 + B_crit/B)(t₀ + cB) = t₀ + c·B_crit + cB + t₀·B_crit/B: the last two terms are equal there.
    """
    return float(np.sqrt(trade_off.critical * step_time.fixed / step_time.per_example))


def critical_from_noise(scales, batch: int) -> float:
    """The B_crit that noise scales measured at evenly spaced steps of a run at ``batch`` predict.

    A step at batch B gets as far as 1/(1 + B_noise/B) of a full-batch step, and B_crit is the mean of B_noise over
    full-batch steps: each measured scale counts with that weight. Source: McCandlish et al. 2018, equation D.1;
    the weight is its inverse, ds = dS/(1 + B_noise/B).
    """
    scales = np.asarray(scales, dtype=float).ravel()
    if not batch > 0:
        raise Refused(f"batch is {batch!r}; allowed: a positive number")
    if not len(scales) or not (np.isfinite(scales) & (scales >= 0)).all():
        raise Refused(f"scales are {scales.tolist()}; allowed: at least one, finite and not negative")
    return float(np.average(scales, weights=1 / (1 + scales / batch)))


def best_rate(batch, largest: float, noise: float):
    """The rate that lowers a quadratic's loss most in one step: η_max / (1 + B_noise/B).

    Proportional to B while B ≪ B_noise, constant beyond. Source: McCandlish et al. 2018, equation 2.6.
    """
    return largest / (1 + noise / np.asarray(batch))


def gpt_operations(matrix_parameters: int, blocks: int, width: int, context: int) -> int:
    """Operations that a forward and backward pass of a GPT take per token: 6N + 6·blocks·context·width.

    N counts the parameters of matrix products, the output layer among them. Forward is 2N, and 2·blocks·context·width
    for causal attention; backward twice that. Source: Kaplan et al. 2020, arXiv 2001.08361, section 2.1.
    """
    return 6 * matrix_parameters + 6 * blocks * context * width
