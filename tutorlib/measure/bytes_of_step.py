"""Bytes of a step for the adviser: a line predicted on shapes, and the largest micro-batch that really ran."""

import functools
from collections.abc import Callable

from torch import nn

from tutorlib.errors import Refused
from tutorlib.measure.handed_in import Sample
from tutorlib.measure.memory.finder import largest_micro_batch
from tutorlib.measure.memory.line import growing, peak_line
from tutorlib.measure.memory.predict import predict
from tutorlib.measure.memory.target import CPU, GPU
from tutorlib.measure.memory.trace import Trace
from tutorlib.nn.device import free_memory
from tutorlib.theory.advice import amount


def tried_in(model: nn.Module, loss: Callable, sample: Sample, optimizer, memory: float | None) -> dict:
    """The largest micro-batch that ran in ``memory`` bytes or on the device, where one of these says it is full."""
    device = sample.data.x.device
    if memory is None and free_memory(device) is None:
        return {}
    batch = sample.data.x[:2], sample.data.y[:2]
    tried = largest_micro_batch(model, loss, batch, optimizer, examples=len(sample.data), budget=memory)
    if not tried.micro_batch:
        room = "that of the device" if memory is None else amount(memory)
        raise Refused(
            f"memory is {room}, and not even one example fits; allowed: more. Make the "
            "model or its optimizer's state smaller"
        )
    return {"largest": tried.micro_batch} | ({} if memory is None else {"memory": float(memory)})


def line_of(model: nn.Module, loss: Callable, sample: Sample, optimizer, sizes: tuple[int, ...]) -> dict:
    """The line of bytes against micro-batch, with gradients that stay, through the largest timed and its half.

    A peak is the largest of several lines: with few examples it is the parameters' own, which says nothing of more
    examples and is the floor, read at the smallest.
    """
    batch = sample.data.x[:2], sample.data.y[:2]
    target = CPU if free_memory(sample.data.x.device) is None else GPU

    @functools.cache
    def at(size: int) -> Trace:
        return predict(model, loss, batch, optimizer, micro_batch=size, accumulation=2, target=target)

    try:
        line = peak_line(at, growing(at, sizes[-1] // 2))
        floor = at(sizes[0]).peak
    except Refused:  # shapes cannot follow this model: only trying can tell
        return {}
    return {"fixed_bytes": line.fixed, "example_bytes": line.per_example, "floor_bytes": float(floor)}
