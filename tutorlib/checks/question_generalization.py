"""The exercise of lesson 06: a fair comparison of two batches, and what may be said of it."""

from collections.abc import Callable, Mapping

import numpy as np

from tutorlib.checks import Check, attempt
from tutorlib.theory.statistics import mean_interval

WORDS = ("same", "different", "cannot say")


def paired_difference(small: Mapping[int, float], large: Mapping[int, float]) -> np.ndarray:
    """Errors by seed → large minus small, one number for each seed that has both, in order of the seeds."""
    return np.array([large[seed] - small[seed] for seed in sorted(small.keys() & large.keys())])


def check_fair_comparison(function: Callable) -> Check:
    """``function(small, large, margin)`` → (difference, word), from held-out errors by seed in two dictionaries.

    The difference is the mean of large minus small over the seeds that have both. The word is "same" where its 90 %
    interval lies inside ±margin (TOST), "different" where its 95 % interval lies outside, else "cannot say".
    """
    check = Check("fair comparison")
    answers = {name: attempt(function, *case) for name, case in _cases().items()}
    failed = next((a for a in answers.values() if isinstance(a, Exception)), None)
    check.add("it runs", failed is None, f"an error of your code, {type(failed).__name__}: {failed}")
    if failed is not None:
        return check
    pairs = [a for a in answers.values() if isinstance(a, tuple) and len(a) == 2 and a[1] in WORDS]
    shape = len(pairs) == len(answers)
    check.add("it returns (difference, word)", shape, f"the word is one of {', '.join(WORDS)}")
    if not shape:
        return check
    for name, (small, large, margin) in _cases().items():
        differences = paired_difference(small, large)
        value, word = answers[name]
        right = bool(np.isclose(float(value), differences.mean(), atol=1e-9)) and word == _word(differences, margin)
        hint = f"you returned ({float(value):.3g}, {word!r}), expected ({differences.mean():.3g}, "
        check.add(name, right, hint + f"{_word(differences, margin)!r}). {_why(value, word, small, large, margin)}")
    return check


def _word(differences: np.ndarray, margin: float) -> str:
    if mean_interval(differences, level=0.90).within(-margin, margin):
        return "same"
    wide = mean_interval(differences)
    return "different" if wide.low > margin or wide.high < -margin else "cannot say"


def _cases() -> dict[str, tuple]:
    rng = np.random.default_rng(6)
    level, wobble = rng.normal(10, 4, 24), rng.normal(0, 0.3, 24)  # a hard split is hard for both batches
    few = dict(enumerate((4.0, 6.0, 5.0, 8.0))), dict(enumerate((5.5, 5.5, 4.0, 9.0)))
    small = dict(enumerate(level))
    large = dict(reversed(list(enumerate(level + 2 + wobble))))
    lucky = {**dict(enumerate(level + 2 + wobble)), 5: 0.5}  # one seed in 24 is better than all others
    lost = {seed: error for seed, error in large.items() if seed not in (3, 17)}
    return {
        "seeds are paired: what is hard for both cancels": (small, large, 1.0),
        "seeds are matched by name where one run was lost": (small, lost, 1.0),
        "all seeds count, not the best one": (small, lucky, 1.0),
        "a small difference that is clear is the same within a margin": (
            small,
            dict(enumerate(level + 0.4 + wobble)),
            1.0,
        ),
        "four seeds that do not differ clearly are not the same": (*few, 1.0),
        "far inside the margin is the same": (small, dict(enumerate(level + wobble)), 1.0),
    }


def _why(value: float, word: str, small: Mapping, large: Mapping, margin: float) -> str:
    """Which of the usual mistakes gives this answer."""
    differences = paired_difference(small, large)
    best = min(large.values()) - min(small.values())
    wide = mean_interval(differences)
    if np.isclose(float(value), best) and not np.isclose(best, differences.mean()):
        return "You compared the best seeds: with enough seeds anything has a lucky one"
    if np.isclose(float(value), -differences.mean()):
        return "That is small minus large"
    if not np.isclose(float(value), differences.mean()):
        return "Subtract seed by seed, over the seeds that both have, then average"
    if word == "same" and 0 in wide:
        return (
            "p > 0.05 is not 'the same': too few seeds look just like that. Ask whether the interval is inside ±margin"
        )
    if word == "different" and 0 not in wide:
        return "p < 0.05 says the difference is not zero; the question was whether it is larger than the margin"
    return "Take the interval of the paired differences: that of two separate means also holds what both seeds share"
