"""What the card says of seconds: those of an example, of the loader, and how far a choice by them can be trusted."""

from tutorlib.theory.advice import Advice
from tutorlib.theory.choice import Choice

READING = 0.1  # of a pass: a loader that takes less changes no choice


def seconds(choice: Choice):
    alike = ", ".join(f"{batch:,}" for batch in choice.good)
    same = f": the batches within 20 % ({alike}) are all the same choice" if len(choice.good) > 1 else ""
    yield f"Seconds have no interval here{same}, and another run of the adviser may name another batch.", "clock"


def with_loader(advice: Advice, choice: Choice):
    """What reading in turn with computing makes of the times, where it is a good part of them."""
    if advice.loader_seconds <= READING * pass_seconds(advice, choice):
        return
    batch, fastest = choice.plan.batch, min(choice.loaded, key=choice.loaded.get)
    factor = choice.loaded[batch]
    this = "which is this one" if batch == fastest else f"and batch {batch:,} takes {factor:.2g} times as long"
    yield (
        "All these times leave the loader out. With its time added, one example after the other, the fastest is "
        f"batch {fastest:,}, {this}.",
        "noise, clock, seconds of reading",
    )


def pass_seconds(advice: Advice, choice: Choice) -> float:
    """Seconds an example of a pass at the plan's micro-batch."""
    return (advice.seconds_of(choice.plan.micro_batch) - advice.update) / choice.plan.micro_batch


def clock(advice: Advice, choice: Choice):
    micro_batch = choice.plan.micro_batch
    each = {m: seconds / m for m, seconds in zip(advice.sizes, advice.passes, strict=True)}
    best = min(each, key=each.get)
    now = pass_seconds(advice, choice)
    first = advice.sizes[0]
    told = {first: each[first], micro_batch: now, best: each[best]}  # each size once
    costs = [f"{1000 * s:,.3g} ms at micro-batch {m:,}{', the least' if m == best else ''}" for m, s in told.items()]
    yield f"An example costs {'; '.join(costs)}.", "seconds of passes"
    if best == advice.sizes[-1]:
        yield f"Larger ones than {best:,} were not timed and may be cheaper still.", "seconds of passes"
    if advice.loader_seconds > now:
        yield (
            f"The loader takes {1000 * advice.loader_seconds:,.3g} ms an example, longer than its passes: reading "
            "costs more than computing. Try worker processes (num_workers) or, where the data lie in memory, index "
            "whole batches: tensors[chosen].",
            "seconds of reading",
        )
