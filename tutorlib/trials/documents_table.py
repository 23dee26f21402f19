"""The runs of lesson 04 on large shapes: the documents' plans in bytes, and one plan over time."""

import numpy as np

from tutorlib.measure.memory.named import named
from tutorlib.measure.memory.predict import predict
from tutorlib.measure.memory.target import GPU
from tutorlib.measure.memory.trace import KINDS, Trace
from tutorlib.records import Run


def followed(run: Run, accumulation: int, steps: int) -> Trace:
    """Whole steps of a plan, on shapes."""
    s = run.settings
    model, loss, batch = named(s["model"], s["time"], attention=s["attention"], checkpointing=s["checkpointing"])
    how = {"precision": s["precision"], "target": GPU, "accumulation": accumulation, "steps": steps}
    return predict(model, loss, batch, micro_batch=s["micro_batch"], **how)


def plan(runs: list[Run], device: str) -> list[dict]:
    """Bytes by what they are for, and the peak of every step but the first.

    One step is followed. A later one differs in what is there when it begins, the optimizer's state, which is added to
    the peak of the passes. Of an accumulation two parts are followed: the second finds gradients there, and so do all
    after it; its first part is the plan without accumulation. ``inside_step`` is what the optimizer takes for itself.
    """
    trace = followed(runs[0], accumulation=min(2, max(run.settings["accumulation"] for run in runs)), steps=1)
    last = trace.spans[-1][2]  # all gradients are there, and the optimizer has not begun
    there = {
        "parameters": trace.parts(last)["parameters"],
        "gradients": trace.parts(last)["gradients"],
        "optimizer_state": trace.parts(trace.end)["optimizer state"],
    }
    highest = [int(trace.live[first:end].max()) for _, _, first, end in trace.spans]
    found = []
    for run in runs:
        passes = max(highest[: 2 * min(2, run.settings["accumulation"])])
        found.append(
            {
                **there,
                "activations": trace.activations,
                "inside_step": highest[-1] - sum(there.values()),
                "optimizer_peak": highest[-1],
                "first_step": max(passes, highest[-1]),
                "peak": max(passes + there["optimizer_state"], highest[-1]),
            }
        )
    return found


def timeline(run: Run, device: str) -> dict:
    """Bytes alive of every kind at so many moments of two steps, the highest of each phase among them.

    ``starts`` says at which of them a phase begins: forward, backward and optimizer, twice.
    """
    trace = followed(run, run.settings["accumulation"], steps=2)
    starts = [first for _, _, first, _ in trace.spans]
    highest = [first + int(trace.live[first:end].argmax()) for _, _, first, end in trace.spans]
    even = np.linspace(starts[0], trace.end - 1, run.settings["moments"]).astype(int).tolist()
    moments = sorted({*even, *starts, *highest})
    values = {kind: alive(trace, kind)[moments].tolist() for kind in KINDS}
    return {**values, "starts": [moments.index(start) for start in starts], "first_step": trace.first_step}


def alive(trace: Trace, kind: str) -> np.ndarray:
    """Bytes of one kind after each moment of the clock."""
    change = np.zeros(trace.end + 1, dtype=np.int64)
    for block in trace.blocks:
        if block.kind == kind:
            change[block.born] += trace.size(block)
            if block.died is not None:
                change[block.died] -= trace.size(block)
    return change.cumsum()
