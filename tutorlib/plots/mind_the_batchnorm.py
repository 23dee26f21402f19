"""The figures of lesson 03."""

import numpy as np
from matplotlib.axes import Axes

from tutorlib.experiments import mind_the_batchnorm as lesson
from tutorlib.plots import style
from tutorlib.results import Results, column
from tutorlib.theory import batch_statistics as law
from tutorlib.theory.statistics import geometric_interval, mean_interval

MARKERS = {"gaussian": "o", "activations": "s"}
# norm: label, marker, colour
NORMS = {
    "batch": ("BatchNorm", "o", "0.15"),
    "group": ("GroupNorm", "s", "#0072b2"),
    "layer": ("LayerNorm", "^", "#009e73"),
    "none": ("no normalization", "x", "0.4"),
    "finetuned": ("pretrained, BatchNorm", "D", "#d55e00"),
    "frozen": ("pretrained, frozen", "v", "#cc79a7"),
}


@style.look()
def plot_statistics(results: Results, guess=None) -> Axes:
    """sd of batch mean and variance against n, and the mean of 1/√(v + ε); ``guess`` is the sd of the variance at 2."""
    axes, beside = style.figure(columns=2, ratios=(3, 2))
    sizes = np.array(lesson.SIZES)
    for name, laws, colour, words in (
        ("variance_sd", law.variance_sd(sizes), "#d55e00", "variance, σ²"),
        ("mean_sd", law.mean_sd(sizes), "#0072b2", "mean, σ"),
    ):
        axes.plot(sizes, laws, **style.THEORY, label="Gaussian law" if name == "mean_sd" else None)
        for source, marker in MARKERS.items():
            for n in lesson.SIZES:
                found = geometric_interval(column(results, name, source=source, n=n))
                label = f"{words}, {source}" if n == 2 else None
                style.point(axes, n, found, colour, results.recorded, marker, label=label, size=5)
    if guess:
        axes.fill_between([1.7, 2.4], *guess, label="your guess", **style.GUESS)
    beside.plot(sizes, law.gain(sizes), **style.THEORY)
    for source, marker in MARKERS.items():
        for n in lesson.SIZES:
            found = geometric_interval(column(results, "gain", source=source, n=n))
            style.point(beside, n, found, style.INK, results.recorded, marker, size=5)
    axes.set(yscale="log", ylabel="sd of a batch statistic")
    beside.set(yscale="log", ylabel="mean of 1/√(v + ε)")
    for each, ticks in ((axes, sizes), (beside, (2, 8, 32, 256))):
        style.batch_axis(each, ticks, "values n")
        style.plain_ticks(each.yaxis, style.few_values(*each.get_ylim()))
    axes.legend(fontsize=8)
    style.small_print(axes, results)
    return axes


@style.look()
def plot_errors(results: Results, guess=None) -> Axes:
    """Held-out error against micro-batch: ours, and beside it ResNet-50 on ImageNet.

    ``guess`` is the error with BatchNorm at micro-batch 2. Beside it: Wu and He 2018, arXiv 1803.08494, figure 1 and
    table 2, where the logical batch is eight times the micro-batch and the rate follows it.
    """
    axes, middle, beside = style.figure(columns=3, height=4.0, ratios=(4, 2, 3))
    draw_errors(axes, results, "mlp")
    draw_errors(middle, results, "cnn")
    if guess:
        axes.fill_between([1.7, 2.4], *guess, label="your guess", **style.GUESS)
    for norm, published in lesson.PUBLISHED.items():
        _, marker, colour = NORMS[norm]
        beside.plot(list(published), list(published.values()), marker=marker, color=colour, markerfacecolor="white")
    for place, title in ((axes, "MLP, digits"), (middle, "CNN, digits"), (beside, "ResNet-50 (2018)")):
        style.batch_axis(place, lesson.MICRO_BATCHES if place is not middle else (2, 32), "micro-batch")
        place.set_title(title)
        place.set_ylim(bottom=0)
    axes.set_ylabel("held-out error (%)")
    axes.legend(fontsize=7.5)
    style.small_print(
        axes, results, "Right: ImageNet, Wu and He 2018, figure 1; its logical batch is 8 × the micro-batch"
    )
    return axes


@style.look()
def plot_mnist1d(results: Results) -> Axes:
    """Held-out error against micro-batch on mnist1d, MLP and CNN."""
    axes, beside = style.figure(columns=2)
    for place, model in ((axes, "mlp"), (beside, "cnn")):
        draw_errors(place, results, model)
        style.batch_axis(place, lesson.MICRO_BATCHES, "micro-batch")
        place.set_title(f"{model.upper()}, mnist1d")
        place.set_ylim(bottom=0)
    axes.set_ylabel("held-out error (%)")
    axes.legend()
    style.small_print(axes, results)
    return axes


def draw_errors(axes: Axes, results: Results, model: str) -> None:
    """One curve a normalization; the CNN's share the MLP's names."""
    for norm, (label, marker, colour) in NORMS.items():
        arm = {"model": model, "norm": norm, "tuned": "both ends"}
        sizes = [p["micro_batch"] for p in results.experiment.points if arm.items() <= p.items()]
        found = {b: mean_interval(lesson.error(results, model, norm, b)) for b in sizes}
        axes.plot(sizes, [found[b].value for b in sizes], color=colour, linewidth=0.8)
        for b in sizes:
            name = label if b == sizes[0] and model == "mlp" else None
            style.point(axes, b, found[b], colour, results.recorded, marker, label=name, size=5)


@style.look()
def plot_ghost(results: Results, guess=None) -> Axes:
    """Error on every rung, with running statistics and taken anew; ``guess``: 8 × the updates, with ghosts."""
    (axes,) = style.figure()
    for number, rung in enumerate(lesson.RUNGS):
        colour = style.batch_colour(rung["batch"])
        for name, marker, shift, words in (
            ("error", "o", 0.12, "running statistics"),
            ("recomputed", "D", -0.12, "taken anew"),
        ):
            found = mean_interval(lesson.rung(results, number, name))
            label = words if number == 0 else None
            style.point(axes, number + shift, found, colour, results.recorded, marker, sideways=True, label=label)
    axes.axvline(mean_interval(lesson.rung(results, 0)).value, color="0.75", linewidth=1)
    if guess:
        axes.axvspan(*guess, ymin=1 / 7, ymax=2 / 7, label="your guess", **style.GUESS)
    names = [f"{rung['rung']} ({rung['batch']} in parts of {rung['micro_batch']})" for rung in lesson.RUNGS]
    axes.set_yticks(range(len(names)), names)
    axes.set(ylim=(len(names) - 0.5, -0.5), xlabel="held-out error (%)")
    axes.legend(loc="lower right")
    style.small_print(axes, results)
    return axes
