"""The exercise of lesson 08: write the Hill estimator."""

from collections.abc import Callable

import numpy as np

from tutorlib.checks import Check, attempt, failure
from tutorlib.theory.tails import hill

TOP = 100


def check_hill(function: Callable) -> Check:
    """``function(values, top)`` → the Hill index of |values| from its ``top`` largest; columns are averaged as 1/α."""
    check = Check("Hill index")
    values = np.random.default_rng(0).standard_t(3, 2000)
    expected = hill(values, TOP).value
    answer = attempt(function, values.copy(), TOP)
    failed = failure(answer)
    if not failed and (answer is None or np.ndim(answer)):
        failed = f"return one number; this is {'None' if answer is None else f'an array of shape {np.shape(answer)}'}"
    check.add("it runs", not failed, failed)
    if failed:
        return check
    answer = float(answer)
    check.add(f"Student's t₃, the {TOP} largest of 2,000", _near(answer, expected), _why(answer, values, expected))
    other, right = attempt(lambda: float(function(values.copy(), 400))), hill(values, 400).value
    fewer = attempt(lambda: float(function(values.copy(), 25)))
    check.add(
        "another threshold, another number",
        _near(other, right) and _near(fewer, hill(values, 25).value),
        f"with top = 400 you returned {_shown(other)}, expected {right:.3f}"
        + (": take `top` as it is given" if _near(other, answer) else ""),
    )
    shrunk = attempt(lambda: float(function(values / 1000, TOP)))
    check.add(
        "the unit of the values does not matter", _near(shrunk, answer), "values in another unit gave another index"
    )
    flipped = attempt(lambda: float(function(-values, TOP)))
    check.add(
        "−x has the tail of x",
        _near(flipped, answer),
        "the threshold is tied to the sign: take absolute values before you sort",
    )
    columns = values.reshape(400, 5) * np.array([1.0, 2.0, 4.0, 8.0, 16.0])
    pooled = attempt(lambda: float(function(columns.copy(), TOP)))
    each = 1 / np.mean([1 / hill(column, TOP).value for column in columns.T])
    check.add(
        "five columns of one law and different sizes: their common index",
        _near(pooled, each),
        _apart(pooled, columns, each),
    )
    return check


def _why(answer: float, values: np.ndarray, expected: float) -> str:
    """Which of the usual mistakes gives this number."""
    size = np.sort(np.abs(values))[::-1]
    signed = np.sort(values)[::-1]
    mistakes = (
        (1 / np.mean(np.log(size[:-1] / size[-1])), "you used all the values: only the `top` largest are tail"),
        (
            1 / np.mean(size[:TOP] / size[TOP] - 1),
            "you forgot the logarithm: it is log(x_i / threshold) that is averaged",
        ),
        (1 / np.mean(size[:TOP] / size[TOP]), "you forgot the logarithm: it is log(x_i / threshold) that is averaged"),
        (1 / np.mean(np.log(signed[:TOP] / signed[TOP])), "the threshold is tied to the sign: sort absolute values"),
        (np.mean(np.log(size[:TOP] / size[TOP])), "that is 1/α: turn it over"),
        (1 / np.mean(np.log(size[:TOP] / size[TOP - 1])), "the threshold is the first value below: number top + 1"),
        (1 / np.mean(np.log(size[:TOP])), "log x alone depends on the unit: subtract the log of the threshold"),
    )
    for wrong, hint in mistakes:
        if _near(answer, wrong):
            return hint
    return f"you returned {_shown(answer)}, expected {expected:.3f}: one over the mean of log(x_i / x_(top + 1))"


def _apart(answer, columns: np.ndarray, expected: float) -> str:
    if _near(answer, hill(columns, TOP).value):
        return "you pooled the columns, so sizes pass for a tail: one index each, then the mean of 1/α"
    return f"you returned {_shown(answer)}, expected {expected:.3f}: average 1/α over the columns"


def _near(answer, expected: float) -> bool:
    return isinstance(answer, float) and bool(np.isclose(answer, expected, rtol=1e-6))


def _shown(answer) -> str:
    return f"an error, {type(answer).__name__}: {answer}" if isinstance(answer, Exception) else f"{answer:.3f}"
