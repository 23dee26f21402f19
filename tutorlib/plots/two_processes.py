"""The figure of two real processes: how often they talk, and which of their updates is that of one big batch."""

import numpy as np
from matplotlib.axes import Axes

from tutorlib.experiments import two_processes as lesson
from tutorlib.plots import style
from tutorlib.results import Results, column
from tutorlib.theory.statistics import Estimate

FLOOR = 1e-17  # where a distance of exactly 0 is drawn


@style.look()
def plot_parallel(results: Results, guess=None) -> Axes:
    """Left: all-reduces per update against K, counted. Right: distance of the update from the whole batch in one piece.

    ``guess`` is how many all-reduces K = 8 takes without ``no_sync``. Returns the left axes.
    """
    axes, beside = style.figure(columns=2, ratios=(2, 3), height=3.9)
    counts = (1, lesson.ACCUMULATIONS[-1])
    for no_sync, marker, law, word in ((False, "o", counts, "DDP as it comes"), (True, "s", (1, 1), "with no_sync")):
        axes.plot(counts, law, **style.THEORY, label=None if no_sync else "K, or 1")
        for k, found in lesson.sent(results, "all_reduces", no_sync).items():
            label = word if k == 1 else None
            style.point(axes, k, spread(found), recorded=results.recorded, marker=marker, label=label)
    if guess:
        axes.fill_between([7, 9.2], *guess, label="your guess", **style.GUESS)
    axes.set_yscale("log", base=2)
    axes.set_ylim(0.8, 30)
    style.plain_ticks(axes.yaxis, {k: f"{k}" for k in lesson.ACCUMULATIONS})
    style.batch_axis(axes, lesson.ACCUMULATIONS, "micro-batches an update, K")
    axes.set_ylabel("all-reduces per update")
    axes.legend(loc="upper left", fontsize=8)
    draw_distances(beside, results)
    style.small_print(axes, results, "Left: every seed counts the same. Right: the largest of the seeds")
    return axes


def draw_distances(axes: Axes, results: Results) -> None:
    """One row a way to share a batch: a point where it equals the whole batch to rounding, a cross where not."""
    rows = distances(results)
    for height, values in enumerate(reversed(rows.values())):
        largest = max(float(np.max(values)), FLOOR)
        equal = largest < 1e-12
        axes.plot(
            largest,
            height,
            "o" if equal else "x",
            color=style.INK,
            markerfacecolor="white" if results.recorded else style.INK,
            markersize=6.5 if equal else 8,
            markeredgewidth=1.4 if equal else 2,
        )
    axes.axvline(2**-52, **style.THEORY)
    axes.text(2**-52, len(rows) - 0.5, " one rounding, $2^{-52}$", fontsize=8, color="0.45")
    axes.set_yticks(range(len(rows)), list(reversed(rows)))
    axes.set(xscale="log", xlim=(FLOOR / 3, 30), ylim=(-0.6, len(rows)), xlabel="relative distance of the update")
    style.plain_ticks(axes.xaxis, {10.0**k: f"{10.0**k:g}" for k in (-16, -12, -8, -4, 0)})


def distances(results: Results) -> dict[str, np.ndarray]:
    """The rows: three ways that should equal the whole batch, and what breaks or mends them."""
    tokens = {name: column(results, name, measure="unequal_tokens") for name in ("summed", "means", "weighted")}
    return {
        "one process, accumulated": lesson.gradients(results, "accumulated"),
        "two ranks, by hand": lesson.gradients(results, "by_hand"),
        "two ranks, DDP": lesson.gradients(results, "ddp"),
        "sum not divided by ranks": tokens["summed"],
        "unequal tokens, mean of means": tokens["means"],
        "unequal tokens, weighted": tokens["weighted"],
        "BatchNorm, each rank's own": lesson.normalized(results, "own"),
        "BatchNorm over ranks": np.concatenate([lesson.normalized(results, k) for k in ("shared", "shared, unequal")]),
        "… accumulated over 4": lesson.normalized(results, "shared", lesson.MANY),
    }


def spread(values: np.ndarray) -> Estimate:
    return Estimate(float(np.mean(values)), float(np.min(values)), float(np.max(values)))
