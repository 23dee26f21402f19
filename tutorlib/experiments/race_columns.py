"""Lesson 07, the race: the columns its figures and verdicts are made of."""

import numpy as np

from tutorlib.experiments.race_optimizers import BATCHES, DRAWS, OPTIMIZERS, TRIALS, chosen, trials
from tutorlib.results import Results, column
from tutorlib.theory.ranks import clear_order

PENALTY = 1.3  # a trial that was beaten, or diverged, counts so many times the longest of its race


def winners(search: Results) -> dict[str, tuple[tuple[int, ...], ...]]:
    """The trial with the fewest steps, by geometric mean over the search seeds: optimizer → batch → draw."""
    return {
        name: tuple(tuple(int(scores(search, name, batch, draw).argmin()) for draw in DRAWS) for batch in BATCHES)
        for name in OPTIMIZERS
    }


def scores(search: Results, optimizer: str, batch: int, draw: int) -> np.ndarray:
    """Geometric mean over the search seeds of every trial's steps (trials,)."""
    where = {"optimizer": optimizer, "batch": batch, "draw": draw}
    steps, reached = column(search, "steps", **where), column(search, "reached", **where)
    return np.exp(np.log(np.where(reached, steps, PENALTY * steps.max(axis=1, keepdims=True))).mean(axis=0))


def on_the_edge(problem: str, optimizer: str, batch: int) -> list[str]:
    """Which of "rate" and its knob won with the lowest or the highest value tried, in either search."""
    found = set()
    for draw in DRAWS:
        won, tried = chosen(problem, optimizer, batch, draw), trials(optimizer, draw, TRIALS)
        for name in ("rate", "knob"):
            values = [trial[name] for trial in tried]
            if won[name] in (min(values), max(values)):
                found.add(name)
    return sorted(found, reverse=True)


def steps(report: Results, optimizer: str, batch: int) -> np.ndarray:
    """Steps to the target (draws, seeds). One that diverged or never arrived: all it had, a lower bound."""
    where = {"optimizer": optimizer, "batch": batch}
    return np.array(
        [
            np.where(
                column(report, "reached", draw=draw, **where),
                column(report, "steps", draw=draw, **where),
                column(report, "most_steps", draw=draw, **where),
            )
            for draw in DRAWS
        ]
    )


def never(report: Results, optimizer: str, batch: int) -> int:
    """How many runs never arrived."""
    return int(
        sum((1 - column(report, "reached", optimizer=optimizer, batch=batch, draw=draw)).sum() for draw in DRAWS)
    )


def settled(report: Results, batch: int) -> np.ndarray:
    """The order (:func:`~tutorlib.theory.ranks.clear_order`) that each search settles alone, in the same direction.

    A search is luck as a seed is: what only one of two equal searches says is left open.
    """
    logs = np.log(np.stack([steps(report, name, batch) for name in OPTIMIZERS], axis=-1))
    first, second = (clear_order(draw) for draw in logs)
    return np.where(first == second, first, 0)


def kept_rate(carried: Results, problem: str) -> tuple[tuple[np.ndarray, bool], ...]:
    """AdamW's steps at the large batch with the small batch's rate, and with the best factor on it (draws, seeds).

    The factor is the one of fewest steps on the *other* seeds (geometric mean). A run that was beaten or diverged
    counts ``slack`` times the first of its race, a lower bound: the second of each pair says whether there is one.
    """
    factors, slack = sorted({point["factor"] for point in carried.experiment.points}), carried.experiment.held["slack"]
    found = []
    for draw in DRAWS:
        where = [{"problem": problem, "draw": draw, "factor": factor} for factor in factors]
        reached = np.array([column(carried, "reached", **each) for each in where], dtype=bool)
        table = np.where(reached, [column(carried, "steps", **each) for each in where], np.inf)
        table = np.minimum(table, slack * table.min(axis=0))
        every = np.arange(table.shape[1])
        others = [np.log(np.delete(table, seed, axis=1)).mean(axis=1).argmin() for seed in every]
        found.append([(table[row, every], not reached[row, every].all()) for row in (factors.index(1), others)])
    return tuple(
        (np.array([steps for steps, _ in each]), any(late for _, late in each)) for each in zip(*found, strict=True)
    )


def seconds(report: Results, clock: Results, optimizer: str, batch: int) -> np.ndarray:
    """Processor seconds to the target (draws, seeds): steps as here, times the step as the clock was recorded."""
    problem = report.experiment.held["problem"]
    (step,) = column(clock, "step", problem=problem, optimizer=optimizer, batch=batch)
    return step * steps(report, optimizer, batch)
