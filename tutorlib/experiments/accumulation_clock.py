"""Lesson 02, seconds: the same batch in one piece and in ever smaller micro-batches."""

from tutorlib.experiments.race_two_speeds import DEEP, SMALL
from tutorlib.records import Experiment

BATCH = 256
MICRO_BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)

ACCUMULATION_CLOCK = Experiment(
    name="accumulation_clock",
    question="What do smaller micro-batches cost in time?",
    trial="step_times.clock",
    points=tuple(
        {**model, "micro_batch": size}
        for model, least in ((SMALL, 1), (DEEP, 8))
        for size in MICRO_BATCHES
        if size >= least
    ),
    print_under="Medians of {repeats} updates of {batch} examples, accumulated; examples already on the device; SGD; "
    "small: one hidden layer of 128, deep: three of 512",
    held={"held_out": 512, "batch": BATCH, "repeats": 3},
    seeds=8,
)
