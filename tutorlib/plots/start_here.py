"""The figures of lesson 00: how many updates each loop makes, and how large each of them is."""

from matplotlib.axes import Axes

from tutorlib.experiments.start_here import PLANS, count
from tutorlib.plots import style
from tutorlib.results import Results

# (what is written beside the row, loop, plan, what else tells it apart) for each way to end an epoch of 312.5 batches
ENDS = (
    ("A, 32 × 1, drop_last", "right", "A", {"drop_last": True}),
    *((f"{name}, last window dropped", "dropping", name, {}) for name in "BCD"),
    *((f"{name}, last window stepped", "right", name, {}) for name in "ABCD"),
    ("B, stepped, but divided by 2", "shrinking", "B", {}),
)
PRINTED = (
    ("a right loop, 8 × 4", "right", "C", {}),
    ("no division (D1-11), 8 × 4", "D1-11", "C", {}),
    ("÷ K (D3-22), 8 × 4, two epochs", "D3-22", "C", {}),
    ("step % 8 == 0 (D4-20), 4 × 8", "D4-20", "D", {}),
)


@style.look()
def plot_ends(results: Results, guess=None) -> Axes:
    """For each way to end the epoch: its updates, and what an example counts at most; ``guess`` is of the updates."""
    axes, beside = style.figure(columns=2, height=3.9)
    for row, (_, loop, plan, more) in enumerate(ENDS):
        whole = {"ranks": 1, "drop_last": False, **more}
        colour = style.batch_colour(PLANS[plan][0])
        for where, name in ((axes, "updates"), (beside, "heaviest")):
            where.plot(count(results, name, loop, PLANS[plan], **whole), row, "o", color=colour, markersize=8)
    style.band(axes, guess, sideways=True)
    axes.set(xlim=(310.5, 314.5), xticks=(311, 312, 313, 314), xlabel="updates in one epoch")
    axes.axvline(312.5, **style.THEORY, label="10,000 ÷ 32")
    beside.set(xlim=(0.7, 2.3), xticks=(1, 2), xlabel="weight of the heaviest example\n(1 is fair)")
    axes.set_yticks(range(len(ENDS)), [words for words, *_ in ENDS])
    beside.set_yticks([])
    axes.legend(loc="upper right", fontsize=8)
    for each in (axes, beside):
        each.set_ylim(len(ENDS) - 0.5, -0.5)
    style.small_print(axes, results)
    return axes


@style.look()
def plot_printed(results: Results, guess=None) -> Axes:
    """Weight of the examples in every loop's applied gradients (1 is right), and in the next epoch's first."""
    (axes,) = style.figure(height=2.9)
    for row, (_, loop, plan, more) in enumerate(PRINTED):
        of = {name: count(results, name, loop, PLANS[plan], ranks=1, drop_last=False, **more) for name in VALUES}
        right = of["gradient_least"] == of["gradient_most"] == 1
        axes.plot([of["gradient_least"], of["gradient_most"]], [row, row], color=style.INK, linewidth=2.5)
        ends = [of["gradient_least"], of["gradient_most"]]
        axes.plot(ends, [row] * 2, "o" if right else "x", color=style.INK, markersize=8, markeredgewidth=2)
        if of["gradient_next_epoch"]:
            axes.plot(of["gradient_next_epoch"], row, "x", color="#d55e00", markersize=8, markeredgewidth=2)
            axes.annotate(
                "next epoch", (of["gradient_next_epoch"], row), (8, 0), textcoords="offset points", va="center"
            )
        axes.text(4200, row, f"{of['updates']:.0f} updates", va="center")
    style.band(axes, guess, sideways=True)
    axes.axvline(1, **style.THEORY)
    axes.set_yticks(range(len(PRINTED)), [words for words, *_ in PRINTED])
    axes.set(xscale="log", xlim=(0.6, 4000), ylim=(len(PRINTED) - 0.5, -0.5))
    style.plain_ticks(axes.xaxis, {1: "1", 10: "10", 100: "100", 1000: "1,000"})
    axes.set_xlabel("weight of the examples in an applied gradient (1 is right)")
    style.small_print(axes, results)
    return axes


VALUES = ("updates", "gradient_least", "gradient_most", "gradient_next_epoch")
