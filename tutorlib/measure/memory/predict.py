"""Memory of training, predicted: whole steps on shapes alone, for a device that need not be there."""

import logging
from collections.abc import Callable
from contextlib import contextmanager, nullcontext

import torch
from torch import nn

from tutorlib.errors import Refused
from tutorlib.measure.memory.ledger import Ledger
from tutorlib.measure.memory.step import PRECISIONS, examples_in, resized, tensors, training_step
from tutorlib.measure.memory.target import CPU, Target, inside
from tutorlib.measure.memory.trace import Trace
from tutorlib.measure.memory.twin import ShapeLedger, hollow_batch, shapes_only, twin_of
from tutorlib.nn.device import same_randomness
from tutorlib.theory.memory import choose
from tutorlib.theory.noise import check_batch


def predict(
    model: nn.Module,
    loss: Callable,
    batch: tuple,
    optimizer: Callable = torch.optim.AdamW,
    *,
    micro_batch: int | None = None,
    precision: str = "fp32",
    accumulation: int = 1,
    target: Target = CPU,
    steps: int = 2,
) -> Trace:
    """Every storage of ``steps`` training steps of ``model``, followed on shapes; the model is left alone.

    ``batch`` is a pair (inputs, targets) whose examples are repeated to ``micro_batch``; values do not matter, so
    model and batch may lie on ``meta``. ``loss(outputs, targets)`` is a number. ``optimizer(parameters)`` makes a
    torch optimizer: a class, or a :func:`functools.partial` of one. ``precision``: "fp32" is the model's own dtype
    throughout, "autocast" computes in bf16 from it, "bf16" keeps everything in bf16. At least two steps, since the
    first has no optimizer state yet. Raises ``ValueError`` for what shapes cannot follow: data-dependent control flow
    or sizes, operators without a rule for shapes, kernels outside torch (some 8-bit optimizers), compiled models.
    """
    dtype, autocast = choose(PRECISIONS, precision, "precision")
    check_batch(accumulation, name="accumulation")
    micro_batch = check_batch(examples_in(batch) if micro_batch is None else micro_batch, name="micro_batch")
    shapes = shapes_only()
    twin, examples = twin_of(model, shapes, dtype), hollow_batch(batch, shapes, dtype)
    ledger = ShapeLedger(inside if target.gpu_kernels else no_workspace)
    with unlogged(), same_randomness(torch.device("cpu")), shapes, target.rules() or nullcontext():
        examples = resized(examples, micro_batch)
        with ledger, ledger.watching(twin):
            enter_what_is_there(ledger, twin, examples)
            for _ in range(2 if target.matmul_workspace else 0):
                ledger.open(target.matmul_workspace, "matrix products").kind = "workspace"
            with ledger.following(optimizer):
                ledger.optimizer = make_optimizer(optimizer, twin, target)
                for _ in range(steps):
                    training_step(ledger, twin, loss, examples, ledger.optimizer, autocast, accumulation)
            trace = Trace.read(ledger, target.unit)
    return trace


@contextmanager
def unlogged():
    """Without torch's own log of the traceback, for an error that is told in a sentence anyway."""
    logger = logging.getLogger("torch._subclasses.fake_tensor")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def no_workspace(operator: str, arguments: tuple) -> int:
    return 0


def enter_what_is_there(ledger: Ledger, model: nn.Module, batch: tuple) -> None:
    ledger.enter_model(model)
    for tensor in tensors(batch):
        ledger.enter(tensor, "examples")


def make_optimizer(optimizer: Callable, model: nn.Module, target: Target) -> torch.optim.Optimizer:
    """The optimizer; on a GPU torch steps all parameters together ("foreach") unless told otherwise."""
    made = optimizer([p for p in model.parameters() if p.requires_grad])
    if not isinstance(made, torch.optim.Optimizer):
        raise Refused(
            f"optimizer makes a {type(made).__name__}; allowed: a class of torch.optim, or "
            "functools.partial(torch.optim.AdamW, lr=1e-3)"
        )
    for group in made.param_groups:
        if target.gpu_kernels and group.get("foreach", False) is None and not group.get("fused"):
            group["foreach"] = True
    return made
