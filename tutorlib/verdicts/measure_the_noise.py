"""Lesson 01: what the records of its experiments say about the claims."""

from functools import partial

import numpy as np

from tutorlib.experiments import measure_the_noise as lesson
from tutorlib.records import Verdict
from tutorlib.results import column
from tutorlib.theory.noise import finite_population_factor
from tutorlib.theory.statistics import geometric_interval
from tutorlib.verdicts.rules import above, at_most, below, equal_to, same_quotient, same_ratio, verdict

OUTSIDE = "a ratio clearly outside 0.8 … 1.25"


def variance_verdicts(records) -> list[Verdict]:
    """D0-06, D1-06, D1-09, D3-03, D3-04, and the two laws of E01."""
    judge = partial(verdict, held="a theorem at any weights; measured on one architecture, at initialization")
    cosine = {b: column(records, "cosine", batch=b, replacement=True) for b in (1, 3, 512)}
    slope, without = lesson.log_slopes(records), {"batch": 512, "replacement": False}
    per_example = column(records, "variance", **without) * 512 / column(records, "trace", **without)
    return [
        judge("D0-06", "slope of log variance against log batch", below(0, slope), "a slope of 0 or more"),
        judge(
            "E01",
            "slope of log variance against log batch",
            equal_to(-1, slope, 0.05),
            "a slope clearly outside −1 ± 0.05",
            says="… and exactly as 1/B, drawn with replacement",
        ),
        judge(
            "E01",
            "variance × B ÷ tr Σ at B = 512, over the law",
            same_ratio(per_example / finite_population_factor(512, 1024)),
            OUTSIDE,
            says="… and by a further (N − B)/(N − 1), drawn without",
        ),
        judge(
            "D1-06",
            "noise (sd) at batch 1 ÷ at batch 128",
            above(1, lesson.sd_ratio(records, 1, 128), geometric_interval),
            "a ratio of 1 or less (theory: √128 = 11.3)",
        ),
        judge(
            "D1-09", "cosine with the full gradient, batch 512 of 1,024", above(0.9, cosine[512]), "a cosine below 0.9"
        ),
        judge(
            "D3-03",
            "1 − cosine with the full gradient, batch 1",
            above(0.5, 1 - cosine[1]),
            "a cosine above 0.5",
            condition="“unstable” means “mostly noise”; whether training suffers depends on the rate (lesson 05)",
        ),
        judge(
            "D3-04",
            "cosine with the full gradient, batch 3 minus batch 1",
            above(0, cosine[3] - cosine[1]),
            "no gain in cosine",
        ),
    ]


def plan_verdicts(records) -> list[Verdict]:
    """D0-04, D0-05, D0-25, D1-14."""
    judge = partial(verdict, held="SGD, one rank, equal micro-batches, a mean loss, no BatchNorm, no dropout")

    def noise(micro: int, parts: int) -> np.ndarray:
        return column(records, "variance", micro_batch=micro, accumulation=parts)

    def worst(name: str) -> np.ndarray:
        return np.concatenate([column(records, name, micro_batch=m, accumulation=a) for m, a in lesson.PLANS])

    return [
        judge(
            "D0-04",
            "relative distance between the loop's step and η times autograd's gradient",
            at_most(1e-4, worst("rule_error")),
            "a distance above 1e-4",
        ),
        judge(
            "D0-05",
            "relative distance between the step in parts and in one piece",
            at_most(1e-4, worst("distance")),
            "a distance above 1e-4",
        ),
        judge("D0-25", "variance of 1 × 32 ÷ variance of 32 × 1", same_ratio(noise(1, 32) / noise(32, 1)), OUTSIDE),
        judge("D1-14", "variance of 1 × 128 ÷ variance of 128 × 1", same_ratio(noise(1, 128) / noise(128, 1)), OUTSIDE),
    ]


def walk_verdicts(records) -> list[Verdict]:
    """D0-07, D0-08 at three rates, D0-09 against the goal and against the small steps."""
    judge = partial(verdict, held="the same 128 examples, one architecture, plain SGD, two rates")

    def of(name: str, batch: int, factor: float, rate: float = 0.01) -> np.ndarray:
        return column(records, name, batch=batch, rate_factor=factor, rate=rate)

    def scaled_over_small(rate: float):
        return same_quotient(of("loss_drop", 128, 128.0, rate), of("loss_drop", 1, 1.0, rate), within=1.5)

    condition = "the rate grows 128-fold too and 128 ηh stays below about 1; this fails well before steps diverge"
    return [
        judge(
            "D0-07",
            "path ÷ distance of 128 small steps (straight: 1, aimless: √128 = 11.3)",
            above(1.5, of("path", 1, 1.0) / of("net", 1, 1.0), geometric_interval),
            "a path less than 1.5 times as long as the distance covered",
            condition="only the wandering is meant; hopping out of pits is not measured here (lesson 08)",
        ),
        judge(
            "D0-08",
            "loss lowered by 128 small steps ÷ by the accumulated step, same rate 0.01",
            below(2, of("loss_drop", 1, 1.0) / of("loss_drop", 128, 1.0), geometric_interval),
            "a ratio below 2: then one step would have gone about as far",
        ),
        judge(
            "D0-08",
            "loss lowered by the accumulated step at rate 128 × 0.01 ÷ by 128 small steps at 0.01",
            scaled_over_small(0.01),
            "a ratio clearly outside 0.67 … 1.5",
            says="… with the rate multiplied by 128 too",
            condition=condition,
        ),
        judge(
            "D0-08",
            "loss lowered by the accumulated step at rate 128 × 0.05 ÷ by 128 small steps at 0.05",
            scaled_over_small(0.05),
            "a ratio inside 0.67 … 1.5",
            says="… and from a rate five times as high (a control that should fail)",
        ),
        judge(
            "D0-09",
            "cosine between the accumulated step and the way to where 320 steps of batch 32 end",
            above(0.9, of("aim", 128, 1.0)),
            "a cosine above 0.9",
        ),
        judge(
            "D0-09",
            "that cosine minus the cosine of where 128 small steps arrive",
            above(0, of("aim", 128, 1.0) - of("aim_net", 1, 1.0)),
            "a positive difference",
            says="… straighter than the 128 small steps it stands for",
        ),
    ]


def noise_scale_verdicts(records) -> list[Verdict]:
    """E15: three routes against the exact value, and dividing draw by draw at two pairs of batch sizes."""
    judge = partial(verdict, held="drawn with replacement, one θ a seed, at initialization")
    digits, micro, closed, tiny = lesson.ROUTES
    averaged, median = "ratio of averages over exact", "median over draws of the ratio, over exact"
    rows = [
        ("two batch sizes give the noise scale", averaged, digits),
        ("accumulation's own micro-batches give it too", averaged, micro),
        ("… and on a problem whose noise scale is known in closed form", averaged, closed),
        ("… and from batches as small as 1 and 8", averaged, tiny),
    ]
    single = [
        ("at 8 and 128 one may divide draw by draw", median, digits),
        ("at 1 and 8 one may divide draw by draw", median, tiny),
    ]

    def measured(words: str, route: tuple) -> str:
        return f"{words}: {route[0]}, {route[1]} {route[2]} and {route[3]}"

    return [
        judge("E15", measured(words, r), same_quotient(*lesson.scale_ratio(records, *r)), OUTSIDE, says=says)
        for says, words, r in rows
    ] + [
        judge(
            "E15",
            measured(words, r),
            equal_to(1, lesson.median_ratio(records, *r), 0.25),
            "a median clearly outside 0.75 … 1.25",
            says=says,
        )
        for says, words, r in single
    ]


VERDICTS = (
    ((lesson.VARIANCE,), variance_verdicts),
    ((lesson.FOUR_PLANS,), plan_verdicts),
    ((lesson.WALK,), walk_verdicts),
    ((lesson.NOISE_SCALE,), noise_scale_verdicts),
)

RECORDED = (lesson.ARROWS,)
