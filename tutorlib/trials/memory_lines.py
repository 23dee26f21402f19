"""The trial of lesson 04's record: a model's peak at two batches, the line through them, and its parts."""

import numpy as np

from tutorlib.measure.memory.line import peak_line
from tutorlib.measure.memory.named import OPTIMIZERS, named
from tutorlib.measure.memory.predict import predict
from tutorlib.measure.memory.target import GPU
from tutorlib.measure.memory.trace import Trace
from tutorlib.records import Run


def line(run: Run, device: str) -> dict:
    """The allocated line in bytes, how many times that much is reserved, and bytes by kind, in the order of ``KINDS``.

    Bytes by kind are those of the highest moment of the optimizer's step and, at both batches, of the two
    :func:`places` in the passes. Shapes alone are followed, so ``device`` does not matter.
    """
    s = run.settings
    options = {name: s[name] for name in ("time", "attention", "checkpointing") if name in s}
    model, loss, example = named(s["model"], **options)
    maker, how = OPTIMIZERS[s["optimizer"]], {"precision": s["precision"], "target": GPU}
    traces = {b: predict(model, loss, example, maker, micro_batch=b, **how) for b in (s["small"], s["large"])}
    small, large = traces.values()
    allocated = peak_line(traces.get, tuple(traces))
    few, many = places(small), places(large)
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "fixed": allocated.fixed,
        "per_example": allocated.per_example,
        "floor": allocated.floor,
        "reserved": large.reserved / large.peak,
        "step": few["step"],
        **{f"{place}_small": few[place] for place in ("early", "late")},
        **{f"{place}_large": many[place] for place in ("early", "late")},
    }


def places(trace: Trace) -> dict[str, tuple[int, ...]]:
    """Bytes by kind at the highest moment of the optimizer's steps, and of the passes early and late.

    Late is when at least half of the gradients are there. Then activations are mostly gone, so each of the two is a
    line of its own in the batch where the peak, the larger of them, is bent.
    """
    gradients = np.zeros_like(trace.live)
    for block in trace.blocks:
        if block.kind == "gradients":
            gradients[block.born : block.died] += block.bytes
    stepping = np.zeros(len(trace.live), dtype=bool)
    for _, phase, start, end in trace.spans:
        stepping[start:end] = phase == "optimizer"
    late = 2 * gradients >= gradients.max()
    moments = {"step": stepping, "early": ~stepping & ~late, "late": ~stepping & late}
    return {
        place: tuple(trace.parts(int(np.where(there, trace.live, -1).argmax())).values())
        for place, there in moments.items()
    }
