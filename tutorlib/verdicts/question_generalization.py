"""Lesson 06: all its verdicts but those on curvature, and what the four budgets and the widths say."""

from functools import partial

from tutorlib.experiments import diagonal_net, fine_tune, label_noise, stream
from tutorlib.experiments import question_generalization as lesson
from tutorlib.records import Verdict
from tutorlib.verdicts.diagonal_net import noise_verdicts
from tutorlib.verdicts.fine_tune import fine_tune_verdicts
from tutorlib.verdicts.label_noise import label_verdicts, random_verdicts
from tutorlib.verdicts.rules import Finding, above, below, equal_to, verdict
from tutorlib.verdicts.stream import stream_verdicts

SAME = 1.0  # points of error: ten held-out digits of 1,000, twenty signals of 2,000
FLAT = f"a difference clearly beyond {SAME:g} point"
SIGN = "a difference of the other sign"
HELD = "an MLP with one hidden layer of 64 on 500 examples, momentum, constant rates chosen on other seeds"


def budget_verdicts(digits, mnist1d) -> list[Verdict]:
    """E05: the same comparison under four budgets, on two data sets; what the claims make of one of them."""
    rows = []
    for data, records, first in (("digits", digits, ""), ("mnist1d", mnist1d, "… ")):
        gap = partial(lesson.gap, records, data)
        judge = partial(verdict, held=f"{data}, {HELD}")
        words = f"points of error on {data}, full batch minus batch 10, "
        rows += [
            judge("E05", words + budget, finding, change, says=says)
            for budget, finding, change, says in (
                (lesson.SAME_RATE, above(0, gap(lesson.SAME_RATE)), SIGN, f"{first}at one rate, a large batch is worse"),
                (lesson.OWN_RATE, above(0, gap(lesson.OWN_RATE)), SIGN, "… and with a rate of its own, after 10 epochs"),
                (lesson.UPDATES, above(0, gap(lesson.UPDATES)), SIGN, "… and after as many updates"),
                (lesson.EXAMPLES, above(0, gap(lesson.EXAMPLES)), SIGN, "… and after 100 epochs each"),
                (lesson.EXAMPLES, equal_to(0, gap(lesson.EXAMPLES), SAME), FLAT, "… where both are the same within a point"),
            )
        ]  # fmt: skip
        rows += claim_rows(records, data, judge)
    return rows


def claim_rows(records, data: str, judge) -> list[Verdict]:
    """The claims about a large batch, each judged by its own quantity on one data set."""
    cell, gap = partial(lesson.cell, records, data), partial(lesson.gap, records, data)
    same = lesson.SAME_RATE
    fitted = gap(same, name="train")
    moved = cell(same, lesson.FULL) - cell(lesson.UPDATES, lesson.FULL)
    slower = gap(lesson.OWN_RATE, name="train")
    calm, late = gap(lesson.UPDATES), gap(lesson.EXAMPLES)
    better = above(0, gap(lesson.OWN_RATE))
    few = "all see the examples as often and these are few epochs: what it lacks is updates"
    rows = (
        ("D0-16", "training error, full batch minus batch 10, 10 epochs at one rate", below(0, fitted), SIGN, ""),
        ("D1-08", "training error, the same", below(0, fitted), SIGN, ""),
        ("D0-15", "training error, the same, each at its own rate", below(0, slower), SIGN, ""),
        ("D0-01", "error of one logical batch (full): 10 epochs at the small one's rate minus 500 updates at its own",
         equal_to(0, moved, SAME), "one batch, one error", ""),
        ("D0-02", "error, full batch minus batch 10, 500 updates each", above(0, calm), "an error that rises", ""),
        ("D2-20", "error, full batch minus batch 10, 10 epochs, own rates", better, SIGN, few),
        ("D0-24", "error, batch 100 minus 10, 10 epochs, own rates", above(0, gap(lesson.OWN_RATE, lesson.LARGE)), SIGN, few),
        ("D0-22", "error, batch 100 minus 10, 500 updates each", above(0, gap(lesson.UPDATES, lesson.LARGE)), SIGN, ""),
        ("D2-08", "error, full batch minus batch 10, 100 epochs, no explicit regularizer", above(0, late), SIGN, ""),
    )  # fmt: skip
    return [
        judge(claim, f"{words}, {data}", finding, change, condition=condition)
        for claim, words, finding, change, condition in rows
    ]


def width_verdicts(records) -> list[Verdict]:
    """E21: do more parameters make up for a large batch?"""
    judge = partial(verdict, held="mnist1d, one hidden layer of 16 to 256, rates chosen for every width and batch")
    wide = partial(lesson.wide, records)
    gaps = {w: wide(w, lesson.FULL, 10) - wide(w, lesson.SMALL, 500) for w in lesson.WIDTHS}
    narrow, widest = gaps[16], gaps[256]
    after = wide(16, lesson.LARGE, 500) - wide(16, lesson.SMALL, 500)
    at_small, at_full = (wide(256, b, s) - wide(16, b, s) for b, s in ((lesson.SMALL, 500), (lesson.FULL, 10)))
    fitted = wide(256, lesson.LARGE, 500) - wide(16, lesson.LARGE, 500)
    half = "a gap that more than halves"
    shrunk = "gap between full batch and batch 10 after 10 epochs, width 256 minus half of width 16"
    rows = (
        ("D2-03", "error, batch 100 minus 10, 500 updates each, width 16", above(0, after), "a gap that stays"),
        ("D2-11", shrunk, below(0, widest - 0.5 * narrow), half),
        ("D2-16", shrunk, below(0, widest - 0.5 * narrow), half),
        ("D2-12", "error at the full batch, width 256 minus 16, 10 epochs", below(0, at_full), SIGN),
        ("D2-22", "error at batch 10, width 16 minus 256, 10 epochs", below(0, -at_small), SIGN),
        ("D2-14", "error, width 256 minus 16, batch 100, 500 updates", above(0, fitted), SIGN),
        ("D2-15", "error, width 256 minus 16, batch 100, 500 updates", below(0, fitted), SIGN),
    )
    return [judge(claim, words, finding, change) for claim, words, finding, change in rows]


VERDICTS = (
    ((lesson.DIGITS, lesson.MNIST1D), budget_verdicts),
    ((label_noise.LABELS,), label_verdicts),
    ((diagonal_net.RECOVER,), noise_verdicts),
    ((label_noise.RANDOM,), random_verdicts),
    ((stream.STREAM,), stream_verdicts),
    ((lesson.WIDER,), width_verdicts),
    ((fine_tune.TUNED,), fine_tune_verdicts),
)

RECORDED = ()
