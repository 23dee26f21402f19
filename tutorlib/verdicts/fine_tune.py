"""Lesson 06: what fine-tuning in small says about the advice to keep its batch small."""

from functools import partial

from tutorlib.experiments import fine_tune as lesson
from tutorlib.experiments.fine_tune import FULL, GENTLE, LONGER, MIDDLE, OWN_RATE, SAME_RATE, SMALL, UPDATES
from tutorlib.records import Verdict
from tutorlib.verdicts.rules import above, below, equal_to, verdict

SAME = 1.0  # points: six of 600 held-out digits
SIGN = "a difference of the other sign"
FLAT = f"a difference clearly beyond {SAME:g} point"


def fine_tune_verdicts(records) -> list[Verdict]:
    """E22: error on the new task and what is forgotten of the old, by batch, rate and epochs."""
    judge = partial(verdict, held="a small MLP, digits, then 240 mirrored ones; no language model, no instructions")
    cell = partial(lesson.cell, records)

    def gap(budget, batch=MIDDLE, name="error"):
        return cell(budget, batch, name) - cell(budget, SMALL, name)

    spared = cell(GENTLE, MIDDLE, "forgot") - cell(LONGER, MIDDLE, "forgot")
    patient = cell(UPDATES, FULL) - cell(LONGER, SMALL)
    three, thirty = "batch 48 minus 8, 3 epochs", "batch 48 minus 8, 30 epochs"
    many, enough = "the epochs are few, and with them the updates", "each has its own rate and updates enough"
    missing, calm = gap(OWN_RATE, FULL), gap(UPDATES, FULL)
    fitted = gap(OWN_RATE, FULL, "train")
    rows = (
        ("D0-14", "error, full batch (3 updates) minus 8 (90), own rates", above(0, missing), SIGN, "", many),
        ("D0-16", "training error, full batch minus 8, 3 epochs, own rates", below(0, fitted), SIGN, ""),
        ("D0-12", "error, full batch minus 8, 90 updates each", above(0, calm), SIGN, ""),
        ("D0-18", "error, full batch minus 8, 90 updates each", above(0, calm), SIGN, ""),
        ("E22", "error, full batch (90 updates) minus 8 (900)", above(0, patient), SIGN,
         "a small batch with ten times the updates is better still"),
        ("D1-15", f"error, {three}, own rates", equal_to(0, gap(OWN_RATE), SAME), FLAT, ""),
        ("D0-17", f"error, {thirty}, own rates", equal_to(0, gap(LONGER), SAME), FLAT, "", enough),
        ("E22", f"error, {three}, one rate", above(0, gap(SAME_RATE)), SIGN,
         "few epochs at one rate: the larger batch learns less"),
        ("E22", f"forgotten, {three}, one rate", below(0, gap(SAME_RATE, name="forgot")), SIGN, "… and forgets less"),
        ("E22", "forgotten, batch 48, 30 epochs, rate 0.06 minus 0.5", below(0, spared), SIGN,
         "what is forgotten follows the rate"),
        ("E22", f"error, {thirty}, gentle rates", equal_to(0, gap(GENTLE), SAME), FLAT,
         "gentle rates: both batches learn as much"),
        ("E22", f"forgotten, {thirty}, gentle rates", equal_to(0, gap(GENTLE, name="forgot"), SAME), FLAT,
         "… and forget as much"),
    )  # fmt: skip
    return [
        judge(claim, words, finding, change, says=says, condition="".join(condition))
        for claim, words, finding, change, says, *condition in rows
    ]
