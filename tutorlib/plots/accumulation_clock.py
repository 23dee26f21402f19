"""Lesson 02, seconds: the time of one update against the number of its parts."""

import numpy as np
from matplotlib.axes import Axes

from tutorlib.experiments.accumulation_clock import BATCH, MICRO_BATCHES
from tutorlib.experiments.race_two_speeds import DEEP, SMALL
from tutorlib.plots import style
from tutorlib.results import Results, column
from tutorlib.theory.statistics import geometric_interval
from tutorlib.theory.trade_off import fit_step_time


@style.look()
def plot_seconds(results: Results, guess=None) -> Axes:
    """Time of an update over that of one piece, with K·t₀ + c·B; ``guess`` is the small net's in parts of 8."""
    (axes,) = style.figure()
    for name, model, marker in (("small net", SMALL, "o"), ("deep net", DEEP, "^")):
        sizes = [p["micro_batch"] for p in results.experiment.points if p["width"] == model["width"]]
        seconds = {size: column(results, "step", micro_batch=size, **model) for size in sizes}
        # A part costs t₀ + c·m: fitted to the seconds of one part, drawn as those of all K = B/m parts.
        means = [np.exp(np.log(seconds[size]).mean()) * size / BATCH for size in sizes]
        law, whole = fit_step_time(sizes, means), means[-1]
        label = "K·t₀ + c·B" if marker == "o" else None
        many = np.geomspace(sizes[0], BATCH, 100)
        axes.plot(many, law.seconds(many) * BATCH / many / whole, **style.THEORY, label=label)
        for size in sizes:
            found = geometric_interval(seconds[size] / seconds[BATCH])
            first = size == sizes[0]
            colour = style.batch_colour(size)
            style.point(axes, size, found, colour, results.recorded, marker, label=name if first else None)
    axes.axhline(1, color="0.8", linewidth=1, zorder=0)
    if guess:
        axes.fill_between([7, 9.2], *guess, label="your guess", **style.GUESS)
    axes.set_yscale("log")
    style.plain_ticks(axes.yaxis, style.few_values(*axes.get_ylim()))
    style.batch_axis(axes, MICRO_BATCHES, "micro-batch (examples)")
    axes.set_ylabel("time of the update,\nin units of one piece")
    axes.legend()
    style.small_print(axes, results)
    return axes
