"""Checks of the exercises: each says what was tried, what came out, and where to look; none raises."""

from collections.abc import Callable

import numpy as np


class Check:
    """The lines of one exercise's check. A cell that ends with it shows them."""

    def __init__(self, exercise: str):
        self.exercise = exercise
        self.lines: list[tuple[bool, str]] = []

    @property
    def solved(self) -> bool:
        return bool(self.lines) and all(passed for passed, _ in self.lines)

    def add(self, name: str, passed: bool, hint: str) -> None:
        self.lines.append((bool(passed), name if passed else f"{name}: {hint}"))

    def __repr__(self) -> str:
        done = sum(passed for passed, _ in self.lines)
        head = f"{self.exercise}: {done} of {len(self.lines)} checks pass" + (", solved!" if self.solved else "")
        return "\n".join([head, *(f"  {'✓' if passed else '✗'} {line}" for passed, line in self.lines)])


def attempt(function: Callable, *arguments):
    """What a learner's function returns, or the exception it raised."""
    try:
        return function(*arguments)
    except Exception as error:  # whatever a learner's code raises is shown, not thrown
        return error


def check_two_batch(function: Callable) -> Check:
    """``function(small_sq, big_sq, small, big)`` → (tr Σ, |G|²), exact on the line |G|² + tr Σ/B."""
    check = Check("two-batch estimator")
    for name, trace, grad_sq, small, big in (
        ("exact for tr Σ = 12, |G|² = 0.2 at batches 1 and 8", 12.0, 0.2, 1, 8),
        ("exact at other sizes, 32 and 512", 12.0, 0.2, 32, 512),
        ("exact without noise (tr Σ = 0)", 0.0, 3.0, 8, 128),
        ("exact without signal (|G|² = 0)", 5.0, 0.0, 8, 128),
    ):
        answer = attempt(function, grad_sq + trace / small, grad_sq + trace / big, small, big)
        check.add(
            name, _close(answer, (trace, grad_sq)), f"you returned {_shown(answer)}, expected ({trace}, {grad_sq})"
        )
    draws = np.array([13.0, 9.0]), np.array([2.0, 1.0])
    answer = attempt(function, *draws, 1, 8)
    check.add(
        "works on many draws at once",
        _close(answer, ([88 / 7, 64 / 7], [3 / 7, -1 / 7])),
        f"you returned {_shown(answer)} for two draws; keep to +, −, × and ÷, and keep negative |G|²",
    )
    return check


def check_breaks(equal_sizes: Callable, one_draw: Callable) -> Check:
    """Both functions call the library so that it refuses; the check shows the sentence it refuses with."""
    check = Check("break the estimator")
    for name, function, word in (
        ("equal batch sizes", equal_sizes, "small < big"),
        ("a single draw", one_draw, "spread"),
    ):
        answer = attempt(function)
        refused = isinstance(answer, ValueError) and word in str(answer)
        check.add(
            f"{name}: “{answer}”" if refused else name,
            refused,
            f"no refusal yet, you got {_shown(answer)}; return the library's own call",
        )
    return check


def _close(answer, expected) -> bool:
    try:
        return bool(np.allclose(np.array(answer, dtype=float), np.array(expected), atol=1e-9))
    except (TypeError, ValueError):
        return False


def _shown(answer) -> str:
    if isinstance(answer, Exception):
        return f"an error of your code, {type(answer).__name__}: {answer}"
    return "nothing" if answer is None else repr(answer)
