"""Lesson 01: what the records of its experiments say about the claims."""

from functools import partial

import numpy as np

from tutorlib.experiments import measure_the_noise as lesson
from tutorlib.records import Verdict
from tutorlib.results import column
from tutorlib.theory.noise import finite_population_factor
from tutorlib.theory.statistics import geometric_interval
from tutorlib.verdicts.rules import above, at_most, below, equal_to, same_quotient, same_ratio, verdict


def variance_verdicts(records) -> list[Verdict]:
    """D0-06, D1-06, D1-09, D3-03, D3-04, and the finite-population law of E01."""
    judge = partial(verdict, held="one model and data set, at initialization")
    cosine = {b: column(records, "cosine", batch=b, replacement=True) for b in (1, 512)}
    left = (
        column(records, "variance", batch=512, replacement=False)
        * 512
        / column(records, "trace", batch=512, replacement=False)
    )
    return [
        judge(
            "D0-06",
            "a bigger sample has less variance",
            "slope of log variance against log batch",
            equal_to(-1, lesson.log_slopes(records), 0.05),
            "a slope clearly outside −1 ± 0.05",
        ),
        judge(
            "D1-06",
            "small batches are noisier, large ones quieter",
            "noise (sd) at batch 1 ÷ at batch 128",
            above(1, lesson.sd_ratio(records, 1, 128), geometric_interval),
            "a ratio of 1 or less (theory: √128 = 11.3)",
        ),
        judge(
            "D1-09",
            "a large batch is close to the true average",
            "cosine with the full gradient, batch 512 minus batch 1",
            above(0, cosine[512] - cosine[1]),
            "no gain in cosine",
        ),
        judge(
            "D3-03",
            "batch 1 moves in an unstable direction",
            "1 − cosine with the full gradient, batch 1",
            above(0.5, 1 - cosine[1]),
            "a cosine above 0.5 at batch 1",
            condition="the rate is not lowered to match: the direction is noisy at any rate, but whether "
            "training suffers depends on the rate (lesson 05)",
        ),
        judge(
            "D3-04",
            "batch 3 gives a more accurate direction than batch 1",
            "noise (sd) at batch 1 ÷ at batch 3",
            same_ratio(lesson.sd_ratio(records, 1, 3), 3**0.5, 1.1),
            "a ratio clearly away from √3 = 1.73",
        ),
        judge(
            "E01",
            "without replacement the variance falls faster, by (N − B)/(N − 1)",
            "variance × B ÷ tr Σ at B = 512, over the law",
            same_ratio(left / finite_population_factor(512, 1024)),
            "a ratio clearly outside 0.8 … 1.25",
        ),
    ]


def plan_verdicts(records) -> list[Verdict]:
    """D0-04, D0-05, D0-25, D1-14."""
    judge = partial(verdict, held="SGD, equal micro-batches, a mean loss, no BatchNorm, no dropout")

    def noise(micro: int, parts: int) -> np.ndarray:
        return column(records, "variance", micro_batch=micro, accumulation=parts)

    def worst(name: str) -> np.ndarray:
        return np.concatenate([column(records, name, micro_batch=m, accumulation=a) for m, a in lesson.PLANS])

    return [
        judge(
            "D0-04",
            "the update is θ − η g",
            "relative distance between the loop's update and autograd's gradient, at most",
            at_most(1e-4, worst("rule_error")),
            "a distance above 1e-4",
        ),
        judge(
            "D0-05",
            "accumulation hands the optimizer the mean of the micro-batch gradients",
            "relative distance between the update in parts and in one piece, at most",
            at_most(1e-4, worst("distance")),
            "a distance above 1e-4",
        ),
        judge(
            "D0-25",
            "micro-batch 1, accumulated 32 times, does not keep small-batch noise",
            "variance of 1 × 32 ÷ variance of 32 × 1",
            same_ratio(noise(1, 32) / noise(32, 1)),
            "a ratio clearly outside 0.8 … 1.25",
        ),
        judge(
            "D1-14",
            "micro-batch 1 × 128 is as smooth as batch 128",
            "variance of 1 × 128 ÷ variance of 128 × 1",
            same_ratio(noise(1, 128) / noise(128, 1)),
            "a ratio clearly outside 0.8 … 1.25",
        ),
    ]


def walk_verdicts(records) -> list[Verdict]:
    """D0-07, D0-08 at two rates, D0-09."""
    judge = partial(verdict, held="the same 128 examples, one model, plain SGD, one rate")

    def of(name: str, batch: int, factor: float) -> np.ndarray:
        return column(records, name, batch=batch, rate_factor=factor)

    small, one, scaled = (of("drift", batch, factor) for batch, factor in ((1, 1.0), (128, 1.0), (128, 128.0)))
    return [
        judge(
            "D0-07",
            "128 separate steps wander and may hop out of a small pit",
            "path length ÷ distance covered, 128 small steps",
            above(1.5, of("path", 1, 1.0) / of("net", 1, 1.0), geometric_interval),
            "a path less than 1.5 times as long as the distance covered",
            condition="only the wandering is meant: it is measured here; hopping out of pits is not (lesson 08)",
        ),
        judge(
            "D0-08",
            "the accumulated update is one big stride",
            "descent of 128 small steps ÷ descent of the accumulated step, same rate",
            below(2, small / one, geometric_interval),
            "a ratio below 2: then one step would have gone about as far",
        ),
        judge(
            "D0-08",
            "… with the rate multiplied by 128 too",
            "descent of the accumulated step at rate × 128 ÷ descent of 128 small steps",
            same_ratio(scaled / small, within=1.5),
            "a ratio clearly outside 0.67 … 1.5",
            condition="the rate grows with the batch and stays below 2 ÷ the largest curvature",
        ),
        judge(
            "D0-09",
            "the accumulated step heads straight for the goal",
            "cosine between the accumulated step and the way to where training ends",
            above(0.9, of("aim", 128, 1.0)),
            "a cosine above 0.9",
        ),
    ]


def noise_scale_verdicts(records) -> list[Verdict]:
    """E15: the estimators against the exact value, and the wrong way to divide."""
    judge = partial(verdict, held="drawn with replacement, one θ a seed; ratio of averages over all draws and seeds")
    rows = []
    for route, says in zip(
        lesson.ROUTES[:3],
        (
            "two batch sizes give the noise scale",
            "accumulation's own micro-batches give it too",
            "… and on a problem whose noise scale is known in closed form",
        ),
        strict=True,
    ):
        rows.append(
            judge(
                "E15",
                says,
                f"estimated ÷ exact noise scale, {route[0]}, {route[1]} {route[2]} and {route[3]}",
                same_quotient(*lesson.scale_ratio(records, *route)),
                "a ratio clearly outside 0.8 … 1.25",
            )
        )
    medians = np.median(lesson.draw_by_draw(records, *lesson.ROUTES[3]), axis=1)
    rows.append(
        judge(
            "E15",
            "one draw is enough: divide, then average",
            "median of estimated ÷ exact, draw by draw, batches 1 and 8",
            equal_to(1, medians, 0.25),
            "a median between 0.75 and 1.25",
        )
    )
    return rows


VERDICTS = (
    (lesson.VARIANCE, variance_verdicts),
    (lesson.FOUR_PLANS, plan_verdicts),
    (lesson.WALK, walk_verdicts),
    (lesson.NOISE_SCALE, noise_scale_verdicts),
)

RECORDED = (lesson.ARROWS,)
