"""Lesson 06: a net where noise is the cause of generalization, with the controls that say so."""

from functools import partial

import numpy as np

from tutorlib.experiments import diagonal_net as lesson
from tutorlib.experiments.diagonal_net import ARMS, EXAMPLES, LONG, MIDDLE, SHORT
from tutorlib.records import Verdict
from tutorlib.theory.statistics import geometric_interval
from tutorlib.verdicts.rules import at_most, below, same_ratio, verdict

SAME, CLOSE, LESS = 1.25, 1.1, 0.8


# Rows of the table that fold up while they say this word: twins and controls, which the text agrees with.
FOLDED = {("E07", "holds", says) for says in ("… and everyone fits the examples", "less noise helps less")}


def noise_verdicts(records) -> list[Verdict]:
    """E07 and E08: the same data and fit, with and without noise, and noise without a small batch."""
    judge = partial(verdict, held="a diagonal linear net of 100 coordinates, not a deep one; 40 examples, right labels")
    arm = partial(lesson.arm, records)
    full = {rate: arm("none", EXAMPLES, rate) for rate in (LONG, MIDDLE, SHORT)}
    small = {rate: arm("minibatch", 1, rate) for rate in full}
    four, gaussian = arm("minibatch", 4, LONG), arm("gaussian", 1, MIDDLE)
    best = np.min(list(full.values()), axis=0)  # hindsight, in favour of the full batch
    fit = [arm(*each, "loss").max() for each in ARMS]
    clearly, alike = partial(below, LESS, interval=geometric_interval), partial(same_ratio, within=SAME)
    close = same_ratio(gaussian / small[MIDDLE], within=CLOSE)
    far, less, same = "distance² to the truth, ", f"a ratio above {LESS:g}", f"a ratio clearly beyond {SAME:g}"
    known = "the net is of a kind that noise is known to help, and the rate is high"
    rows = (
        ("D2-05", far + "batch 1 ÷ full batch, rate 0.04", clearly(small[LONG] / full[LONG]), less, "", known),
        ("E07", far + "batch 1 at rate 0.04 ÷ full batch at the best of three rates", clearly(small[LONG] / best), less,
         "noise helps, whatever rate the full batch takes"),
        ("E07", "training loss, the largest of all arms and seeds", at_most(1e-3, fit), "an arm that does not fit",
         "… and everyone fits the examples"),
        ("E07", far + "batch 1 ÷ full batch, rate 0.005 (control)", alike(small[SHORT] / full[SHORT]), same,
         "at an eighth of the rate little of it is left"),
        ("E07", far + "full batch, rate 0.04 ÷ 0.005 (control)", alike(full[LONG] / full[SHORT]), same,
         "a high rate without noise does nothing"),
        ("E07", far + "batch 1 ÷ batch 4, rate 0.04", clearly(small[LONG] / four), less, "less noise helps less"),
        ("E08", far + "full batch with random weights ÷ without, rate 0.02", clearly(gaussian / full[MIDDLE]), less,
         "noise helps without a small batch, too"),
        ("E08", far + "full batch with random weights ÷ batch 1, rate 0.02", close,
         f"a ratio clearly beyond {CLOSE:g}", "… and as much, within a tenth"),
    )  # fmt: skip
    return [
        judge(claim, words, finding, change, says=says, condition="".join(condition))
        for claim, words, finding, change, says, *condition in rows
    ]
