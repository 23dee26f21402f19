"""The figures of lesson 05."""

import numpy as np
from matplotlib.axes import Axes

from tutorlib.experiments import race_two_speeds as lesson
from tutorlib.experiments import two_speeds_columns as columns
from tutorlib.plots import style
from tutorlib.results import Results, column
from tutorlib.theory.statistics import geometric_interval
from tutorlib.theory.trade_off import TradeOff, best_rate, fit_step_time, fit_trade_off

MARKERS = {"SGD": "o", "Adam": "s"}
MANY = np.geomspace(1, 512, 300)


@style.look()
def plot_steps(results: Results, guess=None) -> Axes:
    """Steps to the target against batch, with the fitted law and its two limits; ``guess`` is S(64) ÷ S(512)."""
    (axes,) = style.figure()
    steps = columns.per_batch(results, "SGD")
    law = mean_trade_off(results, "SGD")
    axes.plot(MANY, law.steps(MANY), **style.THEORY, label="fit S = S_min (1 + B_crit / B)")
    axes.plot(
        MANY, law.steps_min * law.critical / MANY, color="0.75", linewidth=1, label="in proportion: S = E_min / B"
    )
    axes.axhline(law.steps_min, color="0.75", linewidth=1, linestyle=":", label="floor: S_min")
    interval = geometric_interval(columns.bends(results, "SGD"))
    axes.axvspan(interval.low, interval.high, color="0.9", zorder=0, label="B_crit, 95 %")
    for batch in lesson.BATCHES:
        style.point(axes, batch, geometric_interval(steps[batch]), style.batch_colour(batch, 512), results.recorded)
    if guess:
        start = geometric_interval(steps[64]).value
        axes.fill_between([440, 595], *(start / factor for factor in guess), label="your guess", **style.GUESS)
    axes.set_yscale("log")
    axes.set_ylim(20, 3000)
    style.batch_axis(axes, lesson.BATCHES)
    axes.set_ylabel("steps to the target")
    axes.legend(fontsize=8)
    style.small_print(axes, results, beaten_words(results, "SGD"))
    return axes


def beaten_words(results: Results, optimizer: str) -> str:
    """How many of the plotted runs were stopped before they arrived, and where the best rate is on the grid's edge."""
    few, all_of_them = columns.beaten(results, optimizer), results.seeds * len(lesson.BATCHES)
    edges = ", ".join(map(str, columns.on_the_edge(results, optimizer))) or "none"
    return (
        f"In {few} of {all_of_them} plotted runs the rate that the other seeds chose was stopped before it arrived: it "
        f"counts with the steps it had taken. Batches whose chosen rate is on the edge of its grid: {edges}"
    )


def mean_trade_off(results: Results, optimizer: str) -> TradeOff:
    """The law fitted to the geometric means over seeds."""
    return fit_trade_off(lesson.BATCHES, np.exp(np.log(columns.tuned_steps(results, optimizer)).mean(axis=0)))


@style.look()
def plot_clock(results: Results, guess=None) -> Axes:
    """Seconds of a step against batch with t₀ + c·B; ``guess`` is t(64) ÷ t(1) of the small net."""
    (axes,) = style.figure()
    for name, model, marker in (("small net", lesson.SMALL, "o"), ("deep net", lesson.DEEP, "^")):
        sizes = [p["batch"] for p in results.experiment.points if p["width"] == model["width"]]
        seconds = {b: 1e3 * column(results, "step", batch=b, **model) for b in sizes}
        law = fit_step_time(sizes, [np.exp(np.log(seconds[b]).mean()) for b in sizes])
        many = np.geomspace(1, 1024, 200)
        axes.plot(many, law.seconds(many), **style.THEORY, label="t₀ + c·B" if marker == "o" else None)
        for b in sizes:
            colour = style.batch_colour(b)
            style.point(
                axes,
                b,
                geometric_interval(seconds[b]),
                colour,
                results.recorded,
                marker,
                label=name if b == 1 else None,
            )
        if guess and marker == "o":
            one = np.exp(np.log(seconds[1]).mean())
            axes.fill_between([55, 74], *(one * factor for factor in guess), label="your guess", **style.GUESS)
    axes.set_yscale("log")
    style.batch_axis(axes, sizes)
    axes.set_ylabel("milliseconds a step")
    axes.legend(loc="upper left")
    style.small_print(axes, results)
    return axes


@style.look()
def plot_time(steps: Results, clock: Results) -> Axes:
    """Seconds to the target against batch: measured S(B)·t(B), and the product of the two laws."""
    (axes,) = style.figure()
    seconds = columns.seconds_to_target(steps, clock, "SGD")
    sizes = list(lesson.BATCHES)
    times = [np.exp(np.log(column(clock, "step", batch=b, **lesson.SMALL)).mean()) for b in sizes]
    law, pace = mean_trade_off(steps, "SGD"), fit_step_time(sizes, times)
    axes.plot(MANY, law.steps(MANY) * pace.seconds(MANY), **style.THEORY, label="S_min (1 + B_crit/B) · (t₀ + c·B)")
    for b in sizes:
        style.point(
            axes, b, geometric_interval(seconds[b]), style.batch_colour(b, 512), steps.recorded or clock.recorded
        )
    axes.set_yscale("log")
    style.plain_ticks(axes.yaxis, style.few_values(*axes.get_ylim()))
    style.batch_axis(axes, sizes)
    axes.set_ylabel("seconds to the target")
    axes.legend()
    style.small_print(axes, steps, f"seconds {clock.provenance}")
    return axes


@style.look()
def plot_rates(sgd: Results, adam: Results, guess=None) -> Axes:
    """The best rate against batch for SGD and Adam, each over its rate at batch 1; ``guess`` is SGD's at 16."""
    (axes,) = style.figure()
    noise = mean_trade_off(sgd, "SGD").critical
    for results, name in ((sgd, "SGD"), (adam, "Adam")):
        best = columns.best_rates(results, name)
        unit = np.exp(np.log(best[:, 0]).mean())
        for b, column_of in zip(lesson.BATCHES, best.T, strict=True):
            colour = style.batch_colour(b, 512)
            found = geometric_interval(column_of / unit)
            style.point(axes, b, found, colour, results.recorded, MARKERS[name], label=name if b == 8 else None)
    law = best_rate(MANY, 1.0, noise)
    axes.plot(MANY, law / law[0], **style.THEORY, label="1 / (1 + B_crit/B), B_crit from the steps")
    axes.plot(MANY, np.sqrt(MANY), color="0.75", linewidth=1, label="√B")
    style.band(axes, guess, xmin=0.4, xmax=0.5)
    axes.set_yscale("log", base=2)
    axes.set_yticks([1, 2, 4, 8, 16, 32], ["1", "2", "4", "8", "16", "32"])
    style.batch_axis(axes, lesson.BATCHES)
    axes.set_ylabel("best rate, in units of\nthe best at batch 1")
    axes.legend()
    edges = {name: columns.on_the_edge(runs, name) for name, runs in (("SGD", sgd), ("Adam", adam))}
    words = "; ".join(f"{name}: {', '.join(map(str, found)) or 'none'}" for name, found in edges.items())
    style.small_print(axes, sgd, f"batches whose best rate is on the edge of its grid: {words}")
    return axes


@style.look()
def plot_noise(sgd: Results, adam: Results, noise: Results, guess=None) -> Axes:
    """B_crit three ways for both optimizers: fitted, from the noise scale along the run, and at its end."""
    (axes,) = style.figure(height=2.9)
    labels = []
    for name, results in (("SGD", sgd), ("Adam", adam)):
        fitted = geometric_interval(columns.bends(results, name))
        predicted = geometric_interval(column(noise, "predicted", optimizer=name))
        for words, found, marker in (("fitted to the steps", fitted, "o"), ("from the noise scale", predicted, "D")):
            style.point(axes, len(labels), found, style.INK, noise.recorded, marker, sideways=True)
            labels.append(f"{name}: {words}")
    style.band(axes, guess, sideways=True, ymin=0.5, ymax=0.75)
    axes.set_yticks(range(4), labels)
    axes.set_ylim(3.5, -0.5)
    style.batch_axis(axes, (8, 16, 32, 64, 128, 256), "B_crit (examples)")
    axes.set_xlim(8, 256)
    if guess:
        axes.legend(loc="lower left")
    style.small_print(axes, noise)
    return axes


@style.look()
def plot_warm_up(results: Results, guess=None) -> Axes:
    """Loss after training against rate for three starts; ``guess`` is none ÷ gradual at the highest rate."""
    (axes,) = style.figure()
    steep = sorted({point["rate"] for point in results.experiment.points})
    for kind, marker, shift in (("none", "o", 0.94), ("gradual", "s", 1.0), ("constant", "^", 1.06)):
        for rate in steep:
            found = geometric_interval(column(results, "loss", rate=rate, warm_up=kind))
            colour = {"none": "0.15", "gradual": "#0072b2", "constant": "#d55e00"}[kind]
            style.point(
                axes, rate * shift, found, colour, results.recorded, marker, label=kind if rate == steep[0] else None
            )
    if guess:
        gentle = geometric_interval(column(results, "loss", rate=steep[-1], warm_up="gradual")).value
        axes.fill_between(
            [steep[-1] * 0.9, steep[-1] * 1.1],
            *(gentle * factor for factor in guess),
            label="your guess",
            **style.GUESS,
        )
    axes.set_xscale("log", base=2)
    axes.set_xticks(steep, [f"{rate:g}" for rate in steep])
    axes.minorticks_off()
    axes.set_yscale("log")
    axes.set_xlabel("rate after the warm-up")
    axes.set_ylabel("held-out loss after 40 steps")
    axes.legend(title="warm-up")
    style.small_print(axes, results)
    return axes
