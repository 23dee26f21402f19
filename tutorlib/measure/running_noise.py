"""Gradient noise in passing: squared lengths that hooks read off while somebody else's loop trains."""

from dataclasses import dataclass
from functools import partial

import torch
from torch import nn
from torch.autograd.graph import get_gradient_edge
from torch.distributed.tensor import DTensor

from tutorlib.errors import Refused
from tutorlib.theory.noise import two_batch_estimates

GONE = (
    "update() found gradients of zero, though its micro-batches had others; allowed: update() after the last "
    "backward(), before clipping, stepping and zeroing"
)


class Arrived(list):
    """(parameter, |h|) of what hooks have heard; while not ``listening`` they pass it by."""

    listening = True


class GradientSquares:
    """|h|² of what every backward pass adds to the gradients of ``model``, and of what has been added up.

    A hook sees the gradient that arrives, before it is added (and before ranks average theirs), and returns nothing:
    training goes on bit for bit. Costs one reading of the gradient a micro-batch; nothing waits for the device.
    """

    def __init__(self, model: nn.Module):
        wide = any(p.dtype == torch.float64 for p in model.parameters())
        self.dtype = torch.float64 if wide else torch.float32  # of the lengths: half precision would overflow
        self.model, self.hooks, self.arrived = model, {}, Arrived()
        self.watch()

    def watch(self) -> bool:
        """Hook every trainable parameter; True if there was a new one, as after unfreezing."""
        new = [p for p in self.model.parameters() if p.requires_grad and p not in self.hooks]
        for p in new:
            if isinstance(p, DTensor) or not p.numel():
                raise Refused(
                    "a parameter of model is sharded over devices (FSDP, ZeRO-3, tensor parallel), and no rank sees a "
                    "whole gradient; allowed: whole parameters on every rank, as DistributedDataParallel keeps them"
                )
            # The node that adds to p.grad. A hook on p itself would also hear torch.autograd.grad, as in a penalty.
            node = get_gradient_edge(p).node
            self.hooks[p] = node, node.register_prehook(partial(hear, self.arrived, p, self.dtype))
        return bool(new)

    def of_micro_batch(self) -> list[torch.Tensor]:
        """|h| of every parameter since the last call: to be asked after every backward pass."""
        arrived = self.arrived.copy()
        self.arrived.clear()
        if not arrived:
            raise Refused("no gradient has arrived since the last micro-batch; allowed: part() after each backward()")
        if len({p for p, _ in arrived}) < len(arrived):
            raise Refused(
                "a gradient has arrived twice in one micro-batch, so its length is not known; allowed: one backward "
                "pass between two calls of part(), and no reentrant checkpointing (use_reentrant=False)"
            )
        return [each for _, each in arrived]

    def accumulated(self) -> torch.Tensor:
        """|Σ h|², read from ``p.grad``: to be asked before it is clipped or zeroed."""
        there = [length(p.grad, self.dtype) for p in self.hooks if p.grad is not None]
        if not there:
            raise Refused(GONE)
        return square(there)

    def close(self) -> None:
        for _, hook in self.hooks.values():
            hook.remove()


def hear(arrived: Arrived, parameter: nn.Parameter, dtype: torch.dtype, gradients: tuple[torch.Tensor, ...]) -> None:
    if arrived.listening:
        arrived.append((parameter, length(gradients[0], dtype)))


def length(gradient: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    values = gradient.coalesce().values() if gradient.is_sparse else gradient
    return torch.linalg.vector_norm(values.detach(), dtype=dtype)


def square(lengths: list[torch.Tensor]) -> torch.Tensor:
    """Σ length², on one device."""
    return torch.stack([each.to(lengths[0].device) for each in lengths]).square().sum()


@dataclass(frozen=True)
class Update:
    """One optimizer step: ``parts`` micro-batches on each of ``ranks``, of ``micro_batch`` examples.

    ``micro_batch`` is 0 where they differ. ``examples`` and ``tokens`` are those of all ranks, really counted.
    ``part_square`` is the mean |g|² of one micro-batch's mean gradient, ``whole_square`` |g|² of the mean of all.
    """

    examples: int
    tokens: int
    parts: int
    micro_batch: int
    ranks: int
    part_square: float
    whole_square: float

    @property
    def heard(self) -> bool:
        """Whether the squares are numbers: not where the update was passed by, nor after some overflows."""
        return self.whole_square == self.whole_square

    def estimates(self) -> tuple[float, float] | None:
        """Unbiased (tr Σ, |G|²), or None from unequal micro-batches, from one alone, or after an overflow.

        The whole gradient is the mean of parts · ranks micro-batch gradients, each a draw of ``micro_batch`` examples:
        two batch sizes, see :func:`~tutorlib.theory.noise.two_batch_estimates`. Where a language model divides by the
        tokens of the update, a micro-batch with more tokens counts more: that adds the squared coefficient of
        variation of the examples' lengths to tr Σ / |G|², about one example. Draws without replacement from N examples
        leave |G|² short by tr Σ / N.
        """
        parts, finite = self.parts * self.ranks, abs(self.part_square + self.whole_square) < float("inf")
        if not self.micro_batch or parts < 2 or not finite:
            return None
        sizes = self.micro_batch, self.micro_batch * parts
        return tuple(map(float, two_batch_estimates(self.part_square, self.whole_square, *sizes)))
