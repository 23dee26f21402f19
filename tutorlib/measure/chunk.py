"""Replicas that share one call: their stacked parameters, their data orders, and who is still finite."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import nn
from torch.func import vmap
from torch.nn import functional as F
from torch.nn.utils import get_total_norm

from tutorlib.errors import Refused
from tutorlib.measure.fit import epochs
from tutorlib.measure.stack import Stack
from tutorlib.nn.data import Data


class Chunk:
    """Some replicas of an ensemble, moved together; ``alive`` turns false for good where one diverges.

    ``orders`` gives the examples (replicas, batch) of every step, ``paces`` (steps, replicas) the rates, ``knobs``
    (replicas,) by name what else the optimizer, or the ``precondition`` before it, takes a replica.
    """

    def __init__(
        self,
        replicas: Sequence[int],
        models: Sequence[nn.Module],
        orders: Iterator,
        paces: torch.Tensor,
        knobs: Mapping[str, torch.Tensor],
        precondition: Callable | None,
    ):
        self.replicas, self.stack = list(replicas), Stack([models[replica] for replica in replicas])
        first = next(iter(self.stack.parameters.values()))
        self.rows = torch.arange(len(self.replicas))  # of the orders: who is left
        self.orders, self.paces = orders, iter(paces.to(first))
        self.knobs, self.precondition, self.memory = {n: k.to(first) for n, k in knobs.items()}, precondition, None
        self.alive = torch.ones(len(self.replicas), dtype=torch.bool, device=first.device)
        self.healthy, self.states = True, [None] * len(self.stack.parameters)
        self.losses: list[torch.Tensor] = []  # (replicas,) of every step since the last one left

    def step(self, loss: Callable, data: Data, micro_batch: int, optimizer: Callable) -> None:
        """One update of every replica, its micro-batches accumulated."""
        chosen, rates = next(self.orders), next(self.paces)
        if len(self.rows) < len(chosen):
            chosen, rates = chosen[self.rows], rates[self.rows]
        chosen, total, gradients = chosen.to(data.x.device), 0.0, None
        for part in chosen.split(micro_batch, dim=1):
            losses = losses_of(loss, self.stack(data.x[part]), data.y[part])
            losses = losses * (part.shape[1] / chosen.shape[1])
            total, gradients = total + losses.detach(), added(gradients, self.stack.gradient(losses))
        knobs = self.knobs
        if self.precondition:
            x, knobs = data.x[chosen], {}
            gradients, self.memory = self.precondition(self.stack, x, gradients, self.memory, **self.knobs)
        self._move(optimizer, gradients, rates, knobs, total)

    @torch.no_grad()
    def _move(self, optimizer: Callable, gradients: list, rates: torch.Tensor, knobs: Mapping, losses: torch.Tensor):
        old, new = self.stack.parameters, {}
        for number, (name, gradient) in enumerate(zip(old, gradients, strict=True)):
            if gradient is not None:  # None where the loss does not see the parameter
                shape = (-1, *[1] * (gradient.ndim - 1))
                own = {name: knob.view(shape) for name, knob in knobs.items()}
                new[name], self.states[number] = optimizer(
                    old[name], gradient, self.states[number], rates.view(shape), **own
                )
        # One number says that all is well. Only if it does not is every replica asked: a loss or a step that is not
        # finite leaves its parameters as they were.
        if not math.isfinite(losses.sum() + get_total_norm(new.values())):
            lengths = [torch.linalg.vector_norm(moved.flatten(1), dim=1) for moved in new.values()]
            self.alive = self.alive & torch.isfinite(losses + torch.stack(lengths).norm(dim=0))
            for name, moved in new.items():
                new[name] = torch.where(self.alive.view(-1, *[1] * (moved.ndim - 1)), moved, old[name])
            losses = losses.masked_fill(~self.alive, torch.nan)
            self.healthy = bool(self.alive.all())
        self.losses.append(losses)
        old.update({name: moved.requires_grad_() for name, moved in new.items()})

    def dead(self) -> list[int]:
        """The replicas that have diverged and are still here."""
        if self.healthy:
            return []
        return [replica for replica, alive in zip(self.replicas, self.alive.tolist(), strict=True) if not alive]

    def release(self, leaving: set[int], models: Sequence[nn.Module]) -> dict[int, list[float]]:
        """Write who leaves into its model and go on with the rest; returns everyone's losses so far."""
        going = [row for row, replica in enumerate(self.replicas) if replica in leaving]
        for row in going:
            self.stack.write_to(models[self.replicas[row]], row)
        table = torch.stack(self.losses).cpu().numpy() if self.losses else np.zeros((0, len(self.replicas)))
        losses = {r: column[~np.isnan(column)].tolist() for r, column in zip(self.replicas, table.T, strict=True)}
        staying = torch.tensor([row for row in range(len(self.replicas)) if row not in going], dtype=torch.long)
        self.replicas, self.rows, self.losses = [self.replicas[row] for row in staying], self.rows[staying], []
        staying = staying.to(self.alive.device)
        self.alive, self.states = self.alive[staying], [kept(state, staying) for state in self.states]
        self.knobs, self.memory = kept(self.knobs, staying), kept(self.memory, staying)
        self.healthy = bool(self.alive.all())
        self.stack.keep(staying)
        return losses


def orders(examples: int, batch: int, seeds: Sequence, subsets: torch.Tensor | None) -> Iterator[torch.Tensor]:
    """Indices (replicas, batch) of one step after another: each row the order of its seed, in its own subset."""
    for epoch in zip(*(epochs(examples, batch, seed) for seed in seeds), strict=True):
        steps = torch.stack(epoch, dim=1)
        yield from steps if subsets is None else subsets.expand(len(steps), -1, -1).gather(2, steps)


def kept(state, rows: torch.Tensor):
    """An optimizer's state for these replicas only: tensors have a replica axis, numbers are shared."""
    if isinstance(state, tuple | list):
        return type(state)(kept(part, rows) for part in state)
    if isinstance(state, dict):
        return {name: kept(part, rows) for name, part in state.items()}
    return state[rows] if isinstance(state, torch.Tensor) and state.ndim else state


def added(total: list | None, gradients: list) -> list:
    """Accumulate: the sum, parameter by parameter, of what the micro-batches give; ``None`` counts as nothing."""
    if total is None:
        return gradients
    return [b if a is None else a if b is None else a + b for a, b in zip(total, gradients, strict=True)]


def losses_of(loss: Callable, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """One mean loss a replica (replicas,) from outputs and targets (replicas, examples, …)."""
    if loss is F.cross_entropy:  # the common one, without the cost of vmap; a target of −100 does not count
        each = loss(outputs.flatten(0, 1), targets.flatten(0, 1), reduction="none").view(len(outputs), -1)
        return (
            each.mean(dim=1)
            if targets.is_floating_point()
            else each.sum(dim=1) / (targets != -100).flatten(1).sum(dim=1)
        )
    try:
        found = vmap(loss)(outputs, targets) if len(outputs) > 1 else loss(outputs[0], targets[0]).unsqueeze(0)
    except RuntimeError:  # a loss that chooses examples, say, has no batched form
        found = torch.stack([loss(output, target) for output, target in zip(outputs, targets, strict=True)])
    if found.numel() != len(outputs):
        raise Refused(
            f"loss returned shape {tuple(found.shape[1:])} for one model; allowed: one number, a mean over examples"
        )
    return found.view(-1)
