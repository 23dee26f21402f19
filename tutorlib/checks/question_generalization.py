"""The exercise of lesson 06: a fair comparison of two batches, and what may be said of it."""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from tutorlib.checks import Check, attempt, failure
from tutorlib.theory.statistics import t_quantile

WORDS = ("same", "different", "cannot say")


def paired_difference(small: Mapping[int, float], large: Mapping[int, float]) -> np.ndarray:
    """Errors by seed → large minus small, one number for each seed that has both, in order of the seeds."""
    return np.array([large[seed] - small[seed] for seed in sorted(small.keys() & large.keys())])


def check_fair_comparison(function: Callable) -> Check:
    """``function(small, large, margin)`` → (difference, word), from held-out errors by seed in two dictionaries.

    The difference is the mean of large minus small over the seeds that have both. The word is "same" where its 90 %
    interval lies inside ±margin (TOST), "different" where its 95 % interval lies outside, else "cannot say".
    """
    check, cases, told = Check("fair comparison"), _cases(), set()
    answers = {name: attempt(function, *case) for name, case in cases.items()}
    if all(isinstance(answer, Exception) for answer in answers.values()):
        check.add("it runs", False, _shown(next(iter(answers.values()))))
        return check
    given = {name: _word(answer) for name, answer in answers.items()}
    likely = sorted(USUAL, key=lambda why: -sum(USUAL[why](*case)[1] == given[name] for name, case in cases.items()))
    for name, case in cases.items():
        right, answer = _said(*case), answers[name]
        why = _why(answer, case, likely)
        hint = f"you returned {_shown(answer)}, expected ({right[0]:.3g}, {right[1]!r})"
        check.add(name, _agree(answer, right), f"{hint}. {why}" if why not in told else f"{hint}, for the same reason")
        told.add(why)
    return check


def _said(
    small, large, margin, levels=(0.90, 0.95), quantile=t_quantile, ddof=1, spread=paired_difference, sizes=(abs, abs)
):
    """The answer; what follows the margin are the places of the usual mistakes."""
    differences = paired_difference(small, large)
    mean, n = differences.mean(), len(differences)
    error = spread(small, large).std(ddof=ddof) / np.sqrt(n)
    narrow, wide = (quantile(level, n - 1) * error for level in levels)
    if sizes[0](mean) + narrow < margin:
        return mean, "same"
    return mean, "different" if sizes[1](mean) - wide > margin else "cannot say"


def _by_significance(small, large, margin):
    mean, word = _said(small, large, 0.0)
    return mean, "different" if word == "different" else "same"


def _by_its_mean(small, large, margin):
    mean = paired_difference(small, large).mean()
    return mean, "same" if abs(mean) < margin else "different"


def _both_spreads(small, large) -> np.ndarray:
    """Numbers whose standard deviation is that of a difference between two batches that share nothing."""
    both = sorted(small.keys() & large.keys())
    apart = [np.array([errors[seed] for seed in both]) for errors in (small, large)]
    unit = np.array([1.0, -1.0] * len(both))
    return unit / unit.std(ddof=1) * np.sqrt(sum(errors.var(ddof=1) for errors in apart))


USUAL = {  # what to say: a function that gives that answer
    "That is the answer of p < 0.05, which says that the difference is not zero, and p > 0.05 is not 'the same'. Ask "
    "how the interval lies to ±margin": _by_significance,
    "That is the answer of the mean alone. Ask whether the interval is inside ±margin, or outside": _by_its_mean,
    "That is the answer of the spread of two separate means: it also holds what both seeds share. Take the interval of "
    "the paired differences": partial(_said, spread=_both_spreads),
    "That is the answer of 1.64 and 1.96, the normal law's; for few seeds Student's t is wider": partial(
        _said, quantile=lambda level, degrees: t_quantile(level, 10**9)
    ),
    "That is the answer of the sd with ddof=0, too small for a sample; take ddof=1": partial(_said, ddof=0),
    "That is the answer of the 95 % interval for both words; 'same' is two one-sided tests at 5 % each, which is the "
    "90 % interval": partial(_said, levels=(0.95, 0.95)),
    "That is the answer of the 90 % interval for both words; 'different' takes the 95 % one": partial(
        _said, levels=(0.90, 0.90)
    ),
    "That is the answer where the sign counts in 'different'; two points better is as far from none as worse": partial(
        _said, sizes=(abs, float)
    ),
    "That is the answer without a look at the sign: −2 is below the margin, and outside of ±1": partial(
        _said, sizes=(float, float)
    ),
}


def _cases() -> dict[str, tuple]:
    rng = np.random.default_rng(6)
    level, wobble = rng.normal(10, 4, 24), rng.normal(0, 0.3, 24)  # a hard split is hard for both batches
    small, large = dict(enumerate(level)), dict(enumerate(level + 2 + wobble))
    lost = {seed: error for seed, error in reversed(large.items()) if seed not in (3, 17)}

    def apart(mean: float, error: float, seeds: int) -> tuple[dict, dict, float]:
        """Pairs whose mean difference and its standard error are these."""
        unit = wobble[:seeds] - wobble[:seeds].mean()
        differences = mean + error * np.sqrt(seeds) * unit / unit.std(ddof=1)
        return dict(enumerate(level[:seeds])), dict(enumerate(level[:seeds] + differences)), 1.0

    return {
        "seeds are paired: what is hard for both cancels": (small, large, 1.0),
        "seeds are matched by name where a run was lost": (small, lost, 1.0),
        "all seeds count, not the best one": (small, large | {5: 0.5}, 1.0),
        "two points better is different, too": apart(-2.0, 0.1, 24),
        "a small difference that is clear is the same within a margin": apart(0.4, 0.06, 24),
        "four seeds that do not differ clearly are not the same": apart(0.25, 0.9, 4),
        "with five seeds 1.64 standard errors are not enough": apart(0.1, 0.52, 5),
        "the spread of five seeds is that of a sample": apart(0.1, 0.45, 5),
        "'same' where the 90 % interval is inside ±margin, and the 95 % one is not": apart(0.1, 0.48, 24),
        "not 'different' where the 90 % interval is outside ±margin, and the 95 % one is not": apart(1.95, 0.5, 24),
    }


def _why(answer, case: tuple, likely: list[str]) -> str:
    """What the learner may have done; of the usual mistakes that give this word, the one that explains most others."""
    small, large, _ = case
    mean, word = _said(*case)
    if isinstance(answer, Exception):
        return (
            "A run was lost in `large`: match by seed" if small.keys() != large.keys() else "Other cases went through"
        )
    if _word(answer) is None:
        return f"Return (difference, word); the word is one of {', '.join(WORDS)}"
    value = float(answer[0])
    if not np.isclose(value, mean, atol=1e-9):
        if np.isclose(value, min(large.values()) - min(small.values())):
            return "You compared the best seeds: with enough seeds anything has a lucky one"
        if np.isclose(value, -mean):
            return "That is small minus large"
        return "Subtract seed by seed, over the seeds that both have, then average"
    made = (why for why in likely if USUAL[why](*case)[1] == answer[1] != word)
    return next(made, "'same': the 90 % interval inside ±margin; 'different': the 95 % interval outside of it")


def _word(answer) -> str | None:
    """The word of an answer that is a number and a word."""
    try:
        value, word = answer
        return word if np.isfinite(float(value)) and word in WORDS else None
    except (TypeError, ValueError):
        return None


def _agree(answer, right: tuple[float, str]) -> bool:
    return _word(answer) == right[1] and bool(np.isclose(float(answer[0]), right[0], atol=1e-9))


def _shown(answer) -> str:
    if failed := failure(answer):
        return failed
    return (
        f"({float(answer[0]):.3g}, {answer[1]!r})" if _word(answer) else "nothing" if answer is None else repr(answer)
    )
