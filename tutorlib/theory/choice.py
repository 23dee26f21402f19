"""The plan that follows from what was measured on a model, and from nothing else."""

import math
from dataclasses import dataclass

from tutorlib.errors import Refused
from tutorlib.theory.advice import Advice, amount
from tutorlib.theory.batch_statistics import ENOUGH
from tutorlib.theory.noise import check_batch
from tutorlib.theory.plan import Plan

SLACK = 1.2  # a batch is as good as the best if its predicted time is within 20 %
MOST = 65_536  # examples: where the data do not say how many there are


@dataclass(frozen=True)
class Choice:
    """A plan for the measured model, the batches as good as its own, and what the ends of the noise would choose.

    ``times`` (batch → time to a target over the least) is a prediction: (1 + B_crit/B) · t(B). ``limited`` says that
    memory, not the clock, set the micro-batch. ``chosen`` is the batch that the prediction prefers, whatever is wanted;
    ``time`` that of the plan. ``loaded`` is ``times``, the plan's batch among them, with the loader's seconds added:
    t(B) + its seconds an example times a rank's share of B, over the least of these.
    """

    plan: Plan
    time: float
    chosen: int
    times: dict[int, float]
    least: int
    most: int
    limited: bool
    loaded: dict[int, float]

    @property
    def as_good(self) -> tuple[int, int]:
        """The smallest and the largest batch within :data:`SLACK` of the least time."""
        return min(self.good), max(self.good)

    @property
    def good(self) -> list[int]:
        return [batch for batch, time in self.times.items() if time <= SLACK]


def choose_plan(advice: Advice, ranks: int = 1, memory: float | None = None, wanted: int | None = None) -> Choice:
    """The plan that ``advice`` leads to on ``ranks`` with ``memory`` bytes on each, or the one for a ``wanted`` batch.

    Batches are powers of two times the ranks. Moving gradients between ranks is taken to cost nothing, and every
    batch to have a rate of its own. Raises ``ValueError`` where not one example fits, ranks do not divide the batch, or
    an epoch has fewer examples.
    """
    check_wanted(wanted, ranks, advice.examples)
    largest, free = advice.largest_in(memory), advice.sizes[-1]
    if not largest:
        raise Refused(
            f"memory is {amount(memory)}, and a step needs {amount(max(advice.floor_bytes, advice.fixed_bytes))} "
            "before the first example; allowed: more than that. Make the model or the optimizer's state smaller"
        )
    least, most = ranks * advice.sizes[0], advice.examples or MOST
    batches = [batch for k in range(17) if (batch := least * 2**k) <= max(least, most)]
    noise = advice.noise

    def seconds(batch: int, largest: int = largest) -> float:
        return advice.seconds_of(*fastest_pieces(advice, batch, ranks, largest))

    def best(critical: float, **room) -> int:
        """By (1 + B_crit/B) · t(B), or by its limit t(B)/B where nothing bounds B_crit."""
        steps = {batch: 1 / batch if critical == math.inf else 1 + critical / batch for batch in batches}
        return min(batches, key=lambda batch: steps[batch] * seconds(batch, **room))

    chosen = best(noise.middle)
    batch = chosen if wanted is None else wanted
    parts = fastest_pieces(advice, batch, ranks, largest)
    steps = {b: 1 + noise.middle / b for b in sorted({*batches, batch})}
    with_loader = {b: steps[b] * (seconds(b) + b / ranks * advice.loader_seconds) for b in steps}
    best_time = (1 + noise.middle / chosen) * seconds(chosen)
    return Choice(
        Plan(advice.examples or batch, *parts, ranks),
        (1 + noise.middle / batch) * advice.seconds_of(*parts) / best_time,
        chosen,
        {b: (1 + noise.middle / b) * seconds(b) / best_time for b in batches},
        best(noise.low),
        best(noise.high or math.inf),
        fastest_pieces(advice, wanted or best(noise.middle, largest=free), ranks, free)[0] > largest,
        {b: time / min(with_loader.values()) for b, time in with_loader.items()},
    )


def check_wanted(wanted: int | None, ranks: int, examples: int | None = None) -> None:
    if wanted is not None:
        check_batch(wanted, examples, "wanted", "the examples of an epoch")
    if check_batch(ranks, name="ranks") and wanted is not None and wanted % ranks:
        raise Refused(f"wanted is {wanted}; allowed: a multiple of {ranks} ranks. Change either")


def fastest_pieces(advice: Advice, batch: int, ranks: int, largest: int) -> tuple[int, int]:
    """(micro-batch, accumulation) that make up a rank's share in the least time.

    Where layers look across the batch, of those with :data:`ENOUGH` examples if there are any.
    Raises ``ValueError`` where no micro-batch that was timed and fits divides the share.
    """
    share, least = batch // ranks, advice.sizes[0]
    sizes = [m for m in range(least, min(share, largest) + 1) if share % m == 0]
    if not sizes:
        raise Refused(
            f"batch is {batch} on {ranks} rank(s), which no micro-batch from {least} to {largest} makes up; allowed: "
            f"a multiple of {least * ranks}"
        )
    if advice.coupled:
        sizes = [m for m in sizes if m >= ENOUGH] or [max(sizes)]
    micro_batch = min(sizes, key=lambda m: advice.seconds_of(m, share // m))
    return micro_batch, share // micro_batch
