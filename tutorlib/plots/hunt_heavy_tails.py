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
    ("levy", 0): ("Lévy, scale 0.1", "v", "#d55e00"),
    ("gradient", 1): ("gradients, batch 1", "s", "#0072b2"),
    ("gradient", 16): ("gradients, batch 16", "D", "#56b4e9"),
}
CHECKPOINTS = {
    ("mlp", 0): ("MLP, start", "o", "0.55"),
    ("mlp", 600): ("MLP, 600 steps", "D", "0.15"),
    ("gpt", 100): ("GPT, 100 steps", "s", "#0072b2"),
}
CONTROLS = {
    "gaussian": ("rows, Gaussian", "P", "#cc79a7"),
    "stable 1.9": ("rows, α-stable, 1.9", "^", "#e69f00"),
    "stable 1.5": ("rows, α-stable, 1.5", "v", "#d55e00"),
}
VISIBLE = 0.05  # the least excess kurtosis that is drawn


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
        axes.plot([], [], marker=marker, color=colour, linewidth=0.8, markersize=5, label=LAWS[name][0])
        scales = lesson.law_column(results, "log_scales", name)
        style.point(beside, place, mean_interval(lesson.scales_index(scales)), colour, results.recorded, marker, True)
        if name in lesson.STABLE:
            beside.plot([lesson.STABLE[name]] * 2, [place - 0.35, place + 0.35], **style.THEORY)
    axes.axhline(2, **style.THEORY)
    style.band(axes, guess)
    axes.set(xscale="log", yscale="log", xlabel="share of the draws that counts as tail", ylabel="Hill index")
    style.plain_ticks(axes.xaxis, {share: f"{share:.0%}" for share in lesson.SHARES})
    style.plain_ticks(axes.yaxis, {v: f"{v:g}" for v in (1, 1.5, 2, 3, 5, 10, 20, 40)})
    axes.set_ylim(0.9, 300)  # room for the names above the longest line
    axes.legend(fontsize=7, loc="upper left", ncols=2, columnspacing=0.8, borderaxespad=0)
    beside.set(xlabel="index of sums", ylim=(len(LAWS) - 0.5, -0.5), xlim=(1.3, 2.3))
    beside.set_yticks(range(len(LAWS)), [label for label, _, _ in LAWS.values()])
    style.small_print(axes, results, "Dashed: what is true; left, 2, where variance ends")
    return axes


@style.look()
def plot_noise(results: Results, controls: Results, guess=None) -> Axes:
    """Left: excess kurtosis against batch. Right: 1/α of every factor of the batch, flat on an α-stable law.

    ``guess`` is the excess kurtosis of the late MLP at the largest batch.
    """
    axes, beside = style.figure(columns=2, height=4.8)
    for look, kurtosis, scales in noise_series(results, controls):
        name, marker, colour = look
        for at, batch in enumerate(lesson.BATCHES):
            found = mean_interval(kurtosis[:, at])
            if found.low > VISIBLE:
                style.point(axes, batch, found, colour, results.recorded, marker, size=5)
        if kurtosis[:, 0].mean() > 1:
            axes.plot(lesson.BATCHES, kurtosis[:, 0].mean() / np.array(lesson.BATCHES), **style.THEORY)
        growth = np.diff(scales, axis=1) / np.log(lesson.FACTOR)
        for at, batch in enumerate(lesson.BATCHES[:-1]):
            label = name if at == 0 else None
            style.point(
                beside, batch, mean_interval(growth[:, at]), colour, results.recorded, marker, label=label, size=5
            )
        beside.plot(lesson.BATCHES[:-1], growth.mean(axis=0), color=colour, linewidth=0.8)
    axes.set(yscale="log", ylim=(VISIBLE, 400), ylabel="excess kurtosis, random directions")
    style.plain_ticks(axes.yaxis, {v: f"{v:g}" for v in (0.1, 0.3, 1, 3, 10, 30, 100, 300)})
    if guess:
        axes.fill_between([200, 330], *guess, label="your guess", **style.GUESS)
        axes.legend(fontsize=8)
    style.batch_axis(axes, lesson.BATCHES)
    style.batch_axis(beside, lesson.BATCHES[:-1], "batch b, from b to 4 b")
    beside.set(ylabel="1/α: growth of sums")
    beside.legend(fontsize=8)
    more = f"Dashed: κ/B from batch 1; left, intervals that reach below {VISIBLE} are not drawn; rows: controls"
    style.small_print(axes, results, more)
    return axes


def noise_series(results: Results, controls: Results):
    """Look, kurtosis and log scales of every net and control that is drawn."""
    for place, look in CHECKPOINTS.items():
        yield look, *(lesson.noise_column(results, name, *place) for name in ("directed", "log_scales"))
    for rows_of, look in CONTROLS.items():
        yield look, *(lesson.law_column(controls, name, rows_of) for name in ("directed", "log_scales"))


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
        place.plot(sizes, [law.levy_time(float(w), held["alpha"], escapes.SCALE) for _, w in wells], **style.THEORY)
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
    for height in (escapes.LOW, escapes.HIGH):
        found = geometric_interval(escapes.mean_time(results, "levy", height, scale=escapes.LARGE))
        name = "Lévy, scale 0.2" if height == escapes.LOW else None
        style.point(axes, height, found, "#e69f00", results.recorded, "^", label=name)
    axes.plot(heights, [law.levy_time(1.0, held["alpha"], escapes.LARGE)] * len(heights), **style.THEORY)
    if guess:
        axes.fill_between([1.16, 1.24], *guess, label="your guess", **style.GUESS)
    axes.set(xlabel="height of the rim", ylabel="mean time to the rim")
    beside.set(xlabel="distance of the rim")
    axes.legend(fontsize=8)
    style.small_print(axes, results)
    return axes


@style.look()
def plot_bought(results: Results, guess=None) -> Axes:
    """Error of every arm over that of the full batch; ``guess``: Gaussian weights."""
    (axes,) = style.figure(height=3.8)
    names = [arm["arm"] for arm in bought.ARMS]
    for place, name in enumerate(names[1:]):
        found = geometric_interval(bought.over(results, name, bought.FULL))
        style.point(axes, place, found, style.INK, results.recorded, sideways=True)
    axes.axvline(1, **style.THEORY)
    axes.axvline(geometric_interval(bought.over(results, bought.SMALL, bought.FULL)).value, color="0.75", linewidth=1)
    if guess:
        rows, place = len(names) - 1, names[1:].index(bought.GAUSSIAN)
        low, high = (1 - (place + side) / rows for side in (1, 0))
        axes.axvspan(*guess, ymin=low, ymax=high, label="your guess", **style.GUESS)
    axes.set_yticks(range(len(names) - 1), names[1:])
    axes.set(
        ylim=(len(names) - 1.5, -0.5), xlabel="error (squared distance from the true weights) ÷ that of the full batch"
    )
    style.small_print(axes, results, "Dashed: the full batch; line: batch 1")
    return axes
