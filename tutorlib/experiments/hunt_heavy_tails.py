"""Lesson 08: what three instruments read on known laws, and then on gradient noise against batch and training time."""

import numpy as np

from tutorlib.records import Experiment, grid
from tutorlib.results import column
from tutorlib.theory.statistics import slopes

BATCHES = (1, 4, 16, 64, 256)
FACTOR = 4  # from each batch to the next
SHARES = (0.01, 0.02, 0.05, 0.1, 0.2)  # of the draws that count as tail
TAIL = 0.05
LAWS = ("gaussian", "gaussian length, 50-d", "student 3", "stable 1.9", "stable 1.5", "gaussians of many sizes")
# Which law is stable, that is: keeps its shape under sums, and with which α.
STABLE = {"gaussian": 2.0, "stable 1.9": 1.9, "stable 1.5": 1.5}
CHECKPOINTS = {"mlp": (0, 100, 600), "gpt": (0, 100)}

READINGS = Experiment(
    name="tail_readings",
    question="What do the instruments read when the answer is known?",
    trial="hunt_heavy_tails.readings",
    points=grid(law=LAWS),
    print_under="{draws:,} draws a law and seed; Hill index from the largest 5 %; index of sums from differences of "
    "two draws, sums of 1 to 256; stability test on {columns} columns of {draws_a_test} draws, {tests} times a seed",
    held={"draws": 4096, "columns": 16, "draws_a_test": 256, "tests": 10},
    side_by_side=True,
    seeds=12,
)

NOISE = Experiment(
    name="gradient_tails",
    question="Which of these tails has gradient noise, at which batch, and when?",
    trial="hunt_heavy_tails.noise",
    points=tuple({"model": model, "steps": steps} for model, all_steps in CHECKPOINTS.items() for steps in all_steps),
    print_under="MLP of 9,610 parameters on {examples:,} digits and GPT of 5,616 on as many pieces of 16 letters, "
    "drawn anew for every seed; "
    "SGD, batch 32, rate {rate}; {draws:,} minibatches a batch, with replacement; {coordinates} "
    "coordinates, {directions} random directions; pooled: all coordinates of one minibatch of {pooled_batch}",
    held={"examples": 1024, "rate": 0.5, "draws": 2048, "coordinates": 48, "directions": 16, "pooled_batch": 256},
    full={"draws": 8192},
    together=("steps",),
    side_by_side=True,
    seeds=16,
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


def kurtosis_slopes(records, model: str, steps: int) -> np.ndarray:
    """Slope of log kurtosis against log batch, 1 to 64, in random directions: one a seed; the law says −1."""
    rows = noise_column(records, "directed", model, steps)[:, :4]
    return slopes(np.log(BATCHES[:4]), np.log(rows))
