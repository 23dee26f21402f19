"""Lesson 07, the race: the columns its figures and verdicts are made of."""

import numpy as np

from tutorlib.experiments.race_optimizers import BATCHES, DRAWS, OPTIMIZERS, TRIALS, chosen, trials
from tutorlib.results import Results, column
from tutorlib.theory.ranks import clear_order

PENALTY = 1.3  # a trial that was beaten, or diverged, counts so many times the longest of its race


def winners(search: Results) -> dict[str, tuple[tuple[int | None, ...], ...]]:
    """The :func:`winner` of every search: optimizer → batch → draw."""
    return {
        name: tuple(tuple(winner(search, name, batch, draw) for draw in DRAWS) for batch in BATCHES)
        for name in OPTIMIZERS
    }


def winner(search: Results, optimizer: str, batch: int, draw: int) -> int | None:
    """The trial with the fewest steps, by geometric mean over the search seeds; none if no trial ever arrived."""
    if not column(search, "reached", optimizer=optimizer, batch=batch, draw=draw).any():
        return None
    return int(scores(search, optimizer, batch, draw).argmin())


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
        for name in won or ():
            values = [trial[name] for trial in tried]
            if won[name] in (min(values), max(values)):
                found.add(name)
    return sorted(found, reverse=True)


def searched(report: Results, optimizer: str, batch: int) -> tuple[int, ...]:
    """The searches that found settings which arrive."""
    points = report.experiment.points
    return tuple(point["draw"] for point in points if (point["optimizer"], point["batch"]) == (optimizer, batch))


def arrived(report: Results, batch: int) -> tuple[str, ...]:
    """Those whose searches all found settings, and which can be compared."""
    return tuple(name for name in OPTIMIZERS if searched(report, name, batch) == DRAWS)


def steps(report: Results, optimizer: str, batch: int) -> np.ndarray:
    """Steps to the target (searches, seeds). One that diverged or never arrived: all it had, a lower bound."""
    reached, taken, most = (_table(report, name, optimizer, batch) for name in ("reached", "steps", "most_steps"))
    return np.where(reached, taken, most)


def late(report: Results, optimizer: str, batch: int) -> np.ndarray:
    """Which runs never arrived (searches, seeds)."""
    return _table(report, "reached", optimizer, batch) == 0


def _table(report: Results, name: str, optimizer: str, batch: int) -> np.ndarray:
    draws = searched(report, optimizer, batch)
    return np.array([column(report, name, optimizer=optimizer, batch=batch, draw=draw) for draw in draws])


def fastest(report: Results, names: tuple[str, ...], batch: int) -> tuple[np.ndarray, set[str]]:
    """Steps (draws, seeds) of the one of ``names`` with the fewest on the *other* seeds, and all who were that one."""
    table = np.array([steps(report, name, batch) for name in names])
    logs = np.log(table)
    others = (logs.sum(axis=2, keepdims=True) - logs).argmin(axis=0)
    return np.take_along_axis(table, others[None], axis=0)[0], {names[k] for k in np.unique(others)}


def settled(report: Results, batch: int) -> np.ndarray:
    """The order (:func:`~tutorlib.theory.ranks.clear_order`) of :func:`arrived` that each search settles alone, alike.

    A search is luck as a seed is: what only one of two searches says is left open. So is a pair whose winner has runs
    that never arrived, or whose loser was best at an edge of its box: either may be the other way round.
    """
    names, problem = arrived(report, batch), report.experiment.held["problem"]
    logs = np.log(np.stack([steps(report, name, batch) for name in names], axis=-1))
    first, second = (clear_order(draw) for draw in logs)
    waiting = np.array([late(report, name, batch).any() for name in names])
    edge = np.array([bool(on_the_edge(problem, name, batch)) for name in names])
    below = (first < 0) & (second < 0) & ~waiting[:, None] & ~edge
    return below.T.astype(int) - below


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
    """Processor seconds to the target (searches, seeds): steps as here, times the step as the clock was recorded."""
    problem = report.experiment.held["problem"]
    (step,) = column(clock, "step", problem=problem, optimizer=optimizer, batch=batch)
    return step * steps(report, optimizer, batch)
