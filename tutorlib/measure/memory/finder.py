"""The largest micro-batch that fits: predicted, then tried with whole steps until one runs and the next does not."""

import functools
from collections.abc import Callable
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import torch
from torch import nn

from tutorlib.errors import Refused
from tutorlib.measure.memory.ledger import Block, Ledger
from tutorlib.measure.memory.line import growing, largest_working, peak_line
from tutorlib.measure.memory.predict import enter_what_is_there, predict
from tutorlib.measure.memory.step import PRECISIONS, resized, tensors, training_step
from tutorlib.measure.memory.target import CPU, GPU
from tutorlib.nn import device as devices
from tutorlib.theory.memory import choose
from tutorlib.theory.noise import check_batch


@dataclass(frozen=True)
class Found:
    """The largest ``micro_batch`` that ran (0: none), the ``tries`` (size → did it run) and what was ``predicted``."""

    micro_batch: int
    tries: dict[int, bool]
    predicted: int | None

    def keep(self, batch: int) -> tuple[int, int]:
        """(micro-batch, accumulation) that make up ``batch`` exactly: its largest divisor that ran or is smaller."""
        if not self.micro_batch:
            raise Refused(
                "not even one example fits; allowed: a found micro-batch. Make the model or its state smaller"
            )
        part = max(n for n in range(1, min(self.micro_batch, check_batch(batch)) + 1) if batch % n == 0)
        return part, batch // part


class OverBudget(RuntimeError):
    """An artificial budget is used up, said in a device's words."""


class Budget(Ledger):
    """A ledger that refuses storage beyond ``limit`` bytes, so that running out can be had on any machine."""

    def __init__(self, limit: float):
        super().__init__()
        self.limit, self.now = limit, 0

    def open(self, size: int, operator: str) -> Block:
        block = super().open(size, operator)
        self.now += size
        if self.now > self.limit:
            raise OverBudget(f"out of memory: {self.now:,} bytes of a budget of {self.limit:,}")
        return block

    def bury(self, block: Block) -> None:
        super().bury(block)
        self.now -= block.bytes


def largest_micro_batch(
    model: nn.Module,
    loss: Callable,
    batch: tuple,
    optimizer: Callable = torch.optim.AdamW,
    *,
    examples: int,
    budget: float | None = None,
    precision: str = "fp32",
    steps: int = 2,
) -> Found:
    """The largest micro-batch, up to ``examples`` in the data, with which ``steps`` whole training steps run.

    ``batch`` holds the longest examples there are, repeated to each size tried. ``optimizer(parameters)`` makes one
    for each try: your own is not touched, so call this before you make it, lest its state take room. ``budget`` in
    bytes is artificial, for any device; without one the device's own memory decides. Parameters, buffers, gradients,
    modes and random streams are afterwards what they were, bit for bit. Data-parallel ranks that all call this agree
    on the smallest. Raises ``ValueError`` without a budget on a processor, which would start to swap.
    """
    check_batch(examples, name="examples")
    if check_batch(steps, name="steps") < 2:
        raise Refused("steps is 1; allowed: at least 2, for the first step has no optimizer state and needs less")
    if precision == "bf16":
        raise Refused('precision is "bf16"; allowed: "fp32" (the model as it is), "autocast". Cast the model yourself')
    device, tries = tensors(batch)[0].device, {}
    room = devices.free_memory(device) if budget is None else budget
    if room is None:
        raise Refused(f"budget is None on {device.type}; allowed: a number of bytes. Only a GPU says when it is full")

    def works(size: int) -> bool:
        if size not in tries:
            tries[size] = runs(model, loss, resized(batch, size), optimizer, budget, precision, steps)
        return tries[size]

    predicted = guess(model, loss, batch, optimizer, precision, room, examples, real=budget is None)
    found = agreed(largest_working(works, predicted or 1, examples), device)
    while found and not works(found):  # another rank's size, smaller than ours, is tried here too
        found -= 1
    return Found(found, tries, predicted)


def guess(model, loss, batch, optimizer, precision: str, room: float, examples: int, real: bool) -> int | None:
    """What the prediction says; ``None`` where it cannot follow the model, and trying starts at one example."""

    @functools.cache
    def at(size: int):
        return predict(
            model, loss, batch, optimizer, micro_batch=size, precision=precision, target=GPU if real else CPU
        )

    try:
        far = peak_line(at, growing(at, 2), reserved=real).largest(room)
        # Another place may take the peak over on the way there, so the line is drawn once more where it is read.
        near = max(2, min(far, examples))
        return peak_line(at, growing(at, near // 2), reserved=real).largest(room)
    except Refused:
        return None


def runs(model, loss, batch, optimizer, budget: float | None, precision: str, steps: int) -> bool:
    """Whether whole steps run at this size; everything is put back, whatever happens."""
    device = tensors(batch)[0].device
    autocast = choose(PRECISIONS, precision, "precision")[1]
    ledger = Ledger() if budget is None else Budget(budget)
    with left_as_it_was(model, device):
        try:
            with ledger if budget is not None else nullcontext():
                enter_what_is_there(ledger, model, batch)
                stepper = optimizer([p for p in model.parameters() if p.requires_grad])
                for _ in range(steps):
                    training_step(ledger, model, loss, batch, stepper, autocast, device=device.type)
            ran = True
        except RuntimeError as error:
            if not devices.out_of_memory(error):
                raise
            ran = False
    # Only here, past the except, is the traceback gone, and with it the tensors that it held.
    devices.release_cache(device)
    return ran


@contextmanager
def left_as_it_was(model: nn.Module, device: torch.device):
    """Train inside; afterwards values, gradients, modes and random streams are as before, in the same tensors."""
    held = [(tensor, tensor.detach().to("cpu", copy=True)) for tensor in [*model.parameters(), *model.buffers()]]
    gradients = [(parameter, parameter.grad) for parameter in model.parameters()]
    modes = [(module, module.training) for module in model.modules()]
    try:
        with devices.same_randomness(device):
            model.train()
            model.zero_grad()
            yield
    finally:
        with torch.no_grad():
            for tensor, value in held:
                tensor.copy_(value)
        for parameter, gradient in gradients:
            parameter.grad = gradient
        for module, training in modes:
            module.training = training


def agreed(size: int, device: torch.device) -> int:
    """The smallest size that any rank found; one's own where there are no ranks."""
    ranks = torch.distributed
    if not (ranks.is_available() and ranks.is_initialized()):
        return size
    smallest = torch.tensor(size, device=device)
    ranks.all_reduce(smallest, ranks.ReduceOp.MIN)
    return int(smallest)
