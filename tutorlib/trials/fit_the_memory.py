"""The runs of lesson 04 that a small model is enough for: bytes kept, peaks beside predictions, tries in a budget."""

import dataclasses
import functools

import torch
from torch.nn import functional as F

from tutorlib.measure.memory.finder import OverBudget, largest_micro_batch, runs
from tutorlib.measure.memory.predict import predict
from tutorlib.measure.memory.step import resized
from tutorlib.measure.memory.target import GPU
from tutorlib.measure.memory.truth import followed, profiled_peak, saved_for_backward
from tutorlib.nn.models import make, next_token_loss
from tutorlib.nn.transformers import GPT2, Llama
from tutorlib.nn.vision import ViT, resnet50
from tutorlib.records import Run
from tutorlib.theory.shapes import SHAPES, GPT2Shape

SGD = functools.partial(torch.optim.SGD, lr=0.1)


def texts(examples: int, time: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.zeros(examples, time, dtype=torch.long), torch.zeros(examples, time, dtype=torch.long)


def classes(*shape: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.zeros(*shape), torch.zeros(shape[0], dtype=torch.long)


def saved(run: Run, device: str) -> dict:
    """Bytes alive at the end of a forward pass for the sake of the backward pass.

    ``real`` of a real step, by the ledger; ``shapes`` of the same step on shapes alone; ``hooks`` by what autograd
    hands to its hooks, which leaves out the loss itself. All on the processor, where the ledger is exact.
    """
    s = run.settings
    shape = GPT2Shape(s["width"], s["heads"], s["blocks"], s["vocabulary"], s["time"])
    model, batch = GPT2(shape, s["attention"], s["checkpointing"]), texts(s["micro_batch"], s["time"])
    return {
        "hooks": saved_for_backward(model, next_token_loss, batch),
        "shapes": predict(model, next_token_loss, batch, SGD, steps=1).activations,
        "real": followed(model, next_token_loss, batch, SGD, steps=1).activations,
    }


def layer(run: Run, device: str) -> dict:
    """What one more layer keeps, and all layers: the line through a model of one block and a model of two.

    ``coefficient`` is bytes of a layer over length · examples · width, ``formula`` is 34 + 5·a·s/h whatever the
    setting; ``activations`` are the bytes at the end of the forward pass of the whole model.
    """
    s = run.settings
    shape, gpt = SHAPES[s["model"]], s["model"].startswith("gpt2")
    options = {"attention": s["attention"], "checkpointing": s.get("checkpointing", False)}
    kept = []
    for blocks in (1, 2):
        small = dataclasses.replace(shape, blocks=blocks)
        with torch.device("meta"):
            model = GPT2(small, **options, dropout=s.get("dropout", 0.0)) if gpt else Llama(small, **options)
            batch = texts(s["micro_batch"], s["time"])
        how = {"precision": s["precision"], "target": GPU, "steps": 1}
        kept.append(predict(model, next_token_loss, batch, SGD, **how).activations)
    one, two = kept
    return {
        "coefficient": (two - one) / (s["time"] * s["micro_batch"] * shape.width),
        "formula": 34 + 5 * shape.heads * s["time"] / shape.width,
        "activations": one + (shape.blocks - 1) * (two - one),
    }


SHORT = GPT2Shape(64, 4, 2, 128, 64)


def small(name: str, examples: int):
    """(model, loss, batch, precision) of a small model."""
    pictures = {
        "MLP": (lambda: make("mlp", 0, width=512), (64,)),
        "CNN": (lambda: make("cnn", 0), (40,)),
        "ResNet": (lambda: resnet50((1, 1, 1, 1), 16, 10), (3, 64, 64)),
        "ViT": (lambda: ViT(128, 4, 2, 64, 8, 10), (3, 64, 64)),
    }
    if name in pictures:
        maker, shape = pictures[name]
        return maker(), F.cross_entropy, classes(examples, *shape), "fp32"
    options = {"GPT, math": {"attention": "math"}, "GPT, checkpointing": {"checkpointing": True}}.get(name, {})
    precision = "autocast" if name == "GPT, autocast" else "fp32"
    return GPT2(SHORT, **options), next_token_loss, texts(examples, 64), precision


def peak(run: Run, device: str) -> dict:
    """The peak of two whole steps: ``predicted`` on shapes, ``measured`` by the events of the real allocator."""
    s = run.settings
    model, loss, batch, precision = small(s["model"], s["examples"])
    how = {"precision": precision, "accumulation": s["accumulation"]}
    predicted = predict(model, loss, batch, **how).peak
    return {"predicted": predicted, "measured": profiled_peak(model, loss, batch, **how)}


def one_try(run: Run, device: str) -> dict:
    """Whole steps at one micro-batch in an artificial budget; raises where they run out of it."""
    s = run.settings
    model, batch = make("mlp", 0, width=s["width"], depth=s["depth"]), classes(s["micro_batch"], 64)
    if not runs(model, F.cross_entropy, batch, torch.optim.AdamW, s["budget"], "fp32", s["steps"]):
        raise OverBudget(f"out of memory: micro-batch {s['micro_batch']} does not fit {s['budget']:,} bytes")
    return {}


def found(run: Run, device: str) -> dict:
    """What the finder answers, how many sizes it tried, and the largest that runs when every size is tried."""
    s = run.settings
    model, batch = make("mlp", 0, width=s["width"], depth=s["depth"]), classes(1, 64)
    answer = largest_micro_batch(model, F.cross_entropy, batch, examples=s["examples"], budget=s["budget"])
    fits = [
        size
        for size in range(1, s["examples"] + 1)
        if runs(model, F.cross_entropy, resized(batch, size), torch.optim.AdamW, s["budget"], "fp32", 2)
    ]
    micro_batch, accumulation = answer.keep(s["wanted"]) if answer.micro_batch else (0, 0)
    return {
        "found": answer.micro_batch,
        "tries": len(answer.tries),
        "predicted": answer.predicted,
        "largest": max(fits, default=0),
        "micro_batch": micro_batch,
        "accumulation": accumulation,
    }
