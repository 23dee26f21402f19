"""Updates, counted: run any training loop on a model whose gradient says which examples are in it, and how heavy.

The model has one weight an example and the loss of an example is its weight. So the gradient of a micro-batch's mean
loss is 1/m at its examples and 0 elsewhere, and what ``backward`` adds up can be read off entry by entry.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.data import DataLoader, DistributedSampler

from tutorlib.theory.plan import Plan

Loop = Callable[[DataLoader, nn.Module, torch.optim.Optimizer, int, int], object]


class WeightOfEach(nn.Module):
    """``model(batch)`` is the mean loss of the examples in ``batch``; ``sizes`` keeps how many, call by call."""

    def __init__(self, examples: int):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(examples))
        self.sizes: list[int] = []

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        self.sizes.append(len(batch))
        return self.weight[batch].mean()


class CountingSGD(torch.optim.SGD):
    """SGD that keeps what every step was given: the gradient's sum, its examples, and after which pass it came.

    A right step, a mean over its batch, has sum 1: that is its size over the right one.
    """

    def __init__(self, model: WeightOfEach):
        super().__init__(model.parameters(), lr=1.0)
        self.model, self.after, self.sums, self.examples = model, [], [], []
        self.times = torch.zeros_like(model.weight, dtype=torch.long)

    def step(self, closure=None):
        gradient = self.model.weight.grad
        if gradient is not None:  # after zero_grad there is nothing to step with
            self.after.append(len(self.model.sizes))
            self.sums.append(float(gradient.sum()))
            self.examples.append(int((gradient != 0).sum()))
            self.times += gradient != 0
        return super().step(closure)


@dataclass(frozen=True)
class Counted:
    """What a loop did on one rank.

    ``sizes`` (passes,) examples of each micro-batch; of every update, ``after`` which pass (from 1) it came, the
    ``sums`` of its gradient (1 for a mean) and its distinct ``examples``; ``times`` (examples,) in how many updates
    each example was, and ``weights`` (examples,) how much it counted in all of them.
    """

    sizes: tuple[int, ...]
    after: tuple[int, ...]
    sums: tuple[float, ...]
    examples: tuple[int, ...]
    times: torch.Tensor
    weights: torch.Tensor

    @property
    def orphans(self) -> int:
        """Passes after the last update: no update has their gradients."""
        return len(self.sizes) - (self.after[-1] if self.after else 0)


def count_updates(loop: Loop, plan: Plan, seed: int = 0, rank: int = 0) -> Counted:
    """Run ``loop(loader, model, optimizer, accumulation, epochs)`` on the shuffled data of one rank of ``plan``.

    The order of the examples depends on ``seed`` alone, not on the micro-batch. Whatever ``loop`` raises is raised.
    """
    data = range(plan.examples)
    # Its generator goes on from epoch to epoch; a sampler of several ranks would repeat its first order.
    order = {"shuffle": True, "generator": torch.Generator().manual_seed(seed)}
    if plan.ranks > 1:
        order = {"sampler": DistributedSampler(data, plan.ranks, rank, seed=seed, drop_last=plan.drop_last)}
    loader = DataLoader(data, plan.micro_batch, drop_last=plan.drop_last, **order)
    model = WeightOfEach(plan.examples)
    optimizer = CountingSGD(model)
    loop(loader, model, optimizer, plan.accumulation, plan.epochs)
    made = (tuple(model.sizes), tuple(optimizer.after), tuple(optimizer.sums), tuple(optimizer.examples))
    return Counted(*made, optimizer.times, -model.weight.detach())
