"""Lesson 06: which batch learns wrong labels by heart."""

from functools import partial

from tutorlib.experiments import label_noise as lesson
from tutorlib.experiments.question_generalization import FULL, LARGE, SMALL
from tutorlib.records import Verdict
from tutorlib.verdicts.rules import above, below, equal_to, verdict

SIGN = "a difference of the other sign"
CLOSE = 2.0  # points: a sixth of the error that is left with wrong labels


def label_verdicts(records) -> list[Verdict]:
    """E06: who overfits wrong labels, at one rate and at rates of their own; right labels are the control."""
    judge = partial(verdict, held="digits, 500 of them with 30 % wrong labels, 30 epochs, MLP of width 64, momentum")
    found = partial(lesson.found, records)
    same = {b: found(30, b, lesson.SAME) for b in (SMALL, LARGE)}
    clean = found(0, LARGE, lesson.SAME) - found(0, SMALL, lesson.SAME)
    fitted = found(30, LARGE, lesson.SAME, "train") - found(30, SMALL, lesson.SAME, "train")
    own = {b: found(30, b, lesson.OWN[b]) for b in lesson.OWN}
    worse = same[LARGE] - same[SMALL]
    rows = (
        ("D2-09", "error, batch 100 minus 10, one rate", above(0, worse), SIGN, ""),
        ("D1-41", "error, batch 10 minus 100, one rate: the batch reduced", below(0, -worse), SIGN, ""),
        ("D2-02", "wrong labels missed in training, batch 100 minus 10, one rate", below(0, fitted), SIGN, ""),
        ("E06", "error, batch 100 minus 10, one rate, right labels (control)", above(0, clean), SIGN,
         "with right labels the larger batch is the one that is worse"),
        ("E06", "error of batch 10, rate of its own minus the other", below(0, own[SMALL] - same[SMALL]), SIGN,
         "a lower rate stops the small batch from learning wrong labels"),
        ("E06", "error, batch 100 minus 10, each at its own rate", equal_to(0, own[LARGE] - own[SMALL], CLOSE),
         f"a difference clearly beyond {CLOSE:g} points", f"… and then both are the same within {CLOSE:g} points"),
        ("E06", "error, full batch minus 10, each at its own rate", equal_to(0, own[FULL] - own[SMALL], CLOSE),
         f"a difference clearly beyond {CLOSE:g} points", "… and so is the full batch"),
    )  # fmt: skip
    return [judge(claim, words, finding, change, says=says) for claim, words, finding, change, says in rows]


def random_verdicts(records) -> list[Verdict]:
    """E31: labels that say nothing are learnt by heart at any batch, and nothing else is learnt from them."""
    judge = partial(verdict, held="200 digits with labels that say nothing, MLP of width 128; one rate a batch")
    small, full = ({n: lesson.column(records, n, batch=b) for n in ("train", "error")} for b in (20, 200))
    rows = (
        ("E31", "training error, batch 20, less 1", below(0, small["train"] - 1), "an error above 1 %",
         "random labels are learnt by heart at a small batch"),
        ("E31", "training error, full batch, less 1", below(0, full["train"] - 1), "an error above 1 %",
         "… and at the full one"),
        ("E31", "held-out error, full batch (chance: 90 %)", equal_to(90, full["error"], 1.5), "an error that is not chance",
         "… and then nothing is known about other images"),
        ("D2-17", "held-out error on random labels, full batch minus 20: more than 1.5 points",
         above(1.5, full["error"] - small["error"]), "a large batch that is worse there", ""),
    )  # fmt: skip
    return [judge(claim, words, finding, change, says=says) for claim, words, finding, change, says in rows]
