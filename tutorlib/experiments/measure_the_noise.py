"""Lesson 01: four experiments on gradient noise, and the columns its figures and verdicts are made of."""

import numpy as np

from tutorlib.records import Experiment, grid
from tutorlib.results import column
from tutorlib.theory.statistics import slopes

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
    "initialization; SGD; {draws} updates a plan, each from the same weights",
    held={"examples": 1024, "draws": 16},
    full={"draws": 64},
)

WALK = Experiment(
    name="walk",
    question="Is one accumulated step a big stride?",
    trial="measure_the_noise.walk",
    points=tuple(
        {"rate": rate, "batch": batch, "rate_factor": factor}
        for rate in (0.01, 0.05)
        for batch, factor in ((1, 1.0), (128, 1.0), (128, 128.0))
    ),
    print_under="The same {walk_examples} digits for all three; MLP of 9,610 parameters, from "
    "initialization; SGD, rate 0.01 (× 128 where it says so); loss over all {examples:,} digits",
    held={"examples": 1024, "walk_examples": 128, "destination_steps": 320},
)

NOISE_SCALE = Experiment(
    name="noise_scale",
    question="Can the noise scale be measured without per-example gradients?",
    trial="measure_the_noise.noise_scale",
    points=tuple(dict(zip(("problem", "route", "small", "big"), route, strict=True)) for route in ROUTES),
    print_under="Drawn with replacement; {examples:,} digits and fresh weights for every seed, MLP of 9,610 "
    "parameters at initialization; {draws} draws a seed; closed form: 50 dimensions, variances 1/i; "
    "single draws beyond −1 and 3 stand at the edge",
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


def log_slopes(records) -> np.ndarray:
    """Slope of log variance against log batch, with replacement: one a seed."""
    rows = [np.log(column(records, "variance", batch=b, replacement=True)) for b in BATCHES]
    return slopes(np.log(BATCHES), np.transpose(rows))


def sd_ratio(records, small: int, big: int) -> np.ndarray:
    """How many times larger the standard deviation is at batch ``small`` than at ``big``: one a seed."""
    a, b = (column(records, "variance", batch=batch, replacement=True) for batch in (small, big))
    return np.sqrt(a / b)


def scale_ratio(records, *route) -> np.ndarray:
    """Averages over one seed's draws of (tr Σ, |G|²), each over its exact value: shape (2, seeds)."""
    point = dict(zip(("problem", "route", "small", "big"), route, strict=True))
    return np.array([column(records, name, **point).mean(axis=1) for name in ("trace_draws", "grad_sq_draws")])


def draw_by_draw(records, *route) -> np.ndarray:
    """The estimated noise scale over the exact one if each draw is divided by itself: shape (seeds, draws)."""
    point = dict(zip(("problem", "route", "small", "big"), route, strict=True))
    return column(records, "trace_draws", **point) / column(records, "grad_sq_draws", **point)


def median_ratio(records, *route) -> np.ndarray:
    """The middle one of each seed's :func:`draw_by_draw` ratios: one a seed."""
    return np.median(draw_by_draw(records, *route), axis=1)
