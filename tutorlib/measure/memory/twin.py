"""Twins made of shapes alone: a model and a batch that compute like the real ones and own not one byte."""

import copy
from collections.abc import Callable
from contextlib import contextmanager

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
from tutorlib.measure.memory.step import tensors

ANSWERS = 100_000
# What torch says where a kernel outside of it asks a shape for its numbers or their address.
NO_NUMBERS = ("data pointer", "numpy() is not supported")


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
    optimizer: torch.optim.Optimizer | None = None

    def enter(self, tensor: torch.Tensor, kind: str = "", operator: str = "", layer: str = "") -> None:
        # A kernel outside torch that is handed the address of a shape, 0, would end the process.
        torch._C._set_throw_on_mutable_data_ptr(tensor)
        super().enter(tensor, kind, operator, layer)

    @contextmanager
    def following(self, maker: Callable):
        """Steps of what ``maker`` makes: an error that comes of having only shapes says so in a sentence."""
        try:
            yield
        except Refused:
            raise
        except Exception as error:
            shapes = any(words in str(error) for words in NO_NUMBERS)
            said = "it asks for numbers, and here are only shapes" if shapes else f"{type(error).__name__}: {error}"
            if not self.phases or self.phases[-1][1] == "optimizer":
                name = getattr(getattr(maker, "func", maker), "__name__", type(maker).__name__)
                raise Refused(
                    f"the optimizer {name} cannot be followed ({said}); allowed: torch operators in its step, and no "
                    "closure. Predict with a class of torch.optim, count its state by hand "
                    "(theory.memory.static_bytes, which knows 8-bit AdamW), or measure a real step instead"
                ) from error
            if shapes:
                raise Refused(
                    f"a kernel outside torch (in the {self.phases[-1][1]} pass) asks for numbers, and here are only "
                    "shapes; allowed: torch operators. Replace it for the prediction, or measure a real step instead"
                ) from error
            raise

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
        """``tensor.item()``: optimizers may ask for a number that they keep, a count of steps say; nobody else may.

        torch's own may ask for any: in none but ASGD does a number decide what is allocated. The answer is ½: a power
        of a decay is then strictly between 0 and 1, as it is in a real step.
        """
        self.asked += 1
        if not self.phases or self.phases[-1][1] != "optimizer" or self.asked > ANSWERS or not self.may_ask(tensor):
            self.refuse("item()", "steers the program by a value, and here are only shapes")
        if tensor.dtype == torch.bool:
            return False
        return 0.5 if tensor.is_floating_point() else 1

    def may_ask(self, tensor: torch.Tensor) -> bool:
        if type(self.optimizer).__module__.startswith("torch.optim"):
            return True
        storage = tensor.untyped_storage()._cdata
        return any(kept.untyped_storage()._cdata == storage for kept in tensors(list(self.optimizer.state.values())))

    def refuse(self, operator, why: str, error: Exception | None = None) -> None:
        phase = self.phases[-1][1] if self.phases else "optimizer"
        where = "in the optimizer" if phase == "optimizer" else f"in {self.layer() or 'the loss'}, {phase}"
        raise Refused(
            f"the operator {operator} ({where}) {why}; allowed: operators whose result has a shape known beforehand. "
            "Replace it for the prediction, or measure a real step instead (profiled_peak)"
        ) from error
