"""The figures of lesson 06 on budgets and widths: what was measured, and the paired differences that are judged."""

from functools import partial

from matplotlib.axes import Axes

from tutorlib.experiments import question_generalization as lesson
from tutorlib.plots import style
from tutorlib.plots.judged import margin
from tutorlib.results import Results, column
from tutorlib.theory.statistics import mean_interval
from tutorlib.verdicts.question_generalization import SAME

MARKERS = ("o", "s", "D")  # small, large, full: never told by colour alone
FIT = {"marker": "_", "markersize": 11, "markeredgewidth": 1.6, "linestyle": "none"}
TOP = 5.4  # points: higher differences are arrows


def trio(axes: Axes, x: float, columns: dict, recorded: bool, batches, fitted=None, named: bool = False) -> None:
    """One point a batch, each at its own side of ``x``; a short line under each is its training error."""
    for batch, values in columns.items():
        at, look = beside(x, batch, batches)
        label = f"batch {batch}" if named else None
        style.point(axes, at, mean_interval(values), recorded=recorded, label=label, size=5.5, **look)
        if fitted:
            axes.plot([at], [fitted[batch].mean()], color=look["colour"], **FIT)


def gaps(axes: Axes, x: float, columns: dict, recorded: bool, batches, top: float = TOP) -> None:
    """Every batch minus the first one, seed by seed; what lies above ``top`` is an arrow with its number."""
    (_, least), *others = columns.items()
    for batch, values in others:
        at, look = beside(x, batch, batches)
        found = mean_interval(values - least)
        if found.low < top:
            style.point(axes, at, found, recorded=recorded, size=5.5, **look)
        else:
            arrow = {"arrowstyle": "->", "color": look["colour"]}
            axes.annotate(f"{found.value:.0f}", (at, top), (at, 0.75 * top), ha="center", fontsize=8, arrowprops=arrow)


def beside(x: float, batch: int, batches) -> tuple[float, dict]:
    number = batches.index(batch)
    look = {"colour": style.batch_colour(batch, 1.4 * batches[-1]), "marker": MARKERS[number]}
    return x + 0.2 * (number - (len(batches) - 1) / 2), look


def both(get) -> list[dict]:
    """Held-out and training error, each a column a batch."""
    return [{batch: get(batch, name) for batch in lesson.BATCHES} for name in ("error", "train")]


@style.look()
def plot_budgets(digits: Results, mnist1d: Results, guess=None) -> Axes:
    """Above: error of three batches under four budgets, on two data sets. Below: the differences to batch 10.

    A fifth column of digits has batch 10 at an eighth of its rate. ``guess`` is the full batch's error on digits after
    500 updates; below, it is the difference to what batch 10 had.
    """
    grid = style.figure(columns=2, rows=2, height=5.6)
    for number, (results, data) in enumerate(zip((digits, mnist1d), lesson.RATES, strict=True)):
        columns = {
            name.replace(", ", ",\n"): both(partial(lesson.cell, results, data, name)) for name in lesson.BUDGETS
        }
        if data == "digits":
            columns["100 epochs,\n10 at ⅛ rate"] = calm(digits)
        above, below = grid[number], grid[2 + number]
        for x, (errors, fitted) in enumerate(columns.values()):
            trio(above, x, errors, results.recorded, lesson.BATCHES, fitted, named=not x)
            gaps(below, x, errors, results.recorded, lesson.BATCHES)
        above.plot([], [], color="0.4", label="training error", **FIT)
        above.set(title=data, ylim=(-3, 85))
        margin(below, -SAME, SAME, "within half a point")
        below.axhline(0, **style.THEORY)
        below.set(ylim=(-2.2, 6))
        for axes in (above, below):
            axes.set_xticks(range(len(columns)), list(columns), fontsize=6.5)
            axes.set_xlim(-0.5, len(columns) - 0.5)
    above, _, below, _ = grid
    if guess:
        start = lesson.cell(digits, "digits", lesson.UPDATES, lesson.SMALL).mean()
        above.fill_between([1.9, 2.5], *guess, label="your guess", **style.GUESS)
        below.fill_between([1.9, 2.5], *(error - start for error in guess), **style.GUESS)
    above.set_ylabel("error (%)")
    below.set_ylabel("minus that of batch 10 (points)")
    above.legend(fontsize=8)
    below.legend(fontsize=8)
    shared = f"mnist1d: {mnist1d.experiment.held['held_out']:,} held out. The 500 updates of batch 10 are its 10 epochs"
    style.small_print(above, digits, f"{shared}. Below, seeds are paired")
    return above


def calm(digits: Results) -> list[dict]:
    """The full batch after 100 epochs as it was, and batch 10 at an eighth of its rate."""
    return [
        {
            lesson.SMALL: column(digits, name, batch=lesson.SMALL, rate=lesson.CALM),
            lesson.FULL: lesson.cell(digits, "digits", lesson.EXAMPLES, lesson.FULL, name),
        }
        for name in ("error", "train")
    ]


@style.look()
def plot_widths(results: Results, guess=None) -> Axes:
    """Error against width, the differences to batch 10, and how much more batch 100 misses on the test.

    ``guess`` is the full batch's difference at width 256.
    """
    axes, middle, right = style.figure(columns=3, height=3.9, ratios=(5, 5, 4))
    shown = (
        (lesson.SMALL, 500, "batch 10, 10 epochs"),
        (lesson.LARGE, 500, "batch 100, 500 updates"),
        (lesson.FULL, 10, "full batch, 10 epochs"),
    )
    for batch, steps, name in shown:
        errors = [lesson.wide(results, w, batch, steps) for w in lesson.WIDTHS]
        against = [lesson.wide(results, w, lesson.SMALL, 500) for w in lesson.WIDTHS]
        draw(axes, batch, errors, results.recorded, name)
        if batch != lesson.SMALL:
            found = [mine - small for mine, small in zip(errors, against, strict=True)]
            draw(middle, batch, found, results.recorded)
        if batch == lesson.FULL:
            middle.axhline(found[0].mean() / 2, color="0.6", linestyle=":", label="half of it at width 16")
        if batch == lesson.LARGE:
            fitted = [lesson.wide(results, w, batch, steps, "train") for w in lesson.WIDTHS]
            draw(right, batch, [test - train for test, train in zip(errors, fitted, strict=True)], results.recorded)
    middle.axhline(0, **style.THEORY)
    if guess:
        middle.fill_between([210, 330], *guess, label="your guess", **style.GUESS)
    titles = "held-out error (%)", "minus batch 10 (points)", "held-out − training"
    for place, title in zip((axes, middle, right), titles, strict=True):
        style.batch_axis(place, lesson.WIDTHS, "width")
        place.set_title(title, fontsize=10)
    axes.set_ylim(top=77)
    axes.legend(fontsize=7.5, loc="upper right")
    middle.set_ylim(top=7)
    middle.legend(fontsize=7.5, loc="upper right")
    axes.set_ylabel("error (%)")
    style.small_print(axes, results, "Differences are paired by seed; right: batch 100, 500 updates")
    return axes


def draw(axes: Axes, batch: int, columns: list, recorded: bool, label: str | None = None) -> None:
    """A line over the widths, a point with its interval at each."""
    found = [mean_interval(values) for values in columns]
    places = [beside(0, batch, lesson.BATCHES)[0] for _ in lesson.WIDTHS]
    places = [width * 2**shift for width, shift in zip(lesson.WIDTHS, places, strict=True)]
    look = beside(0, batch, lesson.BATCHES)[1]
    axes.plot(places, [each.value for each in found], color=look["colour"], linewidth=0.8)
    for place, each in zip(places, found, strict=True):
        style.point(axes, place, each, recorded=recorded, label=label if place == places[0] else None, size=5.5, **look)
