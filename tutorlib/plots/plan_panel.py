"""A batch plan as a timeline: a square a micro-batch, a mark at every optimizer step, the epoch's end in sight."""

from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.patches import Rectangle

from tutorlib.plots import style
from tutorlib.theory.plan import Plan

SQUARES = 56  # what one row has room for
PITCH, TALL = 1.75, 0.75  # of rows and squares
# How the last, incomplete window of an epoch is drawn, and what is written under it.
LAST = {
    "stepped": ({"edgecolor": style.INK, "linewidth": 1.4}, "stepped with its own mean"),
    "shrunk": ({"alpha": 0.4}, "stepped, but divided by {full}"),
    "dropped": ({"facecolor": "white", "edgecolor": style.INK}, "dropped"),
    "carried": ({"facecolor": "white", "edgecolor": style.INK, "hatch": "////"}, "waiting for the next epoch"),
    "leaked": ({"facecolor": "white", "edgecolor": style.INK, "hatch": "xxxx"}, "leaking into the next epoch"),
}


def drawn(total: int, wanted_end: int) -> dict[int, int]:
    """Micro-batch (from 1) → place: all or, where they are too many, the first and the last with a gap between."""
    if total <= SQUARES:
        return {number: number - 1 for number in range(1, total + 1)}
    start = SQUARES - 2 - min(max(SQUARES // 3, wanted_end), SQUARES - 12)  # two places are the gap
    return {place + 1: place for place in range(start)} | {
        total - (SQUARES - 1 - place): place for place in range(start + 2, SQUARES)
    }


@style.look()
def plot_plan(plan: Plan) -> Axes:
    """The first epoch and, where there is one, the second, a row each; as dark as the batch is large.

    A last micro-batch that is short is a lower square. Triangles are steps; the first of a row and those without
    exactly K micro-batches say how many they have.
    """
    (axes,) = style.figure(height=3.4, panel=True)
    total = plan.micro_batches_per_epoch
    places = drawn(total, plan.leftover_micro_batches + plan.accumulation)
    for row in range(min(plan.epochs, 2)):
        draw_squares(axes, plan, row, places)
        draw_steps(axes, plan, row, places)
        axes.text(-0.6, -PITCH * row + TALL / 2, f"epoch {row + 1}", ha="right", va="center")
        if len(places) < total:
            gap = next(n for n in places if n + 1 not in places)
            axes.text(places[gap] + 1.95, -PITCH * row + TALL / 2, "…", ha="center", va="center")
    axes.set(xlim=(-0.4, max(24, places[total] + 1.4)), ylim=(-PITCH - 0.55, 1.6), yticks=[])
    axes.set_xticks([places[1] + 0.45, places[total] + 0.45], ["1", f"{total:,}"] if total > 1 else ["", "1"])
    axes.tick_params(length=0)
    axes.set_xlabel(f"micro-batch, on each of {plan.ranks} ranks" if plan.ranks > 1 else "micro-batch")
    axes.spines[["left", "bottom"]].set_visible(False)
    ranks = f" × {plan.ranks} ranks" if plan.ranks > 1 else ""
    axes.set_title(f"batch {plan.batch:,} = {plan.micro_batch} × {plan.accumulation}{ranks}")
    return axes


def draw_squares(axes: Axes, plan: Plan, row: int, places: dict[int, int]) -> None:
    colour, total = style.batch_colour(min(plan.batch, 1024)), plan.micro_batches_per_epoch
    # Where the count goes on, what an epoch leaves over depends on what the one before it left.
    left = plan.waiting(row + 1) if plan.window == "carried" else plan.leftover_micro_batches
    squares = {
        number: Rectangle(
            (place, -PITCH * row), 0.9, TALL * (plan.last_micro_batch / plan.micro_batch if number == total else 1)
        )
        for number, place in places.items()
    }
    look, words = LAST[plan.window]
    if row + 1 == plan.epochs and plan.window in ("carried", "leaked"):
        words = "lost: the run ends"
    full = {"facecolor": colour, "edgecolor": "white", "linewidth": 0.8}
    for chosen, how in (
        ([s for n, s in squares.items() if n <= total - left], full),
        ([s for n, s in squares.items() if n > total - left], full | look),
    ):
        axes.add_collection(PatchCollection(chosen, **how), autolim=False)
    if left and plan.window == "dropped":
        crosses = [place + 0.45 for number, place in places.items() if number > total - left]
        axes.plot(crosses, [-PITCH * row + TALL / 2] * len(crosses), "x", color=style.INK, markersize=6)
    if left:
        text = f"last {left}: {words.format(full=plan.accumulation)}"
        axes.text(places[total] + 0.9, -PITCH * row - 0.1, text, ha="right", va="top", fontsize=8)


def draw_steps(axes: Axes, plan: Plan, row: int, places: dict[int, int]) -> None:
    updates, waited = plan.updates_of(row), plan.waiting(row)
    x = {update: places[update.after] + 0.9 for update in updates if update.after in places}
    axes.plot(list(x.values()), [TALL + 0.17 - PITCH * row] * len(x), "v", color=style.INK, markersize=5)
    for update, place in x.items():
        first = update is updates[0]
        if first or update.micro_batches != plan.accumulation:
            more = f" ({waited} of epoch {row})" if first and waited else ""
            axes.text(place, TALL + 0.3 - PITCH * row, f"{update.micro_batches}{more}", ha="center", fontsize=8)
