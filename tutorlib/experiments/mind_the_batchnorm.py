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

# Rates of lowest mean error over micro-batches 2 and 32 on four other seeds, from factors of two between 0.005 and 0.32
# (CNN: 0.005, 0.01, 0.02, 0.05, 0.12; after pretraining: 0.0025 … 0.04): one a net and normalization, the same at every
# micro-batch. "finetuned" sits at the low edge of its grid: at micro-batch 2 the best that it can do is not to move.
RATES = {
    ("mlp", "batch"): 0.01,
    ("mlp", "group"): 0.01,
    ("mlp", "layer"): 0.02,
    ("mlp", "none"): 0.08,
    ("mlp", "finetuned"): 0.0025,
    ("mlp", "frozen"): 0.01,
    ("cnn", "batch"): 0.05,
    ("cnn", "group"): 0.02,
}
# Where no statistic crosses examples, every micro-batch gives the same but for rounding: the two ends will do.
WHERE = {("mlp", "batch"): MICRO_BATCHES, ("mlp", "finetuned"): (2, 8, 32), ("mlp", "none"): (32,)}

ERRORS = Experiment(
    name="error_against_micro_batch",
    question="The same logical batch in smaller parts: what does each normalization make of it?",
    trial="mind_the_batchnorm.errors",
    points=tuple(
        {"model": model, "norm": norm, "micro_batch": micro_batch, "rate": rate}
        for (model, norm), rate in RATES.items()
        for micro_batch in WHERE.get((model, norm), (2, 32))
    ),
    print_under="{data}, {held_out} held out, {examples} for every seed; logical batch {batch}, {steps} updates with "
    "momentum 0.9, one rate a normalization, chosen on other seeds; MLP of two hidden layers, CNN of three; "
    "pretraining: as many updates at rate {first_rate} on {examples} other examples",
    held={"data": "digits", "batch": 32, "steps": 100, "examples": 512, "held_out": 512, "first_rate": 0.02},
    full={"data": "mnist1d", "steps": 1500, "examples": 2000, "held_out": 1500},
    together=("seed",),
    side_by_side=True,
    seeds=16,
)

# Each rung adds one thing to the rung before. Rates: the best of 0.01 … 0.64 on six other seeds, rung by rung.
RUNGS = (
    {"rung": "small batch", "batch": 16, "micro_batch": 16, "rate": 0.01, "steps": 256},
    {"rung": "large batch", "batch": 128, "micro_batch": 128, "rate": 0.01, "steps": 32},
    {"rung": "+ tuned rate", "batch": 128, "micro_batch": 128, "rate": 0.32, "steps": 32},
    {"rung": "+ ghost batches", "batch": 128, "micro_batch": 16, "rate": 0.16, "steps": 32},
    {"rung": "+ equal updates", "batch": 128, "micro_batch": 16, "rate": 0.16, "steps": 256},
)

GHOST = Experiment(
    name="ghost_batches",
    question="What does a large batch lack: rate, noisy statistics, or updates?",
    trial="mind_the_batchnorm.ghost",
    points=RUNGS,
    print_under="{data}, {held_out} held out, {examples:,} for every seed; {model} with BatchNorm, momentum 0.9; the "
    "same examples on every rung but the last, which sees eight times as many; one rate a rung, chosen on other seeds",
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


def error(records, model: str, norm: str, micro_batch: int, name: str = "error") -> np.ndarray:
    """Held-out error in per cent: one a seed."""
    return column(records, name, model=model, norm=norm, micro_batch=micro_batch)


def gap(records, model: str, norm: str) -> np.ndarray:
    """Error at micro-batch 2 minus error at 32, in points: one a seed."""
    return error(records, model, norm, 2) - error(records, model, norm, 32)


def over_law(records, source: str, name: str, laws) -> np.ndarray:
    """A statistic over its law, the geometric mean over all n: one a seed. ``laws`` (n,) or (n, seeds)."""
    measured = np.array([column(records, name, source=source, n=n) for n in SIZES])
    return np.exp(np.log(measured / np.reshape(laws, (len(SIZES), -1))).mean(axis=0))


def rung(records, number: int, name: str = "error") -> np.ndarray:
    """Held-out error of one rung of the ladder in per cent: one a seed."""
    return column(records, name, rung=RUNGS[number]["rung"])
