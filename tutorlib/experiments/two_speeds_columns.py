"""Lesson 05: the columns its figures and verdicts are made of, rates chosen on other seeds than they are judged on."""

import numpy as np

from tutorlib.errors import Refused
from tutorlib.experiments.race_two_speeds import BATCHES, SMALL, rates
from tutorlib.results import Results, column, paired
from tutorlib.theory.statistics import slopes
from tutorlib.theory.trade_off import StepTime, fit_step_time, fit_trade_off


def finishes(results: Results, optimizer: str, batch: int) -> np.ndarray:
    """Steps to the target (seeds, rates), infinite where a rate was beaten on the way and never arrived."""
    rows = [
        np.where(
            column(results, "reached", batch=batch, rate=rate), column(results, "steps", batch=batch, rate=rate), np.inf
        )
        for rate in rates(optimizer, batch)
    ]
    return np.transpose(rows)


def chosen_rates(steps: np.ndarray) -> np.ndarray:
    """For every seed the index of the rate that did best on the *other* seeds: its own luck chooses nothing.

    The best is the lowest median; ``steps`` (seeds, rates). Raises ``ValueError`` for fewer than three seeds.
    """
    if len(steps) < 3:
        raise Refused(f"{len(steps)} seed(s) measured; allowed: at least 3, for a rate is chosen on the other seeds")
    return np.array([np.median(np.delete(steps, seed, axis=0), axis=0).argmin() for seed in range(len(steps))])


def best_of_others(values: np.ndarray) -> np.ndarray:
    """Each seed's value at the rate that did best on the other seeds; ``values`` (seeds, rates), lower is better."""
    return values[np.arange(len(values)), chosen_rates(values)]


def tuned_steps(results: Results, optimizer: str) -> np.ndarray:
    """Steps to the target (seeds, batches), each seed at the rate that the others chose.

    Where that rate was beaten on this seed, it counts with the steps after which it was stopped, a lower bound.
    """
    found = []
    for batch in BATCHES:
        table, bounds = finishes(results, optimizer, batch), []
        for seed, best in enumerate(chosen_rates(table)):
            bounds.append(column(results, "steps", batch=batch, rate=rates(optimizer, batch)[best])[seed])
        found.append(bounds)
    return np.transpose(found)


def on_the_edge(results: Results, optimizer: str) -> list[int]:
    """The batches whose chosen rate is the first or the last of its grid, for any seed."""
    tables = {batch: finishes(results, optimizer, batch) for batch in BATCHES}
    return [b for b, table in tables.items() if np.isin(chosen_rates(table), (0, table.shape[1] - 1)).any()]


def beaten(results: Results, optimizer: str) -> int:
    """How many of the tuned runs were stopped before they arrived, and count with a lower bound."""
    tables = [finishes(results, optimizer, batch) for batch in BATCHES]
    return sum(int(np.isinf(table[range(len(table)), chosen_rates(table)]).sum()) for table in tables)


def bends(results: Results, optimizer: str) -> np.ndarray:
    """The fitted B_crit of every seed, NaN where its steps show one regime only."""
    return np.array([_bend(steps) for steps in tuned_steps(results, optimizer)])


def _bend(steps: np.ndarray) -> float:
    try:
        return fit_trade_off(BATCHES, steps).critical
    except Refused:
        return np.nan


def best_rates(results: Results, optimizer: str) -> np.ndarray:
    """The rate of fewest steps (seeds, batches), between grid points: the lowest point of a parabola.

    Fitted to each seed's own log steps against log rate, where it arrived; the best one itself where fewer than three
    did or they bend the other way. Grids shifted by an octave give the same rates (course/log.md).
    """
    tables = {batch: finishes(results, optimizer, batch) for batch in BATCHES}
    return np.transpose(
        [[np.exp(_lowest(np.log(rates(optimizer, b)), row)) for row in table] for b, table in tables.items()]
    )


def _lowest(log_rates: np.ndarray, steps: np.ndarray) -> float:
    arrived = np.isfinite(steps)
    if arrived.sum() >= 3:
        square, linear, _ = np.polyfit(log_rates[arrived], np.log(steps[arrived]), 2)
        if square > 0:
            return float(np.clip(-linear / (2 * square), log_rates[arrived].min(), log_rates[arrived].max()))
    return float(log_rates[steps.argmin()])


def rate_exponents(results: Results, optimizer: str, largest: int) -> np.ndarray:
    """The exponent a of best rate ∝ Bᵃ over the batches up to ``largest``: 1 is linear, ½ a square root. One a seed."""
    few = [batch for batch in BATCHES if batch <= largest]
    return slopes(np.log(few), np.log(best_rates(results, optimizer)[:, : len(few)]))


def per_batch(results: Results, optimizer: str) -> dict[int, np.ndarray]:
    """Tuned steps to the target by batch: one a seed."""
    return dict(zip(BATCHES, tuned_steps(results, optimizer).T, strict=True))


def seconds_to_target(results: Results, clock: Results, optimizer: str) -> dict[int, np.ndarray]:
    """S(B)·t(B) by batch, steps and seconds paired by seed."""
    results, clock = paired(results, clock)
    steps = per_batch(results, optimizer)
    return {b: steps[b] * column(clock, "step", batch=b, **SMALL) for b in BATCHES}


def parts(clock: Results, batch: int, **model) -> np.ndarray:
    """Seconds of the forward and backward pass of one micro-batch: one a seed."""
    return column(clock, "forward", batch=batch, **model) + column(clock, "backward", batch=batch, **model)


def step_law(clock: Results) -> StepTime:
    """t₀ + c·B of the small net, fitted to the geometric means over seeds."""
    sizes = [point["batch"] for point in clock.experiment.points if point["width"] == SMALL["width"]]
    means = [np.exp(np.log(column(clock, "step", batch=batch, **SMALL)).mean()) for batch in sizes]
    return fit_step_time(sizes, means)
