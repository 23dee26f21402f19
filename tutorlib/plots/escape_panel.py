"""Walkers in a well, drawn as they leave it: Gaussian noise climbs, Lévy noise jumps."""

import functools

import numpy as np
from matplotlib.axes import Axes

from tutorlib.plots import style
from tutorlib.theory.escape import force
from tutorlib.theory.tails import stable

WALKERS, STEP, STEPS = 100, 0.04, 1250
KEPT = 2  # paths of each noise that are drawn
COLOURS = ("0.45", "#d55e00")  # Gaussian, Lévy


@functools.lru_cache(maxsize=64)
def walk(alpha: float, temperature: float, scale: float, height: float, width: float, draw: int):
    """Paths (steps, 2 noises, ``KEPT``), and the time at which each walker left (2, walkers), infinite for who stayed.

    First Gaussian noise of variance 2 T dt, then Lévy noise, ``scale`` dt^(1/α) times a stable draw. Paths end on the
    rim; a wall at −1.5w keeps Euler's long steps short.
    """
    rng, shape = np.random.default_rng(draw), (STEPS, WALKERS)
    climbs = np.sqrt(2 * temperature * STEP) * rng.standard_normal(shape)
    kicks = np.stack([climbs, scale * STEP ** (1 / alpha) * stable(alpha, shape, rng)], axis=1)
    x, left = np.full((2, WALKERS), -width), np.full((2, WALKERS), np.inf)
    paths = np.full((STEPS, 2, KEPT), np.nan)
    for step, kick in enumerate(kicks):
        x = np.maximum(x + STEP * force(x, height, width) + kick, -1.5 * width)
        left[(x >= 0) & np.isinf(left)] = (step + 1) * STEP
        going = left[:, :KEPT] >= (step + 1) * STEP
        paths[step][going] = np.minimum(x[:, :KEPT], 0)[going]
        x[np.isfinite(left)] = 0.0
        if np.isfinite(left).all():
            break
    return paths, left


@style.look()
def plot_escape_panel(alpha: float, temperature: float, scale: float, height: float, width: float, draw: int) -> Axes:
    """Left: a few paths up to the rim. Right: the share of walkers still inside against time."""
    axes, beside = style.figure(columns=2, height=3.4, ratios=(3, 2), panel=True)
    paths, left = walk(alpha, temperature, scale, height, width, draw)
    times = STEP * np.arange(1, STEPS + 1)
    share = [1, *(1 - np.arange(1, WALKERS + 1) / WALKERS)]
    for noise, (name, line) in enumerate((("Gaussian", "--"), (f"Lévy, α = {alpha:g}", "-"))):
        axes.plot(times[::2], paths[::2, noise], linewidth=0.7, color=COLOURS[noise])
        beside.step([0, *np.sort(left[noise])], share, line, where="post", color=COLOURS[noise], label=name)
    axes.axhline(0, color=style.INK, linewidth=1.2)
    axes.axhline(-width, **style.THEORY)
    axes.set(xlim=(0, times[-1]), ylim=(-1.55 * width, 0.15 * width), xlabel="time", title="two walkers of each noise")
    axes.set_yticks((-width, 0), ("bottom", "rim"))
    beside.set(xlim=(0, times[-1]), ylim=(0, 1.02), yticks=(0, 0.5, 1), xlabel="time", title="share still inside")
    beside.legend(loc="lower left")
    return axes
