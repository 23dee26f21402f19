"""Lesson 07's figures beside the noisy quadratic and the race: a warm-up, a memory, a schedule."""

from matplotlib.axes import Axes

from tutorlib.experiments import half_life, raise_the_batch, warm_up
from tutorlib.plots import style
from tutorlib.results import Results
from tutorlib.theory.statistics import geometric_interval, mean_interval

WARM_UPS = {
    "none": ("no warm-up", "#d55e00", "o"),
    "gradual": ("gradual", "#0072b2", "s"),
    "constant": ("constant, then a jump", "0.45", "^"),
}
PLANS = {
    "left": ("rate and batch left", "0.45", "^"),
    "lower": ("rate ÷ 5 twice", "#0072b2", "s"),
    "raise": ("batch × 5 twice", "#d55e00", "o"),
}


@style.look()
def plot_warm_up(results: Results, guess=None) -> Axes:
    """Final loss and runs that failed against the rate, by warm-up; ``guess``: failed with one, at the last rate."""
    axes, beside = style.figure(columns=2, height=3.8)
    for number, (kind, (label, colour, marker)) in enumerate(WARM_UPS.items()):
        places = [rate * 2 ** (0.12 * (number - 1)) for rate in warm_up.RATES]
        losses = [geometric_interval(warm_up.loss(results, kind, rate)) for rate in warm_up.RATES]
        shares = [100 * warm_up.loss(results, kind, rate, name="failed").mean() for rate in warm_up.RATES]
        for place, values in ((axes, [each.value for each in losses]), (beside, shares)):
            place.plot(places, values, color=colour, linewidth=0.8)
        for place, each in zip(places, losses, strict=True):
            name = label if place == places[0] else None
            style.point(axes, place, each, colour, results.recorded, marker, label=name, size=5.5)
        beside.plot(places, shares, marker, color=colour, markersize=5.5)
    if guess:
        beside.fill_between([0.82 * warm_up.HIGHEST, 1.22 * warm_up.HIGHEST], *guess, label="your guess", **style.GUESS)
        beside.legend(fontsize=8)
    for place in (axes, beside):
        place.axvline(warm_up.SCALED, **style.THEORY)
        place.set(xscale="log", xlabel="rate η after the warm-up")
        style.plain_ticks(place.xaxis, {rate: f"{rate:.2g}" for rate in warm_up.RATES})
    axes.set(yscale="log", ylabel="training loss at the end")
    style.plain_ticks(axes.yaxis, style.few_values(*axes.get_ylim()))
    beside.set(ylabel="runs that learn next to nothing (%)", ylim=(-4, 104))
    axes.legend(fontsize=8)
    style.small_print(axes, results, "Dashed: 16 times the best rate of batch 8; deep net: eight hidden layers")
    return axes


@style.look()
def plot_half_life(results: Results, guess=None) -> Axes:
    """Held-out loss against batch, by how β₂ is chosen; ``guess``: what 0.95 costs at batch 1."""
    (axes,) = style.figure()
    arms = (
        ("β₂ = 0.95", lambda batch: half_life.FIXED, "#d55e00", "o"),
        ("half-life kept: β₂ = 0.95^(B/256)", half_life.half_life, "#0072b2", "s"),
        ("β₂ = 0.999", lambda batch: half_life.LIBRARY, "0.45", "^"),
    )
    for number, (label, beta2, colour, marker) in enumerate(arms):
        places = [batch * 2 ** (0.15 * (number - 1)) for batch in half_life.BATCHES]
        found = [mean_interval(half_life.loss(results, batch, beta2(batch))) for batch in half_life.BATCHES]
        axes.plot(places, [each.value for each in found], color=colour, linewidth=0.8)
        for place, each in zip(places, found, strict=True):
            name = label if place == places[0] else None
            style.point(axes, place, each, colour, results.recorded, marker, label=name)
    if guess:
        kept = half_life.loss(results, half_life.SMALL, half_life.half_life(half_life.SMALL)).mean()
        axes.fill_between([0.8, 1.25], *(kept + nats for nats in guess), label="your guess", **style.GUESS)
    style.batch_axis(axes, half_life.BATCHES)
    axes.set_ylabel("held-out loss (nats a letter)")
    axes.legend(fontsize=8)
    style.small_print(axes, results)
    return axes


@style.look()
def plot_schedules(results: Results, guess=None) -> Axes:
    """Error on fresh examples against updates, a point a plan; ``guess``: batch raised minus rate lowered, batch 8."""
    (axes,) = style.figure()
    for batch in (raise_the_batch.SMALL, raise_the_batch.LARGE):
        for plan, (label, colour, marker) in PLANS.items():
            if not any((p["batch"], p["plan"]) == (batch, plan) for p in results.experiment.points):
                continue
            updates = raise_the_batch.found(results, batch, plan, "updates")[0]
            found = mean_interval(raise_the_batch.found(results, batch, plan))
            first = batch == raise_the_batch.SMALL
            style.point(axes, updates, found, colour, results.recorded, marker, label=label if first else None)
            axes.annotate(
                f"batch {batch} first", (updates, found.value), (8, 6), textcoords="offset points", fontsize=8
            )
    if guess:
        lowered = raise_the_batch.found(results, raise_the_batch.SMALL, "lower").mean()
        axes.fill_between([680, 880], *(lowered + points for points in guess), label="your guess", **style.GUESS)
    axes.set(xscale="log", xlabel="updates", ylabel="error on fresh examples (%)", xlim=(20, 4500))
    style.plain_ticks(axes.xaxis, {value: f"{value:,}" for value in (31, 75, 200, 775, 1875)})
    axes.legend(fontsize=8)
    style.small_print(axes, results)
    return axes
