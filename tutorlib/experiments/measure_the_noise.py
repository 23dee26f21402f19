"""Lesson 01: four experiments on gradient noise, and what their records say about the claims."""

import numpy as np

from tutorlib.experiments.rules import above, at_most, below, equal_to, same_quotient, same_ratio, verdict
from tutorlib.records import Experiment, Verdict, column, grid
from tutorlib.theory.noise import finite_population_factor
from tutorlib.theory.statistics import geometric_interval, slopes

BATCHES = (1, 3, 8, 32, 128, 512, 1024)
PLANS = ((32, 1), (1, 32), (128, 1), (1, 128))
ROUTES = (
    ("digits", "two batches", 8, 128),
    ("digits", "micro-batches", 8, 128),
    ("closed form", "two batches", 8, 128),
    ("digits", "two batches", 1, 8),
)

VARIANCE = Experiment(
    name="variance_against_batch",
    question="How much quieter is a gradient when the batch grows?",
    trial="measure_the_noise.variance",
    points=grid(replacement=(True, False), batch=BATCHES),
    print_under="{examples:,} digits and fresh weights for every seed; MLP of 9,610 parameters, at "
    "initialization; {draws} minibatches a point",
    held={"examples": 1024, "draws": 32},
    full={"draws": 256},
)

FOUR_PLANS = Experiment(
    name="four_plans",
    question="Does the noise listen to the micro-batch or to the logical batch?",
    trial="measure_the_noise.plan",
    points=tuple({"micro_batch": micro, "accumulation": parts} for micro, parts in PLANS),
    print_under="{examples:,} digits and fresh weights for every seed; MLP of 9,610 parameters, at "
    "initialization; SGD, rate 1; {draws} updates a plan, each from the same weights",
    held={"examples": 1024, "draws": 16},
    full={"draws": 64},
)

WALK = Experiment(
    name="walk",
    question="Is one accumulated step a big stride?",
    trial="measure_the_noise.walk",
    points=(
        {"batch": 1, "rate_factor": 1.0},
        {"batch": 128, "rate_factor": 1.0},
        {"batch": 128, "rate_factor": 128.0},
    ),
    print_under="The same {walk_examples} digits for all three; MLP of 9,610 parameters, from "
    "initialization; SGD, rate {rate} (× 128 where it says so)",
    held={"examples": 1024, "walk_examples": 128, "rate": 0.01, "destination_steps": 320},
)

NOISE_SCALE = Experiment(
    name="noise_scale",
    question="Can the noise scale be measured without per-example gradients?",
    trial="measure_the_noise.noise_scale",
    points=tuple(dict(zip(("problem", "route", "small", "big"), route, strict=True)) for route in ROUTES),
    print_under="Drawn with replacement; {examples:,} digits and fresh weights for every seed, MLP of 9,610 "
    "parameters at initialization; {draws} draws a seed; closed form: 50 dimensions, tr Σ = Σ 1/i",
    held={"examples": 1024, "draws": 32},
    full={"draws": 256},
)

ARROWS = Experiment(
    name="arrows",
    question="What does one minibatch gradient look like?",
    trial="measure_the_noise.arrows",
    points=({},),
    print_under="{examples:,} digits, MLP of 9,610 parameters, at initialization",
    held={"examples": 1024},
    seeds=1,
)

RECORDED = (ARROWS,)


def log_slopes(records) -> np.ndarray:
    """Slope of log variance against log batch, with replacement: one a seed."""
    rows = [np.log(column(records, "variance", batch=b, replacement=True)) for b in BATCHES]
    return slopes(np.log(BATCHES), np.transpose(rows))


def sd_ratio(records, small: int, big: int) -> np.ndarray:
    """How many times larger the standard deviation is at batch ``small`` than at ``big``: one a seed."""
    a, b = (column(records, "variance", batch=batch, replacement=True) for batch in (small, big))
    return np.sqrt(a / b)


def variance_verdicts(records) -> list[Verdict]:
    """D0-06, D1-06, D1-09, D3-03, D3-04, and the finite-population law of E01."""
    held = "one model and data set, at initialization"
    cosine = {b: column(records, "cosine", batch=b, replacement=True) for b in (1, 512)}
    left = column(records, "variance", batch=512, replacement=False) * 512 / column(
        records, "trace", batch=512, replacement=False)
    return [
        verdict("D0-06", "a bigger sample has less variance",
                "slope of log variance against log batch", equal_to(-1, log_slopes(records), 0.05), held,
                "a slope clearly outside −1 ± 0.05"),
        verdict("D1-06", "small batches are noisier, large ones quieter",
                "noise (sd) at batch 1 ÷ at batch 128", above(1, sd_ratio(records, 1, 128), geometric_interval), held,
                "a ratio of 1 or less (theory: √128 = 11.3)"),
        verdict("D1-09", "a large batch is close to the true average",
                "cosine with the full gradient, batch 512 minus batch 1", above(0, cosine[512] - cosine[1]), held,
                "no gain in cosine"),
        verdict("D3-03", "batch 1 moves in an unstable direction",
                "1 − cosine with the full gradient, batch 1", above(0.5, 1 - cosine[1]), held,
                "a cosine above 0.5 at batch 1",
                condition="the rate is not lowered to match: the direction is noisy at any rate, but whether "
                "training suffers depends on the rate (lesson 05)"),
        verdict("D3-04", "batch 3 gives a more accurate direction than batch 1",
                "noise (sd) at batch 1 ÷ at batch 3", same_ratio(sd_ratio(records, 1, 3), 3**0.5, 1.1), held,
                "a ratio clearly away from √3 = 1.73"),
        verdict("E01", "without replacement the variance falls faster, by (N − B)/(N − 1)",
                "variance × B ÷ tr Σ at B = 512, over the law", same_ratio(left / finite_population_factor(512, 1024)),
                held, "a ratio clearly outside 0.8 … 1.25"),
    ]


def plan_verdicts(records) -> list[Verdict]:
    """D0-04, D0-05, D0-25, D1-14."""
    held = "SGD, equal micro-batches, a mean loss, no BatchNorm, no dropout"

    def noise(micro: int, parts: int) -> np.ndarray:
        return column(records, "variance", micro_batch=micro, accumulation=parts)

    def worst(name: str) -> np.ndarray:
        return np.concatenate([column(records, name, micro_batch=m, accumulation=a) for m, a in PLANS])

    return [
        verdict("D0-04", "the update is θ − η g",
                "relative distance between the loop's update and autograd's gradient, at most",
                at_most(1e-4, worst("rule_error")), held, "a distance above 1e-4"),
        verdict("D0-05", "accumulation hands the optimizer the mean of the micro-batch gradients",
                "relative distance between the update in parts and in one piece, at most",
                at_most(1e-4, worst("distance")), held, "a distance above 1e-4"),
        verdict("D0-25", "micro-batch 1, accumulated 32 times, does not keep small-batch noise",
                "variance of 1 × 32 ÷ variance of 32 × 1", same_ratio(noise(1, 32) / noise(32, 1)), held,
                "a ratio clearly outside 0.8 … 1.25"),
        verdict("D1-14", "micro-batch 1 × 128 is as smooth as batch 128",
                "variance of 1 × 128 ÷ variance of 128 × 1", same_ratio(noise(1, 128) / noise(128, 1)), held,
                "a ratio clearly outside 0.8 … 1.25"),
    ]


def walk_verdicts(records) -> list[Verdict]:
    """D0-07, D0-08 at two rates, D0-09."""
    held = "the same 128 examples, one model, plain SGD, one rate"

    def of(name: str, batch: int, factor: float) -> np.ndarray:
        return column(records, name, batch=batch, rate_factor=factor)

    small, one, scaled = (of("drift", batch, factor) for batch, factor in ((1, 1.0), (128, 1.0), (128, 128.0)))
    return [
        verdict("D0-07", "128 separate steps wander and may hop out of a small pit",
                "path length ÷ distance covered, 128 small steps",
                above(1.5, of("path", 1, 1.0) / of("net", 1, 1.0), geometric_interval), held,
                "a path less than 1.5 times as long as the distance covered",
                condition="only the wandering is meant: it is measured here; hopping out of pits is not (lesson 08)"),
        verdict("D0-08", "the accumulated update is one big stride",
                "descent of 128 small steps ÷ descent of the accumulated step, same rate",
                below(2, small / one, geometric_interval), held,
                "a ratio below 2: then one step would have gone about as far"),
        verdict("D0-08", "… with the rate multiplied by 128 too",
                "descent of the accumulated step at rate × 128 ÷ descent of 128 small steps",
                same_ratio(scaled / small, within=1.5), held, "a ratio clearly outside 0.67 … 1.5",
                condition="the rate grows with the batch and stays below 2 ÷ the largest curvature"),
        verdict("D0-09", "the accumulated step heads straight for the goal",
                "cosine between the accumulated step and the way to where training ends",
                above(0.9, of("aim", 128, 1.0)), held, "a cosine above 0.9"),
    ]


def scale_ratio(records, *route) -> np.ndarray:
    """Averages over one seed's draws of (tr Σ, |G|²), each over its exact value: shape (2, seeds)."""
    point = dict(zip(("problem", "route", "small", "big"), route, strict=True))
    return np.array([column(records, name, **point).mean(axis=1) for name in ("trace_draws", "grad_sq_draws")])


def draw_by_draw(records, *route) -> np.ndarray:
    """The estimated noise scale over the exact one if each draw is divided by itself: shape (seeds, draws)."""
    point = dict(zip(("problem", "route", "small", "big"), route, strict=True))
    return column(records, "trace_draws", **point) / column(records, "grad_sq_draws", **point)


def noise_scale_verdicts(records) -> list[Verdict]:
    """E15: the estimators against the exact value, and the wrong way to divide."""
    held = "drawn with replacement, one θ a seed; ratio of averages over all draws and seeds"
    rows = []
    for route, says in zip(ROUTES[:3], (
        "two batch sizes give the noise scale",
        "accumulation's own micro-batches give it too",
        "… and on a problem whose noise scale is known in closed form",
    ), strict=True):
        rows.append(verdict("E15", says,
                            f"estimated ÷ exact noise scale, {route[0]}, {route[1]} {route[2]} and {route[3]}",
                            same_quotient(*scale_ratio(records, *route)), held, "a ratio clearly outside 0.8 … 1.25"))
    medians = np.median(draw_by_draw(records, *ROUTES[3]), axis=1)
    rows.append(verdict("E15", "one draw is enough: divide, then average",
                        "median of estimated ÷ exact, draw by draw, batches 1 and 8", equal_to(1, medians, 0.25), held,
                        "a median between 0.75 and 1.25"))
    return rows


VERDICTS = (
    (VARIANCE, variance_verdicts),
    (FOUR_PLANS, plan_verdicts),
    (WALK, walk_verdicts),
    (NOISE_SCALE, noise_scale_verdicts),
)
