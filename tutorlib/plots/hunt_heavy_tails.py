"""The figures of lesson 08: readings on known laws, gradient noise, leaving a well, bought noise."""

import numpy as np
from matplotlib.axes import Axes

from tutorlib.experiments import bought_noise as bought
from tutorlib.experiments import escape_times as escapes
from tutorlib.experiments import hunt_heavy_tails as lesson
from tutorlib.plots import style
from tutorlib.results import Results
from tutorlib.theory import escape as law
from tutorlib.theory.statistics import geometric_interval, mean_interval

# law: label, marker, colour
LAWS = {
    "gaussian": ("Gaussian", "o", "0.15"),
    "gaussian length, 50-d": ("length of 50 Gaussians", "D", "0.4"),
    "student 3": ("Student t₃", "s", "#0072b2"),
    "stable 1.9": ("α-stable, 1.9", "^", "#e69f00"),
    "stable 1.5": ("α-stable, 1.5", "v", "#d55e00"),
    "gaussians of many sizes": ("Gaussians of many sizes", "P", "#cc79a7"),
}
NOISES = {
    ("gaussian", 0): ("Gaussian", "o", "0.15"),
    ("levy", 0): ("Lévy, α = 1.5", "v", "#d55e00"),
    ("gradient", 1): ("gradients, batch 1", "s", "#0072b2"),
    ("gradient", 16): ("gradients, batch 16", "D", "#56b4e9"),
}
CHECKPOINTS = {
    ("mlp", 0): ("MLP, start", "o", "0.55"),
    ("mlp", 100): ("MLP, 100 steps", "s", "#0072b2"),
    ("mlp", 600): ("MLP, 600 steps", "D", "0.15"),
    ("gpt", 0): ("GPT, start", "^", "#e69f00"),
    ("gpt", 100): ("GPT, 100 steps", "v", "#d55e00"),
}


@style.look()
def plot_readings(results: Results, guess=None) -> Axes:
    """Hill index against its threshold, and the index of sums, on laws whose answer is known.

    ``guess`` is the Hill index of a Gaussian, top 5 %.
    """
    axes, beside = style.figure(columns=2, height=4.2, ratios=(3, 2))
    for place, (name, (_, marker, colour)) in enumerate(LAWS.items()):
        read = lesson.law_column(results, "hill", name)
        for at, share in enumerate(lesson.SHARES):
            found = geometric_interval(read[:, at])
            style.point(axes, share, found, colour, results.recorded, marker, size=5)
        axes.plot(lesson.SHARES, [geometric_interval(row).value for row in read.T], color=colour, linewidth=0.8)
        scales = lesson.law_column(results, "log_scales", name)
        style.point(beside, place, mean_interval(lesson.scales_index(scales)), colour, results.recorded, marker, True)
        if name in lesson.STABLE:
            beside.plot([lesson.STABLE[name]] * 2, [place - 0.35, place + 0.35], **style.THEORY)
    axes.axhline(2, **style.THEORY)
    style.band(axes, guess)
    axes.set(xscale="log", yscale="log", xlabel="share of the draws that counts as tail", ylabel="Hill index")
    style.plain_ticks(axes.xaxis, {share: f"{share:.0%}" for share in lesson.SHARES})
    style.plain_ticks(axes.yaxis, {v: f"{v:g}" for v in (1, 1.5, 2, 3, 5, 10, 20, 40)})
    beside.set(xlabel="index of sums, 64 to 256", ylim=(len(LAWS) - 0.5, -0.5), xlim=(1.3, 2.3))
    beside.set_yticks(range(len(LAWS)), [label for label, _, _ in LAWS.values()])
    style.small_print(axes, results, "Dashed: what is true; left, 2, where variance ends")
    return axes


@style.look()
def plot_noise(results: Results, guess=None) -> Axes:
    """Excess kurtosis and Hill index of gradient noise against batch, in random directions.

    ``guess`` is the excess kurtosis of the late MLP at the largest batch.
    """
    axes, beside = style.figure(columns=2, height=4.0)
    for (model, steps), (label, marker, colour) in CHECKPOINTS.items():
        rows = lesson.noise_column(results, "directed", model, steps)
        hills = lesson.noise_column(results, "hill", model, steps)
        if (single := lesson.noise_column(results, "of_directions", model, steps).mean()) > 1:
            axes.plot(lesson.BATCHES, single / np.array(lesson.BATCHES), **style.THEORY)
        for at, batch in enumerate(lesson.BATCHES):
            name = label if at == 0 else None
            style.point(axes, batch, mean_interval(rows[:, at]), colour, results.recorded, marker, label=name, size=5)
            style.point(beside, batch, mean_interval(hills[:, at]), colour, results.recorded, marker, size=5)
    beside.axhline(2, color="0.75", linewidth=1)
    axes.set_yscale("symlog", linthresh=0.5)
    style.plain_ticks(axes.yaxis, {v: f"{v:g}" for v in (-0.5, 0, 0.5, 1, 3, 10, 30, 100)})
    axes.set(ylabel="excess kurtosis, random directions")
    beside.set(ylabel="Hill index, largest 5 %", ylim=(0, None))
    if guess:
        axes.fill_between([200, 330], *guess, label="your guess", **style.GUESS)
    for each in (axes, beside):
        style.batch_axis(each, lesson.BATCHES)
    axes.legend(fontsize=8)
    style.small_print(
        axes,
        results,
        "Dashed: κ/B; line: 2, below which a law has no variance; what a Gaussian reads: the figure before",
    )
    return axes


@style.look()
def plot_escape(results: Results, guess=None) -> Axes:
    """Mean time to the rim against its height and against its distance; ``guess``: Lévy, the highest rim."""
    axes, beside = style.figure(columns=2, height=4.0, ratios=(3, 2))
    held = results.experiment.held
    heights, widths = np.linspace(0.45, 1.25, 30), np.linspace(0.65, 1.5, 30)
    for place, sizes, wells in (
        (axes, heights, [(h, 1.0) for h in heights]),
        (beside, widths, [(escapes.MIDDLE, w) for w in widths]),
    ):
        place.plot(
            sizes, [law.gaussian_time(float(h), float(w), held["temperature"]) for h, w in wells], **style.THEORY
        )
        place.plot(sizes, [law.levy_time(float(w), held["alpha"], held["scale"]) for _, w in wells], **style.THEORY)
        place.set_yscale("log")
        style.plain_ticks(place.yaxis, {v: f"{v:g}" for v in (5, 10, 20, 50, 100)})
    for (noise, batch), (label, marker, colour) in NOISES.items():
        for height in escapes.HEIGHTS:
            found = geometric_interval(escapes.mean_time(results, noise, height, batch=batch))
            name = label if height == escapes.LOW else None
            style.point(axes, height, found, colour, results.recorded, marker, label=name)
        for width in escapes.WIDTHS if not batch else ():
            found = geometric_interval(escapes.mean_time(results, noise, escapes.MIDDLE, width))
            style.point(beside, width, found, colour, results.recorded, marker)
    if guess:
        axes.fill_between([1.16, 1.24], *guess, label="your guess", **style.GUESS)
    axes.set(xlabel="height of the rim", ylabel="mean time to the rim")
    beside.set(xlabel="distance of the rim")
    axes.legend(fontsize=8)
    style.small_print(axes, results)
    return axes


@style.look()
def plot_bought(results: Results, guess=None) -> Axes:
    """Error of every arm over that of the full batch; ``guess``: isotropic noise of the same trace."""
    (axes,) = style.figure(height=3.8)
    names = [arm["arm"] for arm in bought.ARMS]
    for place, name in enumerate(names[1:]):
        found = geometric_interval(bought.over(results, name, bought.FULL))
        style.point(axes, place, found, style.INK, results.recorded, sideways=True)
    axes.axvline(1, **style.THEORY)
    axes.axvline(geometric_interval(bought.over(results, bought.SMALL, bought.FULL)).value, color="0.75", linewidth=1)
    if guess:
        rows, place = len(names) - 1, names[1:].index(bought.ISOTROPIC)
        low, high = (1 - (place + side) / rows for side in (1, 0))
        axes.axvspan(*guess, ymin=low, ymax=high, label="your guess", **style.GUESS)
    axes.set_yticks(range(len(names) - 1), names[1:])
    axes.set(ylim=(len(names) - 1.5, -0.5), xlabel="error ÷ that of the full batch at the same rate, geometric mean")
    style.small_print(axes, results, "Dashed: the full batch; line: batch 1")
    return axes
