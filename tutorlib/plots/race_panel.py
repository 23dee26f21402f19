"""The race of batches as a panel: loss curves on an axis of your choice, and the time to the target under them all."""

import math
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from tutorlib.errors import Refused
from tutorlib.experiments.race_two_speeds import BATCHES, PROBLEM
from tutorlib.plots import style
from tutorlib.results import Results, column
from tutorlib.theory.trade_off import StepTime, TradeOff, fit_trade_off

PARAMETERS = 9610
AXES = ("steps", "examples", "FLOPs", "seconds")


@dataclass(frozen=True)
class Race:
    """Mean loss curves by batch, the steps at which they pass the target, and the law of those steps."""

    curves: dict[int, tuple[np.ndarray, np.ndarray]]
    steps: dict[int, float]
    law: TradeOff

    @classmethod
    def read(cls, results: Results, optimizer: str) -> "Race":
        curves, steps = {}, {}
        for batch in BATCHES:
            at = column(results, "at", batch=batch, optimizer=optimizer)[0]
            loss = np.exp(np.log(column(results, "losses", batch=batch, optimizer=optimizer)).mean(axis=0))
            curves[batch], steps[batch] = (at, loss), first_below(at, loss, PROBLEM["target"])
        return cls(curves, steps, fit_trade_off(BATCHES, list(steps.values())))


def first_below(at: np.ndarray, loss: np.ndarray, target: float) -> float:
    """The step at which a curve first passes the target, a straight line in log loss between two looks."""
    after = int((loss <= target).argmax())
    if not loss[after] <= target or not after:
        raise Refused(
            f"the curve from {loss[0]:.3g} to {loss[-1]:.3g} does not pass the target {target}; allowed: one that "
            "begins above it and ends below. Record it over more steps"
        )
    x, y = at[after - 1 : after + 1], np.log(loss[after - 1 : after + 1])
    return float(np.interp(-np.log(target), -y, x))


def price_of(batch: int, steps, pace: StepTime, unit: str):
    """``steps`` at this batch in steps, examples, FLOPs (6 an example and parameter) or seconds."""
    return (
        steps * {"steps": 1, "examples": batch, "FLOPs": 6 * PARAMETERS * batch, "seconds": pace.seconds(batch)}[unit]
    )


@style.look()
def plot_race(race: Race, pace: StepTime, unit: str) -> Axes:
    """Left: every batch's loss against steps, examples, FLOPs or seconds. Right: what the target costs in that unit."""
    axes, beside = style.figure(columns=2, ratios=(3, 2), panel=True)
    for batch, (at, loss) in race.curves.items():
        axes.plot(
            price_of(batch, at, pace, unit),
            loss,
            color=style.batch_colour(batch, BATCHES[-1]),
            linewidth=1.4,
            label=batch,
        )
    axes.axhline(PROBLEM["target"], **style.THEORY)
    axes.set(xscale="log", yscale="log", ylim=(0.15, 2.6), xlabel=f"{unit} so far", ylabel="held-out loss")
    axes.set_title(f"batch {BATCHES[0]} (light) to {BATCHES[-1]} (dark)")
    many = np.geomspace(BATCHES[0], BATCHES[-1], 100)
    beside.plot(many, price_of(many, race.law.steps(many), pace, unit), **style.THEORY)
    costs = {batch: price_of(batch, race.steps[batch], pace, unit) for batch in BATCHES}
    best = min(costs, key=costs.get)
    for batch, cost in costs.items():
        colour = style.batch_colour(batch, BATCHES[-1])
        large = {"markersize": 10, "markeredgewidth": 2.5} if batch == best else {}
        beside.plot(batch, cost, "o", color=colour, markerfacecolor="white", **large)  # hollow: recorded
    beside.set(xscale="log", yscale="log", xlabel="batch", title=f"{unit} to the target")
    style.plain_ticks(axes.yaxis, {0.2: "0.2", 0.5: "0.5", 1: "1", 2: "2"})
    style.plain_ticks(beside.xaxis, {b: f"{b}" for b in (1, 8, 64, 512)})
    style.plain_ticks(axes.xaxis, decades(*axes.get_xlim()))
    style.plain_ticks(beside.yaxis, style.few_values(*beside.get_ylim()))
    return axes


def decades(low: float, high: float) -> dict[float, str]:
    """Powers of ten between two limits, every other one where there are many, in plain figures."""
    powers = range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)
    return {10.0**k: f"{10**k:,}" if 0 <= k < 5 else f"1e{k}" for k in powers[:: 1 + len(powers) // 6]}
