"""Lesson 06: a net where noise is the cause of generalization, with the controls that say so."""

from functools import partial

import numpy as np

from tutorlib.experiments import diagonal_net as lesson
from tutorlib.records import Verdict
from tutorlib.theory.statistics import geometric_interval
from tutorlib.verdicts.rules import at_most, below, same_ratio, verdict

SAME, LESS = 1.25, 0.8


def noise_verdicts(records) -> list[Verdict]:
    """E07 and E08: the same data and fit, with and without noise."""
    judge = partial(
        verdict, held="a diagonal linear net of 100 coordinates, not a deep one; 40 examples, no label noise"
    )
    arm, full = partial(lesson.arm, records), partial(lesson.arm, records, "draws", lesson.EXAMPLES)
    small = {rate: arm("draws", 1, rate) for rate in (lesson.LONG, lesson.MIDDLE, lesson.SHORT)}
    four, gaussian = arm("draws", 4, lesson.LONG), arm("gaussian", 1, lesson.MIDDLE)
    best = np.min(
        [full(rate) for rate in small], axis=0
    )  # the most a full batch can be given: the best rate of each seed
    fit = [arm(*each, "loss").max() for each in lesson.ARMS]
    clearly = partial(below, LESS, interval=geometric_interval)
    far, less, same = "squared distance to the truth, ", f"a ratio above {LESS:g}", f"a ratio clearly beyond {SAME:g}"
    rows = (
        ("D2-05", far + "batch 1 ÷ full batch, rate 0.04", clearly(small[lesson.LONG] / full(lesson.LONG)), less, "",
         "the net is of a kind where noise is known to help, and the rate is high"),
        ("E07", far + "batch 1 at rate 0.04 ÷ the best of three full-batch rates", clearly(small[lesson.LONG] / best), less,
         "noise helps, whatever rate the full batch takes", ""),
        ("E07", "training loss, the largest of all arms and seeds", at_most(1e-3, fit), "an arm that does not fit",
         "… and every arm fits its examples", ""),
        ("E07", far + "batch 1 ÷ full batch, rate 0.005 (control)",
         same_ratio(small[lesson.SHORT] / full(lesson.SHORT), within=SAME), same, "at an eighth of the rate there is nothing left", ""),
        ("E07", far + "full batch, rate 0.04 ÷ 0.005 (control)", same_ratio(full(lesson.LONG) / full(lesson.SHORT), within=SAME),
         same, "a high rate without noise does nothing", ""),
        ("E07", far + "batch 1 ÷ batch 4, rate 0.04", clearly(small[lesson.LONG] / four), less, "less noise helps less", ""),
        ("E08", far + "full batch with random weights ÷ without, rate 0.02", clearly(gaussian / full(lesson.MIDDLE)), less,
         "noise helps without a small batch, too", ""),
        ("E08", far + "full batch with random weights ÷ batch 1, rate 0.02",
         same_ratio(gaussian / small[lesson.MIDDLE], within=SAME), same, "… and as much", ""),
    )  # fmt: skip
    return [
        judge(claim, words, finding, change, says=says, condition=condition)
        for claim, words, finding, change, says, condition in rows
    ]
