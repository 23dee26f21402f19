"""The noisy quadratic model: steps against batch for each method, and how many times fewer than SGD they are."""

import numpy as np
from matplotlib.axes import Axes

from tutorlib.experiments.noisy_quadratic import BATCHES, METHODS, critical, steps
from tutorlib.plots import style
from tutorlib.results import Results
from tutorlib.theory.statistics import geometric_interval

LOOKS = {
    "SGD": ("SGD", "0.15", "o"),
    "momentum": ("momentum", "#0072b2", "s"),
    "averaging": ("averaged weights", "#d55e00", "v"),
    "half power": ("preconditioned, $H^{-1/2}$", "#cc79a7", "D"),
    "Newton": ("preconditioned, $H^{-1}$ (Newton)", "#009e73", "^"),
}


@style.look()
def plot_noisy_quadratic(law: Results, guess=None) -> Axes:
    """Left: fewest steps, a cross at twice those without noise. Right: how many times as many SGD takes.

    ``guess`` is for the right-hand side: SGD's steps over Newton's at the largest batch.
    """
    axes, beside = style.figure(columns=2, height=4.2)
    for name in METHODS:
        label, colour, marker = LOOKS[name]
        taken = {batch: steps(law, name, batch) for batch in BATCHES}
        look = {"colour": colour, "marker": marker, "size": 5}
        for place, values in ((axes, taken), (beside, {b: steps(law, "SGD", b) / each for b, each in taken.items()})):
            if place is beside and name == "SGD":
                continue
            place.plot(BATCHES, [geometric_interval(v).value for v in values.values()], color=colour, linewidth=1)
            for batch, each in values.items():
                style.point(place, batch, geometric_interval(each), **look, label=label if batch == 1 else None)
        bend = geometric_interval(critical(law, name)).value
        middle = [geometric_interval(each).value for each in taken.values()]
        height = np.exp(np.interp(np.log(bend), np.log(BATCHES), np.log(middle)))
        axes.plot(bend, height, "x", color=style.INK, markersize=9, markeredgewidth=2, zorder=4)
    first = geometric_interval(steps(law, "SGD", 1)).value
    axes.plot(BATCHES, first / np.array(BATCHES), **style.THEORY, label="steps ∝ 1/batch")
    beside.axhline(1, **style.THEORY)
    style.band(beside, guess)
    axes.set(yscale="log", ylabel="fewest steps to the target", ylim=(0.7, None), title="each cross: B_crit")
    beside.set(yscale="log", ylabel="steps of SGD ÷ steps of the method", title="what the method is worth")
    for place in (axes, beside):
        style.batch_axis(place, BATCHES)
        place.set_xticks(BATCHES[::2], [f"{batch:,}" for batch in BATCHES[::2]])
        style.plain_ticks(place.yaxis, style.few_values(*place.get_ylim()))
    handles, labels = axes.get_legend_handles_labels()
    axes.figure.legend(handles, labels, loc="outside upper center", ncols=3)
    style.small_print(axes, law)
    return axes
