"""The numbers that verdicts judge, one row each: paired differences or ratios with their intervals."""

import textwrap
from collections.abc import Iterable

from matplotlib.axes import Axes

from tutorlib.plots import style
from tutorlib.records import Verdict
from tutorlib.theory.statistics import Estimate

MARGIN = {"color": "0.92", "linewidth": 0, "zorder": -1}


def judged(axes: Axes, verdicts: Iterable[Verdict], prefix: str, recorded: bool = False, nothing: float = 0.0) -> None:
    """What the verdicts measured, if that begins with ``prefix``, from top to bottom; ``nothing`` is no difference."""
    found = {v.measured: v for v in verdicts if v.measured.startswith(prefix) and v.estimate is not None}
    for y, v in enumerate(found.values()):
        style.point(axes, -y, Estimate(v.estimate, v.low, v.high), recorded=recorded, sideways=True, size=5)
    axes.axvline(nothing, **style.THEORY)
    names = [textwrap.fill(measured.removeprefix(prefix), 30) for measured in found]
    style.plain_ticks(axes.yaxis, {-y: name for y, name in enumerate(names)})
    axes.tick_params(axis="y", labelsize=7.5)
    axes.set_ylim(0.6 - len(found), 0.6)


def margin(axes: Axes, low: float, high: float, words: str, sideways: bool = False) -> None:
    """The band in which two things count as the same."""
    (axes.axvspan if sideways else axes.axhspan)(low, high, label=words, **MARGIN)
