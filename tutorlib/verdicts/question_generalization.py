"""Lesson 06: all its verdicts, and what the four budgets and the widths say."""

from functools import partial

from tutorlib.experiments import diagonal_net, fine_tune, label_noise, stream
from tutorlib.experiments import question_generalization as lesson
from tutorlib.experiments.question_generalization import EXAMPLES, FULL, LARGE, OWN_RATE, SAME_RATE, SMALL, UPDATES
from tutorlib.records import Verdict
from tutorlib.verdicts import curvature
from tutorlib.verdicts import diagonal_net as noise
from tutorlib.verdicts import fine_tune as tuning
from tutorlib.verdicts import label_noise as labels
from tutorlib.verdicts import stream as once
from tutorlib.verdicts.claims import CLAIMS
from tutorlib.verdicts.diagonal_net import noise_verdicts
from tutorlib.verdicts.fine_tune import fine_tune_verdicts
from tutorlib.verdicts.label_noise import label_verdicts, random_verdicts
from tutorlib.verdicts.rules import above, below, equal_to, verdict
from tutorlib.verdicts.stream import stream_verdicts

SAME, POINT = 0.5, 1.0  # points of error: SAME is five held-out digits of 1,000, ten signals of 2,000
FLAT, BEYOND = (f"a difference clearly beyond {margin}" for margin in ("half a point", "a point"))
SIGN = "a difference of the other sign"
HELD = "an MLP with one hidden layer of 64 on 500 examples, momentum, constant rates chosen on other seeds"
FEW = "all see the examples as often and the epochs are few: it lacks updates"
MANY = "epochs are equal, and updates 50 times as many"


# Rows of the table that fold up while they say this word: twins and controls, which the text agrees with.
# One set for the whole lesson, over all its modules.
FOLDED = frozenset({
    *(("E05", "holds", says) for says in (
        "… and its training error is as bad", "… or within a point",
        "… as batch 100 and batch 10 are within half a point",
        "digits: at an eighth of its best rate batch 10 loses some of its lead",
        "… and then less than half a point of it is left",
    )),
    ("D0-15", "does not hold", f"{CLAIMS['D0-15']}, per example"),
    ("D0-15", "holds", f"{CLAIMS['D0-15']}, per update"),
    ("D1-08", "does not hold", f"{CLAIMS['D1-08']}: a point or more"),
    ("D2-08", "holds if", CLAIMS["D2-08"]),
    ("D2-12", "holds", "a larger model is better at the full batch, too"),
    ("D2-15", "holds", CLAIMS["D2-15"]),
    ("D2-16", "does not hold", CLAIMS["D2-16"]),
}).union(labels.FOLDED, noise.FOLDED, once.FOLDED, tuning.FOLDED, curvature.FOLDED)  # fmt: skip


def budget_verdicts(records) -> list[Verdict]:
    """E05 on one data set: the same comparison under four budgets, and what the claims make of one of them."""
    data = records.experiment.held["data"]
    judge = partial(verdict, held=f"{data}, {HELD}")
    gap = partial(lesson.gap, records, data)
    rows = (
        (SAME_RATE, above(0, gap(SAME_RATE)), SIGN, f"{data}: at one rate, a full batch is worse"),
        (SAME_RATE + ", in training", above(0, gap(SAME_RATE, name="train")), SIGN,
         "… and its training error is as bad"),
        (OWN_RATE, above(0, gap(OWN_RATE)), SIGN, "… and at a rate of its own, after 10 epochs"),
        (UPDATES, above(0, gap(UPDATES)), SIGN, "… and after as many updates"),
        (EXAMPLES, above(0, gap(EXAMPLES)), SIGN, "… and after 100 epochs of each"),
        (EXAMPLES, equal_to(0, gap(EXAMPLES), SAME), FLAT, "… when both are the same within half a point"),
        (EXAMPLES, equal_to(0, gap(EXAMPLES), POINT), BEYOND, "… or within a point"),
    )  # fmt: skip
    words = f"points of error on {data}, full batch minus batch {SMALL}, "
    budgets = [judge("E05", words + budget, finding, change, says=says) for budget, finding, change, says in rows]
    near, words = equal_to(0, gap(EXAMPLES, LARGE), SAME), words.replace("full batch", "batch 100") + EXAMPLES
    near = judge("E05", words, near, FLAT, says="… as batch 100 and batch 10 are within half a point")
    return [*budgets, near, *claim_rows(records, data, judge)]


def digits_verdicts(records) -> list[Verdict]:
    """The four budgets on digits, where all have fitted after 100 epochs; a control at a lower rate."""
    judge = partial(verdict, held=f"digits, {HELD}")
    small, late = lesson.cell(records, "digits", EXAMPLES, SMALL), lesson.gap(records, "digits", EXAMPLES)
    calm = lesson.column(records, "error", batch=SMALL, rate=lesson.CALM)
    left = lesson.cell(records, "digits", EXAMPLES, FULL) - calm
    fitted = "error, full batch minus batch 10, 100 epochs, where both fit all training digits"
    return [
        *budget_verdicts(records),
        *(judge(claim, fitted, above(POINT, late), "a gap beyond a point", says=f"{CLAIMS[claim]}: a point or more")
          for claim in ("D0-16", "D1-08")),
        judge("E05", "error of batch 10 after 100 epochs, rate 0.12 minus 0.015", below(0, small - calm), SIGN,
              says="digits: at an eighth of its best rate batch 10 loses some of its lead"),
        judge("E05", "error after 100 epochs, full batch minus batch 10 at rate 0.015", equal_to(0, left, SAME),
              FLAT, says="… and then less than half a point of it is left"),
    ]  # fmt: skip


def claim_rows(records, data: str, judge) -> list[Verdict]:
    """The claims about a large batch, each judged by its own quantity on one data set."""
    gap, quick = partial(lesson.gap, records, data), CLAIMS["D0-15"]
    slower, sooner = gap(OWN_RATE, name="train"), gap(UPDATES, name="train")
    rows = (
        ("D0-15", "training error, full batch minus batch 10, 10 epochs, own rates", below(0, slower), SIGN, "",
         f"{quick}, per example"),
        ("D0-15", "training error, full batch minus batch 10, 500 updates, own rates", below(0, sooner), SIGN, "",
         f"{quick}, per update"),
        ("D2-20", "error, full batch minus batch 10, 10 epochs, own rates", above(0, gap(OWN_RATE)), SIGN, FEW, ""),
        ("D0-24", "error, batch 100 minus 10, 10 epochs, own rates", above(0, gap(OWN_RATE, LARGE)), SIGN, FEW, ""),
        ("D0-22", "error, batch 100 minus 10, 100 epochs, own rates", above(0, gap(EXAMPLES, LARGE)), SIGN, "", ""),
        ("D2-08", "error, full batch minus batch 10, 100 epochs, no explicit term", above(0, gap(EXAMPLES)), SIGN, MANY,
         ""),
    )  # fmt: skip
    return [
        judge(claim, f"{words}, {data}", finding, change, condition=condition, says=says)
        for claim, words, finding, change, condition, says in rows
    ]


def width_verdicts(records) -> list[Verdict]:
    """E21: do more parameters make up for a large batch?"""
    judge = partial(verdict, held="mnist1d, one hidden layer of 16 to 256, rates chosen for every width and batch")
    wide = partial(lesson.wide, records)
    narrow, widest = (wide(w, FULL, 10) - wide(w, SMALL, 500) for w in (16, 256))
    after = wide(16, LARGE, 500) - wide(16, SMALL, 500)
    at_small, at_full = (wide(256, b, steps) - wide(16, b, steps) for b, steps in ((SMALL, 500), (FULL, 10)))
    fitted, learned = (wide(256, LARGE, 500, name) - wide(16, LARGE, 500, name) for name in ("error", "train"))
    made_up = wide(256, FULL, 10) - wide(16, SMALL, 500)
    half, shrunk = (
        "a gap that more than halves",
        "gap of the full batch after 10 epochs, width 256 minus half of width 16",
    )
    more = "error, width 256 minus 16, batch 100, 500 updates"
    rows = (
        ("D2-03", "error, batch 100 minus 10, 500 updates each, width 16", above(0, after), "a gap that stays", ""),
        ("D2-11", shrunk, below(0, widest - 0.5 * narrow), half, ""),
        ("D2-16", shrunk, below(0, widest - 0.5 * narrow), half, ""),
        ("E21", "error, full batch at width 256 minus batch 10 at width 16, 10 epochs", equal_to(0, made_up, POINT),
         BEYOND, "a wide net with the full batch is as good as a narrow one with batch 10, within a point"),
        ("E21", "gap of the full batch after 10 epochs, width 256 minus width 16", equal_to(0, widest - narrow, POINT),
         BEYOND, "… but width helps batch 10 as much, within a point"),
        ("D2-12", "error of the full batch, width 256 minus 16, 10 epochs", below(0, at_full), SIGN,
         "a larger model is better at the full batch, too"),
        ("D2-22", "error of batch 10, width 16 minus 256, 10 epochs", below(0, -at_small), SIGN, ""),
        ("D2-14", f"held-out minus training {more}", above(0, fitted - learned), SIGN, ""),
        ("D2-14", more, above(0, fitted), SIGN, "… and is worse for it"),
        ("D2-15", more, below(0, fitted), SIGN, ""),
    )  # fmt: skip
    return [judge(claim, words, finding, change, says=says) for claim, words, finding, change, says in rows]


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
