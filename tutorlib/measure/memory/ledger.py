"""A ledger of storages: what is born and what dies in a training step, in which phase, by which operator and layer."""

import weakref
from bisect import bisect_right
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


@dataclass(slots=True, eq=False)
class Block:
    """One storage: ``born`` and ``died`` are moments of the ledger's clock, ``died`` is ``None`` while it lives."""

    bytes: int
    born: int
    phase: int
    layer: str
    operator: str
    kind: str = ""
    died: int | None = None


class Ledger(TorchDispatchMode):
    """While active, writes down every storage that an operator returns, until nothing refers to it any more.

    It sees what operators hand out, on real tensors as on shapes; what one allocates and frees inside itself it does
    not see. The clock moves by one at each birth and death. ``inside(operator, arguments)`` tells the bytes that a
    kernel is known to take for itself while it runs.
    """

    def __init__(self, inside: Callable = lambda operator, arguments: 0):
        super().__init__()
        self.blocks: list[Block] = []
        self.phases: list[tuple[int, str]] = []  # moment at which each begins, and its name
        self.alive: dict[int, tuple[weakref.ref, Block]] = {}
        self.clock = 0
        self.inside = inside
        self.homes: dict[int, str] = {}  # id of a parameter → the module that owns it
        self.modules: list[str] = []  # those whose forward is running, outermost first
        # Which module made an autograd node: the node's number, looked up in the numbers at which modules changed.
        self.numbers, self.makers = [0], [""]

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        result = operator(*args, **(kwargs or {}))
        if operator.namespace == "prim":  # a question after a device or a layout, three calls in four
            return result
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                self.enter(tensor, operator=operator._opname)
        if extra := self.inside(operator._opname, args):
            self.bury(self.open(extra, operator._opname))
        return result

    def enter(self, tensor: torch.Tensor, kind: str = "", operator: str = "", layer: str = "") -> None:
        """Write down the tensor's storage if it is new, and what and whom it is for if that is known."""
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key not in self.alive:
            block = self.open(storage.nbytes(), operator)
            self.alive[key] = weakref.ref(storage, lambda _: self.bury(self.alive.pop(key)[1])), block
        block = self.alive[key][1]
        block.kind, block.layer = kind or block.kind, layer or block.layer

    def enter_model(self, model: nn.Module) -> None:
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            self.homes[id(tensor)] = name.rpartition(".")[0] or "model"
            self.enter(tensor, "parameters", layer=self.homes[id(tensor)])

    def open(self, size: int, operator: str) -> Block:
        # A module that runs inside the backward pass computes what a checkpoint did not keep.
        again = bool(self.modules) and self.phases[-1][1] == "backward"
        kind = "activations" if again else ""
        self.blocks.append(Block(size, self.clock, len(self.phases) - 1, self.layer(), operator, kind))
        self.clock += 1
        return self.blocks[-1]

    def bury(self, block: Block) -> None:
        block.died = self.clock
        self.clock += 1

    def begin(self, phase: str) -> None:
        self.phases.append((self.clock, phase))

    def layer(self) -> str:
        """The module that runs, or whose forward made the autograd node that runs; "" outside all of them."""
        if self.modules:
            return self.modules[-1]
        node = torch._C._current_autograd_node()
        return self.makers[bisect_right(self.numbers, node._sequence_nr()) - 1] if node else ""

    @contextmanager
    def watching(self, model: nn.Module):
        """Know inside which of the model's modules each storage is born."""

        def change(name: str | None) -> None:
            self.modules.append(name) if name is not None else self.modules.pop()
            self.numbers.append(torch._C._autograd._get_sequence_nr())
            self.makers.append(self.modules[-1] if self.modules else "")

        hooks = []
        for name, module in model.named_modules():
            hooks.append(module.register_forward_pre_hook(lambda m, a, name=name or "model": change(name)))
            hooks.append(module.register_forward_hook(lambda m, a, out: change(None), always_call=True))
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()
