"""Lesson 03: batch statistics against n, error against micro-batch at one logical batch, and the ghost-batch ladder."""

import numpy as np

from tutorlib.records import Experiment, grid
from tutorlib.results import column

SIZES = (2, 4, 8, 16, 32, 64, 128, 256)
MICRO_BATCHES = (2, 4, 8, 16, 32)

STATISTICS = Experiment(
    name="batch_statistics",
    question="How far is a statistic of n values from the truth?",
    trial="mind_the_batchnorm.statistics",
    points=grid(source=("gaussian", "activations"), n=SIZES),
    print_under="{draws:,} batches a point; activations: what one channel of a trained MLP hands to its BatchNorm, "
    "drawn with replacement; ε = {eps:g}",
    held={"draws": 4000, "eps": 1e-5},
    seeds=8,
)

# The rate of lowest error on sixteen other seeds, one a net and normalization, the same at every micro-batch: the mean
# over micro-batches 2 and 32, from factors of two (course/log.md); "finetuned" at 32 alone, for at 2 no rate is good.
RATES = {
    ("mlp", "batch"): 0.01,
    ("mlp", "group"): 0.01,
    ("mlp", "layer"): 0.02,
    ("mlp", "none"): 0.08,
    ("mlp", "finetuned"): 0.005,
    ("mlp", "frozen"): 0.01,
    ("cnn", "batch"): 0.04,
    ("cnn", "group"): 0.04,
}
# Where no statistic crosses examples, every micro-batch gives the same but for rounding: the two ends will do.
WHERE = {("mlp", "batch"): MICRO_BATCHES, ("mlp", "finetuned"): (2, 8, 32), ("mlp", "none"): (32,)}
# Controls: rates tuned at micro-batch 32 alone, and a batch that is no larger than the micro-batch.
AT_32 = {"batch": 0.02, "group": 0.01}
ALONE = {"batch": 2, "micro_batch": 2, "rate": 0.000313, "steps": 1600}


def arm(model: str, norm: str, rate: float, tuned: str = "both ends", **more) -> dict:
    return {"model": model, "norm": norm, "rate": rate, "tuned": tuned, **more}


ERRORS = Experiment(
    name="error_against_micro_batch",
    question="The same logical batch in smaller parts: what does each normalization make of it?",
    trial="mind_the_batchnorm.errors",
    points=(
        *(
            arm(model, norm, rate, micro_batch=micro_batch)
            for (model, norm), rate in RATES.items()
            for micro_batch in WHERE.get((model, norm), (2, 32))
        ),
        *(arm("mlp", norm, rate, "at 32", micro_batch=32) for norm, rate in AT_32.items()),
        arm("mlp", "batch", tuned="alone", **ALONE),
    ),
    print_under="{data}, {examples} to train on and {held_out} held out, dealt anew for every seed; logical batch "
    "{batch}, {steps} updates with momentum 0.9, one rate a normalization, chosen on other seeds; MLP of two hidden "
    "layers, CNN of three; pretraining: as many updates at rate {first_rate} on {examples} other examples",
    held={"data": "digits", "batch": 32, "steps": 100, "examples": 512, "held_out": 512, "first_rate": 0.02},
    together=("seed",),
    side_by_side=True,
    seeds=16,
)


# The same on a harder task, too long for a lesson: it is recorded. Rates as above, from sixteen other seeds.
RATES_ON_MNIST1D = {("mlp", "batch"): 0.02, ("mlp", "group"): 0.02, ("cnn", "batch"): 0.04, ("cnn", "group"): 0.04}

ON_MNIST1D = ERRORS.at(
    name="errors_on_mnist1d",
    points=tuple(
        arm(model, norm, rate, micro_batch=micro_batch)
        for (model, norm), rate in RATES_ON_MNIST1D.items()
        for micro_batch in (MICRO_BATCHES if norm == "batch" else (2, 32))
    ),
    print_under="{data}, {examples:,} signals to train on and {held_out:,} held out, dealt anew for every seed; "
    "logical batch {batch}, {steps:,} updates with momentum 0.9, one rate a normalization, chosen on other seeds",
    held={"data": "mnist1d", "batch": 32, "steps": 1000, "examples": 2000, "held_out": 1500},
)


def rung_of(name: str, batch: int, micro_batch: int, rate: float, steps: int) -> dict:
    return {"rung": name, "batch": batch, "micro_batch": micro_batch, "rate": rate, "steps": steps}


# Every rate but the second is the best of five or more, factors of two, on 24 other seeds (course/log.md).
RUNGS = (
    rung_of("small batch", 16, 16, 0.005, 256),
    rung_of("large batch, same rate", 128, 128, 0.005, 32),
    rung_of("… tuned", 128, 128, 0.04, 32),
    rung_of("… tuned, ghosts of 16", 128, 16, 0.08, 32),
    rung_of("… 8 × the updates", 128, 128, 0.32, 256),
    rung_of("… 8 × the updates, ghosts", 128, 16, 0.32, 256),
    rung_of("small batch, as many examples", 16, 16, 0.02, 2048),
)
SMALL, LARGE, TUNED, GHOSTS, LONG, LONG_GHOSTS, _ = range(len(RUNGS))

GHOST = Experiment(
    name="ghost_batches",
    question="What does a large batch lack: rate, noisy statistics, or updates?",
    trial="mind_the_batchnorm.ghost",
    points=RUNGS,
    print_under="{data}, {examples:,} to train on and {held_out} held out, dealt anew for every seed; {model} with "
    "BatchNorm, momentum 0.9; each rate chosen on 24 other seeds; the last three rows see eight times as many examples",
    held={"data": "digits", "model": "mlp", "norm": "batch", "examples": 1024, "held_out": 512},
    together=("seed",),
    side_by_side=True,
    seeds=24,
)

# Validation error of ResNet-50 on ImageNet in per cent, by images a worker (8 workers; the rate in proportion to the
# batch). Wu and He 2018, arXiv 1803.08494, figure 1 and table 2; second-hand, from notes on the paper that agree, and
# its abstract has the 10.6 points at 2.
PUBLISHED = {
    "batch": {32: 23.6, 16: 23.7, 8: 24.8, 4: 27.3, 2: 34.7},
    "group": {32: 24.1, 16: 24.2, 8: 24.0, 4: 24.2, 2: 24.1},
}


def error(
    records, model: str, norm: str, micro_batch: int, name: str = "error", tuned: str = "both ends"
) -> np.ndarray:
    """Held-out error in per cent: one a seed."""
    return column(records, name, model=model, norm=norm, micro_batch=micro_batch, tuned=tuned)


def gap(records, model: str, norm: str) -> np.ndarray:
    """Error at micro-batch 2 minus error at 32, in points: one a seed."""
    return error(records, model, norm, 2) - error(records, model, norm, 32)


def over_law(records, source: str, name: str, laws) -> np.ndarray:
    """A statistic over its law (seeds, n). ``laws`` (n,) or (n, seeds)."""
    measured = np.array([column(records, name, source=source, n=n) for n in SIZES])
    return np.transpose(measured / np.reshape(laws, (len(SIZES), -1)))


def rung(records, number: int, name: str = "error") -> np.ndarray:
    """Held-out error of one rung of the ladder in per cent: one a seed."""
    return column(records, name, rung=RUNGS[number]["rung"])
