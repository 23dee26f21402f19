"""Lesson 04: bytes kept for the backward pass, predicted peaks beside measured ones, tries in a budget."""

import numpy as np

from tutorlib.errors import Refused
from tutorlib.records import Experiment, Run, grid
from tutorlib.theory.activations import layer_activations

BATCHES, LENGTHS = (1, 2, 4, 16), (64, 128, 256, 512)
KINDS = (  # of attention and checkpointing: what a layer keeps
    {"attention": "math", "checkpointing": False},
    {"attention": "fused", "checkpointing": False},
    {"attention": "fused", "checkpointing": True},
)
SHAPE = {"width": 64, "heads": 4, "blocks": 2, "vocabulary": 128}

SAVED = Experiment(
    name="saved_bytes",
    question="What does a forward pass keep for the backward pass?",
    trial="fit_the_memory.saved",
    points=tuple(
        {**kind, "micro_batch": batch, "time": time}
        for kind in KINDS
        for batch, time in (*((batch, 128) for batch in BATCHES), *((2, time) for time in LENGTHS if time != 128))
    ),
    print_under="GPT of {blocks} blocks, width {width}, {heads} heads, vocabulary {vocabulary}, fp32, no dropout; one "
    "real step on this processor; left: 128 tokens an example, right: two examples",
    held=SHAPE,
    device="cpu",
    seeds=1,
)

# What decides how many bytes a layer keeps. The first is the published formula's own setting.
LAYERS = Experiment(
    name="bytes_a_layer",
    question="34 + 5as/h bytes: in which setting?",
    trial="fit_the_memory.layer",
    points=(
        {"precision": "bf16", "attention": "math", "dropout": 0.1},
        {"precision": "bf16", "attention": "math", "dropout": 0.0},
        {"precision": "bf16", "attention": "fused", "dropout": 0.1},
        {"precision": "bf16", "attention": "fused", "dropout": 0.1, "checkpointing": True},
        {"precision": "autocast", "attention": "fused", "dropout": 0.1},
        {"precision": "fp32", "attention": "fused", "dropout": 0.1},
    ),
    print_under="One more layer of {model}, in bytes ÷ (length · examples · width); {micro_batch} examples of {time:,} "
    "tokens, on shapes, for a GPU's kernels",
    held={"model": "gpt2", "micro_batch": 4, "time": 1024},
    device="cpu",
    seeds=1,
)

MODELS = ("MLP", "CNN", "ResNet", "ViT", "GPT", "GPT, math", "GPT, checkpointing", "GPT, autocast")

CONVOLUTIONS = ("CNN", "ResNet")

PEAKS = Experiment(
    name="predicted_peaks",
    question="Is the prediction what a real step takes?",
    trial="fit_the_memory.peak",
    points=(*grid(model=MODELS, accumulation=(1,)), {"model": "GPT", "accumulation": 2}),
    print_under="Two whole steps with AdamW, predicted on shapes and measured by the events of this processor's "
    "allocator; small models of {examples} examples",
    held={"examples": 8},
    device="cpu",
    seeds=1,
)

NET = {"width": 256, "depth": 1}
BUDGET, WANTED = 500_000, 256  # bytes; the batch that the found micro-batch is accumulated to

TRIES = Experiment(
    name="tries_in_a_budget",
    question="Which micro-batches run in this budget, for one step and for two?",
    trial="fit_the_memory.one_try",
    points=grid(steps=(1, 2), micro_batch=tuple(range(8, 161, 8))),
    print_under="MLP with a hidden layer of {width}, AdamW, real steps on this processor in an artificial budget of "
    "{budget:,} bytes",
    held={**NET, "budget": BUDGET},
    device="cpu",
    seeds=1,
)

FOUND = Experiment(
    name="largest_micro_batch",
    question="What is the largest micro-batch that fits?",
    trial="fit_the_memory.found",
    points=grid(budget=(430_000, BUDGET)),
    print_under="MLP with a hidden layer of {width}, AdamW, two real steps a try on this processor; every size from 1 "
    "to {examples} tried beside the finder",
    held={**NET, "examples": 80, "wanted": WANTED},
    device="cpu",
    seeds=1,
)


def by_formula(run: Run) -> float:
    """Bytes a GPT in fp32 keeps: the published terms at twice their width, the last norm and the scores' softmax.

    Left out, as in the formula: mean and deviation of the norms, and the mask of later positions.
    """
    s = run.settings
    numbers = s["micro_batch"] * s["time"]
    sizes = s["micro_batch"], s["time"], s["width"], s["heads"]
    terms = layer_activations(*sizes, s["attention"], s["checkpointing"], dropout=False)
    statistics = terms.pop("log-sum-exp of the scores", 0)  # is fp32 already
    return s["blocks"] * (2 * sum(terms.values()) + statistics) + numbers * (8 * s["width"] + 4 * s["vocabulary"])


def at(records, value: int, over: str = "micro_batch", **kind):
    """The record at one batch of 128 tokens each, or at one length (``over="time"``) of two examples."""
    other = {"time": 128} if over == "micro_batch" else {"micro_batch": 2}
    return one(records, **kind, **other, **{over: value})


def saved(records, values, *, over: str = "micro_batch", **kind) -> np.ndarray:
    """Bytes that real steps keep, at every batch or every length."""
    return np.array([at(records, value, over, **kind)["real"] for value in values], dtype=float)


def one(records, **settings):
    """The one record at these settings."""
    found = [r for r in records if all(r.run.settings.get(k) == v for k, v in settings.items())]
    if len(found) != 1:
        raise Refused(f"{len(found)} records at {settings}; allowed: one. Run the experiment to its end")
    return found[0]


def grows(lengths, values) -> np.ndarray:
    """(a, c) of a·s + c·s² through bytes against length, by least squares of relative residuals."""
    lengths, values = np.asarray(lengths, dtype=float), np.asarray(values, dtype=float)
    terms = np.stack([lengths, lengths**2], axis=1) / values[:, None]
    return np.linalg.lstsq(terms, np.ones(len(values)), rcond=None)[0]


def ran(records, steps: int) -> list[int]:
    """The micro-batches whose ``steps`` steps ran to their end."""
    return [r["micro_batch"] for r in records if r["steps"] == steps and r.outcome == "ok"]
