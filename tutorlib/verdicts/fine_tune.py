"""Lesson 06: what fine-tuning in small says about the advice to keep its batch small."""

from functools import partial

from tutorlib.experiments import fine_tune as lesson
from tutorlib.experiments.fine_tune import FULL, GENTLE, LONGER, MIDDLE, OWN_RATE, SAME_RATE, SMALL, UPDATES
from tutorlib.records import Verdict
from tutorlib.verdicts.claims import CLAIMS
from tutorlib.verdicts.rules import above, below, equal_to, verdict

POINT = 1.0  # of error: six of 600 held-out digits
SIGN = "a difference of the other sign"
FLAT = f"a difference clearly beyond {POINT:g} point"
MANY = "epochs are equal, and updates 30 times as many"


# Rows of the table that fold up while they say this word: twins and controls, which the text agrees with.
FOLDED = {
    ("D0-17", "does not hold", f"{CLAIMS['D0-17']}: as good as 8 after 3 epochs"),
    ("D0-17", "holds if", "… after 30 epochs"),
    ("D0-18", "does not hold", f"{CLAIMS['D0-18']}, at as many updates"),
    ("D0-18", "holds if", "… at as many epochs"),
    *(("E22", "holds", says) for says in (
        "a small batch with ten times the updates is better still",
        "few epochs at one rate: the larger batch learns less", "… and forgets less",
        "… control: as the rates were chosen to, both do forget as much",
    )),
}  # fmt: skip


def fine_tune_verdicts(records) -> list[Verdict]:
    """E22: error on the new task and what is forgotten of the old, by batch, rate and epochs."""
    judge = partial(verdict, held="a small MLP, digits, then 240 mirrored ones; no language model, no instructions")
    cell = partial(lesson.cell, records)

    def gap(budget, batch=MIDDLE, name="error"):
        return cell(budget, batch, name) - cell(budget, SMALL, name)

    spared = cell(GENTLE, MIDDLE, "forgot") - cell(LONGER, MIDDLE, "forgot")
    gentler = cell(GENTLE, MIDDLE, "forgot") - cell(LONGER, SMALL, "forgot")
    patient = cell(UPDATES, FULL) - cell(LONGER, SMALL)
    three, thirty = "batch 48 minus 8, 3 epochs", "batch 48 minus 8, 30 epochs"
    many, enough = "the epochs are few, and with them the updates", "each has its own rate and updates enough"
    missing, calm, late = (gap(budget, FULL) for budget in (OWN_RATE, UPDATES, LONGER))
    worse = "error, full batch minus 8, 30 epochs, where both fit all training digits"
    rows = (
        ("D0-14", "error, full batch (3 updates) minus 8 (90), own rates", above(0, missing), SIGN, "", many),
        ("D0-16", worse, above(POINT, late), "a gap clearly below a point", f"{CLAIMS['D0-16']}: a point or more"),
        *((claim, *row) for claim in ("D0-12", "D0-18") for row in (
            ("error, full batch minus 8, 90 updates each", above(0, calm), SIGN,
             CLAIMS[claim] + ", at as many updates"),
            ("error, full batch minus 8, 30 epochs, own rates", above(0, late), SIGN, "… at as many epochs", MANY),
        )),
        ("E22", "error, full batch (90 updates) minus 8 (900)", above(0, patient), SIGN,
         "a small batch with ten times the updates is better still"),
        *((claim, *row) for claim in ("D1-15", "D0-17") for row in (
            (f"error, {three}, own rates", equal_to(0, gap(OWN_RATE), POINT), FLAT,
             CLAIMS[claim] + ": as good as 8 after 3 epochs"),
            (f"error, {thirty}, own rates", equal_to(0, gap(LONGER), POINT), FLAT, "… after 30 epochs", enough),
        )),
        ("E22", "error, full batch minus 48, 3 epochs, own rates", above(0, missing - gap(OWN_RATE)), SIGN,
         "batch 48 is better than all 240 after 3 epochs"),
        ("E22", f"error, {three}, one rate", above(0, gap(SAME_RATE)), SIGN,
         "few epochs at one rate: the larger batch learns less"),
        ("E22", f"forgotten, {three}, one rate", below(0, gap(SAME_RATE, name="forgot")), SIGN, "… and forgets less"),
        ("E22", "forgotten, batch 48, 30 epochs, rate 0.06 minus 0.5", below(0, spared), SIGN,
         "at one batch, a higher rate forgets more"),
        ("E22", "forgotten, batch 48 minus 8, 30 epochs, both at rate 0.06", below(0, gentler), SIGN,
         "… and at one rate, more updates do"),
        ("E22", f"error, {thirty}, gentle rates", equal_to(0, gap(GENTLE), POINT), FLAT,
         "at rates chosen so that both forget as much, both learn as much"),
        ("E22", f"forgotten, {thirty}, gentle rates", equal_to(0, gap(GENTLE, name="forgot"), POINT), FLAT,
         "… control: as the rates were chosen to, both do forget as much"),
    )  # fmt: skip
    return [
        judge(claim, words, finding, change, says=says, condition="".join(condition))
        for claim, words, finding, change, says, *condition in rows
    ]
