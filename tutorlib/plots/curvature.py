"""The figures of lesson 06 on sharpness: against batch and rate, beside held-out error, and under a rescaling."""

import numpy as np
from matplotlib.axes import Axes

from tutorlib.experiments import curvature as lesson
from tutorlib.plots import style
from tutorlib.results import Results, column
from tutorlib.theory.statistics import geometric_interval, mean_interval

RATES = dict(zip(lesson.RATES, ("o", "s", "^"), strict=True))  # by marker: colour is the batch
KINDS = {
    "sharpness": ("top eigenvalue", "o", "0.15"),
    "box": ("ε-sharpness", "s", "#0072b2"),
    "adaptive": ("adaptive sharpness", "D", "#d55e00"),
    "error": ("held-out error", "x", "#009e73"),
}


@style.look()
def plot_sharpness(results: Results, guess=None) -> Axes:
    """λ against batch, one line a rate, with 2/η dashed; beside it, every batch and rate by λ and held-out error.

    ``guess`` is λ at the largest batch and the lowest rate.
    """
    axes, beside = style.figure(columns=2, height=4.0, ratios=(3, 2))
    tables = {name: lesson.table(results, name) for name in ("sharpness", "error")}
    for j, (rate, marker) in enumerate(RATES.items()):
        found = [geometric_interval(values) for values in tables["sharpness"][:, :, j].T]
        axes.plot(lesson.BATCHES, [each.value for each in found], color="0.6", linewidth=1)
        for i, batch in enumerate(lesson.BATCHES):
            colour, label = style.batch_colour(batch, lesson.BATCHES[-1]), f"rate {rate:g}" if i == 2 else None
            style.point(axes, batch, found[i], colour, results.recorded, marker, label=label)
            error = mean_interval(tables["error"][:, i, j])
            style.point(beside, found[i].value, error, colour, results.recorded, marker, size=5)
        axes.axhline(2 / rate, **style.THEORY, label="2/η" if j == 0 else None)
        axes.text(20, 2.06 / rate, f"2/{rate:g}", fontsize=8, color="0.35")
    if guess:
        axes.axhspan(*guess, xmin=0.9, xmax=1.0, label="your guess", **style.GUESS)
    style.batch_axis(axes, lesson.BATCHES)
    axes.set(yscale="log", ylim=(4, 45), ylabel="λ, top eigenvalue of the Hessian")
    beside.set(xscale="log", ylim=(0, None), xlabel="λ", ylabel="held-out error (%)")
    style.plain_ticks(axes.yaxis, style.few_values(*axes.get_ylim()))
    style.plain_ticks(beside.xaxis, {5: "5", 10: "10", 20: "20"})
    axes.legend(loc="upper left", ncols=2)
    style.small_print(axes, results)
    return axes


@style.look()
def plot_rescaled(results: Results, guess=None) -> Axes:
    """Three kinds of sharpness and the error, each over its value at c = 1, with c² dashed; ``guess``: λ at c = 10."""
    (axes,) = style.figure()
    factors = np.array(lesson.FACTORS)
    axes.plot(factors, factors.astype(float) ** 2, **style.THEORY, label="c²")
    for name, (label, marker, colour) in KINDS.items():
        before = lesson.rescaled(results, name, 1)
        found = [geometric_interval(lesson.rescaled(results, name, c) / before) for c in lesson.FACTORS]
        axes.plot(factors, [each.value for each in found], color=colour, linewidth=1)
        for c, each in zip(lesson.FACTORS, found, strict=True):
            style.point(axes, c, each, colour, results.recorded, marker, label=label if c == 1 else None)
    if guess:
        axes.fill_between([8.5, 11.8], *guess, label="your guess", **style.GUESS)
    moved = column(results, "outputs", factor=100, undone=True).max()
    axes.set(xscale="log", yscale="log", xlabel="c: first layer × c, second ÷ c", ylabel="÷ its value at c = 1")
    axes.set_title("no output moves" if moved < 1e-6 else f"outputs move by {moved:.0e}")
    style.plain_ticks(axes.xaxis, {c: f"{c}" for c in lesson.FACTORS})
    style.plain_ticks(axes.yaxis, {1: "1", 10: "10", 100: "100", 1e3: "1,000", 1e4: "10,000"})
    axes.legend(loc="upper left")
    style.small_print(axes, results)
    return axes
