"""Lesson 07: what a warm-up is good for, and what it is not."""

from functools import partial

from tutorlib.experiments import warm_up as lesson
from tutorlib.experiments.warm_up import DEEP, HIGH, SCALED, SHALLOW
from tutorlib.records import Verdict
from tutorlib.theory.statistics import geometric_interval
from tutorlib.verdicts.rules import above, below, same_ratio, verdict

SLACK = 1.1  # a final loss a tenth higher or lower is no matter
SAME = 1.25


def warm_up_verdicts(records) -> list[Verdict]:
    """E19: no warm-up, a gradual and a constant one, at the scaled rate and far above it; control: a shallow net."""
    judge = partial(
        verdict, held="digits, batch 128, 60 steps with a warm-up of 15; a deep MLP with LayerNorm, momentum"
    )
    found = partial(lesson.loss, records)
    less = partial(below, 1 / SLACK, interval=geometric_interval)

    def ratio(rate, against="none", depth=DEEP):
        return found("gradual", rate, depth) / found(against, rate, depth)

    failed = found("none", HIGH, name="failed") - found("gradual", HIGH, name="failed")
    words, higher = "final loss, gradual warm-up ÷ {}, {}", f"a ratio above 1/{SLACK}"
    scaled, high = "the scaled rate", "eight times the scaled rate"
    rows = (
        (words.format("none", scaled), less(ratio(SCALED)), f"a ratio below 1/{SLACK}",
         "a rate raised in proportion to the batch needs a warm-up"),
        (words.format("none", high), less(ratio(HIGH)), higher, "a rate far above it does"),
        (f"runs that learn next to nothing, none minus gradual, {high}", above(0, failed), "no difference",
         "… or runs fail"),
        (words.format("constant", high), less(ratio(HIGH, "constant")), higher, "the warm-up has to be gradual"),
        (words.format("none", high + ", one hidden layer (control)"),
         same_ratio(ratio(HIGH, depth=SHALLOW), within=SAME), f"a ratio clearly beyond {SAME}", "a shallow net does not care"),
    )  # fmt: skip
    return [judge("E19", measured, finding, change, says=says) for measured, finding, change, says in rows]
