"""One whole training step, phase by phase, with a ledger looking on: the same code on real tensors and on shapes."""

from collections.abc import Callable

import torch
from torch import nn
from torch.utils._pytree import tree_leaves, tree_map_only

from tutorlib.errors import Refused, first_line, kind
from tutorlib.measure.memory.ledger import Ledger

# The dtype that parameters are kept in (None: their own) and the one that autocast computes in.
PRECISIONS = {"fp32": (None, None), "autocast": (None, torch.bfloat16), "bf16": (torch.bfloat16, None)}


def training_step(
    ledger: Ledger,
    model: nn.Module,
    loss: Callable,
    batch: tuple,
    optimizer: torch.optim.Optimizer,
    autocast: torch.dtype | None = None,
    accumulation: int = 1,
    device: str = "cpu",
) -> None:
    """``accumulation`` times forward and backward on ``batch``, an optimizer step, gradients given back at the end.

    ``batch`` is (inputs, targets): inputs are one tensor, or a tuple or dict of arguments to the model.
    """
    inputs, targets = batch
    for _ in range(accumulation):
        ledger.begin("forward")
        with torch.autocast(device, dtype=autocast, enabled=autocast is not None):
            outputs = call(model, inputs)
            enter_outputs(ledger, outputs)
            value = value_of(loss, outputs, targets) / accumulation
        del outputs
        ledger.begin("backward")
        value.backward()
        del value
        for parameter in model.parameters():
            if parameter.grad is not None:
                ledger.enter(parameter.grad, "gradients", layer=ledger.homes[id(parameter)])
    ledger.begin("optimizer")
    optimizer.step()
    for parameter, state in optimizer.state.items():
        for tensor in tensors(state):
            ledger.enter(tensor, "optimizer state", layer=ledger.homes[id(parameter)])
    optimizer.zero_grad()


def call(model: nn.Module, inputs):
    if isinstance(inputs, dict):
        return model(**inputs)
    return model(*inputs) if isinstance(inputs, tuple) else model(inputs)


def enter_outputs(ledger: Ledger, outputs) -> None:
    """The tensors that a model returns, or that are attributes of the one object it returns."""
    for tensor in tensors(outputs) or tensors(getattr(outputs, "__dict__", {})):
        ledger.enter(tensor, "logits and loss")


def value_of(loss: Callable, outputs, targets):
    try:
        return loss(outputs, targets)
    except (AttributeError, TypeError) as error:
        if tensors(outputs):
            raise
        raise Refused(
            f"model returned {kind(outputs)}, and the loss ended with {first_line(error)}; allowed: a tensor, a "
            "tuple or dict of them, or a loss that takes what it returns"
        ) from error


def tensors(tree) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


def examples_in(batch: tuple) -> int:
    """How many examples a batch holds: the first dimension of its first tensor."""
    if not isinstance(batch, tuple) or len(batch) != 2 or not tensors(batch) or not tensors(batch)[0].dim():
        raise Refused(
            f"batch is {type(batch).__name__}; allowed: a pair (inputs, targets) with tensors whose first dimension "
            "counts the examples"
        )
    return len(tensors(batch)[0])


def resized(batch: tuple, examples: int) -> tuple:
    """The batch with as many examples, its own repeated in turn; tensors without that dimension stay as they are."""
    held = examples_in(batch)

    def resize(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.dim() == 0 or len(tensor) != held:
            return tensor
        return tensor[torch.arange(examples, device=tensor.device) % held]

    return batch if examples == held else tree_map_only(torch.Tensor, resize, batch)
