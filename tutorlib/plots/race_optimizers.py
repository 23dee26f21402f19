"""The race of lesson 07: steps of eight optimizers at three batches, and whose lead over AdamW grows."""

import numpy as np
from matplotlib.axes import Axes

from tutorlib.experiments import race_columns as columns
from tutorlib.experiments.race_optimizers import BATCHES, LARGE, MIDDLE, OPTIMIZERS, SMALL
from tutorlib.plots import style
from tutorlib.results import Results
from tutorlib.theory.ranks import rank_intervals
from tutorlib.theory.statistics import geometric_interval
from tutorlib.verdicts.race_optimizers import NAMES

LOOKS = {
    "SGD": ("0.15", "o"),
    "Lion": ("#d55e00", "v"),
    "LARS": ("#e69f00", "<"),
    "LAMB": ("#56b4e9", ">"),
    "Shampoo": ("#cc79a7", "D"),
    "K-FAC": ("#009e73", "^"),
    "Muon": ("#0072b2", "s"),
}


@style.look()
def plot_race(report: Results, guess=None) -> Axes:
    """Steps to the target, one row an optimizer, one panel a batch, a point for each search; ranks at the right.

    ``guess`` is AdamW's steps ÷ the fewest at the largest batch.
    """
    problem = report.experiment.held["problem"]
    panels = style.figure(columns=2, height=3.8)
    for axes, batch in zip(panels, (SMALL, LARGE), strict=True):
        found = {
            name: {
                draw: geometric_interval(taken)
                for draw, taken in zip(
                    columns.searched(report, name, batch), columns.steps(report, name, batch), strict=True
                )
            }
            for name in OPTIMIZERS
        }
        for row, (name, draws) in enumerate(found.items()):
            for draw, estimate in draws.items():
                height, colour = row + 0.15 * (2 * draw - 1), style.batch_colour(batch, LARGE)
                style.point(axes, height, estimate, colour, report.recorded, "os"[draw], sideways=True, size=4.5)
            if columns.late(report, name, batch).any():
                axes.plot(1.2 * max(each.high for each in draws.values()), row, "x", color=style.INK, markersize=5)
        fewest = min(draw.value for draws in found.values() for draw in draws.values())
        if batch == LARGE:
            style.band(axes, guess and tuple(fewest * factor for factor in guess), sideways=True)
        ranks = zip(columns.arrived(report, batch), rank_intervals(columns.settled(report, batch)), strict=True)
        words = {name: f"{low}" if low == high else f"{low}–{high}" for name, (low, high) in ranks}
        axes.set_xscale("log")
        axes.set_title(f"batch {batch}", fontsize=10)
        axes.set_yticks(range(len(OPTIMIZERS)), OPTIMIZERS if batch == SMALL else [])
        axes.set_ylim(len(OPTIMIZERS) - 0.5, -0.5)
        axes.set_xlabel("steps to the target")
        low, high = axes.get_xlim()
        axes.set_xlim(low, high * (high / low) ** 0.15)  # room for the ranks
        style.plain_ticks(axes.xaxis, style.few_values(*axes.get_xlim()))
        for row, name in enumerate(OPTIMIZERS):
            word = words.get(name, "search\nfailed")
            axes.text(1.0, row, word, transform=axes.get_yaxis_transform(), ha="right", va="center", fontsize=8)
    edges = [
        f"{name} ({' and '.join(which)})" + f" at {batch}"
        for batch in (SMALL, LARGE)
        for name in OPTIMIZERS
        if (which := columns.on_the_edge(problem, name, batch))
    ]
    style.small_print(
        panels[0],
        report,
        "Circle and square: the settings of two searches of as many trials; at the right the ranks that both settle; a "
        "cross: some runs never arrived and count with all their steps; failed: no trial of a search arrived. "
        "Won at an end of what was tried, so that who is slower may be slow for that: " + (", ".join(edges) or "none"),
    )
    return panels[0]


@style.look()
def plot_gains(autoencoder: Results, language: Results, middles: dict[str, Results]) -> Axes:
    """How many times as many steps AdamW needs as each of the others, against batch; the middle one recorded."""
    panels = style.figure(columns=2, height=3.9)
    for axes, report in zip(panels, (autoencoder, language), strict=True):
        problem = report.experiment.held["problem"]
        from_where = {SMALL: report, MIDDLE: middles[problem], LARGE: report}
        axes.axhline(1, color="0.6", linewidth=1)
        for place, (name, (colour, marker)) in enumerate(LOOKS.items()):
            shift = 2 ** (0.12 * (place - 3))  # beside each other, not on top
            searched = {b: runs for b, runs in from_where.items() if name in columns.arrived(runs, b)}
            found = {
                batch: geometric_interval(
                    np.exp(np.log(columns.steps(runs, "AdamW", batch) / columns.steps(runs, name, batch)).mean(axis=0))
                )
                for batch, runs in searched.items()
            }
            axes.plot([b * shift for b in found], [each.value for each in found.values()], color=colour, linewidth=1)
            for batch, each in found.items():
                label, runs = name if batch == LARGE else None, searched[batch]
                style.point(axes, batch * shift, each, colour, runs.recorded, marker, label=label, size=4.5)
                if columns.late(runs, name, batch).any():
                    axes.plot(batch * shift, each.high * 1.1, "x", color=style.INK, markersize=4)
        axes.set_yscale("log", base=2)
        style.batch_axis(axes, BATCHES)
        axes.set_title(NAMES[problem], fontsize=10)
        low, high = axes.get_ylim()
        style.plain_ticks(axes.yaxis, {2.0**k: f"{2.0**k:g}" for k in range(-5, 5) if low <= 2.0**k <= high})
    panels[0].set_ylabel("AdamW's steps ÷ its steps")
    panels[1].legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    words = "Right: " + language.experiment.small_print.split(";")[0]
    words += (
        f". Above 1: fewer steps than AdamW; means of two searches; batch {MIDDLE} is recorded; a cross: runs never "
    )
    words += "arrived, an upper bound; left out where a search failed"
    style.small_print(panels[0], autoencoder, words)
    return panels[0]


@style.look()
def plot_seconds(autoencoder: Results, language: Results, clock: Results) -> Axes:
    """Seconds to the target at both batches, left and right a problem: steps as measured, times a recorded step."""
    panels = style.figure(columns=2, height=3.8)
    for axes, report in zip(panels, (autoencoder, language), strict=True):
        problem = report.experiment.held["problem"]
        for batch, marker, shift in ((SMALL, "o", -0.15), (LARGE, "s", 0.15)):
            arrived = columns.arrived(report, batch)
            for row, name in ((row, name) for row, name in enumerate(OPTIMIZERS) if name in arrived):
                taken = np.exp(np.log(columns.seconds(report, clock, name, batch)).mean(axis=0))
                look = {"marker": marker, "size": 4.5, "label": None if row else f"batch {batch}"}
                colour = style.batch_colour(batch, LARGE)
                style.point(axes, row + shift, geometric_interval(taken), colour, clock.recorded, sideways=True, **look)
        axes.set_xscale("log")
        axes.set_title(NAMES[problem], fontsize=10)
        axes.set_yticks(range(len(OPTIMIZERS)), OPTIMIZERS if report is autoencoder else [])
        axes.set_ylim(len(OPTIMIZERS) - 0.5, -0.5)
        axes.set_xlabel("seconds of one thread")
        style.plain_ticks(axes.xaxis, style.few_values(*axes.get_xlim()))
    panels[1].legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    words = f"Seconds: {clock.experiment.small_print}, {clock.provenance}; intervals are those of the steps"
    style.small_print(panels[0], autoencoder, words)
    return panels[0]
