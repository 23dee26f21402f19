"""Measured memory: what a real step saves for backward, and the most that it holds, by three independent counts."""

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

import torch
from torch import nn
from torch._C._profiler import _EventType
from torch.autograd.graph import saved_tensors_hooks
from torch.profiler import ProfilerActivity, profile

from tutorlib.measure.memory.ledger import Ledger
from tutorlib.measure.memory.predict import enter_what_is_there, make_optimizer
from tutorlib.measure.memory.step import PRECISIONS, call, tensors, training_step
from tutorlib.measure.memory.target import CPU
from tutorlib.measure.memory.trace import Trace
from tutorlib.nn import device as devices
from tutorlib.theory.memory import choose

# The profiler announces itself on the error stream, with the time: nothing that a notebook should keep.
os.environ.setdefault("KINETO_LOG_LEVEL", "99")


def saved_bytes(forward: Callable, *already: torch.Tensor) -> int:
    """Bytes of storage that ``forward()`` keeps for its backward pass, each storage once.

    Storages of ``already`` (parameters, buffers, the batch) are not counted: they are there anyway.
    """
    known, saved = {t.untyped_storage()._cdata for t in already}, {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in known:
            saved[storage._cdata] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        result = forward()  # held, so that no storage is freed and its address counted for another
    del result
    return sum(saved.values())


def saved_for_backward(model: nn.Module, loss: Callable, batch: tuple, autocast: torch.dtype | None = None) -> int:
    """Bytes that one real forward pass with its loss saves for backward, beyond parameters and batch."""
    inputs, targets = batch

    def forward():
        with torch.autocast(tensors(batch)[0].device.type, dtype=autocast, enabled=autocast is not None):
            return loss(call(model, inputs), targets)

    return saved_bytes(forward, *model.parameters(), *model.buffers(), *tensors(batch))


def followed(
    model: nn.Module,
    loss: Callable,
    batch: tuple,
    optimizer: Callable = torch.optim.AdamW,
    *,
    precision: str = "fp32",
    accumulation: int = 1,
    steps: int = 2,
) -> Trace:
    """The ledger of real steps, the twin of :func:`~tutorlib.measure.memory.predict.predict`: it trains ``model``."""
    ledger, autocast = Ledger(), choose(PRECISIONS, precision, "precision")[1]
    device = tensors(batch)[0].device.type
    with ledger, ledger.watching(model):
        enter_what_is_there(ledger, model, batch)
        stepper = make_optimizer(optimizer, model, CPU)
        for _ in range(steps):
            training_step(ledger, model, loss, batch, stepper, autocast, accumulation, device)
        return Trace.read(ledger)


def profiled_peak(
    model: nn.Module,
    loss: Callable,
    batch: tuple,
    optimizer: Callable = torch.optim.AdamW,
    *,
    precision: str = "fp32",
    accumulation: int = 1,
    steps: int = 2,
) -> int:
    """The most bytes that real steps on a processor hold, by its allocator's own events; it trains ``model``.

    Parameters, buffers and batch were there before and are added. Unlike the ledger, the profiler also sees what an
    operator allocates inside itself; on one thread, for some operators take a workspace for each.
    """
    autocast, silent = choose(PRECISIONS, precision, "precision")[1], Silent()
    silent.enter_model(model)
    there = [*model.parameters(), *model.buffers(), *tensors(batch)]
    before = {t.untyped_storage()._cdata: t.untyped_storage().nbytes() for t in there}
    with devices.one_thread(), profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        stepper = make_optimizer(optimizer, model, CPU)
        for _ in range(steps):
            training_step(silent, model, loss, batch, stepper, autocast, accumulation)
    events, found = list(seen.profiler.kineto_results.experimental_event_tree()), []
    while events:
        event = events.pop()
        events += event.children
        if event.tag == _EventType.Allocation:
            found.append((event.start_time_ns, event.extra_fields.alloc_size))
    now = peak = sum(before.values())
    for _, change in sorted(found, key=lambda pair: pair[0]):
        now += change
        peak = max(peak, now)
    return peak


class Silent(Ledger):
    """A ledger that writes nothing down, for steps that somebody else watches."""

    def enter(self, *tensor, **what) -> None:
        """Nothing: the device's own allocator is the one that counts."""


def device_peak(make: Callable, device: str, *, precision: str = "fp32", accumulation: int = 1, steps: int = 2) -> dict:
    """The device allocator's own peaks in bytes: ``allocated`` and ``reserved``, and the same of the first step alone.

    ``make(device)`` returns (model, loss, batch, optimizer). Call it in a fresh process (:func:`fresh`): what others
    left in the allocator's cache changes what it reserves.
    """
    silent, (dtype, autocast), found = Silent(), choose(PRECISIONS, precision, "precision"), {}
    model, loss, batch, optimizer = make(device)
    model = model.to(dtype) if dtype else model
    silent.enter_model(model)
    stepper = optimizer([p for p in model.parameters() if p.requires_grad])
    devices.reset_peak_memory(torch.device(device))
    for _ in range(steps):
        training_step(silent, model, loss, batch, stepper, autocast, accumulation, device)
        devices.synchronize(torch.device(device))
        peaks = devices.peak_memory(torch.device(device))
        found = found or {f"first_{what}": size for what, size in peaks.items()}
    return found | peaks


def fresh(function: Callable, *arguments, **named):
    """The function's answer from a process of its own, begun anew: nothing is left over from anything else."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as one:
        return one.submit(function, *arguments, **named).result()
