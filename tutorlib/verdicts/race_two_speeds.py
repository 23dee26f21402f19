"""Lesson 05: all its verdicts, and what its noise and warm-up records say."""

from functools import partial

from tutorlib.experiments import race_two_speeds as lesson
from tutorlib.experiments import two_speeds_columns as columns
from tutorlib.records import Verdict
from tutorlib.results import Results, column
from tutorlib.theory.statistics import geometric_interval
from tutorlib.verdicts.rules import above, below, same_ratio, verdict
from tutorlib.verdicts.seconds_against_batch import clock_verdicts, race_verdicts
from tutorlib.verdicts.steps_against_batch import RUN, price_verdicts, rate_verdicts, step_verdicts


def noise_verdicts(sgd: Results, adam: Results, noise: Results, branches: Results) -> list[Verdict]:
    """E15: does the noise scale along the run say where the bend is, for SGD and for Adam?"""
    judge = partial(verdict, held=RUN + "; noise measured at batch 8")
    ratio = {
        name: column(noise, "predicted", optimizer=name)
        / [fitted.critical for fitted in columns.trade_offs(runs, name)]
        for name, runs in (("SGD", sgd), ("Adam", adam))
    }

    def branch(optimizer: str, factor: int):
        losses = column(branches, "losses", optimizer=optimizer, checkpoint=100)
        return losses[:, lesson.FACTORS.index(factor)] / losses[:, 0]

    return [
        judge(
            "E15",
            f"B_crit predicted by the noise scale along the run ÷ fitted B_crit, {name}",
            same_ratio(values, within=1.5),
            "a ratio clearly outside 0.67 … 1.5",
            says=says,
        )
        for (name, values), says in zip(
            ratio.items(), ("the noise scale says where the bend is: SGD", "… and Adam"), strict=True
        )
    ] + [
        judge(
            "E15",
            f"from step 100, loss at batch 64 ÷ at batch 8 after the same examples, {name}",
            below(1.1, branch(name, 8), geometric_interval),
            "a ratio clearly above 1.1",
            says=f"branched training: from here {name} can take 8 times the batch",
        )
        for name in ("SGD", "Adam")
    ]


def warm_up_verdicts(warm_up: Results) -> list[Verdict]:
    """E19: what a gentle start saves, and what it does not."""
    judge = partial(verdict, held="one deep net without normalization, Adam, one batch, 40 steps")

    def loss(rate: float, kind: str):
        return column(warm_up, "loss", rate=rate, warm_up=kind)

    return [
        judge(
            "E19",
            "loss without warm-up ÷ with gradual warm-up, rate 0.08",
            above(1.25, loss(0.08, "none") / loss(0.08, "gradual"), geometric_interval),
            "a ratio below 1.25",
            says="a gradual warm-up saves a rate that is too high",
        ),
        judge(
            "E19",
            "loss with constant ÷ with gradual warm-up, rate 0.08",
            above(1.25, loss(0.08, "constant") / loss(0.08, "gradual"), geometric_interval),
            "a ratio below 1.25",
            says="gradual is better than a low constant rate and a jump",
        ),
        judge(
            "E19",
            "loss without warm-up ÷ with gradual warm-up, rate 0.01",
            above(1, loss(0.01, "none") / loss(0.01, "gradual"), geometric_interval),
            "a ratio clearly above 1",
            says="warm-up helps at the rate that is best without it, too",
        ),
    ]


VERDICTS = (
    ((lesson.SGD,), step_verdicts),
    ((lesson.SGD,), price_verdicts),
    ((lesson.SGD, lesson.ADAM, lesson.NOISE_ALONG, lesson.BRANCHES), noise_verdicts),
    ((lesson.SGD, lesson.ADAM), rate_verdicts),
    ((lesson.WARM_UP,), warm_up_verdicts),
    ((lesson.CLOCK,), clock_verdicts),
    ((lesson.SGD, lesson.CLOCK), race_verdicts),
)

RECORDED = (lesson.CURVES, lesson.CLOCK)
