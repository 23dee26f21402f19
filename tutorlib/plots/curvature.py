"""The figures of lesson 06 on sharpness: against batch and rate, beside held-out error, and under a rescaling."""

import numpy as np
from matplotlib.axes import Axes

from tutorlib.experiments import curvature as lesson
from tutorlib.plots import style
from tutorlib.plots.judged import margin
from tutorlib.results import Results, column
from tutorlib.theory.statistics import geometric_interval, mean_interval
from tutorlib.verdicts.curvature import POINT
from tutorlib.verdicts.rules import SAME_WITHIN

RATES = dict(zip(lesson.RATES, ("o", "s", "^"), strict=True))  # by marker: colour is the batch
KINDS = {
    "sharpness": ("top eigenvalue", "o", "0.15"),
    "box": ("ε-sharpness", "s", "#0072b2"),
    "adaptive": ("adaptive sharpness", "D", "#d55e00"),
    "error": ("held-out error", "x", "#009e73"),
}

CLAIMED = POINT / 2  # of error for a doubling of sharpness


@style.look()
def plot_sharpness(results: Results, guess=None) -> Axes:
    """λ against batch, one line a rate, with 2/η dashed; beside it the largest batch ÷ the smallest, by two rulers.

    ``guess`` is λ at the largest batch and the lowest rate.
    """
    axes, beside = style.figure(columns=2, height=4.0, ratios=(3, 2))
    sharp = lesson.table(results, "sharpness")
    for j, (rate, marker) in enumerate(RATES.items()):
        found = [geometric_interval(values) for values in sharp[:, :, j].T]
        axes.plot(lesson.BATCHES, [each.value for each in found], color="0.6", linewidth=1)
        for i, batch in enumerate(lesson.BATCHES):
            label = f"rate {rate:g}" if i == 2 else None
            style.point(axes, batch, found[i], colour_of(batch), results.recorded, marker, label=label)
        axes.axhline(2 / rate, **style.THEORY, label="2/η" if j == 0 else None)
        axes.text(20, 2.06 / rate, f"2/{rate:g}", fontsize=8, color="0.35")
    if guess:
        axes.axhspan(*guess, xmin=0.9, xmax=1.0, label="your guess", **style.GUESS)
    style.batch_axis(axes, lesson.BATCHES)
    axes.set(yscale="log", ylim=(4, 45), ylabel="λ, top eigenvalue of the Hessian")
    style.plain_ticks(axes.yaxis, style.few_values(*axes.get_ylim()))
    axes.legend(loc="upper left", ncols=2)
    plot_rulers(beside, results)
    style.small_print(axes, results)
    return axes


def plot_rulers(axes: Axes, results: Results) -> None:
    """Sharpness at the largest batch over that at the smallest, seed by seed, rate by rate, by both rulers."""
    for k, name in enumerate(("sharpness", "adaptive")):
        label, marker, colour = KINDS[name]
        values = lesson.table(results, name)
        for j in range(len(RATES)):
            ratio = geometric_interval(values[:, -1, j] / values[:, 0, j])
            style.point(axes, j + 0.2 * (k - 0.5), ratio, colour, results.recorded, marker, label=None if j else label)
    margin(axes, 1 / SAME_WITHIN, SAME_WITHIN, "within a quarter")
    axes.axhline(1, **style.THEORY)
    axes.set_xticks(range(len(RATES)), [f"{rate:g}" for rate in RATES])
    axes.set(xlim=(-0.5, len(RATES) - 0.5), ylim=(0.7, 2.1), xlabel="rate η")
    axes.set_title(f"batch {lesson.BATCHES[-1]} ÷ batch {lesson.BATCHES[0]}", fontsize=10)
    axes.legend(fontsize=8, loc="upper right")


def colour_of(batch: int):
    return style.batch_colour(batch, lesson.BATCHES[-1])


@style.look()
def plot_errors(results: Results, guess=None) -> Axes:
    """Held-out error of every batch and rate against sharpness, by two rulers.

    Dashed is what the claim is judged by, half a point more for a doubling, through the middle of the points.
    ``guess`` is the error at the lowest λ.
    """
    both = style.figure(columns=2, height=3.9)
    errors = lesson.table(results, "error")
    for axes, name in zip(both, ("sharpness", "adaptive"), strict=True):
        values = lesson.table(results, name)
        for i, batch in enumerate(lesson.BATCHES):
            for j, marker in enumerate(RATES.values()):
                place, error = geometric_interval(values[:, i, j]).value, mean_interval(errors[:, i, j])
                label = f"batch {batch}" if j == 0 else None
                style.point(axes, place, error, colour_of(batch), results.recorded, marker, label=label, size=5.5)
        middle = np.log2(values).mean()
        ends = middle + np.array([-1, 1])
        axes.plot(2**ends, errors.mean() + CLAIMED * (ends - middle), **style.THEORY, label="half a point a doubling")
        axes.set(xscale="log", xlabel=f"{KINDS[name][0]}, by {'length' if name == 'sharpness' else 'own size'}")
        style.plain_ticks(axes.xaxis, style.few_values(*axes.get_xlim()))
        axes.set_ylim(errors.mean() - 1.6, errors.mean() + 1.9)
        found = mean_interval(lesson.cost_of_doubling(results, name))
        axes.set_title(f"{found.value:+.1f} [{found.low:+.1f}, {found.high:+.1f}] points a doubling", fontsize=10)
    style.band(both[0], guess, xmax=0.15)
    both[0].set_ylabel("held-out error (%)")
    both[0].legend(fontsize=8, loc="upper right")
    style.small_print(both[0], results, "Circle, square, triangle: rate 0.1, 0.2, 0.3")
    return both[0]


@style.look()
def plot_rescaled(results: Results, guess=None) -> Axes:
    """Three kinds of sharpness and the error, each over its value at c = 1, with c² dashed; ``guess``: λ at c = 10.

    c² is a law of large c: it is drawn through the last point.
    """
    (axes,) = style.figure()
    factors = np.array(lesson.FACTORS)
    last = geometric_interval(lesson.rescaled(results, "sharpness", 100) / lesson.rescaled(results, "sharpness", 1))
    axes.plot(factors, last.value * (factors / 100) ** 2, **style.THEORY, label="c², for large c")
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
    axes.set_title("every net here computes the same" if moved < 1e-6 else f"outputs move by {moved:.0e}")
    style.plain_ticks(axes.xaxis, {c: f"{c}" for c in lesson.FACTORS})
    style.plain_ticks(axes.yaxis, {1: "1", 10: "10", 100: "100", 1e3: "1,000", 1e4: "10,000"})
    axes.legend(loc="upper left")
    style.small_print(axes, results)
    return axes
