"""Lesson 08: what three instruments read on known laws, and then on gradient noise against batch and training time."""

import numpy as np

from tutorlib.records import Experiment, grid
from tutorlib.results import column
from tutorlib.theory.tails import bend

BATCHES = (1, 4, 16, 64, 256)
FACTOR = 4  # from each batch to the next
SHARES = (0.01, 0.02, 0.05, 0.1, 0.2)  # of the draws that count as tail
TAIL = 0.05
LAWS = ("gaussian", "gaussian length, 50-d", "student 3", "stable 1.9", "stable 1.5", "gaussians of many sizes")
# Which law is stable, that is: keeps its shape under sums, and with which α.
STABLE = {"gaussian": 2.0, "stable 1.9": 1.9, "stable 1.5": 1.5}
# Rows of one law in every direction, for the pipeline that reads gradients.
ROWS_OF = ("gaussian", "student 3", "stable 1.9", "stable 1.5", "gaussians of many sizes")
CHECKPOINTS = {"mlp": (0, 100, 600), "gpt": (0, 100)}

READINGS = Experiment(
    name="tail_readings",
    question="What do the instruments read when the answer is known?",
    trial="hunt_heavy_tails.readings",
    points=grid(law=LAWS),
    print_under="{draws:,} draws a law and seed; index of sums from differences of two draws, sums of 64 and 256",
    held={"draws": 4096},
    side_by_side=True,
    seeds=36,
)

NOISE = Experiment(
    name="gradient_tails",
    question="Which of these tails has gradient noise, at which batch, and when?",
    trial="hunt_heavy_tails.noise",
    points=tuple({"model": model, "steps": steps} for model, all_steps in CHECKPOINTS.items() for steps in all_steps),
    print_under="MLP of 9,610 parameters on {examples:,} digits and GPT of 5,616 on as many pieces of 16 letters, "
    "drawn anew for every seed; SGD, batch 32, rate {rate}; {draws:,} minibatches a batch, with replacement; "
    "{coordinates} coordinates, {directions} random directions",
    held={"examples": 1024, "rate": 0.5, "draws": 2048, "coordinates": 48, "directions": 16, "pooled_batch": 256},
    full={"draws": 8192},
    together=("steps",),
    side_by_side=True,
    seeds=16,
)

CONTROLS = Experiment(
    name="tail_controls",
    question="What does the same pipeline read on rows of known laws?",
    trial="hunt_heavy_tails.controls",
    points=grid(law=ROWS_OF),
    print_under="{examples:,} rows in place of examples' gradients, {directions} columns, every row of a size of its "
    "own; {draws:,} minibatches a batch, with replacement",
    held={name: NOISE.held[name] for name in ("examples", "draws", "directions")},
    full=NOISE.full,
    side_by_side=True,
    seeds=NOISE.seeds,
)

ROWS = Experiment(
    name="gradient_rows",
    question="How often is one example's gradient large?",
    trial="hunt_heavy_tails.rows",
    points=grid(model=("mlp",), steps=CHECKPOINTS["mlp"]) + grid(model=("gpt",), steps=CHECKPOINTS["gpt"][-1:]),
    print_under="gradients of {examples:,} examples in one random direction",
    held={"examples": 1024, "rate": 0.5},
    together=("steps",),
    seeds=1,
)


def scales_index(log_scales) -> np.ndarray:
    """α of the last factor of the batch from log scales of sums (seeds, batches): Gaussian sums read 2."""
    rows = np.asarray(log_scales, dtype=float)
    return np.log(FACTOR) / (rows[:, -1] - rows[:, -2])


def law_column(records, name: str, law: str) -> np.ndarray:
    return column(records, name, law=law)


def noise_column(records, name: str, model: str, steps: int) -> np.ndarray:
    """One value a seed, or (seeds, batches), at one checkpoint."""
    return column(records, name, model=model, steps=steps)


def over_law(records, model: str, steps: int, batch: int) -> np.ndarray:
    """Mean excess kurtosis of the coordinates at ``batch``, times batch, over that of single examples: one a seed."""
    measured = noise_column(records, "kurtosis", model, steps)[:, BATCHES.index(batch)]
    return measured * batch / noise_column(records, "of_examples", model, steps)


def bends(log_scales) -> np.ndarray:
    """Change of 1/α from the first factor of the batch to the last (seeds,): 0 for every stable law."""
    return bend(log_scales) / np.log(FACTOR)
