"""The figures of lesson 09: the noise scale along short runs, and the adviser's choice among all plans of a sweep."""

import numpy as np
from matplotlib.axes import Axes

from tutorlib.experiments import advice_columns as columns
from tutorlib.experiments import choose_your_batch as lesson
from tutorlib.plots import style
from tutorlib.results import Results, column
from tutorlib.theory.statistics import geometric_interval

NAMES = {"mlp": "MLP, SGD", "cnn": "CNN, BatchNorm, Adam", "gpt": "GPT, Adam"}


@style.look()
def plot_noise(results: Results, guess=None) -> Axes:
    """The noise scale over its value before the first step; the learner's range at the end, for the MLP."""
    axes, beside = style.figure(columns=2)
    every = lesson.NOISE.held["steps"] // (lesson.NOISE.held["looks"] - 1)
    for each, model in ((axes, "mlp"), (beside, "cnn")):
        signals = np.maximum(column(results, "signals", model=model), 1e-6)
        for look in range(signals.shape[1]):
            scale = geometric_interval(1 / signals[:, look])
            style.point(each, look * every, scale, recorded=results.recorded)
        each.set(yscale="log", xlabel="update at batch 32", title=NAMES[model])
    style.band(axes, guess)
    axes.set_ylabel("noise scale (examples)")
    for each in (axes, beside):
        style.plain_ticks(each.yaxis, style.few_values(*each.get_ylim()))
    style.small_print(axes, results)
    return axes


@style.look()
def plot_sweep(sweep: Results, clock: Results, advice: Results, guess=None) -> Axes:
    """Seconds to the target of every plan, by batch; rings around what the adviser chose on each seed."""
    grid = style.figure(columns=3, height=3.8)
    for axes, model in zip(grid, NAMES, strict=True):
        found = columns.times(sweep, clock, model)
        whole = {pair: geometric_interval(time) for pair, time in found.items()}
        for (batch, micro_batch), time in whole.items():
            one_piece = batch == micro_batch
            colour = style.batch_colour(micro_batch, 512)
            if one_piece:
                style.point(axes, batch, time, colour, recorded=sweep.recorded)
            else:
                axes.plot(batch, time.value, "_", color=colour, markersize=9)
        for pair in columns.advised_pairs(advice, model):
            near = [t.value for p, t in whole.items() if p[0] == pair[0]]
            if near:
                axes.plot(pair[0], min(near), "o", markersize=14, markerfacecolor="none", color=style.INK, alpha=0.6)
        style.batch_axis(axes, list(lesson.CENTRES[model])[::2], "batch")
        axes.set(yscale="log", title=NAMES[model])
        style.plain_ticks(axes.yaxis, style.few_values(*axes.get_ylim()))
    style.band(grid[0], guess, sideways=True)
    grid[0].set_ylabel("seconds to the target")
    more = "Circles: in one piece; dashes: in micro-batches, the lighter the smaller; rings: the adviser's batch"
    style.small_print(grid[0], sweep, more)
    return grid[0]
