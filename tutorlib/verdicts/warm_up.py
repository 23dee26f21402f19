"""Lesson 07: what a warm-up is good for, and what it is not."""

from functools import partial

from tutorlib.experiments import warm_up as lesson
from tutorlib.experiments.warm_up import DEEP, HIGH, HIGHEST, SCALED, SHALLOW
from tutorlib.records import Verdict
from tutorlib.theory.statistics import geometric_interval
from tutorlib.verdicts.rules import above, below, verdict

FIFTH = 0.8


def warm_up_verdicts(records) -> list[Verdict]:
    """E19: no warm-up, a gradual and a constant one, at the scaled rate and far above it; control: a shallow net."""
    judge = partial(
        verdict, held="digits, batch 128, 60 steps with a warm-up of 15; a deep MLP with LayerNorm, momentum"
    )
    found = partial(lesson.loss, records)
    less = partial(below, interval=geometric_interval)

    def ratio(rate, against="none", depth=DEEP):
        return found("gradual", rate, depth) / found(against, rate, depth)

    failed = found("none", HIGHEST, name="failed") - found("gradual", HIGHEST, name="failed")
    words, higher = "final loss, gradual warm-up ÷ {}, {}", "a ratio above 1"
    high, highest = (
        "eight times the scaled rate",
        "runs that learn next to nothing, none minus gradual, sixteen times it",
    )
    rows = (
        (words.format("none", "the scaled rate"), less(FIFTH, ratio(SCALED)), f"a ratio below {FIFTH}",
         "at a rate raised in proportion to the batch, a warm-up lowers the loss by a fifth"),
        (words.format("none", high), less(1, ratio(HIGH)), higher, "at a rate far above it, a warm-up lowers the loss"),
        (highest, above(0, failed), "no difference", "… and saves runs"),
        (words.format("constant", high), less(1, ratio(HIGH, "constant")), higher, "… if it is gradual"),
        (words.format("none", high + ", one hidden layer"), less(FIFTH, ratio(HIGH, depth=SHALLOW)),
         f"a ratio below {FIFTH}", "a shallow net gains a fifth there, too (control)"),
    )  # fmt: skip
    return [judge("E19", measured, finding, change, says=says) for measured, finding, change, says in rows]
