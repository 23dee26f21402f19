"""The trial of lesson 04's record: a model's peak at two batches, the line through them, and its parts."""

from tutorlib.measure.memory.line import peak_line
from tutorlib.measure.memory.named import OPTIMIZERS, named
from tutorlib.measure.memory.predict import predict
from tutorlib.measure.memory.target import GPU
from tutorlib.measure.memory.trace import Trace
from tutorlib.records import Run


def line(run: Run, device: str) -> dict:
    """The allocated line in bytes, how many times that much is reserved, and bytes by kind, in the order of ``KINDS``.

    ``parts_small`` and ``parts_large`` are those at the peak of the passes, at both batches; ``parts_step`` those at
    the peak of the optimizer's step. Shapes alone are followed, so ``device`` does not matter.
    """
    s = run.settings
    model, loss, example = named(
        s["model"], **{name: s[name] for name in ("time", "attention", "checkpointing") if name in s}
    )
    traces = {
        batch: predict(
            model,
            loss,
            example,
            OPTIMIZERS[s["optimizer"]],
            micro_batch=batch,
            precision=s["precision"],
            target=GPU,
        )
        for batch in (s["small"], s["large"])
    }
    small, large = traces.values()
    allocated = peak_line(traces.get, tuple(traces))
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "fixed": allocated.fixed,
        "per_example": allocated.per_example,
        "floor": allocated.floor,
        "reserved": large.reserved / large.peak,
        "parts_small": highest(small),
        "parts_large": highest(large),
        "parts_step": highest(small, optimizer=True),
    }


def highest(trace: Trace, optimizer: bool = False) -> tuple[int, ...]:
    """Bytes by kind when most is alive, in the optimizer's steps or in the passes before them."""
    spans = [(start, end) for _, phase, start, end in trace.spans if (phase == "optimizer") == optimizer]
    moments = [start + int(trace.live[start:end].argmax()) for start, end in spans]
    return tuple(trace.parts(max(moments, key=lambda moment: trace.live[moment])).values())
