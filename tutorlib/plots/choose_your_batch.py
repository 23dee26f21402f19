"""The figures of lesson 09: the noise scale along short runs, and the adviser's choice among all plans of a sweep."""

from collections import Counter

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
    """Seconds to the target by batch, in one piece and where memory has room for 16; a star on the least.

    Rings go around the batches that the adviser chose, with the number of its seeds beside them.
    """
    grid = style.figure(columns=3, height=3.8)
    for axes, model in zip(grid, NAMES, strict=True):
        found = columns.times(sweep, clock, model)
        whole = {pair: geometric_interval(time) for pair, time in found.items()}
        best = columns.soonest(found)
        for batch in sorted(b for b, m in whole if b == m):
            star = {"marker": "*", "size": 11, "label": "the sweep's best"} if best == (batch, batch) else {}
            style.point(axes, batch, whole[batch, batch], style.batch_colour(batch, 512), sweep.recorded, **star)
        little = {b: whole[b, m].value for b, m in sorted(whole) if m == lesson.LITTLE < b}
        axes.plot(list(little), list(little.values()), "_:", color="0.5", markersize=9, label="in micro-batches of 16")
        draw_advised(axes, whole, columns.advised_pairs(advice, model))
        style.batch_axis(axes, list(lesson.CENTRES[model])[::2], "batch")
        axes.set(yscale="log", title=NAMES[model])
        axes.margins(x=0.12)
        style.plain_ticks(axes.yaxis, style.few_values(*axes.get_ylim()))
    style.band(grid[0], guess, sideways=True)
    grid[0].set_ylabel("seconds to the target")
    grid[0].figure.legend(*grid[2].get_legend_handles_labels(), loc="outside upper right", ncols=2)
    ended = "; ".join(f"{model.upper()} {', '.join(map(str, columns.edges(sweep, model)))}" for model in NAMES)
    rings = "Circles: in one piece; rings: the adviser's batch, on how many seeds"
    style.small_print(grid[0], sweep, f"{rings}. Rate chosen at an end of its grid, on any seed, at batch: {ended}")
    return grid[0]


def draw_advised(axes: Axes, whole: dict, pairs: list) -> None:
    """A ring on each batch that was chosen, at its least time, and how often it was."""
    for number, (batch, times) in enumerate(sorted(Counter(batch for batch, _ in pairs).items())):
        near = [time.value for (b, _), time in whole.items() if b == batch]
        if near:  # it was swept
            axes.plot(batch, min(near), "o", markersize=15, markerfacecolor="none", color=style.INK)
            words, place = f"{times} of {len(pairs)}", (0, 15 if number % 2 else -15)  # neighbours would overlap
            white = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
            look = {"ha": "center", "va": "center", "fontsize": 8, "zorder": 5, "bbox": white}
            axes.annotate(words, (batch, min(near)), place, textcoords="offset points", **look)
