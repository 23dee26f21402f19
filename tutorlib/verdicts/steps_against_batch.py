"""Lesson 05, steps: how many a batch needs, and at which rate."""

from functools import partial

import numpy as np

from tutorlib.experiments import race_two_speeds as lesson
from tutorlib.experiments import two_speeds_columns as columns
from tutorlib.records import Verdict
from tutorlib.results import Results, column, paired
from tutorlib.theory.statistics import geometric_interval, slopes
from tutorlib.verdicts.rules import above, below, equal_to, same_ratio, verdict

RUN = "one data set, one set of held-out digits, one architecture, one target; rates tuned at every batch"


def step_verdicts(sgd: Results) -> list[Verdict]:
    """D1-04, and the three regimes of E14."""
    judge = partial(verdict, held=RUN + ", plain SGD")
    steps = columns.per_batch(sgd, "SGD")
    critical = columns.bends(sgd, "SGD")
    small, large = [b for b in lesson.BATCHES if b <= 8], [b for b in lesson.BATCHES if b >= 128]

    def slope(batches):
        return slopes(np.log(batches), np.log(np.transpose([steps[b] for b in batches])))

    return [
        judge(
            "D1-04",
            "steps at batch 64 ÷ steps at 512 (in proportion: 8)",
            below(4, steps[64] / steps[512], geometric_interval),
            "a ratio above 4",
            condition="the batch is past the bend; far below it, doubling does halve the steps",
        ),
        judge(
            "E14",
            "slope of log steps against log batch, 1 to 8",
            equal_to(-1, slope(small), 0.2),
            "a slope clearly outside −1 ± 0.2",
            says="small batches: steps in proportion (perfect scaling)",
        ),
        judge(
            "E14",
            "the same slope, 128 to 512",
            equal_to(0, slope(large), 0.25),
            "a slope clearly below −0.25",
            says="large batches: more parallel work buys almost nothing",
        ),
        judge(
            "E14",
            "B_crit of the fit S = S_min (1 + B_crit/B)",
            same_ratio(critical, target=32, within=2),
            "a B_crit clearly outside 16 … 64",
            says="the bend is between 16 and 64 in this run (a range named after a search)",
        ),
    ]


def price_verdicts(sgd: Results, cliff: Results) -> list[Verdict]:
    """D0-26, D1-26, D1-27: what a batch beyond the bend costs, and what its rate can do about it."""
    judge = partial(verdict, held=RUN + ", plain SGD")
    steps = columns.per_batch(sgd, "SGD")
    wasted = steps[512] * 512 / (steps[8] * 8)
    loss = {rate: column(cliff, "after", rate=rate) / column(cliff, "before", rate=rate) for rate in (3.0, 7.6)}
    low, right = column(cliff, "arrived", rate=0.38), column(cliff, "arrived", rate=1.05)
    late = np.where(low, low, cliff.experiment.held["steps"]) / np.where(right, right, np.nan)  # never: a bound
    return [
        judge(
            "D0-26",
            "examples to the target at batch 512 ÷ at 8",
            above(2, wasted, geometric_interval),
            "a ratio below 2: then large would cost nothing",
            condition="“too large” is measured from B_crit of your own run, and examples are what you pay for",
        ),
        judge(
            "D1-26",
            "examples to the target at batch 512 ÷ at 8 (the number above)",
            above(1, wasted, geometric_interval),
            "a ratio of 1 or less",
            condition="progress is counted per example",
        ),
        judge(
            "D1-26",
            "steps to the target at batch 512 ÷ at 8",
            above(1, steps[512] / steps[8], geometric_interval),
            "a ratio above 1",
            says="… and counted per step",
        ),
        judge(
            "D1-27",
            "loss after 180 steps ÷ before, batch 512, rate 7.6 (linear from batch 64)",
            above(1, loss[7.6], geometric_interval),
            "a loss that falls",
            says="raise the rate with the batch and it diverges",
            condition="it is raised past the largest rate that works, which no longer grows with the batch here",
        ),
        judge(
            "D1-27",
            "steps to the target at batch 512, rate 0.38 (batch 8's) ÷ rate 1.05",
            above(1.5, late, geometric_interval),
            "a ratio below 1.5",
            says="leave it and it is stuck",
            condition="stuck means slow: every run arrived, later",
        ),
    ]


def rate_verdicts(sgd: Results, adam: Results, cliff: Results) -> list[Verdict]:
    """D2-23, E17 and D3-06: how the best rate grows with the batch, and whether one table does for all."""
    judge = partial(verdict, held=RUN + "; β of Adam fixed, SGD without momentum")
    sgd, adam = paired(sgd, adam)
    exponent = {name: columns.rate_exponents(runs, name, 16) for name, runs in (("SGD", sgd), ("Adam", adam))}
    beyond = column(cliff, "after", rate=7.6) / column(cliff, "before", rate=7.6)
    adams_bend = columns.bends(adam, "Adam")
    measured = "exponent a of best rate ∝ Bᵃ, batch 1 to 16 (linear: 1, square root: ½), "
    return [
        judge(
            "D2-23",
            measured + "SGD",
            equal_to(1, exponent["SGD"], 0.25),
            "an exponent clearly outside 1 ± 0.25",
            condition="plain SGD, below the bend, and nearly linear will do: the exponent is within 0.25 of 1",
        ),
        judge(
            "D2-23",
            "loss after 180 steps ÷ before, batch 512, rate 7.6 (linear from batch 64)",
            below(1, beyond, geometric_interval),
            "a loss that falls",
            says="… beyond the bend too",
        ),
        judge(
            "D2-23",
            measured + "Adam",
            equal_to(1, exponent["Adam"], 0.25),
            "an exponent inside 1 ± 0.25",
            says="… with Adam too",
        ),
        judge(
            "E17",
            "SGD's exponent − Adam's",
            above(0, exponent["SGD"] - exponent["Adam"]),
            "a difference of 0 or less",
            says="Adam's best rate grows more slowly than SGD's",
        ),
        judge(
            "D3-06",
            "B_crit with Adam",
            same_ratio(adams_bend, target=32, within=2),
            "a B_crit inside 16 … 64: then the table would do for both",
            says="batch 16 to 64 is the middle ground, whatever the run",
        ),
    ]
