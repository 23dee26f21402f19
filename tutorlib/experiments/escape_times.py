"""Leaving a well: Gaussian noise, Lévy noise, and what a net's own gradients do at the same variance."""

import numpy as np

from tutorlib.records import Experiment, grid
from tutorlib.results import column

HEIGHTS = (0.5, 0.85, 1.2)
WIDTHS = (0.7, 1.0, 1.4)
LOW, MIDDLE, HIGH = HEIGHTS


SCALE, LARGE = 0.1, 0.2  # of the Lévy noise; the law is for small scales, and the second is not small
STRIDE = 128  # small steps, against one accumulated step


def wells(noise: str, step: float, batch: int = 0, widths=WIDTHS, **more) -> tuple[dict, ...]:
    """Every height at width 1 and every width at the middle height."""
    sides = [(h, 1.0) for h in HEIGHTS] + [(MIDDLE, w) for w in widths if w != 1.0]
    return tuple({"noise": noise, "batch": batch, "height": h, "width": w, "step": step, **more} for h, w in sides)


ESCAPE = Experiment(
    name="escape_times",
    question="What decides how long a walker stays: how high the rim is, or how far?",
    trial="escape_times.escape",
    points=(
        *wells("gaussian", 0.005),
        *wells("levy", 0.02, scale=SCALE),
        *grid(noise=("levy",), batch=(0,), height=(LOW, HIGH), width=(1.0,), step=(0.02,), scale=(LARGE,)),
        *wells("gradient", 0.005, batch=1, widths=()),
        *wells("gradient", 0.005, batch=16, widths=()),
        *grid(noise=("gradient",), batch=(1,), height=(HIGH,), width=(1.0,), step=(0.00125,)),
    ),
    print_under="V = h ((x/w)² − 1)², from the bottom to the rim; {walkers} walkers a seed; temperature {temperature}, "
    "or Lévy noise with α = {alpha} and scale 0.1 (0.2 where it says so); gradients: directions of an MLP after "
    "{trained} steps, batch 1 or 16, signs shuffled, scaled to the variance of the Gaussian",
    held={
        "walkers": 64,
        "temperature": 0.3,
        "alpha": 1.5,
        "stride": STRIDE,
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


def mean_time(records, noise: str, height: float, width: float = 1.0, **more) -> np.ndarray:
    """Mean time to the rim: one a seed. ``more`` are a batch, a step or a scale other than the usual."""
    usual = {"batch": 0, "step": 0.02, "scale": SCALE} if noise == "levy" else {"batch": 0, "step": 0.005}
    return column(records, "time", noise=noise, height=height, width=width, **{**usual, **more})


def against_gaussian(records, batch: int, height: float = HIGH) -> np.ndarray:
    """Time with gradient noise over time with Gaussian noise of the same variance: one a seed."""
    return mean_time(records, "gradient", height, batch=batch) / mean_time(records, "gaussian", height)


def hopped(records, height: float) -> np.ndarray:
    """Share of Gaussian walkers over the rim within :data:`STRIDE` steps: one a seed."""
    return column(records, "hopped", noise="gaussian", height=height, width=1.0)
