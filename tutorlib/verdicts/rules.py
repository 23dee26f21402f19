"""From an interval to a word: the rules every verdict uses, fixed before anything is measured.

"Holds" is never read off p > 0.05. Saying that two things are *the same* takes two one-sided tests
(Schuirmann 1987): the 90 % interval must lie inside a stated margin, which is a test at the 5 % level.
"""

import functools
from dataclasses import dataclass

import numpy as np

from tutorlib.errors import Refused
from tutorlib.records import Verdict
from tutorlib.theory.statistics import Estimate, geometric_interval, mean_interval, ratio_interval
from tutorlib.verdicts.claims import CLAIMS

INCONCLUSIVE = "inconclusive at this budget"
SAME_WITHIN = 1.25  # ratios of variances: 12 % in standard deviation


@dataclass(frozen=True)
class Finding:
    """An estimate with its 95 % interval, and what the rule says of it."""

    estimate: Estimate | None
    verdict: str


def bounded(rule):
    """A rule that answers *inconclusive* where the numbers give no bounded interval: one seed, a ratio to nothing."""

    @functools.wraps(rule)
    def answer(*arguments, **named) -> Finding:
        try:
            return rule(*arguments, **named)
        except Refused:
            return Finding(None, INCONCLUSIVE)

    return answer


@bounded
def equal_to(target: float, values, margin: float) -> Finding:
    """*holds* if the mean of ``values`` is within ``margin`` of ``target`` (TOST), *does not hold* if outside."""
    wide, narrow = mean_interval(values), mean_interval(values, level=0.90)
    return Finding(wide, _inside(wide, narrow, target - margin, target + margin))


@bounded
def same_ratio(ratios, target: float = 1.0, within: float = SAME_WITHIN) -> Finding:
    """*holds* if the geometric mean of positive ``ratios`` is within a factor of ``target`` (TOST)."""
    wide, narrow = geometric_interval(ratios), geometric_interval(ratios, level=0.90)
    return Finding(wide, _inside(wide, narrow, target / within, target * within))


@bounded
def same_quotient(numerators, denominators, within: float = SAME_WITHIN) -> Finding:
    """*holds* if mean(numerators) ÷ mean(denominators) is within a factor of 1 (TOST on Fieller's interval)."""
    wide, narrow = (ratio_interval(numerators, denominators, level) for level in (0.95, 0.90))
    return Finding(wide, _inside(wide, narrow, 1 / within, within))


def _inside(wide: Estimate, narrow: Estimate, low: float, high: float) -> str:
    if narrow.within(low, high):
        return "holds"
    return "does not hold" if wide.high < low or wide.low > high else INCONCLUSIVE


@bounded
def above(bound: float, values, interval=mean_interval) -> Finding:
    """*holds* if the 95 % interval lies above ``bound``, *does not hold* if below."""
    estimate = interval(values)
    word = "holds" if estimate.low > bound else "does not hold" if estimate.high < bound else INCONCLUSIVE
    return Finding(estimate, word)


def below(bound: float, values, interval=mean_interval) -> Finding:
    """*holds* if the 95 % interval lies below ``bound``, *does not hold* if above."""
    found = above(bound, values, interval)
    opposite = {"holds": "does not hold", "does not hold": "holds"}
    return Finding(found.estimate, opposite.get(found.verdict, INCONCLUSIVE))


def other_side(finding: Finding) -> str:
    """Where an interval would have to lie for :func:`above` to say another word."""
    return {"holds": "below", "does not hold": "above"}.get(finding.verdict, "clearly above or below")


def at_most(bound: float, values) -> Finding:
    """For deterministic claims: *holds* if every value is at most ``bound``; the largest, rounded up to a decade."""
    largest = float(np.max(values))
    decade = 10.0 ** np.ceil(np.log10(max(largest, 1e-16)))
    return Finding(Estimate(decade, 0.0, decade), "holds" if largest <= bound else "does not hold")


def counted(expected: float, values) -> Finding:
    """For counts: *holds* if every value is the ``expected`` one; the value farthest off, the least and the most.

    No interval: another run counts the same.
    """
    values = np.asarray(values, dtype=float).ravel()
    farthest = values[np.abs(values - expected).argmax()]
    word = "holds" if (values == expected).all() else "does not hold"
    return Finding(Estimate(farthest, values.min(), values.max()), word)


def near(target: float, values, share: float) -> Finding:
    """For numbers that every run counts the same: *holds* if each is within a ``share`` of ``target``.

    The value farthest off, the least and the most, in four digits.
    """
    values = np.array([float(f"{value:.4g}") for value in np.ravel(values)])
    farthest = values[np.abs(values / target - 1).argmax()]
    word = "holds" if (np.abs(values / target - 1) <= share).all() else "does not hold"
    return Finding(Estimate(farthest, values.min(), values.max()), word)


def all_below(bound: float, values) -> Finding:
    """For such numbers: *holds* if each is below ``bound``; the largest, the least and the most."""
    values = np.array([float(f"{value:.4g}") for value in np.ravel(values)])
    return Finding(
        Estimate(values.max(), values.min(), values.max()), "holds" if values.max() < bound else "does not hold"
    )


def verdict(
    claim: str, measured: str, finding: Finding, would_change: str, *, held: str, says: str = "", condition: str = ""
) -> Verdict:
    """A verdict on what the claim says or, for a row of its own, on ``says``.

    With a ``condition``, what would hold *holds if* it is met.
    """
    word = "holds if" if condition and finding.verdict == "holds" else finding.verdict
    found = finding.estimate
    value, low, high = (float(v) for v in (found.value, found.low, found.high)) if found else (None, None, None)
    condition = condition if word == "holds if" else ""
    return Verdict(claim, says or CLAIMS[claim], word, measured, value, low, high, held, would_change, condition)
