"""One look: a thing is drawn the same way in every lesson.

Batch: one ramp from small and light to large and dark. Theory: a dashed grey line. Measured: a point with
its 95 % interval, filled when live and hollow when recorded. The learner's guess: a shaded band. What does
not hold: a plain cross. Nothing is told by colour alone.
"""

import io
import math
from contextlib import contextmanager

import matplotlib
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from matplotlib.transforms import ScaledTranslation

from tutorlib.results import Results
from tutorlib.theory.statistics import Estimate

THEORY = {"color": "0.45", "linestyle": "--", "linewidth": 1.4, "zorder": 1}
GUESS = {"color": "#e69f00", "alpha": 0.3, "linewidth": 0, "zorder": 0}
INK = "0.15"
RULES = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "0.4",
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.titley": 1.0,  # looking for what could be in its way takes a fifth of a frame's time
    "legend.frameon": False,
    "legend.fontsize": 9,
}


@contextmanager
def look():
    """The course's matplotlib settings, for a ``with`` block or, as a decorator, for one plot function."""
    with matplotlib.rc_context(RULES):
        yield


def figure(columns: int = 1, height: float = 3.6, ratios=None, panel: bool = False, rows: int = 1) -> list[Axes]:
    """Fresh axes, row by row, on a figure that pyplot never hears of (callbacks may run on another thread).

    A ``panel`` has fixed margins and its labels fixed places: fitting them takes most of a frame's time.
    """
    made = Figure(figsize=(7.0, height), layout=None if panel else "constrained")
    if panel:
        made.subplots_adjust(left=0.1, right=0.985, bottom=0.16, top=0.9, wspace=0.25)
    axes = list(made.subplots(rows, columns, squeeze=False, width_ratios=ratios).ravel())
    for each in axes if panel else ():
        below, left = (ScaledTranslation(*by, made.dpi_scale_trans) for by in ((0, -0.29), (-0.42, 0)))  # inches
        each.xaxis.set_label_coords(0.5, 0, each.transAxes + below)
        each.yaxis.set_label_coords(0, 0.5, each.transAxes + left)
    return axes


def batch_colour(batch: float, largest: float = 1024):
    """Light for batch 1, dark for the largest, in steps of equal factors."""
    return colormaps["viridis_r"](0.15 + 0.85 * math.log2(max(batch, 1)) / math.log2(largest))


def batch_axis(axes: Axes, batches, label: str = "batch (examples)") -> None:
    """A log₂ axis whose ticks are the batch sizes themselves."""
    axes.set_xscale("log", base=2)
    axes.set_xticks(list(batches), [f"{batch:,}" for batch in batches])
    axes.minorticks_off()
    axes.set_xlabel(label)


def plain_ticks(axis, labels: dict[float, str]) -> None:
    """Ticks at these values with these words: setting powers of ten as formulas takes most of a frame's time."""
    axis.set_minor_locator(NullLocator())
    axis.set_ticks(list(labels), list(labels.values()))


def few_values(low: float, high: float) -> dict[float, str]:
    """Round places of a logarithmic axis: powers of ten; where these are few 2 and 5 times them, or 3 and 7 times."""
    powers = [10.0**k for k in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)]
    finer = (1,), (1, 2, 5), (1, 2, 3, 5, 7)
    tens, some, many = ([f * p for p in powers for f in factors if low <= f * p <= high] for factors in finer)
    places = tens if len(tens) > 2 else some if len(some) > 1 else many
    return {place: f"{place:,.0f}" if 1 <= place < 1e6 else f"{place:g}" for place in places}


def point(
    axes: Axes,
    x: float,
    estimate: Estimate,
    colour=INK,
    recorded: bool = False,
    marker: str = "o",
    sideways: bool = False,
    label: str | None = None,
    size: float = 6.5,
) -> None:
    """A measured value with its interval; ``sideways`` puts the value on the x axis, at height ``x``."""
    error = [[max(estimate.value - estimate.low, 0)], [max(estimate.high - estimate.value, 0)]]
    where = (estimate.value, x) if sideways else (x, estimate.value)
    axes.errorbar(
        *where,
        **{"xerr" if sideways else "yerr": error},
        fmt=marker,
        color=colour,
        capsize=3,
        markersize=size,
        markerfacecolor="white" if recorded else colour,
        markeredgewidth=1.4,
        label=label,
        zorder=3,
    )


def band(axes: Axes, guess, sideways: bool = False, **between) -> None:
    """The learner's guess as a shaded band; nothing while no guess is locked."""
    if guess:
        (axes.axvspan if sideways else axes.axhspan)(*guess, label="your guess", **GUESS, **between)


def small_print(axes: Axes, results: Results, more: str = "", intervals: str = "95 % intervals; ") -> None:
    """Under the figure: what was held, where it was measured, with how many seeds."""
    intervals = intervals if results.experiment.seeds > 1 else ""  # counts have none
    text = f"{results.experiment.small_print}. {f'{more}. ' if more else ''}{intervals}{results.provenance}."
    axes.figure.supxlabel(_wrapped(text), fontsize=7.5, color="0.35", x=0.01, ha="left")


def _wrapped(text: str, width: int = 132) -> str:
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) > width:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    return "\n".join(lines)


def png(axes: Axes, dpi: int = 100) -> bytes:
    """The figure as PNG bytes, the same bytes for the same figure."""
    buffer = io.BytesIO()
    axes.figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()
