"""Leaving a well: Gaussian noise, Lévy noise, and what a net's own gradients do at the same variance."""

import numpy as np

from tutorlib.records import Experiment, grid
from tutorlib.results import column

HEIGHTS = (0.5, 0.85, 1.2)
WIDTHS = (0.7, 1.0, 1.4)
LOW, MIDDLE, HIGH = HEIGHTS


def wells(noise: str, step: float, batch: int = 0, widths=WIDTHS) -> tuple[dict, ...]:
    """Every height at width 1 and every width at the middle height."""
    sides = [(h, 1.0) for h in HEIGHTS] + [(MIDDLE, w) for w in widths if w != 1.0]
    return tuple({"noise": noise, "batch": batch, "height": h, "width": w, "step": step} for h, w in sides)


ESCAPE = Experiment(
    name="escape_times",
    question="What decides how long a walker stays: how high the rim is, or how far?",
    trial="escape_times.escape",
    points=(
        *wells("gaussian", 0.005),
        *wells("levy", 0.02),
        *wells("gradient", 0.005, batch=1, widths=()),
        *wells("gradient", 0.005, batch=16, widths=()),
        *grid(noise=("gradient",), batch=(1,), height=(HIGH,), width=(1.0,), step=(0.00125,)),
    ),
    print_under="V = h ((x/w)² − 1)², from the bottom to the rim; {walkers} walkers a seed; temperature {temperature}, "
    "or Lévy noise with α = {alpha} and scale {scale}; gradients: directions of an MLP after {trained} steps, batch "
    "1 or 16, signs shuffled, scaled to the variance of the Gaussian",
    held={
        "walkers": 64,
        "temperature": 0.3,
        "alpha": 1.5,
        "scale": 0.1,
        "longest": 4000.0,
        "trained": 600,
        "examples": 1024,
        "rate": 0.5,
        "directions": 16,
    },
    together=("seed",),
    side_by_side=True,
    seeds=16,
)


def mean_time(records, noise: str, height: float, width: float = 1.0, batch: int = 0, step: float | None = None):
    """Mean time to the rim: one a seed."""
    step = step or (0.02 if noise == "levy" else 0.005)
    return column(records, "time", noise=noise, height=height, width=width, batch=batch, step=step)


def against_gaussian(records, batch: int, height: float = HIGH, step: float | None = None) -> np.ndarray:
    """Time with gradient noise over time with Gaussian noise of the same variance: one a seed."""
    return mean_time(records, "gradient", height, batch=batch, step=step) / mean_time(records, "gaussian", height)
