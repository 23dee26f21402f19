"""The figures of lesson 01."""

import numpy as np
from matplotlib.axes import Axes

from tutorlib.experiments.measure_the_noise import BATCHES, PLANS, ROUTES, draw_by_draw, median_ratio, scale_ratio
from tutorlib.plots import style
from tutorlib.results import Results, column
from tutorlib.theory.noise import Noise
from tutorlib.theory.statistics import geometric_interval, mean_interval, ratio_interval

KINDS = (
    ("small steps", "o", "batch 1, {n} steps"),
    ("accumulated", "s", "{n} accumulated, 1 step"),
    ("scaled", "^", "… at rate × {n}"),
)


@style.look()
def plot_variance(results: Results, guess=None) -> Axes:
    """Noise against batch, with and without replacement, on the two laws; ``guess`` is a factor from 1 to 128."""
    (axes,) = style.figure()
    many = np.geomspace(1, 1024, 400)
    noise = Noise(float(column(results, "trace", batch=1, replacement=True).mean()), 1.0)
    for replacement, marker, size, words in ((False, "s", 8, "without"), (True, "o", 5, "with")):
        law = noise.variance(many, None if replacement else 1024)
        axes.plot(many, np.sqrt(law), **style.THEORY, label="theory" if replacement else None)
        for batch in BATCHES if replacement else BATCHES[:-1]:  # without replacement nothing is left at B = N
            sd = np.sqrt(column(results, "variance", batch=batch, replacement=replacement))
            style.point(
                axes,
                batch,
                geometric_interval(sd),
                style.batch_colour(batch),
                results.recorded,
                marker,
                size=size,
                label=f"{words} replacement" if batch == 1 else None,
            )
    if guess:
        axes.fill_between(
            [118, 139], *(np.sqrt(noise.trace) / factor for factor in guess), label="your guess", **style.GUESS
        )
    axes.set_yscale("log")
    axes.set_ylim(0.04, 6)
    style.batch_axis(axes, BATCHES)
    axes.set_ylabel("noise: root mean square\ndistance from the full gradient")
    axes.legend()
    style.small_print(axes, results)
    return axes


@style.look()
def plot_plans(results: Results, guess=None) -> Axes:
    """The noise of four plans over that of 32 × 1; ``guess`` is the same ratio for 1 × 32."""
    (axes,) = style.figure(height=2.9)
    unit = column(results, "variance", micro_batch=32, accumulation=1)
    law = {batch: Noise(1.0, 1.0).variance(batch, results.experiment.held["examples"]) for batch in (32, 128)}
    for row, (micro, parts) in enumerate(PLANS):
        sd = np.sqrt(column(results, "variance", micro_batch=micro, accumulation=parts) / unit)
        colour = style.batch_colour(micro * parts)
        style.point(axes, row, geometric_interval(sd), colour, results.recorded, sideways=True)
        axes.plot(
            2 * [np.sqrt(law[micro * parts] / law[32])],
            [row - 0.4, row + 0.4],
            **style.THEORY,
            label="theory" if row == 0 else None,
        )
    style.band(axes, guess, sideways=True, ymin=0.5, ymax=0.75)
    names = [f"{micro} × {parts} = {micro * parts}" for micro, parts in PLANS]
    axes.set_yticks(range(4), names)
    axes.set_ylim(3.6, -0.6)
    axes.set_xlim(left=0)
    axes.set_ylabel("micro-batch × accumulation")
    axes.set_xlabel("noise of one update, in units of plan 32 × 1")
    axes.legend(loc="lower right")
    style.small_print(axes, results)
    return axes


@style.look()
def plot_walk(results: Results, guess=None) -> Axes:
    """How much each way of spending 128 examples lowers the loss; ``guess`` is small steps over the accumulated one."""
    (axes,) = style.figure(height=2.9)
    arms = [point for point in results.experiment.points if point["rate"] == 0.01]
    unit = column(results, "loss_drop", **arms[1])
    for row, (arm, (_, marker, _)) in enumerate(zip(arms, KINDS, strict=True)):
        if row == 1:
            axes.plot(1, row, marker, color="0.45", markerfacecolor="none", label="the unit")
            continue
        lowered = ratio_interval(column(results, "loss_drop", **arm), unit)
        style.point(axes, row, lowered, style.batch_colour(arm["batch"]), results.recorded, marker, sideways=True)
    axes.axvline(128, **style.THEORY, label="theory for an infinitely small rate: 128")
    style.band(axes, guess, sideways=True, ymin=2 / 3, ymax=1)
    axes.set_xscale("log", base=2)
    axes.set_xlim(0.4, 320)
    axes.set_xticks([2**k for k in range(-1, 9)], ["½", *(f"{2**k}" for k in range(9))])
    axes.set_yticks(range(3), [words.format(n=128) for _, _, words in KINDS])
    axes.set_ylim(2.5, -0.5)
    axes.set_xlabel("loss lowered, in units of the one accumulated step")
    axes.legend(loc="lower left")
    style.small_print(axes, results)
    return axes


@style.look()
def plot_noise_scale(results: Results, guess=None) -> Axes:
    """Estimated over exact noise scale; the last two rows divide draw by draw. ``guess`` is the last median."""
    (axes,) = style.figure(height=3.4)
    labels = []
    for row, route in enumerate((*ROUTES, ROUTES[0], ROUTES[-1])):
        problem, way, small, big = route
        if row < len(ROUTES):
            found, colour, marker = ratio_interval(*scale_ratio(results, *route)), style.batch_colour(big), "o"
            labels.append(f"{problem}, {way} {small}, {big}")
        else:
            shown = np.sort(np.clip(draw_by_draw(results, *route).ravel(), -1, 3))
            jitter = row + 0.25 * np.sin(7.0 * np.arange(len(shown)))
            axes.plot(shown, jitter, "|", color="0.6", markersize=4, alpha=0.6, zorder=2)
            found, colour, marker = mean_interval(median_ratio(results, *route)), style.INK, "X"
            labels.append(f"draw by draw (median), {small}, {big}")
        style.point(axes, row, found, colour, results.recorded, marker, sideways=True)
    axes.axvline(1, **style.THEORY, label="exact")
    style.band(axes, guess, sideways=True, ymin=0, ymax=1 / 6)
    axes.set_yticks(range(6), labels)
    axes.set_ylim(5.5, -0.5)
    axes.set_xlim(-1.05, 3.05)
    axes.set_xlabel("estimated ÷ exact noise scale")
    axes.legend(loc="upper right")
    style.small_print(axes, results)
    return axes
