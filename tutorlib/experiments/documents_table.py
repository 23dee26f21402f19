"""Lesson 04: the documents' tables of gigabytes, the plans that redo them, and one training step over time."""

from dataclasses import dataclass

from tutorlib.experiments.fit_the_memory import one
from tutorlib.records import Experiment
from tutorlib.theory.memory import static_bytes
from tutorlib.theory.shapes import SHAPES

GB = 1e9
NEAR = 0.25  # a number that is said to be "about" something may be a quarter off

ALIVE = ("parameters", "gradients", "optimizer state", "activations", "logits and loss", "workspace", "examples")
TIME = {"llama-3-8b": 4096, "gpt2": 1024}  # tokens an example
# What decides the activations, by the name it has in figures.
RECIPES = {
    f"{precision}, {kind}": {
        "precision": precision,
        "attention": "math" if kind == "math" else "fused",
        "checkpointing": kind == "checkpointing",
    }
    for precision in ("fp32", "autocast", "bf16")
    for kind in ("fused", "math", "checkpointing")
}
TRIED = {
    "llama-3-8b": ("bf16, fused", "bf16, math", "bf16, checkpointing", "autocast, fused"),
    "gpt2": ("fp32, fused", "fp32, math", "autocast, fused", "autocast, checkpointing"),
}
# The page that counts 16 + 16 + 32 GB counts in bf16; the one with GPT-2 says 4 bytes.
THEIRS = {"llama-3-8b": "bf16", "gpt2": "fp32"}
STATIC = ("bf16", "mixed", "fp32")  # recipes of theory/memory.py whose static parts are drawn


def setting(model: str, recipe: str, **more) -> dict:
    return {"model": model, "time": TIME[model], **RECIPES[recipe], **more}


def plans(model: str, recipe: str, *parts: tuple[int, int]) -> tuple[dict, ...]:
    """One point for every (micro-batch, accumulation)."""
    return tuple(setting(model, recipe, micro_batch=m, accumulation=k) for m, k in parts)


FOUR = ((32, 1), (16, 2), (8, 4), (4, 8))  # plans A to D
SMALL = "autocast, fused"
# Model and recipe whose micro-batch of 8 is halved; every accumulation of more than one part has the same peak.
HALVED = {
    "8B": ("llama-3-8b", "bf16, fused", (4, 2)),
    "GPT-2": ("gpt2", SMALL, (4, 8)),
    "GPT-2,\ncheckpointing": ("gpt2", "autocast, checkpointing", (4, 2)),
}

PLANS = Experiment(
    name="memory_plans",
    question="What do the documents' plans really take?",
    trial="documents_table.plan",
    points=(
        *plans("llama-3-8b", "bf16, fused", (8, 1), (4, 2)),
        *plans("gpt2", SMALL, *FOUR, (8, 1), (4, 1), (1, 8)),
        *plans("gpt2", "autocast, checkpointing", (8, 1), (4, 2)),
    ),
    print_under="Predicted on shapes, for a GPU's kernels; {optimizer} over all parameters at once; bytes allocated, "
    "without what the allocator rounds up; 8B: pure bf16, 4,096 tokens an example; GPT-2: autocast, 1,024",
    held={"optimizer": "AdamW"},
    together=("accumulation",),
    device="cpu",
    seeds=1,
)

ACTIVATIONS = Experiment(
    name="activations_by_recipe",
    question="What do the forward passes of the documents' models keep?",
    trial="fit_the_memory.layer",
    points=tuple(
        setting(model, recipe, micro_batch=size)
        for model, sizes in (("llama-3-8b", (1, 4)), ("gpt2", (4, 8, 16)))
        for recipe in TRIED[model]
        for size in sizes
    ),
    print_under="Bytes at the end of a forward pass with its loss, predicted on shapes for a GPU's kernels, from one "
    "layer and two, for every further one keeps as much; no dropout; 8B: 4,096 tokens an example, GPT-2: 1,024",
    device="cpu",
    seeds=1,
)

TIMELINE = Experiment(
    name="memory_timeline",
    question="What is alive, and when?",
    trial="documents_table.timeline",
    points=plans("gpt2", SMALL, (4, 1)),
    print_under="GPT-2 (124M), 4 × 1,024 tokens, autocast to bf16, fused attention, {optimizer}; two whole steps, "
    "predicted on shapes for a GPU's kernels; time counts storages that come and go; phases are drawn equally wide",
    held={"optimizer": "AdamW", "moments": 480},
    device="cpu",
    seeds=1,
)


@dataclass(frozen=True)
class Row:
    """A line of a document's table: what it says, in gigabytes, of ``part`` of ``model`` at a micro-batch."""

    claim: str
    name: str
    gigabytes: float
    model: str
    part: str
    micro_batch: int = 0  # 0: the batch does not matter


ROWS = (
    Row("D3-14", "8B: parameters", 16, "llama-3-8b", "parameters"),
    Row("D3-15", "8B: gradients", 16, "llama-3-8b", "gradients"),
    Row("D3-16", "8B: optimizer", 32, "llama-3-8b", "optimizer_state"),
    Row("D3-17", "8B: activations, B = 1", 10, "llama-3-8b", "activations", 1),
    Row("D3-18", "8B: activations, B = 4", 40, "llama-3-8b", "activations", 4),
    Row("D4-10", "GPT-2: parameters", 0.5, "gpt2", "parameters"),
    Row("D4-12", "GPT-2: gradients", 0.5, "gpt2", "gradients"),
    Row("D4-11", "GPT-2: optimizer", 1, "gpt2", "optimizer_state"),
    Row("D4-15", "GPT-2: activations, B = 4", 2, "gpt2", "activations", 4),
    Row("D4-16", "GPT-2: activations, B = 8", 4, "gpt2", "activations", 8),
    Row("D4-16", "GPT-2: activations, B = 16", 8, "gpt2", "activations", 16),
)


def ours(activations, row: Row) -> dict[str, float]:
    """Gigabytes of a line by recipe: parameters, gradients and state by arithmetic, activations as predicted."""
    if row.micro_batch:
        tried = TRIED[row.model]
        return {name: kept(activations, row.model, name, row.micro_batch) for name in tried}
    return {recipe: static(row, recipe) for recipe in STATIC}


def static(row: Row, recipe: str) -> float:
    """Gigabytes of one part with AdamW; master weights are counted with the optimizer, which keeps them."""
    found = static_bytes(SHAPES[row.model].parameters, recipe)
    masters = found.master_weights if row.part == "optimizer_state" else 0
    return (getattr(found, row.part) + masters) / GB


def kept(activations, model: str, recipe: str, micro_batch: int) -> float:
    """Gigabytes of activations, scores and loss at the end of a forward pass."""
    return one(activations, **setting(model, recipe, micro_batch=micro_batch))["activations"] / GB


def highest(record) -> dict[str, float]:
    """Gigabytes by kind at the highest moment of a timeline."""
    at = max(range(len(record[ALIVE[0]])), key=lambda moment: sum(record[kind][moment] for kind in ALIVE))
    return {kind: record[kind][at] / GB for kind in ALIVE}


def plan(records, model: str, recipe: str, micro_batch: int, accumulation: int = 1):
    return one(records, **setting(model, recipe, micro_batch=micro_batch, accumulation=accumulation))
