"""The figures of lesson 06, but those of curvature."""

from matplotlib.axes import Axes

from tutorlib.experiments import diagonal_net, fine_tune, label_noise, stream
from tutorlib.experiments import question_generalization as lesson
from tutorlib.plots import style
from tutorlib.results import Results
from tutorlib.theory.statistics import geometric_interval, mean_interval

MARKERS = ("o", "s", "D")  # small, large, full: never told by colour alone
FIT = {"marker": "_", "markersize": 11, "markeredgewidth": 1.6, "linestyle": "none"}


def trio(axes: Axes, x: float, columns: dict, recorded: bool, largest: float, fitted=None, labels=None) -> None:
    """One point a batch, side by side; a short line under each is its training error."""
    for number, (batch, values) in enumerate(columns.items()):
        at, colour = x + 0.2 * (number - (len(columns) - 1) / 2), style.batch_colour(batch, largest)
        label = labels[number] if labels else None
        style.point(axes, at, mean_interval(values), colour, recorded, MARKERS[number], label=label, size=5.5)
        if fitted:
            axes.plot([at], [fitted[batch].mean()], color=colour, **FIT)


@style.look()
def plot_budgets(digits: Results, mnist1d: Results, guess=None) -> Axes:
    """Held-out error of three batches under four budgets, on two data sets; short lines are training errors.

    ``guess`` is the full batch's error on digits after 500 updates. The axis of digits is logarithmic above 5 %.
    """
    both = style.figure(columns=2, height=3.9)
    names = ("small: 10", "large: 100", "full: 500")
    for axes, results, data in zip(both, (digits, mnist1d), lesson.RATES, strict=True):
        for x, budget in enumerate(lesson.BUDGETS):
            errors, fitted = (
                {b: lesson.cell(results, data, budget, b, name) for b in lesson.BATCHES} for name in ("error", "train")
            )
            trio(axes, x, errors, results.recorded, 700, fitted, labels=None if x else names)
        axes.plot([], [], color="0.4", label="training error", **FIT)
        axes.set_xticks(range(len(lesson.BUDGETS)), [name.replace(", ", ",\n") for name in lesson.BUDGETS], fontsize=8)
        axes.set(title=data, xlim=(-0.5, len(lesson.BUDGETS) - 0.5), ylim=(-0.4, None))
    both[0].set_yscale("symlog", linthresh=5, linscale=1.5)
    style.plain_ticks(both[0].yaxis, {error: f"{error}" for error in (0, 1, 2, 3, 4, 5, 10, 20, 40, 60)})
    style.band(both[0], guess, xmin=0.5, xmax=0.75)
    both[0].set_ylabel("error (%)")
    both[1].legend(*both[0].get_legend_handles_labels(), fontsize=8, loc="lower left")
    style.small_print(both[0], digits, "Right: mnist1d, 2,000 held out")
    return both[0]


@style.look()
def plot_labels(results: Results, guess=None) -> Axes:
    """Held-out error with right and with wrong labels, at one rate and at own rates; short lines: training error.

    ``guess`` is the error of batch 100 with wrong labels at one rate.
    """
    (axes,) = style.figure()
    one = dict.fromkeys(lesson.BATCHES, label_noise.SAME)
    groups = (("right labels,\none rate", 0, one), ("30 % wrong,\none rate", 30, one))
    groups += (("30 % wrong,\nown rates", 30, label_noise.OWN),)
    for x, (_, wrong, rates) in enumerate(groups):
        errors, fitted = (
            {b: label_noise.found(results, wrong, b, rates[b], name) for b in lesson.BATCHES}
            for name in ("error", "train")
        )
        names = [f"batch {b}" for b in lesson.BATCHES]
        trio(axes, x, errors, results.recorded, 700, fitted, labels=None if x else names)
        if guess and x == 1:
            axes.fill_between([0.92, 1.08], *guess, label="your guess", **style.GUESS)
    axes.plot([], [], color="0.4", label="training labels missed", **FIT)
    axes.set_xticks(range(len(groups)), [name for name, *_ in groups])
    axes.set(ylabel="error (%)", xlim=(-0.5, 2.5), ylim=(-1, None))
    axes.legend(fontsize=8)
    style.small_print(axes, results)
    return axes


@style.look()
def plot_diagonal(results: Results, guess=None) -> Axes:
    """Distance to the truth against the rate, with and without noise; ``guess``: batch 1 at the highest rate."""
    (axes,) = style.figure()
    arms = (("none", 40, "full batch"), ("minibatch", 4, "batch 4"), ("minibatch", 1, "batch 1"))
    arms += (("gaussian", 1, "full batch, random weights"),)
    for number, (noise, batch, name) in enumerate(arms):
        rates = sorted(p["rate"] for p in results.experiment.points if (p["noise"], p["batch"]) == (noise, batch))
        colour = "#d55e00" if noise == "gaussian" else style.batch_colour(batch, 64)
        found = [geometric_interval(diagonal_net.arm(results, noise, batch, rate)) for rate in rates]
        shift = 1.06 if noise == "gaussian" else 1.0
        axes.plot(rates, [each.value for each in found], color=colour, linewidth=0.8)
        for rate, each in zip(rates, found, strict=True):
            label = name if rate == rates[0] else None
            style.point(axes, rate * shift, each, colour, results.recorded, "oDs^"[number], label=label)
    style.band(axes, guess)
    axes.set(xscale="log", yscale="log", xlabel="rate η", ylabel="distance² to the truth")
    style.plain_ticks(axes.xaxis, {rate: f"{rate:g}" for rate in (0.005, 0.01, 0.02, 0.04)})
    style.plain_ticks(axes.yaxis, style.few_values(*axes.get_ylim()))
    axes.legend(fontsize=8)
    style.small_print(axes, results)
    return axes


@style.look()
def plot_stream(results: Results, guess=None) -> Axes:
    """Loss on fresh and on seen examples, each once (left) or 512 of them often; ``guess``: fresh ÷ seen at 4,096."""
    axes, beside = style.figure(columns=2, ratios=(3, 2))
    for place, examples, title in ((axes, stream.SEEN, "every example once"), (beside, stream.FEW, "512, often")):
        batches = [p["batch"] for p in results.experiment.points if p["examples"] == examples]
        for name, marker, words in (("loss", "o", "fresh"), ("train", "_", "seen")):
            found = [geometric_interval(stream.loss(results, b, examples, name)) for b in batches]
            place.plot(batches, [each.value for each in found], color="0.7", linewidth=0.8, zorder=0)
            for b, each in zip(batches, found, strict=True):
                label = words if b == batches[0] else None
                colour = style.batch_colour(b, 4096)
                style.point(place, b, each, colour, results.recorded, marker, label=label, size=8)
        if guess and examples == stream.SEEN:
            seen = stream.loss(results, stream.LARGE, name="train").mean()
            place.fill_between([2900, 5800], *(seen * factor for factor in guess), label="your guess", **style.GUESS)
        place.set(title=title, ylim=(0, None))
        style.batch_axis(place, batches)
        place.set_xlim(batches[0] / 2, batches[-1] * 2)
    axes.set_ylabel("loss")
    axes.legend(fontsize=8)
    style.small_print(axes, results)
    return axes


@style.look()
def plot_widths(results: Results, guess=None) -> Axes:
    """Error against width: two batches after 10 epochs, and a large one with as many updates; ``guess``: gap at 256."""
    (axes,) = style.figure()
    shown = (
        (lesson.SMALL, 500, "batch 10, 10 epochs"),
        (lesson.FULL, 10, "full batch, 10 epochs"),
        (lesson.LARGE, 500, "batch 100, 500 updates"),
    )
    for number, (batch, steps, name) in enumerate(shown):
        colour, places = style.batch_colour(batch, 700), [w * 2 ** (0.12 * (number - 1)) for w in lesson.WIDTHS]
        found = [mean_interval(lesson.wide(results, w, batch, steps)) for w in lesson.WIDTHS]
        axes.plot(places, [each.value for each in found], color=colour, linewidth=0.8)
        for place, each in zip(places, found, strict=True):
            label = name if place == places[0] else None
            style.point(axes, place, each, colour, results.recorded, MARKERS[number], label=label)
    if guess:
        start = lesson.wide(results, 256, lesson.SMALL, 500).mean()
        axes.fill_between([290, 330], *(start + points for points in guess), label="your guess", **style.GUESS)
    style.batch_axis(axes, lesson.WIDTHS, "width of the hidden layer")
    axes.set_ylabel("held-out error (%)")
    axes.legend(fontsize=8)
    style.small_print(axes, results)
    return axes


@style.look()
def plot_fine_tune(results: Results, guess=None) -> Axes:
    """Error on the new task and what was forgotten of the old, by budget; ``guess``: full batch, 90 updates."""
    axes, beside = style.figure(columns=2, height=3.9)
    for x, (budget, plans) in enumerate(fine_tune.BUDGETS.items()):
        for place, name in ((axes, "error"), (beside, "forgot")):
            columns = {b: fine_tune.cell(results, budget, b, name) for b in plans}
            for b, values in columns.items():
                number = fine_tune.BATCHES.index(b)
                label = ("batch 8", "batch 48", "full: 240")[number] if x == 0 else None
                place_x, colour = x + 0.2 * (number - 1), style.batch_colour(b, 350)
                marker = MARKERS[number]
                style.point(
                    place, place_x, mean_interval(values), colour, results.recorded, marker, label=label, size=5.5
                )
    style.band(axes, guess)
    for place, words in ((axes, "error, mirrored digits (%)"), (beside, "forgotten of the others (points)")):
        place.set_xticks(
            range(len(fine_tune.BUDGETS)), [name.replace(", ", ",\n") for name in fine_tune.BUDGETS], fontsize=7.5
        )
        place.set(title=words, ylim=(0, None))
    axes.legend(fontsize=8)
    style.small_print(axes, results)
    return axes
