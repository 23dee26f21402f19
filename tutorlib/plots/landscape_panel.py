"""The loss around two solutions and on the straight line between them: recorded slices, drawn frame by frame."""

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes

from tutorlib.experiments.curvature import BATCHES, LINE, PLACES, REACH
from tutorlib.plots import style

SHADES = np.linspace(-1.2, 1.6, 15)  # decades of the loss: every slice has the same
HOLLOW = {"markerfacecolor": "white", "markeredgewidth": 1.8, "markersize": 7}  # recorded
MIDDLE = len(PLACES) // 2
UNITS = {"length": "step in length", "own size": "step in each weight's own size"}


def surface(record) -> np.ndarray:
    """log₁₀ of the loss (heights, widths) of a recorded slice."""
    return np.reshape(record["slice"], (len(PLACES), len(PLACES)))


def width_of_valley(record, factor: float = 2.0) -> float:
    """How far one may go along the sharpest direction until the loss is ``factor`` times as large: both sides' mean.

    In units of the ruler; the edge of the slice where it is not reached.
    """
    row, reach = surface(record)[MIDDLE], REACH[record["ruler"]][0]
    steps, limit = reach * np.array(PLACES[MIDDLE:]), row[MIDDLE] + np.log10(factor)
    sides = (row[MIDDLE:], row[MIDDLE::-1])
    return float(np.mean([np.interp(limit, np.maximum.accumulate(side), steps) for side in sides]))


@style.look()
def plot_landscape(first, second) -> Axes:
    """Left and middle: the loss around two recorded solutions, the first one's ring on both. Right: between them."""
    row = style.figure(columns=3, height=3.3, ratios=(4, 4, 3), panel=True)
    row[0].figure.subplots_adjust(left=0.09, wspace=0.32, bottom=0.17)
    for axes, record in zip(row, (first, second), strict=False):
        draw_slice(axes, record)
    ring(row[1], first, "0.55")
    row[1].text(0.03, 0.97, "grey: ring of the left", transform=row[1].transAxes, va="top", fontsize=7)
    row[0].set(ylabel="along a random one")
    row[0].set_xlabel(f"along the sharpest direction ({UNITS[second['ruler']]})", x=1.1)
    line = row[2]
    line.plot(np.linspace(0, 1, LINE), second["line"], color=style.INK, linewidth=1.6)
    for place, record in ((0, first), (1, second)):
        colour = style.batch_colour(record["batch"], BATCHES[-1])
        line.plot(place, second["line"][-place], "o", color=colour, **HOLLOW)
    line.set(xlim=(-0.05, 1.05), ylim=(-1.1, -0.4), xlabel="straight line", title="loss between them")
    style.plain_ticks(line.xaxis, {0: "left", 1: "right"})
    style.plain_ticks(line.yaxis, {np.log10(loss): f"{loss:g}" for loss in (0.1, 0.2, 0.4)})
    return row[0]


def draw_slice(axes: Axes, record) -> None:
    """Shades of the loss, and a ring in ink where it is twice what it is in the middle."""
    wide, high = REACH[record["ruler"]]
    shades = np.clip(surface(record), SHADES[0], SHADES[-1])
    axes.contourf(*places(record), shades, levels=SHADES, cmap=colormaps["Greys"])
    ring(axes, record, style.INK)
    colour = style.batch_colour(record["batch"], BATCHES[-1])
    axes.plot(0, 0, "o", color=colour, **HOLLOW)
    rescale = "" if record["rescale"] == 1 else f", c = {record['rescale']:g}"
    axes.set_title(f"batch {record['batch']}, η {record['rate']:g}{rescale}")
    style.plain_ticks(axes.xaxis, {place: f"{place:g}" for place in (-wide, 0, wide)})
    style.plain_ticks(axes.yaxis, {place: f"{place:g}" for place in (-high, 0, high)})


def ring(axes: Axes, record, colour) -> None:
    """Where the loss is twice what it is in the middle."""
    height = surface(record)
    levels = [height[MIDDLE, MIDDLE] + np.log10(2)]
    axes.contour(*places(record), height, levels=levels, colors=[colour], linewidths=1.6, linestyles="solid")


def places(record) -> list[np.ndarray]:
    """Where a slice was measured, across and up."""
    return [reach * np.array(PLACES) for reach in REACH[record["ruler"]]]
