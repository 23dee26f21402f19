"""The checks of lesson 00: a right answer passes, each usual mistake fails where it is made, with its name."""

import math

import numpy as np
import pytest

from tutorlib.checks.start_here import check_mended_loop, check_updates_per_epoch
from tutorlib.trials import start_here


def updates_per_epoch(examples, micro_batch, accumulation, window):
    micro_batches = math.ceil(examples / micro_batch)
    if window == "stepped":
        return math.ceil(micro_batches / accumulation)
    return micro_batches // accumulation


@pytest.mark.parametrize("kind", [int, np.int64])
def test_the_two_roundings_solve_updates_per_epoch(kind):
    assert check_updates_per_epoch(lambda *given: kind(updates_per_epoch(*given))).solved


@pytest.mark.parametrize(
    "wrong, words",
    [
        (lambda n, m, k, w: n / (m * k), "no part of an update"),
        (lambda n, m, k, w: n // (m * k), "leaves the last window out"),
        (lambda n, m, k, w: math.ceil(n / m), "number of micro-batches"),
        (lambda n, m, k, w: round(n / (m * k)), "leaves the last window out"),
        (lambda n, m, k, w: math.ceil(n / (m * k)), "it is dropped"),
        (lambda n, m, k, w: math.ceil(n / m) // k, "leaves the last window out"),
        (lambda n, m, k, w: n // m // k, "leaves the last, short micro-batch out"),
        (lambda n, m, k, w: n // (m * k) + (w == "stepped"), "expected 4"),
        (lambda n, m, k, w: float(updates_per_epoch(n, m, k, w)), "you returned 4.0"),
        (lambda n, m, k, w: 313, "expected 312"),
        (lambda n, m, k, w: None, "you returned nothing"),
        (lambda n, m, k, w: "4", "you returned '4'"),
        (lambda n, m, k, w: True, "you returned True"),
        (lambda n, m, k, w: np.array([4, 4]), "you returned array"),
        (lambda n, m, k, w: 1 / 0, "ZeroDivisionError"),
        (lambda n, m: 0, "TypeError"),
    ],
    ids=range(16),
)
def test_a_wrong_count_of_updates_is_told_what_it_overlooked(wrong, words):
    check = check_updates_per_epoch(wrong)
    assert not check.solved and words in repr(check)
    assert repr(check).count("an error of your code") <= 1, "said once"


def stub(loader, model, optimizer, accumulation):
    """Plan D as the documents print it."""
    for step, batch in enumerate(loader):
        loss = model(batch)
        loss.backward()
        if step % 8 == 0:
            optimizer.step()


def mended(loader, model, optimizer, accumulation):
    for step, batch in enumerate(loader):
        window = min(accumulation, len(loader) - step // accumulation * accumulation)
        loss = model(batch) / window
        loss.backward()
        if (step + 1) % accumulation == 0 or step + 1 == len(loader):
            optimizer.step()
            optimizer.zero_grad()


def by_windows(loader, model, optimizer, accumulation):
    """Another right one: collect a window, then add it up."""
    window = []
    for number, batch in enumerate(loader, start=1):
        window.append(batch)
        if len(window) == accumulation or number == len(loader):
            optimizer.zero_grad()
            for part in window:
                (model(part) / len(window)).backward()
            optimizer.step()
            window = []


@pytest.mark.parametrize("right", [mended, by_windows])
def test_a_mended_loop_passes(right):
    assert check_mended_loop(right).solved, check_mended_loop(right)


def one_epoch(loop):
    return lambda loader, model, optimizer, accumulation: loop(loader, model, optimizer, accumulation, 1)


def stale(loader, model, optimizer, accumulation):
    for step, batch in enumerate(loader):
        (model(batch) / accumulation).backward()
        if (step + 1) % accumulation == 0:
            optimizer.step()
            optimizer.zero_grad()


def never_zero(loader, model, optimizer, accumulation):
    for step, batch in enumerate(loader):
        (model(batch) / accumulation).backward()
        if (step + 1) % accumulation == 0:
            optimizer.step()


def zero_too_soon(loader, model, optimizer, accumulation):
    for step, batch in enumerate(loader):
        optimizer.zero_grad()
        (model(batch) / accumulation).backward()
        if (step + 1) % accumulation == 0:
            optimizer.step()


def undivided(loader, model, optimizer, accumulation):
    for step, batch in enumerate(loader):
        model(batch).backward()
        if (step + 1) % accumulation == 0 or step + 1 == len(loader):
            optimizer.step()
            optimizer.zero_grad()


@pytest.mark.parametrize(
    "wrong, words",
    [
        (stub, ("is 0 at step 0", "is zero_grad() missing?", "; gradients of earlier windows are still in it")),
        (
            stale,
            ("no step comes after the last micro-batch", "1.12 times the right one: gradients of the first epoch leak"),
        ),
        (never_zero, ("an update of the first epoch has 96 examples",)),
        (zero_too_soon, ("its gradient is 0.125 times the right one; does zero_grad() wipe micro-batches",)),
        (undivided, ("its gradient is 8 times the right one; divide the loss by 8",)),
        (
            one_epoch(start_here.dropping),
            ("no step comes after the last micro-batch", "in 1 to 2 updates of two epochs"),
        ),
        (one_epoch(start_here.shrinking), ("its gradient is 0.125 times the right one; divide it by 1, not by 8",)),
        (one_epoch(start_here.plain), ("it comes after 1",)),
        (one_epoch(start_here.d1_11), ("48 passes", "divide the loss by 8")),
        (lambda *given: None, ("0 passes", "there is no update; call optimizer.step()")),
        (lambda *given: 1 / 0, ("ZeroDivisionError",)),
        (lambda loader: None, ("TypeError",)),
    ],
    ids="stub|leaks|no zero|zero too soon|undivided|drops|shrinks|plain|one epoch sum|nothing|raises|arity".split("|"),
)
def test_a_wrong_loop_is_told_which_trap_it_is_in(wrong, words):
    check = check_mended_loop(wrong)
    assert not check.solved
    for word in words:
        assert word in repr(check), check


def test_what_is_right_about_a_wrong_loop_passes():
    lines = dict(
        zip(
            ("passes", "first", "forgets", "mean", "last", "its mean", "clean", "once"),
            check_mended_loop(one_epoch(start_here.shrinking)).lines,
            strict=True,
        )
    )
    assert {name for name, (passed, _) in lines.items() if not passed} == {"its mean"}
