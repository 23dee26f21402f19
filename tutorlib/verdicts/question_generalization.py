"""Lesson 06: all its verdicts, and what the four budgets and the widths say."""

from functools import partial

from tutorlib.experiments import diagonal_net, fine_tune, label_noise, stream
from tutorlib.experiments import question_generalization as lesson
from tutorlib.experiments.question_generalization import EXAMPLES, FULL, LARGE, OWN_RATE, SAME_RATE, SMALL, UPDATES
from tutorlib.records import Verdict
from tutorlib.verdicts import curvature
from tutorlib.verdicts.diagonal_net import noise_verdicts
from tutorlib.verdicts.fine_tune import fine_tune_verdicts
from tutorlib.verdicts.label_noise import label_verdicts, random_verdicts
from tutorlib.verdicts.rules import above, below, equal_to, verdict
from tutorlib.verdicts.stream import stream_verdicts

SAME = 1.0  # points of error: ten held-out digits of 1,000, twenty signals of 2,000
FLAT = f"a difference clearly beyond {SAME:g} point"
SIGN = "a difference of the other sign"
HELD = "an MLP with one hidden layer of 64 on 500 examples, momentum, constant rates chosen on other seeds"
FEW = "all see the examples as often and the epochs are few: it lacks updates"


def budget_verdicts(records) -> list[Verdict]:
    """E05 on one data set: the same comparison under four budgets, and what the claims make of one of them."""
    data = records.experiment.held["data"]
    judge = partial(verdict, held=f"{data}, {HELD}")
    gap = partial(lesson.gap, records, data)
    rows = (
        (SAME_RATE, above(0, gap(SAME_RATE)), SIGN, f"{data}: at one rate, a full batch is worse"),
        (OWN_RATE, above(0, gap(OWN_RATE)), SIGN, "… and at a rate of its own, after 10 epochs"),
        (UPDATES, above(0, gap(UPDATES)), SIGN, "… and after as many updates"),
        (EXAMPLES, above(0, gap(EXAMPLES)), SIGN, "… and after 100 epochs of each"),
        (EXAMPLES, equal_to(0, gap(EXAMPLES), SAME), FLAT, "… when both are the same within a point"),
    )
    words = f"points of error on {data}, full batch minus batch {SMALL}, "
    budgets = [judge("E05", words + budget, finding, change, says=says) for budget, finding, change, says in rows]
    near, words = equal_to(0, gap(EXAMPLES, LARGE), SAME), words.replace("full batch", "batch 100") + EXAMPLES
    return [*budgets, judge("E05", words, near, FLAT, says="… and batch 100, too"), *claim_rows(records, data, judge)]


def digits_verdicts(records) -> list[Verdict]:
    """The four budgets on digits, and whether what is left after 100 epochs is noise: a control has less of it."""
    judge = partial(verdict, held=f"digits, {HELD}")
    small = lesson.cell(records, "digits", EXAMPLES, SMALL)
    calm = lesson.column(records, "error", batch=SMALL, rate=lesson.CALM)
    left = lesson.cell(records, "digits", EXAMPLES, FULL) - calm
    return [
        *budget_verdicts(records),
        judge("E05", "error of batch 10 after 100 epochs, rate 0.12 minus 0.015", below(0, small - calm), SIGN,
              says="digits: half a point of that the small batch owes to its high rate"),
        judge("E05", "error after 100 epochs, full batch minus batch 10 at rate 0.015", equal_to(0, left, SAME / 2),
              "a difference clearly beyond half a point", says="… at an eighth of it less than half a point is left"),
    ]  # fmt: skip


def claim_rows(records, data: str, judge) -> list[Verdict]:
    """The claims about a large batch, each judged by its own quantity on one data set."""
    cell, gap = partial(lesson.cell, records, data), partial(lesson.gap, records, data)
    fitted, slower = gap(SAME_RATE, name="train"), gap(OWN_RATE, name="train")
    moved = cell(SAME_RATE, FULL) - cell(UPDATES, FULL)
    large, late = gap(OWN_RATE, LARGE), gap(EXAMPLES)
    one_rate, own_rates = (
        f"training error, full batch minus batch 10, 10 epochs, {r}" for r in ("one rate", "own rates")
    )
    rows = (
        ("D0-16", one_rate, below(0, fitted), SIGN, ""),
        ("D1-08", one_rate, below(0, fitted), SIGN, ""),
        ("D0-15", own_rates, below(0, slower), SIGN, ""),
        ("D0-01", "error of the full batch, 10 epochs at the rate of batch 10 minus 500 updates at its own",
         equal_to(0, moved, SAME), "one batch, one error", ""),
        ("D2-20", "error, full batch minus batch 10, 10 epochs, own rates", above(0, gap(OWN_RATE)), SIGN, FEW),
        ("D0-24", "error, batch 100 minus 10, 10 epochs, own rates", above(0, large), SIGN, FEW),
        ("D0-22", "error, batch 100 minus 10, 100 epochs, own rates", above(0, gap(EXAMPLES, LARGE)), SIGN, ""),
        ("D2-08", "error, full batch minus batch 10, 100 epochs, no explicit term", above(0, late), SIGN, ""),
    )  # fmt: skip
    return [
        judge(claim, f"{words}, {data}", finding, change, condition=condition)
        for claim, words, finding, change, condition in rows
    ]


def width_verdicts(records) -> list[Verdict]:
    """E21: do more parameters make up for a large batch?"""
    judge = partial(verdict, held="mnist1d, one hidden layer of 16 to 256, rates chosen for every width and batch")
    wide = partial(lesson.wide, records)
    narrow, widest = (wide(w, FULL, 10) - wide(w, SMALL, 500) for w in (16, 256))
    after = wide(16, LARGE, 500) - wide(16, SMALL, 500)
    at_small, at_full = (wide(256, b, steps) - wide(16, b, steps) for b, steps in ((SMALL, 500), (FULL, 10)))
    fitted = wide(256, LARGE, 500) - wide(16, LARGE, 500)
    half, shrunk = (
        "a gap that more than halves",
        "gap of the full batch after 10 epochs, width 256 minus half of width 16",
    )
    more = "error, width 256 minus 16, batch 100, 500 updates"
    rows = (
        ("D2-03", "error, batch 100 minus 10, 500 updates each, width 16", above(0, after), "a gap that stays"),
        ("D2-11", shrunk, below(0, widest - 0.5 * narrow), half),
        ("D2-16", shrunk, below(0, widest - 0.5 * narrow), half),
        ("D2-12", "error of the full batch, width 256 minus 16, 10 epochs", below(0, at_full), SIGN),
        ("D2-22", "error of batch 10, width 16 minus 256, 10 epochs", below(0, -at_small), SIGN),
        ("D2-14", more, above(0, fitted), SIGN),
        ("D2-15", more, below(0, fitted), SIGN),
    )
    return [judge(claim, words, finding, change) for claim, words, finding, change in rows]


VERDICTS = (
    ((lesson.DIGITS,), digits_verdicts),
    ((lesson.MNIST1D,), budget_verdicts),
    ((label_noise.LABELS,), label_verdicts),
    ((diagonal_net.RECOVER,), noise_verdicts),
    ((label_noise.RANDOM,), random_verdicts),
    ((stream.STREAM,), stream_verdicts),
    ((lesson.WIDER,), width_verdicts),
    ((fine_tune.TUNED,), fine_tune_verdicts),
    *curvature.VERDICTS,
)

RECORDED = curvature.RECORDED
