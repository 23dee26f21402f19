"""Checks of the exercises: each says what was tried, what came out, and where to look; none raises."""

from collections.abc import Callable

import numpy as np

from tutorlib import progress
from tutorlib.errors import first_line


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

    def _repr_pretty_(self, printer, cycle) -> None:
        """What IPython asks for where a cell ends with a check: the moment a solved exercise is kept."""
        if self.solved:
            progress.keep(progress.exercise(self.exercise))
        printer.text(repr(self))

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


def failure(answer) -> str:
    """What a learner is told of an error that :func:`attempt` caught; of an answer, nothing."""
    return f"an error of your code, {first_line(answer)}" if isinstance(answer, Exception) else ""


def said(answer) -> str:
    """What a learner's function did, in words: its error, or what it returned."""
    return failure(answer) or ("you returned nothing" if answer is None else f"you returned {answer!r}")


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
            name,
            _close(answer, (trace, grad_sq)),
            f"you returned {_shown(answer)}, expected (tr Σ, |G|²) = ({trace}, {grad_sq})",
        )
    draws = np.array([13.0, 9.0]), np.array([2.0, 1.0])
    answer, right = attempt(function, *draws, 1, 8), (np.array([88, 64]) / 7, np.array([3, -1]) / 7)
    check.add(
        "works on many draws at once",
        _close(answer, right),
        f"you returned {_shown(answer)} for two draws, expected {_shown(right)}: one of each a draw, negative ones too",
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


def check_bend(function: Callable) -> Check:
    """``function(batches, steps)`` → (S_min, B_crit), exact on the law and near it when steps are 5 % off."""
    check = Check("fit the bend")
    batches = np.array([1, 4, 16, 64, 256, 1024])
    rng = np.random.default_rng(0)
    for name, steps_min, critical, noise in (
        ("exact for S_min = 50, B_crit = 32", 50.0, 32.0, 0.0),
        ("exact for a bend at 500", 20.0, 500.0, 0.0),
        ("within a third when steps are off by 5 %", 50.0, 32.0, 0.05),
    ):
        worst = attempt(_worst_bend, function, batches, steps_min, critical, noise, rng)
        number = isinstance(worst, tuple) and None not in worst
        fine = number and worst[0] <= (1e-6 if not noise else 1 / 3)
        told = f"({worst[1]:.3g}, {worst[2]:.3g})" if number else _shown(worst)
        check.add(name, fine, f"you returned {told}, expected about ({steps_min:g}, {critical:g})")
    return check


def _worst_bend(function: Callable, batches, steps_min: float, critical: float, noise: float, rng):
    """The largest relative error of twenty fits, with the answer that had it; an answer without numbers as it is."""
    worst = (-1.0, 0.0, 0.0)
    for _ in range(20 if noise else 1):
        steps = steps_min * (1 + critical / batches) * np.exp(noise * rng.standard_normal(len(batches)))
        answer = function(batches, steps)
        if answer is None or any(part is None for part in answer):
            return answer
        found = (float(answer[0]), float(answer[1]))
        error = float(np.max(np.abs([found[0] / steps_min - 1, found[1] / critical - 1])))
        if not error <= worst[0]:  # NaN too
            worst = (error, *found)
            if error != error:
                break
    return worst


def check_rent(function: Callable) -> Check:
    """``function(law, pace, deadline)`` → (batch, ranks) of the lowest ranks × seconds in time, or ``None``."""
    from tutorlib.theory.trade_off import StepTime, TradeOff

    check = Check("which batch would you rent for")
    law, pace = TradeOff(steps_min=1000, critical=64), StepTime(fixed=0.01, per_example=0.0002)
    for name, deadline, expected in (
        ("no hurry: one rank, and the batch where time is shortest", 1e9, (64, 1)),
        ("40 seconds: one rank is too slow", 40.0, (64, 2)),
        ("25 seconds: more ranks and a larger batch", 25.0, (128, 4)),
        ("5 seconds: nobody can", 5.0, None),
    ):
        answer = attempt(function, law, pace, deadline)
        right = answer is None if expected is None else _close(answer, expected)
        check.add(name, right, f"you returned {_shown(answer)}, expected {expected}")
    return check


def _close(answer, expected) -> bool:
    try:
        return bool(np.allclose(np.array(answer, dtype=float), np.array(expected), atol=1e-9))
    except (TypeError, ValueError):
        return False


def _shown(answer) -> str:
    if failed := failure(answer):
        return failed
    return "nothing" if answer is None else repr(answer)
