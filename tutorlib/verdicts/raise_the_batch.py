"""Lesson 07: raising the batch does what lowering the rate does, while there is room to raise it."""

from functools import partial

from tutorlib.experiments import raise_the_batch as lesson
from tutorlib.experiments.raise_the_batch import LARGE, SMALL
from tutorlib.records import Verdict
from tutorlib.verdicts.rules import above, equal_to, other_side, verdict

HALF = 0.5  # points of error
BEYOND = "a difference clearly beyond half a point"


def schedule_verdicts(records) -> list[Verdict]:
    """E20 and D1-25: two schedules on the same stream, against none, and a batch that is large from the start."""
    judge = partial(verdict, held="a teacher's classes of Gaussian inputs, 15,000 seen once, an MLP, plain SGD")
    found = partial(lesson.found, records)
    raised, lowered = found(SMALL, "raise"), found(SMALL, "lower")
    beyond = found(LARGE, "raise") - found(LARGE, "lower")
    early, late = above(HALF, found(LARGE, "lower") - lowered), raised - lowered
    words = "error, {} minus {}, batch 8 first"
    rows = (
        ("E20", words.format("rate left", "rate ÷ 5 twice"), above(HALF, found(SMALL, "left") - lowered),
         "a difference below half a point", "lowering the rate helps (control)", ""),
        ("E20", words.format("batch × 5 twice", "rate ÷ 5 twice"), equal_to(0, late, HALF), BEYOND,
         "raise the batch instead, and it is the same", ""),
        ("E20", "error, batch × 5 twice minus rate ÷ 5 twice, batch 200 first", above(HALF, beyond),
         "a difference below half a point", "… but not up to a batch of 5,000, a single update", ""),
        ("D1-25", words.format("batch × 25 for the last third", "batch 8 throughout"), equal_to(0, late, HALF), BEYOND,
         "late in training a very large batch costs nothing", "the rate would be lowered otherwise"),
        ("D1-25", "error, batch 200 throughout minus batch 8 throughout, rate ÷ 5 twice", early,
         f"a difference {other_side(early)} half a point", "… from the start it costs half a point", ""),
    )  # fmt: skip
    return [judge(claim, measured, finding, change, says=says, condition=condition)
            for claim, measured, finding, change, says, condition in rows]  # fmt: skip
