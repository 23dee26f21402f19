"""Lesson 04, recorded: the line from batch to peak memory of known models under several recipes."""

from tutorlib.records import Experiment
from tutorlib.theory.shapes import SHAPES

TEXT, PICTURES = ("gpt2", "gpt2-medium", "llama-1b", "llama-3-8b"), ("resnet50", "vit-b")
PRECISIONS = ("fp32", "autocast", "bf16")
TIME = 1024  # tokens of an example: with fused attention memory depends on batch × time alone, so one length is enough

FUSED = tuple(
    {"model": name, "time": TIME, "precision": precision, "attention": "fused", "checkpointing": False}
    for name in TEXT
    for precision in PRECISIONS
)
# Written out, attention adds a square of the length: a second length tells it from what is proportional to it.
MATH = tuple(
    {"model": name, "time": time, "precision": "autocast", "attention": "math", "checkpointing": False}
    for name in TEXT
    for time in (SHAPES[name].context // 4, SHAPES[name].context)
)
# An image takes less than a text, and so does a text whose blocks are computed twice: larger batches are followed.
AGAIN = tuple({**point, "checkpointing": True} for point in FUSED)
IMAGES = tuple({"model": name, "precision": precision} for name in PICTURES for precision in PRECISIONS)

MEMORY_LINES = Experiment(
    name="memory_lines",
    question="What does a training step take, and how much of it is the batch's?",
    trial="memory_lines.lines",
    points=(
        *({**point, "small": 8, "large": 16} for point in (*FUSED, *MATH)),
        *({**point, "small": 32, "large": 64} for point in (*AGAIN, *IMAGES)),
    ),
    print_under="Followed on shapes for a GPU, second step; {optimizer} as torch steps it by default; no dropout",
    held={"optimizer": "AdamW"},
    together=("time",),
    seeds=1,
)
