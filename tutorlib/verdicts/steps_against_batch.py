"""Lesson 05, steps: how many a batch needs, and at which rate."""

from functools import partial

import numpy as np

from tutorlib.experiments import race_two_speeds as lesson
from tutorlib.experiments import two_speeds_columns as columns
from tutorlib.records import Verdict
from tutorlib.results import Results, column
from tutorlib.theory.statistics import geometric_interval, slopes
from tutorlib.verdicts.rules import above, below, equal_to, same_ratio, verdict

RUN = "one data set, one architecture, one target, rates tuned at every batch"


def step_verdicts(sgd: Results) -> list[Verdict]:
    """D1-04, and the three regimes of E14."""
    judge = partial(verdict, held=RUN + ", plain SGD")
    steps = columns.per_batch(sgd, "SGD")
    critical = [fitted.critical for fitted in columns.trade_offs(sgd, "SGD")]
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
            says="the bend is between 16 and 64 in this run",
        ),
    ]


def price_verdicts(sgd: Results) -> list[Verdict]:
    """D0-26, D1-26, D1-27: what a batch beyond the bend costs, and what its rate can do about it."""
    judge = partial(verdict, held=RUN + ", plain SGD")
    steps = columns.per_batch(sgd, "SGD")
    wasted = steps[512] * 512 / (steps[8] * 8)
    low, *_, high = lesson.rates("SGD", 512)

    def arrive(rate: float):
        return column(sgd, "reached", batch=512, rate=rate)

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
            "examples to the target at batch 512 ÷ at 8",
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
            f"share of runs at batch 512 that arrive at rate {high:g}, 2.8 times the middle of the grid",
            below(0.5, arrive(high)),
            "half of them arriving",
            says="raise the rate too far and training fails",
            condition="the rate passes the largest stable one; that is set by curvature, not by the batch",
        ),
        judge(
            "D1-27",
            f"share of runs at batch 512 that arrive at rate {low:g} within 1.5 times the best steps",
            below(0.5, arrive(low)),
            "half of them arriving",
            says="leave the rate low and training is slow (it still arrives, later)",
        ),
    ]


def rate_verdicts(sgd: Results, adam: Results) -> list[Verdict]:
    """D2-23, E17 and D3-06: how the best rate grows with the batch, and whether one table does for all."""
    judge = partial(verdict, held=RUN)
    slope = {name: columns.rate_slopes(runs, name, up_to=16) for name, runs in (("SGD", sgd), ("Adam", adam))}
    critical = {
        name: np.array([fitted.critical for fitted in columns.trade_offs(runs, name)])
        for name, runs in (("SGD", sgd), ("Adam", adam))
    }
    high = lesson.rates("SGD", 512)[-1]
    measured = "slope of log best rate against log batch, "
    return [
        judge(
            "D2-23",
            measured + "1 to 16, SGD",
            equal_to(1, slope["SGD"], 0.25),
            "a slope clearly outside 1 ± 0.25",
            condition="plain SGD, below B_crit",
        ),
        judge(
            "D2-23",
            f"share of runs at batch 512 that arrive at rate {high:g} (linear from batch 64: 7.6)",
            above(0.5, column(sgd, "reached", batch=512, rate=high)),
            "half of them arriving",
            says="… beyond the bend too",
        ),
        judge(
            "D2-23",
            measured + "1 to 16, Adam",
            equal_to(1, slope["Adam"], 0.25),
            "a slope inside 1 ± 0.25",
            says="… with Adam too",
        ),
        judge(
            "E17",
            "slope of SGD minus slope of Adam, 1 to 16",
            above(0, slope["SGD"] - slope["Adam"]),
            "a difference of 0 or less",
            says="Adam's best rate grows more slowly than SGD's",
        ),
        judge(
            "D3-06",
            "B_crit with Adam ÷ with SGD, same model, data and target",
            same_ratio(critical["Adam"] / critical["SGD"], within=1.5),
            "a ratio inside 0.67 … 1.5: then one table would do for both",
            says="batch 16 to 64 is the middle ground, whatever the run",
        ),
    ]
