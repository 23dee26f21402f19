"""Lesson 06: what fine-tuning in small says about the advice to keep its batch small."""

from functools import partial

from tutorlib.experiments import fine_tune as lesson
from tutorlib.records import Verdict
from tutorlib.verdicts.rules import above, below, equal_to, verdict

SAME = 1.0  # points: six of 600 held-out digits
SIGN = "a difference of the other sign"
FLAT = f"a difference clearly beyond {SAME:g} point"
FEW = "the epochs are as few, and with them the updates"


def fine_tune_verdicts(records) -> list[Verdict]:
    """E22: error on the new task and what is forgotten of the old, by batch, rate and epochs."""
    judge = partial(verdict, held="a small MLP, digits, then 240 mirrored ones; no language model, no instructions")
    cell = partial(lesson.cell, records)

    def gap(budget, batch=lesson.FULL, name="error"):
        return cell(budget, batch, name) - cell(budget, lesson.SMALL, name)

    gentle = cell(lesson.GENTLE, lesson.MIDDLE) - cell(lesson.GENTLE, lesson.SMALL)
    spared = cell(lesson.GENTLE, lesson.MIDDLE, "forgot") - cell(lesson.LONGER, lesson.MIDDLE, "forgot")
    rows = (
        ("D0-14", "error, full batch (3 updates) minus batch 8 (90), own rates", above(0, gap(lesson.OWN_RATE)), SIGN, "", FEW),
        ("D0-16", "training error, full batch minus batch 8, 3 epochs, own rates", below(0, gap(lesson.OWN_RATE, name="train")),
         SIGN, "", ""),
        ("D0-12", "error, full batch minus batch 8, 90 updates each", above(0, gap(lesson.UPDATES)), SIGN, "", ""),
        ("D0-18", "error, full batch minus batch 8, 90 updates each", above(0, gap(lesson.UPDATES)), SIGN, "", ""),
        ("D0-17", "error, batch 48 minus 8, 30 epochs, own rates", equal_to(0, gap(lesson.LONGER, lesson.MIDDLE), SAME), FLAT,
         "", "each has its rate and there are updates enough"),
        ("D1-15", "error, batch 48 minus 8, 3 epochs, own rates", equal_to(0, gap(lesson.OWN_RATE, lesson.MIDDLE), SAME), FLAT, "", ""),
        ("E22", "error, batch 48 minus 8, 3 epochs, one rate", above(0, gap(lesson.SAME_RATE, lesson.MIDDLE)), SIGN,
         "few epochs at one rate: the larger batch learns less", ""),
        ("E22", "forgotten, batch 48 minus 8, 3 epochs, one rate", below(0, gap(lesson.SAME_RATE, lesson.MIDDLE, "forgot")), SIGN,
         "… and forgets less", ""),
        ("E22", "forgotten, batch 48, 30 epochs: rate 0.06 minus 0.5", below(0, spared), SIGN,
         "what is forgotten follows the rate", ""),
        ("E22", "error, batch 48 minus 8, gentle rates", equal_to(0, gentle, SAME), FLAT,
         "gentle rates: both batches learn as much", ""),
        ("E22", "forgotten, batch 48 minus 8, gentle rates", equal_to(0, gap(lesson.GENTLE, lesson.MIDDLE, "forgot"), 3.0),
         "a difference clearly beyond 3 points", "… and forget as much", ""),
    )  # fmt: skip
    return [
        judge(claim, words, finding, change, says=says, condition=condition)
        for claim, words, finding, change, says, condition in rows
    ]
