"""Checks of lesson 00: how many updates an epoch has, and a loop that makes them right."""

import math
from collections.abc import Callable

import numpy as np

from tutorlib.checks import Check, attempt, failure, said
from tutorlib.theory.plan import Plan

# Wrong formulas that come to mind, by what each has overlooked: examples, micro_batch, accumulation, window → updates.
TRAPS = {
    "that is examples ÷ batch, and there is no part of an update": lambda n, m, k, w: n / (m * k),
    "that is the number of micro-batches, each stepped on its own": lambda n, m, k, w: -(-n // m),
    "that leaves the last window out, and it is stepped": lambda n, m, k, w: n // (m * k) if w == "stepped" else None,
    "that leaves the last, short micro-batch out": lambda n, m, k, w: n // m // k,
    "that counts the last window, and it is dropped": lambda n, m, k, w: -(-n // (m * k)),
}


def check_updates_per_epoch(function: Callable) -> Check:
    """``function(examples, micro_batch, accumulation, window)`` → updates an epoch of a loader that drops nothing.

    ``window`` is what becomes of the last, incomplete one: ``"stepped"`` or ``"dropped"``.
    """
    check = Check("updates per epoch")
    for name, *case in (
        ("batches that fit", 128, 8, 4, "stepped"),
        ("… and where windows are dropped", 128, 8, 4, "dropped"),
        ("10,000 examples, 4 × 8, stepped", 10_000, 4, 8, "stepped"),
        ("10,000 examples, 4 × 8, dropped", 10_000, 4, 8, "dropped"),
        ("a short micro-batch completes the last window", 31, 8, 4, "dropped"),
        ("a short micro-batch is a window of its own", 33, 8, 4, "stepped"),
        ("a little more than half a window is over, dropped", 53, 8, 4, "dropped"),
        ("an epoch shorter than a window, stepped", 10, 4, 8, "stepped"),
        ("an epoch shorter than a window, dropped", 10, 4, 8, "dropped"),
    ):
        answer, expected = attempt(function, *case), Plan(*case[:3], window=case[3]).updates
        if failed := failure(answer):  # in the cases that follow too, most likely
            check.add(name, False, f"{failed} for {tuple(case)}")
            break
        right = is_number(answer, int | np.integer) and answer == expected
        check.add(name, right, f"{said(answer)} for {tuple(case)}, expected {expected}{trap(answer, case)}")
    return check


def is_number(answer, kinds) -> bool:
    return isinstance(answer, kinds) and not isinstance(answer, bool)


def trap(answer, case: list) -> str:
    for words, formula in TRAPS.items():
        if is_number(answer, int | float | np.number) and answer == formula(*case):
            return f"; {words}"
    return ""


def check_mended_loop(function: Callable) -> Check:
    """``function(loader, model, optimizer, accumulation)`` trains one epoch; ``model(batch)`` is a mean loss.

    Every example must be in exactly one update, and every update the mean over its own micro-batches, the last, short
    window's too. The second of two epochs shows what the first leaves behind.
    """
    from tutorlib.measure.updates import count_updates

    def twice(loader, model, optimizer, accumulation, epochs):
        for _ in range(epochs):
            function(loader, model, optimizer, accumulation)

    check, plan = Check("mend the loop"), Plan(100, 4, 8, epochs=2)
    done = attempt(count_updates, twice, plan)
    if failed := failure(done):
        check.add("the loop runs", False, failed)
        return check
    steps, expected = list(done.after), [8, 16, 24, 25, 33, 41, 49, 50]
    full = [total for after, total in zip(done.after, done.sums, strict=True) if after in (16, 24)]
    most = max((n for after, n in zip(done.after, done.examples, strict=True) if after <= 25), default=0)
    check.add("25 micro-batches in each of two epochs", len(done.sizes) == 50, f"{len(done.sizes)} passes in all")
    check.add(
        "the first update comes after 8 micro-batches",
        steps[:1] == [8],
        f"it comes after {steps[0]}" + (": step % 8 is 0 at step 0" if steps[0] == 1 else "")
        if steps
        else "there is no update; call optimizer.step()",
    )
    check.add(
        "an update forgets the one before",
        bool(steps) and most <= plan.batch,
        f"an update of the first epoch has {most} examples, not {plan.batch}: is zero_grad() missing?",
    )
    size = full[0] if full else math.nan
    check.add(
        "an update is the mean of its 8 micro-batches",
        len(full) == 2 and all(math.isclose(total, 1, rel_tol=1e-5) for total in full),
        f"its gradient is {size:.3g} times the right one; "
        + ("divide the loss by 8" if size > 1 else "does zero_grad() wipe micro-batches before they are used?")
        if full
        else "no update comes right after 16 or after 24 micro-batches",
    )
    add_ends(check, done, steps, expected)
    return check


def add_ends(check: Check, done, steps: list[int], expected: list[int]) -> None:
    """What becomes of the micro-batch that is left over, at the end of an epoch and in the next one."""
    last = done.sums[steps.index(25)] if 25 in steps else math.nan
    check.add(
        "the last window, of one micro-batch, steps too",
        25 in steps,
        "no step comes after the last micro-batch of an epoch",
    )
    check.add(
        "… with the mean over the one micro-batch it has",
        math.isclose(last, 1, rel_tol=1e-5),
        "it never steps"
        if last != last
        else f"its gradient is {last:.3g} times the right one; "
        + ("divide it by 1, not by 8" if last < 1 else "gradients of earlier windows are still in it"),
    )
    leaked = [total for after, total in zip(steps, done.sums, strict=True) if 25 < after <= 33]
    check.add(
        "the second epoch begins with nothing left in the gradients",
        bool(leaked) and math.isclose(leaked[0], 1, rel_tol=1e-5),
        f"its first update is {leaked[0]:.3g} times the right one"
        + (": gradients of the first epoch leak into it" if leaked[0] > 1 else "")
        if leaked
        else "it has no update after its first 8 micro-batches",
    )
    check.add(
        "every example is in exactly one update an epoch",
        steps == expected and bool((done.times == 2).all()),
        f"an example is in {int(done.times.min())} to {int(done.times.max())} updates of two epochs, expected 2; "
        f"steps come after micro-batches {steps[:9]}, expected {expected}",
    )
