"""Memory as stacked bars, one a plan: bytes by kind up to the peak, what is reserved besides, and the card's end."""

import itertools
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection

from tutorlib.plots import style
from tutorlib.theory.memory import KINDS

GIB = 2**30
TALL = 0.62  # of a bar, in rows
HATCHED = {"edgecolor": "0.45", "linewidth": 0.6, "hatch": "////"}
# From what is always there to what comes and goes: blues, then warm colours, each lighter than the one before.
LOOKS = {
    "parameters": "#0b3c5d",
    "gradients": "#328cc1",
    "optimizer state": "#9ecbe8",
    "activations": "#c8521c",
    "scores and loss": "#f6c141",
    "workspace, examples": "#8c8c8c",
    "reserved, unused": "white",
}


@dataclass(frozen=True)
class Bar:
    """One plan: its ``label``, allocated bytes by kind at the peak, in the order of ``KINDS``, and those reserved."""

    label: str
    parts: np.ndarray
    reserved: float

    @property
    def pieces(self) -> np.ndarray:
        """Bytes in the order of ``LOOKS``; they sum to what is reserved."""
        few = KINDS.index("workspace")  # the examples themselves are too few to be seen
        return np.array([*self.parts[:few], self.parts[few:].sum(), self.reserved - self.parts.sum()])


@style.look()
def plot_memory(bars: list[Bar], card: str, room: float) -> Axes:
    """Stacked bars from the top down against the card's size, in GiB; a cross where it does not fit."""
    (axes,) = style.figure(height=3.7, panel=True)
    axes.figure.subplots_adjust(left=0.24, bottom=0.24)
    end = max(room, *(bar.reserved for bar in bars)) / GIB * 1.15  # the words beside the longest bar are inside
    boxes = [boxes_of(bar, row) for row, bar in enumerate(bars)]
    colours = list(LOOKS.values())[:-1] * len(bars)
    used = PolyCollection([box for row in boxes for box in row[:-1]], facecolors=colours, linewidths=0)
    axes.add_collection(used, autolim=False)
    axes.add_collection(PolyCollection([row[-1] for row in boxes], facecolors="white", **HATCHED), autolim=False)
    for row, bar in enumerate(bars):
        size = bar.reserved / GIB
        words = f"{'' if bar.reserved <= room else '✗ '}{size:,.1f}"
        axes.text(size + 0.016 * end, row, words, va="center", fontsize=9, bbox={"color": "white", "pad": 1.0})
    axes.axvline(room / GIB, color=style.INK, linewidth=1.8, zorder=4)
    axes.set(
        xlim=(0, end), ylim=(4.5, -0.6), xlabel="GiB reserved, predicted; the driver takes some hundred MiB besides"
    )
    axes.set_yticks(range(len(bars)), [bar.label for bar in bars])
    axes.tick_params(axis="y", length=0)
    axes.set_title(f"{card} ends at the line: {room / GIB:,.1f} GiB")
    draw_key(axes)
    return axes


def boxes_of(bar: Bar, row: int) -> list[list[tuple[float, float]]]:
    """The corners of a bar's pieces."""
    edges, (low, high) = [0, *(bar.pieces.cumsum() / GIB)], (row - TALL / 2, row + TALL / 2)
    return [[(start, low), (end, low), (end, high), (start, high)] for start, end in itertools.pairwise(edges)]


def draw_key(axes: Axes) -> None:
    """Which colour is what, under the figure: a legend that is laid out would take a fifth of a frame's time."""
    for i, (kind, colour) in enumerate(LOOKS.items()):
        x, y = 0.035 + 0.25 * (i % 4), 0.075 - 0.05 * (i // 4)
        last = HATCHED if colour == "white" else {"linewidth": 0}
        axes.figure.text(x, y, "      ", fontsize=6, bbox={"facecolor": colour, "pad": 1.5, **last})
        axes.figure.text(x + 0.04, y, kind, fontsize=8.5)
