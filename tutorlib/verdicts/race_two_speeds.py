"""Lesson 05: all its verdicts, and what its noise and warm-up records say."""

from functools import partial

import numpy as np

from tutorlib.experiments import race_two_speeds as lesson
from tutorlib.experiments import two_speeds_columns as columns
from tutorlib.records import Verdict
from tutorlib.results import Results, column, paired
from tutorlib.theory.statistics import geometric_interval
from tutorlib.verdicts.rules import above, below, same_ratio, verdict
from tutorlib.verdicts.seconds_against_batch import clock_verdicts, race_verdicts
from tutorlib.verdicts.steps_against_batch import RUN, price_verdicts, rate_verdicts, step_verdicts


def noise_verdicts(sgd: Results, adam: Results, noise: Results, branches: Results) -> list[Verdict]:
    """E15: does the noise scale along the run say where the bend is, for SGD and for Adam? And do branches?"""
    judge = partial(verdict, held=RUN + "; noise measured at batch 8; β of Adam fixed, SGD without momentum")
    rows = []
    for name, runs, says in (("SGD", sgd, "the noise scale says where the bend is: SGD"), ("Adam", adam, "… and Adam")):
        runs, along = paired(runs, noise)
        ratio = same_ratio(column(along, "predicted", optimizer=name) / columns.bends(runs, name), within=2)
        words = f"B_crit predicted by the noise scale along the run ÷ fitted to the steps, {name}"
        rows.append(judge("E15", words, ratio, "a ratio clearly outside 0.5 … 2", says=says))
    judge = partial(verdict, held="one checkpoint, rates tuned for whole runs at each batch; Adam's means start anew")
    for name, factor, says in (
        ("SGD", 8, "branched training: from here SGD can take 8 times the batch"),
        ("SGD", 64, "… and 64 times"),
        ("Adam", 8, "Adam can take 8 times the batch"),
        ("Adam", 64, "… and 64 times"),
    ):
        one, many = (column(branches, "loss", optimizer=name, factor=k) for k in (1, factor))
        words = f"from step 100, loss at batch {8 * factor} ÷ at batch 8 after the same examples, {name}"
        finding = below(1.2, many / one, geometric_interval)
        rows.append(judge("E15", words, finding, "a ratio clearly on the other side of 1.2", says=says))
    return rows


def warm_up_verdicts(warm_up: Results) -> list[Verdict]:
    """E19: what a gentle start saves, and what it does not."""
    judge = partial(verdict, held="one deep net without normalization, Adam, one batch, 40 steps of which 12 warm up")
    loss = {
        kind: {rate: column(warm_up, "loss", rate=rate, warm_up=kind) for rate in lesson.WARM_UP_RATES}
        for kind in ("none", "gradual", "constant")
    }
    steep = {kind: losses[lesson.WARM_UP_RATES[-1]] for kind, losses in loss.items()}
    tuned = {kind: columns.best_of_others(np.transpose(list(losses.values()))) for kind, losses in loss.items()}
    clearly = partial(above, 1.25, interval=geometric_interval)
    return [
        judge(
            "E19",
            "loss without warm-up ÷ with gradual warm-up, rate 0.08",
            clearly(steep["none"] / steep["gradual"]),
            "a ratio below 1.25",
            says="a gradual warm-up saves a rate that is too high",
        ),
        judge(
            "E19",
            "loss with constant ÷ with gradual warm-up, rate 0.08",
            clearly(steep["constant"] / steep["gradual"]),
            "a ratio below 1.25",
            says="climbing does better than waiting at an eighth of the rate and jumping",
        ),
        judge(
            "E19",
            "loss without warm-up ÷ with gradual warm-up, each at its own best rate",
            above(1, tuned["none"] / tuned["gradual"], geometric_interval),
            "a ratio clearly above 1",
            says="warm-up helps where each start has the rate that suits it, too",
        ),
    ]


VERDICTS = (
    ((lesson.SGD,), step_verdicts),
    ((lesson.SGD, lesson.CLIFF), price_verdicts),
    ((lesson.SGD, lesson.ADAM, lesson.NOISE_ALONG, lesson.BRANCHES), noise_verdicts),
    ((lesson.SGD, lesson.ADAM, lesson.CLIFF), rate_verdicts),
    ((lesson.WARM_UP,), warm_up_verdicts),
    ((lesson.CLOCK,), clock_verdicts),
    ((lesson.SGD, lesson.CLOCK), race_verdicts),
)

RECORDED = (lesson.CURVES, lesson.CLOCK)
