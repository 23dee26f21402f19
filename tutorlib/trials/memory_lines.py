"""The trial of lesson 04's record: a model's peak at two batches, the line through them, and its parts."""

import numpy as np

from tutorlib.measure.memory.line import peak_line
from tutorlib.measure.memory.named import OPTIMIZERS, named
from tutorlib.measure.memory.predict import predict
from tutorlib.measure.memory.target import GPU
from tutorlib.measure.memory.trace import Trace
from tutorlib.records import Run

# Batches whose highest moments are kept; below 1 they stand for shorter texts.
KEPT = 2.0 ** np.arange(-3, 13)


def lines(runs: list[Run], device: str) -> list[dict]:
    """For each length of a model: the allocated line, how many times that much is reserved, and bytes by kind.

    ``places_small`` and ``places_large`` are bytes by kind, in the order of ``KINDS``, at both batches, of one place
    in the passes after the other; ``step`` those at the highest moment of the optimizer's step. Places are the same at
    every length. Shapes alone are followed, so ``device`` does not matter.
    """
    traces = [followed(run) for run in runs]
    places = sorted(set().union(*(highest(*pair, run) for pair, run in zip(traces, runs, strict=True))))
    return [values(*pair, run, places) for pair, run in zip(traces, runs, strict=True)]


def followed(run: Run) -> tuple[Trace, Trace]:
    s = run.settings
    options = {name: s[name] for name in ("time", "attention", "checkpointing") if name in s}
    model, loss, example = named(s["model"], **options)
    maker, how = OPTIMIZERS[s["optimizer"]], {"precision": s["precision"], "target": GPU}
    return tuple(predict(model, loss, example, maker, micro_batch=s[size], **how) for size in ("small", "large"))


def highest(small: Trace, large: Trace, run: Run) -> set[int]:
    """The moments of the passes at which some batch has its peak, with accumulation or without.

    Both traces are of the same program, so their moments are the same too, and each is a line in the batch.
    """
    s = run.settings
    slope = (large.live - small.live) / (s["large"] - s["small"])
    gradients = np.zeros_like(small.live)
    for block in small.blocks:
        if block.kind == "gradients":
            gradients[block.born : block.died] += small.size(block)
    # Where micro-batches came before, gradients that are not yet computed lie there already.
    lacking, passes = gradients.max() - gradients, ~stepping(small)
    peaks = [small.live + slope * (batch - s["small"]) for batch in KEPT]
    return {int(np.where(passes, bytes, 0).argmax()) for peak in peaks for bytes in (peak, peak + lacking)}


def stepping(trace: Trace) -> np.ndarray:
    """Which moments belong to the optimizer's steps."""
    found = np.zeros(len(trace.live), dtype=bool)
    for _, phase, start, end in trace.spans:
        found[start:end] = phase == "optimizer"
    return found


def values(small: Trace, large: Trace, run: Run, places: list[int]) -> dict:
    traces = {run.settings["small"]: small, run.settings["large"]: large}
    allocated = peak_line(traces.get, tuple(traces))
    return {
        "parameters": sum(p.numel() for p in named(run.settings["model"])[0].parameters()),
        "fixed": allocated.fixed,
        "per_example": allocated.per_example,
        "floor": allocated.floor,
        "reserved": large.reserved / large.peak,
        "step": tuple(small.parts(int(np.where(stepping(small), small.live, 0).argmax())).values()),
        "places_small": tuple(size for place in places for size in small.parts(place).values()),
        "places_large": tuple(size for place in places for size in large.parts(place).values()),
    }
