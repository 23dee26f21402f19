"""Lesson 07: what the noisy quadratic model says, all of it under its own assumptions."""

from functools import partial

import numpy as np

from tutorlib.experiments import noisy_quadratic as lesson
from tutorlib.records import Verdict
from tutorlib.results import Results, column, paired
from tutorlib.theory.statistics import geometric_interval
from tutorlib.verdicts.rules import above, below, same_ratio, verdict

MODEL = (
    "closed form; noisy quadratics with power-law curvature, one rate a run, the best at every batch; the interval is "
    "the spread over a family of problems made up here"
)
ALGEBRA = MODEL + "; that known curvature makes all directions equally steep is algebra, only by how much is computed"
EXACT = "the curvature is known, exactly and from the first step"
SMALLEST, LARGEST = lesson.BATCHES[0], lesson.BATCHES[-1]
judge = partial(verdict, held=MODEL)
more, less = partial(above, interval=geometric_interval), partial(below, interval=geometric_interval)


def method_verdicts(law: Results) -> list[Verdict]:
    """E16: where momentum, averaging and curvature move the bend, and where they do nothing.

    What is made of Newton's steps, that are one without noise by construction, says so.
    """
    bend = {name: lesson.critical(law, name) for name in ("SGD", "momentum", "half power", "Newton")}

    def gain(name: str, batch: int) -> np.ndarray:
        return lesson.steps(law, "SGD", batch) / lesson.steps(law, name, batch)

    def row(says: str, name: str, batch: int, finding, would_change: str) -> Verdict:
        return judge("E16", f"steps of SGD ÷ steps with {name}, batch {batch:,}", finding, would_change, says=says)

    left = [lesson.steps(law, name, LARGEST) / lesson.steps(law, name, lesson.NO_NOISE) for name in lesson.METHODS]
    return [
        row("momentum does nothing at a small batch", "momentum", SMALLEST,
            same_ratio(gain("momentum", SMALLEST), within=1.1), "a ratio clearly above 1.1"),
        row("… and helps at a large one", "momentum", LARGEST, more(1.25, gain("momentum", LARGEST)),
            "a ratio below 1.25"),
        judge("E16", "B_crit with momentum ÷ of SGD", more(1.25, bend["momentum"] / bend["SGD"]), "a ratio below 1.25",
              says="… and moves the bend, though it sees slopes only"),
        row("averaging helps at a small batch", "averaging", SMALLEST, more(1.25, gain("averaging", SMALLEST)),
            "a ratio below 1.25"),
        row("… and does nothing at a large one", "averaging", LARGEST, less(1.1, gain("averaging", LARGEST)),
            "a ratio above 1.1"),
        judge("D1-28", "B_crit of Newton's steps ÷ with momentum, which sees slopes only",
              more(1.25, bend["Newton"] / bend["momentum"]), "a ratio below 1.25: slopes go as far",
              held=ALGEBRA, condition="the problem is ill-conditioned"),
        judge("D1-29", "B_crit of Newton's steps ÷ of SGD", more(1.25, bend["Newton"] / bend["SGD"]),
              "a ratio below 1.25", held=ALGEBRA, condition=EXACT),
        judge("E16", "gain of Newton's steps over SGD at the largest ÷ at the smallest batch",
              more(1.25, gain("Newton", LARGEST) / gain("Newton", SMALLEST)), "a ratio below 1.25",
              held=ALGEBRA, says="knowing the curvature is worth more at a large batch than at a small one"),
        judge("E16", "B_crit with H^−½ for preconditioner ÷ of SGD", more(1.25, bend["half power"] / bend["SGD"]),
              "a ratio below 1.25", says="a fixed H^−½ moves the bend",
              held=MODEL + "; known from the first step: not Adam, whose √v is like it where v sees noise alone"),
        judge("E16", f"steps at batch {LARGEST:,} ÷ without noise, the largest of five methods",
              less(1.25, np.max(left, axis=0)), "a ratio above 1.25",
              says="every method stalls beyond its own bend, Newton's too"),
    ]  # fmt: skip


def rate_rule_verdicts(law: Results, rules: Results) -> list[Verdict]:
    """D1-27: a rate carried from batch 4 to batch 4,096, raised or left; and the one that was tuned there."""
    law, rules = paired(law, rules)
    small, large = lesson.SMALL, lesson.LARGE
    speed = {
        (r, b): column(rules, "speed", rule=r, batch=b) for r, b in (("raised", 16), ("left", large), ("left", small))
    }
    over, raised = column(rules, "over_stable", rule="raised", batch=large), speed["raised", 16] / speed["left", small]
    condition = f"the rate is not tuned anew: it is that of batch {small}, "
    return [
        judge("D1-27", f"rate of batch {small} × {large // small:,} ÷ the largest stable rate", more(1, over),
              "a ratio below 1", says="raise the rate and it diverges", condition=condition + "raised in proportion"),
        judge("D1-27", f"steps at batch {large:,} ÷ at batch {small}, the same rate",
              more(0.5, speed["left", small] / speed["left", large]), "a ratio below 0.5",
              says="leave the rate and it is stuck", condition=condition + "left as it is"),
        judge("E17", f"steps with the rate left ÷ with its own rate, batch {large:,}",
              more(2, 1 / speed["left", large] / lesson.steps(law, "SGD", large)), "a ratio below 2",
              says="between the two there is a rate that does neither"),
        judge("E17", f"steps at batch {small} ÷ at batch 16 with the rate raised in proportion",
              same_ratio(raised, target=4, within=1.25), "a ratio clearly outside 3.2 … 5",
              says="far below the bend, raising the rate in proportion is right"),
    ]  # fmt: skip


def terrain_verdicts(one_curvature: Results) -> list[Verdict]:
    """D1-28: many directions without ill-conditioning."""
    many = max(point["directions"] for point in lesson.ONE_CURVATURE.points)
    ratio = column(one_curvature, "one_curvature", directions=many) / column(
        one_curvature, "power_law", directions=many
    )
    words = f"steps without noise, {many:,} directions of one curvature ÷ of a power law"
    return [
        judge("D1-28", words, more(0.5, ratio), "a ratio above 0.5: directions alone make it slow",
              held="algebra: along one curvature a single step of rate 1 ends at the minimum",
              says="smooth, high-dimensional terrain makes a large batch slow"),
    ]  # fmt: skip


def simulation_verdicts(simulated: Results) -> list[Verdict]:
    """E16: the closed form against runs with random numbers."""
    return [
        judge("E16", f"mean loss of runs ÷ the closed form's, at its last step, {name}",
              same_ratio(column(simulated, "over_target", method=name), within=1.1), "a ratio outside 0.91 … 1.1",
              says=f"runs with random numbers do what the closed form says: {name}")
        for name in lesson.METHODS
    ]  # fmt: skip


VERDICTS = (
    ((lesson.LAW,), method_verdicts),
    ((lesson.LAW, lesson.RATE_RULES), rate_rule_verdicts),
    ((lesson.ONE_CURVATURE,), terrain_verdicts),
    ((lesson.SIMULATED,), simulation_verdicts),
)
