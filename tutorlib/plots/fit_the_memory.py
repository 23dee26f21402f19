"""The figures of lesson 04: bytes kept, the documents' numbers beside ours, and one training step over time."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from tutorlib.experiments import documents_table as table
from tutorlib.experiments import fit_the_memory as lesson
from tutorlib.plots import style
from tutorlib.plots.memory_panel import LOOKS
from tutorlib.results import Results
from tutorlib.theory.statistics import Estimate

MIB = 2**20
# kind of attention or checkpointing: label, marker, colour
KINDS = {
    ("math", False): ("math attention", "s", "#d55e00"),
    ("fused", False): ("fused attention", "o", "#0072b2"),
    ("fused", True): ("… with checkpointing", "v", "#009e73"),
}
MARKERS = {"math": "s", "fused": "o", "checkpointing": "v"}
COLOURS = {"bf16": "#0072b2", "autocast": "#009e73", "mixed": "#cc79a7", "fp32": "0.35"}
# What stays first, what comes and goes on top: each a name of the panel's colours, and the kinds that it is made of.
STACK = {
    "parameters": ("parameters",),
    "optimizer state": ("optimizer state",),
    "gradients": ("gradients",),
    "activations": ("activations",),
    "scores and loss": ("logits and loss",),
    "workspace, examples": ("workspace", "examples"),
}


@style.look()
def plot_saved(results: Results, guess=None) -> Axes:
    """Bytes kept for the backward pass against batch and against length; ``guess``: × from 256 to 512 tokens, math."""
    axes, beside = style.figure(columns=2)
    for place, over, ticks in ((axes, "micro_batch", lesson.BATCHES), (beside, "time", lesson.LENGTHS)):
        for kind in lesson.KINDS:
            label, marker, colour = KINDS[tuple(kind.values())]
            values = lesson.saved(results, ticks, over=over, **kind) / MIB
            runs = [lesson.at(results, value, over, **kind).run for value in ticks]
            place.plot(ticks, [lesson.by_formula(run) / MIB for run in runs], **style.THEORY)
            for x, value in zip(ticks, values, strict=True):
                name = label if x == ticks[0] else None
                style.point(place, x, Estimate(value, value, value), colour, results.recorded, marker, label=name)
        place.set_yscale("log")
        style.plain_ticks(place.yaxis, style.few_values(*place.get_ylim()))
    if guess:
        before = lesson.saved(results, (256,), over="time", **lesson.KINDS[0])[0] / MIB
        axes.fill_between([], [], label="your guess", **style.GUESS)  # for the legend, which both share
        beside.fill_between([480, 540], *(before * factor for factor in guess), **style.GUESS)
    style.batch_axis(axes, lesson.BATCHES, "micro-batch (128 tokens each)")
    style.batch_axis(beside, lesson.LENGTHS, "tokens an example (two examples)")
    axes.set_ylabel("kept for the backward pass (MiB)")
    axes.plot([], [], **style.THEORY, label="34 + 5as/h, for fp32")
    beside.legend(*axes.get_legend_handles_labels(), loc="upper left", fontsize=8)
    style.small_print(axes, results)
    return axes


@style.look()
def plot_table(results: Results, guess=None) -> Axes:
    """Every line of the documents' tables: their number, and ours by recipe; ``guess``: 8B activations at batch 1."""
    (axes,) = style.figure(height=5.4)
    seen = {}
    for height, row in enumerate(table.ROWS):
        axes.plot([row.gigabytes] * 2, [height - 0.38, height + 0.38], color="0.1", linewidth=2.2, zorder=2)
        axes.axhspan(height - 0.38, height + 0.38, color="0.97" if height % 2 else "0.94", zorder=-1, linewidth=0)
        near = row.gigabytes * (1 - table.NEAR), row.gigabytes * (1 + table.NEAR)
        axes.fill_betweenx([height - 0.38, height + 0.38], *near, color="0.8", zorder=0, linewidth=0)
        found = table.ours(results, row)
        for number, (recipe, value) in enumerate(found.items()):
            precision, _, kind = recipe.partition(", ")
            marker, colour = MARKERS.get(kind, "D"), COLOURS[precision]
            shift = 0.66 * (number / (len(found) - 1) - 0.5)  # every marker on a height of its own
            off = abs(value / row.gigabytes - 1) > table.NEAR
            face = "white" if results.recorded else colour
            axes.plot(value, height + shift, marker, color=colour, markerfacecolor=face, markersize=6, zorder=3)
            if off:
                cross = colour if results.recorded else "white"
                axes.plot(value, height + shift, "x", color=cross, markersize=4, markeredgewidth=1.2, zorder=4)
            label = recipe if kind else f"{recipe} (bytes a parameter)"
            seen[label] = Line2D([], [], marker=marker, color=colour, linestyle="", markersize=6, label=label)
    if guess:
        at = [row.claim for row in table.ROWS].index("D3-17")
        axes.fill_betweenx([at - 0.38, at + 0.38], *guess, **style.GUESS)
        seen["guess"] = Line2D([], [], color="#e69f00", linewidth=6, alpha=0.4, label="your guess")
    said = Line2D([], [], color="0.1", linewidth=2.2, label="the document, ± a quarter")
    axes.set_yticks(range(len(table.ROWS)), [row.name for row in table.ROWS])
    axes.set(xscale="log", xlabel="GB", ylim=(len(table.ROWS) - 0.5, -0.5))
    style.plain_ticks(axes.xaxis, {value: f"{value:g}" for value in (0.5, 1, 2, 4, 8, 16, 32, 64, 128)})
    axes.legend(handles=[said, *seen.values()], loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8)
    style.small_print(axes, results, "A cross: more than a quarter off")
    return axes


@style.look()
def plot_plans(results: Results, guess=None) -> Axes:
    """Peaks of plans A to D by what decides them, and 4 × 2 over 8 × 1 for three models; ``guess``: GPT-2's, in %."""
    axes, beside = style.figure(columns=2, ratios=(3, 2))
    for place, parts in enumerate(table.FOUR):
        found, bottom = table.plan(results, "gpt2", table.SMALL, *parts), 0.0
        stays = {
            "parameters": found["parameters"],
            "optimizer state": found["optimizer_state"],
            "gradients": found["gradients"] if found["accumulation"] > 1 else 0,
        }
        for kind, size in {**stays, "activations": found["peak"] - sum(stays.values())}.items():
            label = "all that belongs to examples" if kind == "activations" else kind
            axes.bar(place, size / table.GB, 0.6, bottom, color=LOOKS[kind], label=label if place == 1 else None)
            bottom += size / table.GB
        axes.text(place, bottom, f"{bottom:.1f}", ha="center", va="bottom", fontsize=9)
    axes.set_xticks(
        range(len(table.FOUR)), [f"{name}: {m} × {k}" for name, (m, k) in zip("ABCD", table.FOUR, strict=True)]
    )
    axes.set(ylabel="peak (GB)", title="GPT-2")
    axes.legend()
    for place, (*of, parts) in enumerate(table.HALVED.values()):
        whole, half = (table.plan(results, *of, *each)["peak"] for each in ((8, 1), parts))
        value = 100 * half / whole
        style.point(beside, place, Estimate(value, value, value), style.INK, results.recorded)
        beside.text(place, value + 3, f"{value:.0f} %", ha="center", va="bottom", fontsize=9)
    beside.axhline(50, **style.THEORY)
    if guess:
        beside.fill_between([0.8, 1.2], *guess, label="your guess", **style.GUESS)
        beside.legend(loc="lower left")
    beside.set_xticks(range(len(table.HALVED)), list(table.HALVED))
    beside.set(xlim=(-0.5, 2.5), ylim=(0, 100), ylabel="peak of 4 × 2 (% of 8 × 1)")
    style.small_print(axes, results)
    return axes


@style.look()
def plot_timeline(results: Results, guess=None) -> Axes:
    """Bytes alive by kind through two training steps; ``guess`` is the peak in GB."""
    (axes,) = style.figure(height=4.4)
    (record,) = results
    starts, sums = record["starts"], np.sum([record[kind] for kind in table.ALIVE], axis=0) / table.GB
    x = stretched(starts, len(sums))
    axes.stackplot(
        x,
        *(np.sum([record[kind] for kind in kinds], axis=0) / table.GB for kinds in STACK.values()),
        labels=list(STACK),
        colors=[LOOKS[name] for name in STACK],
        linewidth=0,
    )
    top = sums.max()
    for number, start in enumerate(starts):
        axes.axvline(x[start], color="0.85", linewidth=1.2, zorder=0)  # behind the needle, which is as thin
        name = ("forward", "backward", "step()")[number % 3]
        axes.text(number + 0.5, 1.13 * top, name, ha="center", fontsize=9)
    axes.axvline(3, color="0.2", linewidth=1.4, ymax=0.97)
    for step, words in enumerate(("first step", "every later step")):
        part = slice(starts[3 * step], starts[3] if step == 0 else None)
        peak = int(sums[part].argmax()) + part.start
        axes.plot([3 * step, 3 * step + 3], [sums[peak]] * 2, color="0.2", linestyle=":", linewidth=1.2)
        axes.text(3 * step + 2.95, sums[peak] + 0.02 * top, f"{sums[peak]:.2f} GB", ha="right", va="bottom", fontsize=9)
        axes.text(3 * step + 1.5, 1.22 * top, words, ha="center", fontsize=10.5)
    needle = x[starts[3] + int(sums[starts[3] :].argmax())]
    words = "the loss: copies\nof the scores"
    arrow = {"arrowstyle": "->", "color": style.INK}
    axes.annotate(words, (needle, 0.9 * top), (needle + 0.35, 0.82 * top), fontsize=9, va="center", arrowprops=arrow)
    style.band(axes, guess)
    axes.set(xlim=(0, 6), ylim=(0, 1.3 * top), ylabel="alive (GB)", xticks=[], xlabel="through two training steps")
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(handles[::-1], labels[::-1], loc="center left", bbox_to_anchor=(1, 0.45))
    style.small_print(axes, results)
    return axes


def stretched(starts, moments: int) -> np.ndarray:
    """Positions at which every phase is as wide as every other."""
    ends = [*starts[1:], moments]
    spans = enumerate(zip(starts, ends, strict=True))
    return np.concatenate([number + np.arange(end - start) / (end - start) for number, (start, end) in spans])
