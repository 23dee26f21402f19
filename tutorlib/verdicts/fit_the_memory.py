"""Lesson 04: what kept bytes, predicted and measured peaks, and tries in a budget say about the claims."""

from functools import partial

import numpy as np

from tutorlib.experiments import documents_table as table
from tutorlib.experiments import fit_the_memory as lesson
from tutorlib.records import Verdict
from tutorlib.results import Results
from tutorlib.theory.statistics import Estimate
from tutorlib.verdicts.documents_table import activation_verdicts, plan_verdicts, static_verdicts
from tutorlib.verdicts.rules import Finding, at_most, counted, verdict

KINDS = ("math attention", "fused attention", "checkpointing")


def near(target: float, values, share: float = table.NEAR) -> Finding:
    """For numbers that every run counts the same: *holds* if each is within a ``share`` of ``target``.

    The value farthest off, the least and the most.
    """
    values = np.array([float(f"{value:.4g}") for value in np.ravel(values)])
    farthest = values[np.abs(np.log(values / target)).argmax()]
    word = "holds" if (np.abs(values / target - 1) <= share).all() else "does not hold"
    return Finding(Estimate(farthest, values.min(), values.max()), word)
