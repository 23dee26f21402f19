"""Walkers in a well, drawn as they leave it: Gaussian noise climbs, Lévy noise jumps."""

import functools

import numpy as np
from matplotlib.axes import Axes

from tutorlib.plots import style
from tutorlib.theory.escape import force
from tutorlib.theory.tails import stable

WALKERS, STEP, STEPS = 200, 0.04, 1250
KEPT = 4  # paths that are drawn


@functools.lru_cache(maxsize=64)
def walk(alpha: float, temperature: float, height: float, width: float, draw: int) -> tuple[np.ndarray, np.ndarray]:
    """Paths of the first few walkers (steps, paths), and the time at which each of all left, infinite for who stayed.

    Noise √T dt^(1/α) times a stable draw: at α = 2 that is variance 2 T dt. Paths end on the rim; a wall at −1.5w keeps
    Euler's long steps short.
    """
    rng = np.random.default_rng(draw)
    kicks = np.sqrt(temperature) * STEP ** (1 / alpha) * stable(alpha, (STEPS, WALKERS), rng)
    x, left = np.full(WALKERS, -width), np.full(WALKERS, np.inf)
    paths = np.full((STEPS, KEPT), np.nan)
    for step, kick in enumerate(kicks):
        x = np.maximum(x + STEP * force(x, height, width) + kick, -1.5 * width)
        left[(x >= 0) & np.isinf(left)] = (step + 1) * STEP
        going = left[:KEPT] >= (step + 1) * STEP
        paths[step, going] = np.minimum(x[:KEPT], 0)[going]
        x[np.isfinite(left)] = 0.0
        if np.isfinite(left).all():
            break
    return paths, left


@style.look()
def plot_escape_panel(alpha: float, temperature: float, height: float, width: float, draw: int) -> Axes:
    """Left: a few paths up to the rim. Right: the share of walkers still inside against time."""
    axes, beside = style.figure(columns=2, height=3.4, ratios=(3, 2), panel=True)
    paths, left = walk(alpha, temperature, height, width, draw)
    times = STEP * np.arange(1, STEPS + 1)
    for number in range(KEPT):
        axes.plot(times[::2], paths[::2, number], linewidth=0.7, color=str(0.15 + 0.2 * number))
    axes.axhline(0, color="#d55e00", linewidth=1.2)
    axes.axhline(-width, **style.THEORY)
    axes.set(xlim=(0, times[-1]), ylim=(-1.55 * width, 0.15 * width), xlabel="time", title="four of the walkers")
    axes.set_yticks((-width, 0), ("bottom", "rim"))
    share = 1 - np.arange(1, WALKERS + 1) / WALKERS
    beside.step([0, *np.sort(left)], [1, *share], where="post", color=style.INK)
    beside.set(xlim=(0, times[-1]), ylim=(0, 1.02), yticks=(0, 0.5, 1), xlabel="time", title="share still inside")
    return axes
