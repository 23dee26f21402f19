"""The figures of lesson 02."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from tutorlib.experiments import accumulate_gradients as lesson
from tutorlib.plots import style
from tutorlib.results import Results, column
from tutorlib.theory.equality import CLASSES, IN_DISTRIBUTION, NOT_EQUAL, NOT_SETTLED, TO_ROUNDING
from tutorlib.theory.statistics import Estimate, geometric_interval, mean_interval

MARKS = {TO_ROUNDING: "o", IN_DISTRIBUTION: "D", NOT_EQUAL: "x", NOT_SETTLED: "*"}
SHADES = {"SGD": style.INK, "AdamW": "0.55"}
NOTHING = 1e-17  # where a distance of exactly 0 is drawn


@style.look()
def plot_ladder(results: Results, guess=None) -> Axes:
    """Every rung's distance, on a bar that is its widest tolerance; ``guess`` is that of the mean of means.

    A mark is the median over models and seeds, its whiskers the least and the most; its shape says the class. A class
    is drawn where the three models agree on it, otherwise a star.
    """
    (axes,) = style.figure(height=6.2)
    for row, rung in enumerate(lesson.RUNGS):
        for optimizer, shift in (("SGD", -0.18), ("AdamW", 0.18)):
            draw_rung(axes, results, rung, optimizer, row + shift)
    if guess:
        row = lesson.RUNGS.index("mean of means")
        style.band(axes, guess, sideways=True, ymin=1 - (row + 0.95) / len(lesson.RUNGS), ymax=1 - row / 17)
    axes.set(xscale="log", xlim=(NOTHING / 2, 30), ylim=(len(lesson.RUNGS) - 0.5, -0.5))
    axes.set_xticks([1e-16, 1e-12, 1e-8, 1e-4, 1], ["1e-16", "1e-12", "1e-8", "1e-4", "1"])
    axes.set_yticks(range(len(lesson.RUNGS)), lesson.RUNGS)
    axes.set_xlabel("relative distance between the two updates")
    shapes = [
        Line2D([], [], color=style.INK, marker=MARKS[kind], linestyle="", markersize=6.5, label=kind,
               markerfacecolor="white" if results.recorded else style.INK)
        for kind in CLASSES
    ]  # fmt: skip
    tolerance = Line2D([], [], color="0.88", linewidth=7, label="tolerance of rounding")
    axes.legend(handles=[*shapes, tolerance, *axes.get_legend_handles_labels()[0]], loc="upper left",
                bbox_to_anchor=(0, -0.1), ncols=3, fontsize=8)  # fmt: skip
    marks = "Upper mark SGD, lower AdamW; whiskers from the least to the most of all seeds"
    style.small_print(axes, results, marks, intervals="")
    return axes


def draw_rung(axes: Axes, results: Results, rung: str, optimizer: str, height: float) -> None:
    at = {"rung": rung, "optimizer": optimizer}
    tolerance = column(results, "tolerance", **at).max()
    axes.barh(height, tolerance, left=NOTHING / 2, height=0.32, color="0.88", zorder=0)
    distances = np.maximum(column(results, "distance", **at), NOTHING)
    kinds = {lesson.class_of(results, model, optimizer, rung) for model in lesson.MODELS}
    kind = kinds.pop() if len(kinds) == 1 else NOT_SETTLED
    span = Estimate(float(np.median(distances)), float(distances.min()), float(distances.max()))
    style.point(axes, height, span, SHADES[optimizer], results.recorded, MARKS[kind], sideways=True)


@style.look()
def plot_tokens(results: Results, guess=None) -> Axes:
    """Left: what a token of a short and of a long text weighs. Right: how far the gradient is off, naive and cured.

    ``guess`` is the weight of a token of the short text at micro-batch 1.
    """
    axes, beside = style.figure(columns=2)
    for name, marker, words in (("short", "^", "short text (p10)"), ("long", "v", "long text (p90)")):
        for m in lesson.MICRO_BATCHES:
            found = geometric_interval(column(results, name, micro_batch=m))
            label = words if m == 1 else None
            style.point(axes, m, found, style.batch_colour(m, 64), results.recorded, marker, label=label)
    axes.axhline(1, **style.THEORY, label="every token alike")
    if guess:
        axes.fill_between([0.85, 1.18], *guess, label="your guess", **style.GUESS)
    axes.set_yscale("log", base=2)
    axes.set_yticks([0.25, 0.5, 1, 2, 4, 8], ["¼", "½", "1", "2", "4", "8"])
    axes.set_ylabel("weight of one token")
    for name, marker, words in (("naive", "x", "mean of means"), ("cured", "o", "targets counted")):
        for m in lesson.MICRO_BATCHES:
            found = mean_interval(np.log10(np.maximum(column(results, name, micro_batch=m), 1e-8)))
            label = words if m == 1 else None
            style.point(beside, m, found, style.batch_colour(m, 64), results.recorded, marker, label=label)
    beside.set_ylabel("relative distance from\nthe true gradient")
    beside.set_ylim(-8.5, 0.3)
    beside.set_yticks([-8, -6, -4, -2, 0], ["≤ 1e-8", "1e-6", "1e-4", "0.01", "1"])
    for one in (axes, beside):
        style.batch_axis(one, lesson.MICRO_BATCHES, "micro-batch (texts)")
        one.legend(fontsize=8)
    style.small_print(axes, results)
    return axes
