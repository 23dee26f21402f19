"""Lesson 06: which batch learns wrong labels by heart, some of them or all."""

from functools import partial

from tutorlib.experiments import label_noise as lesson
from tutorlib.experiments.question_generalization import FULL, LARGE, SMALL
from tutorlib.records import Verdict
from tutorlib.results import column
from tutorlib.verdicts.claims import CLAIMS
from tutorlib.verdicts.rules import above, below, equal_to, verdict

SIGN = "a difference of the other sign"
CLOSE = 1.0  # points, of the eleven that are left with wrong labels
FAR = f"a difference clearly beyond {CLOSE:g} point"


# Rows of the table that fold up while they say this word: twins and controls, which the text agrees with.
FOLDED = {
    *((claim, "does not hold", says) for claim, says in (
        ("D1-41", f"{CLAIMS['D1-41']}, from 100 to 10"), ("D0-02", CLAIMS["D0-02"]),
    )),
    ("E06", "holds", "with right labels the larger batch is the worse one"),
    *(("E31", "holds", says) for says in (
        "a small batch learns random labels", "… and so does the full one", "… which says nothing about other images",
    )),
}  # fmt: skip


def label_verdicts(records) -> list[Verdict]:
    """E06: who overfits wrong labels, at one rate and at rates of their own; right labels are the control."""
    judge = partial(
        verdict,
        held="digits, 500 of them with 30 % wrong labels, 30 epochs, MLP of width 64, momentum; the one rate is the "
        "best one of batch 100",
    )
    found = partial(lesson.found, records)
    small, large, full = (found(30, batch, lesson.SAME) for batch in lesson.BATCHES)
    clean = found(0, LARGE, lesson.SAME) - found(0, SMALL, lesson.SAME)
    fitted = found(30, LARGE, lesson.SAME, "train") - found(30, SMALL, lesson.SAME, "train")
    own = {b: found(30, b, lesson.OWN[b]) for b in lesson.OWN}
    reduced = "error, batch 10 minus 100, one rate: the batch reduced"
    rows = (
        ("D2-09", "error, batch 100 minus 10, one rate", above(0, large - small), SIGN, ""),
        ("D1-41", reduced, below(0, small - large), SIGN, f"{CLAIMS['D1-41']}, from 100 to 10"),
        ("D0-02", "error, batch 10 minus 100, one rate: more noise", below(0, small - large), SIGN, ""),
        ("D2-02", "given labels missed in training, batch 100 minus 10, one rate", below(0, fitted), SIGN, ""),
        ("E06", "error, full batch minus 10, one rate", above(0, full - small), SIGN,
         "… and the full batch stops before it has learned enough: it is worse"),
        ("E06", "error, batch 100 minus 10, one rate, right labels (control)", above(0, clean), SIGN,
         "with right labels the larger batch is the worse one"),
        ("E06", "error of batch 10, its own rate minus the other", below(0, own[SMALL] - small), SIGN,
         "a lower rate stops the small batch from learning wrong labels"),
        ("E06", "error, batch 100 minus 10, own rates", equal_to(0, own[LARGE] - own[SMALL], CLOSE), FAR,
         f"… and then both are the same within {CLOSE:g} point"),
        ("E06", "error, full batch minus 10, own rates", equal_to(0, own[FULL] - own[SMALL], CLOSE), FAR,
         "… and so is the full batch"),
    )  # fmt: skip
    return [judge(claim, words, finding, change, says=says) for claim, words, finding, change, says in rows]


def random_verdicts(records) -> list[Verdict]:
    """E31: labels that say nothing are learnt by heart at any batch, and nothing else is learnt from them."""
    judge = partial(verdict, held="200 digits, labels that say nothing, MLP of width 128; 100 and 300 epochs")
    small, full = ({name: column(records, name, batch=b) for name in ("train", "error")} for b in (20, 200))
    missed, chance = "more than 1 % missed", "an error that is not chance"
    rows = (
        ("E31", "training error, batch 20", below(1, small["train"]), missed, "a small batch learns random labels"),
        ("E31", "training error, full batch", below(1, full["train"]), missed, "… and so does the full one"),
        ("E31", "held-out error, full batch (chance: 90 %)", equal_to(90, full["error"], 2), chance,
         "… which says nothing about other images"),
    )  # fmt: skip
    return [judge(claim, words, finding, change, says=says) for claim, words, finding, change, says in rows]
