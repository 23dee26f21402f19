"""How often gradient noise is large, at a batch of your choice, beside the controls of the same size."""

import functools

import numpy as np
from matplotlib.axes import Axes

from tutorlib import store
from tutorlib.experiments.hunt_heavy_tails import ROWS
from tutorlib.plots import style
from tutorlib.theory.statistics import Estimate
from tutorlib.theory.tails import hill, stable

DRAWS = 2000
CONTROLS = {"Gaussian": ("--", "0.45"), "α-stable, 1.5": (":", "#d55e00")}


@functools.cache
def rows(net: tuple[str, int]) -> np.ndarray:
    """Recorded gradients of single examples in one random direction: mean 0, variance 1."""
    return np.array(next(r for r in store.recorded(ROWS) if (r["model"], r["steps"]) == net)["rows"])


@functools.lru_cache(maxsize=256)
def samples(net: tuple[str, int], batch: int, draw: int) -> dict[str, np.ndarray]:
    """Noise of ``DRAWS`` minibatches and the controls: each over its own median size, so that shapes compare.

    At batch 1 every example counts once: drawn with replacement they tie, and Hill's interval, for independent draws of
    an exact power law, covered the truth 77 times in 100 instead of 95.
    """
    rng, examples = np.random.default_rng([draw, batch]), rows(net)
    chosen = (rng.integers(len(examples), size=DRAWS) for _ in range(batch))
    noise = examples if batch == 1 else np.mean([examples[each] for each in chosen], axis=0)
    count = len(noise)
    drawn = {"gradient noise": noise, "Gaussian": rng.standard_normal(count), "α-stable, 1.5": stable(1.5, count, rng)}
    return {name: np.abs(values) / np.median(np.abs(values)) for name, values in drawn.items()}


def fitted(net: tuple[str, int], batch: int, share: float, draw: int) -> dict[str, Estimate]:
    """The Hill index of each, from the largest ``share``."""
    return {name: hill(values, round(share * len(values))) for name, values in samples(net, batch, draw).items()}


@style.look()
def plot_tails(net: tuple[str, int], batch: int, share: float, draw: int) -> Axes:
    """Left: the share of draws beyond a size, log-log. Right: the fitted index of each, with its interval."""
    axes, beside = style.figure(columns=2, height=3.4, ratios=(3, 2), panel=True)
    found = fitted(net, batch, share, draw)
    for place, (name, values) in enumerate(samples(net, batch, draw).items()):
        line, colour = CONTROLS.get(name, ("-", style.batch_colour(batch)))
        shown = np.unique(
            len(values) - np.geomspace(1, len(values), 120).astype(int)
        )  # the tail whole, the rest thinned
        axes.plot(np.sort(values)[shown], 1 - shown / len(values), line, color=colour, linewidth=1.6, label=name)
        style.point(beside, place, found[name], colour, sideways=True)
    axes.axhline(share, color="0.85", linewidth=1)
    axes.set(
        xscale="log", yscale="log", xlim=(0.3, 1000), ylim=(0.6 / DRAWS, 1.2), title=f"batch {batch}: share beyond"
    )
    style.plain_ticks(axes.xaxis, {v: f"{v:g}" for v in (1, 3, 10, 30, 100, 300)})
    style.plain_ticks(axes.yaxis, {v: f"{v:g}" for v in (1, 0.1, 0.01, 0.001)})
    axes.set_xlabel("size of the noise ÷ its median")
    axes.legend(loc="lower left")
    beside.axvline(2, **style.THEORY)
    beside.set(xlim=(0, 9), ylim=(2.6, -0.6), yticks=(), xlabel="Hill index", title="fitted tail index")
    return axes
