"""Twins made of shapes alone: a model and a batch that compute like the real ones and own not one byte."""

import copy

import torch
from torch import nn
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensorMode,
    UnsupportedOperatorException,
)
from torch.utils._pytree import tree_map_only

from tutorlib.errors import Refused
from tutorlib.measure.memory.ledger import Ledger

ANSWERS = 100_000


def shapes_only() -> FakeTensorMode:
    """A scope in which operators compute shapes; tensors from outside that slip in are taken by their shape too."""
    return FakeTensorMode(allow_non_fake_inputs=True)


def twin_of(model: nn.Module, shapes: FakeTensorMode, dtype: torch.dtype | None = None) -> nn.Module:
    """A copy of the model whose tensors are shapes, floating ones of ``dtype`` if one is given.

    The model may lie on any device, on ``meta`` too. Parameters that are shared stay shared.
    """
    memo, found = {}, [*model.parameters(), *model.buffers()]
    for module in model.modules():  # tensors that a module keeps as plain attributes
        found += [value for value in vars(module).values() if isinstance(value, torch.Tensor)]
    for tensor in found:
        memo.setdefault(id(tensor), hollow(tensor, shapes, dtype))
    return copy.deepcopy(model, memo)


def hollow(tensor: torch.Tensor, shapes: FakeTensorMode, dtype: torch.dtype | None = None) -> torch.Tensor:
    with shapes:
        dtype = dtype if dtype and tensor.is_floating_point() else tensor.dtype
        fake = torch.empty_strided(tensor.shape, tensor.stride(), dtype=dtype)
        return nn.Parameter(fake, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else fake


def hollow_batch(batch: tuple, shapes: FakeTensorMode, dtype: torch.dtype | None = None) -> tuple:
    return tree_map_only(torch.Tensor, lambda tensor: hollow(tensor, shapes, dtype), batch)


class ShapeLedger(Ledger):
    """A ledger of a step on shapes: says which operator cannot be followed, and where."""

    asked = 0

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        if operator is torch.ops.aten._local_scalar_dense.default:
            return self.answer(args[0])
        try:
            return super().__torch_dispatch__(operator, types, args, kwargs)
        except DynamicOutputShapeException as error:
            self.refuse(operator, "returns as many numbers as the values say, and here are only shapes", error)
        except (DataDependentOutputException, UnsupportedOperatorException, NotImplementedError) as error:
            self.refuse(operator, "has no rule for shapes alone", error)

    def answer(self, tensor: torch.Tensor):
        """``tensor.item()``: optimizers ask for the count of their steps, which is 1 here; nobody else may ask."""
        self.asked += 1
        if self.phases[-1][1] != "optimizer" or self.asked > ANSWERS:
            self.refuse("item()", "steers the program by a value, and here are only shapes")
        if tensor.dtype == torch.bool:
            return False
        return 1.0 if tensor.is_floating_point() else 1

    def refuse(self, operator, why: str, error: Exception | None = None) -> None:
        where = f"in {self.layer() or 'the loss'}, {self.phases[-1][1] if self.phases else 'before the first step'}"
        raise Refused(
            f"the operator {operator} ({where}) {why}; allowed: operators whose result has a shape known beforehand. "
            "Replace it for the prediction, or measure a real step instead (measured_peak)"
        ) from error
