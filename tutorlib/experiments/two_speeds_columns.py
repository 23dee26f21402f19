"""Lesson 05: the columns its figures and verdicts are made of, rates chosen on other seeds than they are judged on."""

import numpy as np

from tutorlib.errors import Refused
from tutorlib.experiments.race_two_speeds import BATCHES, HALF_OCTAVES, SMALL, rates
from tutorlib.results import Results, column
from tutorlib.theory.statistics import slopes
from tutorlib.theory.trade_off import TradeOff, fit_trade_off


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
    ends = (0, len(HALF_OCTAVES) - 1)
    return [b for b in BATCHES if np.isin(chosen_rates(finishes(results, optimizer, b)), ends).any()]


def trade_offs(results: Results, optimizer: str) -> list[TradeOff]:
    """The fitted S(B) of every seed."""
    return [fit_trade_off(BATCHES, steps) for steps in tuned_steps(results, optimizer)]


def best_rates(results: Results, optimizer: str) -> np.ndarray:
    """The rate of fewest steps (seeds, batches), between grid points: the lowest point of a parabola.

    Fitted in log steps against log rate to the rates that arrived; the best one itself where they are fewer than
    three or bend the other way.
    """
    columns = []
    for batch in BATCHES:
        log_rates = np.log(rates(optimizer, batch))
        columns.append([np.exp(_lowest(log_rates, row)) for row in finishes(results, optimizer, batch)])
    return np.transpose(columns)


def _lowest(log_rates: np.ndarray, steps: np.ndarray) -> float:
    arrived = np.isfinite(steps)
    if arrived.sum() >= 3:
        square, linear, _ = np.polyfit(log_rates[arrived], np.log(steps[arrived]), 2)
        if square > 0:
            return float(np.clip(-linear / (2 * square), log_rates[arrived].min(), log_rates[arrived].max()))
    return float(log_rates[steps.argmin()])


def rate_slopes(results: Results, optimizer: str, up_to: int) -> np.ndarray:
    """d log(best rate) / d log(batch) over the batches up to ``up_to``: one a seed."""
    few = [i for i, b in enumerate(BATCHES) if b <= up_to]
    return slopes(np.log(np.take(BATCHES, few)), np.log(best_rates(results, optimizer)[:, few]))


def per_batch(results: Results, optimizer: str) -> dict[int, np.ndarray]:
    """Tuned steps to the target by batch: one a seed."""
    return dict(zip(BATCHES, tuned_steps(results, optimizer).T, strict=True))


def seconds_to_target(results: Results, clock: Results, optimizer: str) -> dict[int, np.ndarray]:
    """S(B)·t(B) by batch, steps and seconds paired by seed."""
    steps = per_batch(results, optimizer)
    return {b: steps[b] * column(clock, "step", batch=b, **SMALL)[: len(steps[b])] for b in BATCHES}


def parts(clock: Results, batch: int, **model) -> np.ndarray:
    """Seconds of the forward and backward pass of one micro-batch: one a seed."""
    return column(clock, "forward", batch=batch, **model) + column(clock, "backward", batch=batch, **model)
