"""Lesson 09: times to the target of every plan in the sweep, and of the plan that the adviser chooses."""

import numpy as np

from tutorlib.errors import Refused
from tutorlib.experiments import choose_your_batch as lesson
from tutorlib.experiments.two_speeds_columns import chosen_rates
from tutorlib.records import RunRecord
from tutorlib.results import Results, column
from tutorlib.theory.advice import Advice
from tutorlib.theory.choice import Choice, choose_plan

Pair = tuple[int, int]  # batch, micro-batch


def steps_of(sweep: Results, model: str, batch: int, micro_batch: int) -> np.ndarray:
    """Steps to the target, one a seed, each at the rate that the other seeds chose; a rate that lost is a bound."""
    at = {"model": model, "batch": batch, "micro_batch": micro_batch}
    steps, reached = (
        np.transpose([column(sweep, name, **at, rate=rate) for rate in lesson.rates(model, batch)])
        for name in ("steps", "reached")
    )
    chosen = chosen_rates(np.where(reached, steps, np.inf))
    return steps[np.arange(len(steps)), chosen]


def edges(sweep: Results, model: str) -> list[int]:
    """Batches whose chosen rate is at an end of its grid, for any seed."""
    found = []
    for batch in lesson.CENTRES[model]:
        at = {"model": model, "batch": batch, "micro_batch": batch}
        rates = lesson.rates(model, batch)
        steps, reached = (
            np.transpose([column(sweep, name, **at, rate=rate) for rate in rates]) for name in ("steps", "reached")
        )
        if np.isin(chosen_rates(np.where(reached, steps, np.inf)), (0, len(rates) - 1)).any():
            found.append(batch)
    return found


def times(sweep: Results, clock: Results, model: str) -> dict[Pair, np.ndarray]:
    """Steps × seconds of an update, for every plan of the sweep: one a seed.

    Where layers look across the batch only plans whose steps were counted are here; elsewhere all pieces of a batch
    take the steps of the whole.
    """
    steps = {pair: steps_of(sweep, model, *pair) for pair in lesson.trained(model)}
    found = {}
    for batch, micro_batch in steps if model in lesson.GHOSTS else lesson.pairs(model):
        counted = steps.get((batch, micro_batch), steps[batch, batch])
        found[batch, micro_batch] = counted * column(clock, "step", model=model, batch=batch, micro_batch=micro_batch)
    return found


def advised(record: RunRecord, largest: int | None = None) -> Choice:
    """What the adviser chooses from what it measured, with micro-batches up to ``largest``."""
    numbers = {**record.values, "largest": largest} if largest else record.values
    return choose_plan(Advice.of(numbers, record["optimizer"]))


def advised_pairs(advice: Results, model: str, largest: int | None = None) -> list[Pair]:
    """(batch, micro-batch) of every seed's advice."""
    records = sorted((r for r in advice if r["model"] == model), key=lambda r: r.run.seed)
    plans = [advised(record, largest).plan for record in records]
    return [(plan.batch, plan.micro_batch) for plan in plans]


def soonest(found: dict[Pair, np.ndarray], largest: int | None = None) -> Pair:
    """The plan of least time over all seeds: the sweep's best, its own luck included."""
    fitting = {pair: time for pair, time in found.items() if pair[1] <= (largest or pair[1])}
    return min(fitting, key=lambda pair: np.log(fitting[pair]).mean())


def nearest(found: dict[Pair, np.ndarray], pair: Pair) -> np.ndarray:
    """Times of the plan of this batch whose micro-batch is nearest. A batch that was not swept is refused."""
    same = [other for other in found if other[0] == pair[0]]
    if not same:
        raise Refused(f"batch is {pair[0]}; allowed: those of the sweep, {sorted({b for b, _ in found})}")
    return found[min(same, key=lambda other: abs(np.log(other[1] / pair[1])))]


def over_best(sweep: Results, clock: Results, advice: Results, model: str, largest: int | None = None) -> np.ndarray:
    """Time of each seed's advised plan over that of the sweep's best plan, on the same seed."""
    found = times(sweep, clock, model)
    best = found[soonest(found, largest)]
    plans = advised_pairs(advice, model, largest)
    return np.array([nearest(found, plan)[seed] for seed, plan in enumerate(plans)]) / best


def one_knob(sweep: Results, clock: Results, advice: Results, model: str) -> dict[str, np.ndarray]:
    """Time over the sweep's best of the batch, in one piece, that one question alone would choose: one a seed."""
    every = times(sweep, clock, model)
    found, best = {pair: time for pair, time in every.items() if pair[0] == pair[1]}, every[soonest(every)]
    each = {b: column(clock, "step", model=model, batch=b, micro_batch=b).mean() / b for b, _ in found}
    steps = {b: steps_of(sweep, model, b, b).mean() for b, _ in found}
    scale = np.mean([Advice.of(r.values, r["optimizer"]).noise.middle for r in advice if r["model"] == model])
    chosen = {
        "throughput": min(each, key=each.get),
        "noise": min(each, key=lambda b: abs(np.log(b / scale))),
        "steps": min(steps, key=steps.get),
    }
    return {knob: found[batch, batch] / best for knob, batch in chosen.items()}


def little_memory(sweep: Results, clock: Results, model: str) -> np.ndarray:
    """Time to the target at batch 32 over that at 128, in the micro-batches for which there is room."""
    found = times(sweep, clock, model)
    return found[32, lesson.LITTLE] / found[128, lesson.LITTLE]
