"""Where ranks are not one big batch: examples that are not divided, unequal token counts, BatchNorm's own statistics.

The instruments run on every rank, as those of :mod:`tutorlib.measure.ranks` do, in fp64.
"""

import copy
from collections.abc import Callable

import torch
import torch.distributed as dist
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DistributedSampler, RandomSampler

from tutorlib.measure.ranks import distance, flat_gradient, gradient, in_parts, mean_over_ranks, of_this_rank, problem
from tutorlib.nn.data import Data
from tutorlib.nn.sync_batchnorm import SumOverRanks, synchronized

FEW = 4  # tokens of an example on the last rank; on the others an example is a whole context


def effective_batch(device: torch.device, seed: int, micro_batch: int, accumulation: int, split: str) -> dict:
    """Distinct examples in one update, by what is divided over the ranks.

    ``split`` is "examples" (each rank has its own, by torch's ``DistributedSampler``), "nothing" (that sampler is
    forgotten: every rank draws the same) or "layers" (tensor parallelism: every rank has a part of every layer and
    sees the same examples). ``alone`` is the relative distance from the update to what a single process makes of one
    rank's examples: 0 where the other ranks brought none.
    """
    net, loss, data = problem("mlp", seed, 4 * micro_batch * accumulation * dist.get_world_size(), device)
    forgetful = RandomSampler(data, generator=torch.Generator().manual_seed(seed))
    sampler = DistributedSampler(data, seed=seed) if split == "examples" else forgetful
    chosen, of_all = list(sampler)[: micro_batch * accumulation], [None] * dist.get_world_size()
    dist.all_gather_object(of_all, chosen)
    parts = in_parts(data, chosen, micro_batch)
    alone = gradient(net, loss, parts)
    update = split_gradient(net, loss, parts) if split == "layers" else mean_over_ranks(alone)
    return {"examples": len({example for one in of_all for example in one}), "alone": distance(update, alone)}


def split_gradient(net: nn.Sequential, loss: Callable, parts: list) -> torch.Tensor:
    """The gradient of a perceptron whose hidden units are divided over the ranks, put together again.

    Each rank makes its share of the scores; their sum over ranks is the output.
    Source: Shoeybi et al. 2019, arXiv 1909.08053, section 3.
    """
    into, hidden, out = net
    ranks, rank = dist.get_world_size(), dist.get_rank()
    mine = torch.arange(into.out_features, device=into.weight.device).chunk(ranks)[rank]
    net.zero_grad()
    for x, y in parts:
        share = F.linear(hidden(F.linear(x, into.weight[mine], into.bias[mine])), out.weight[:, mine])
        scores = SumOverRanks.apply(share + out.bias / ranks)
        (loss(scores, y) / len(parts) / ranks).backward()  # every rank has the same loss: they sum to one
    return ranks * mean_over_ranks(flat_gradient(net))  # no unit has two owners: the sum is the whole


def unequal_tokens(device: torch.device, seed: int, micro_batch: int) -> dict:
    """A GPT on ranks with unequal numbers of tokens: relative distance to the gradient of the mean over all tokens.

    ``means`` averages the ranks' mean losses, as DDP does by itself; ``weighted`` multiplies each by
    ranks · own tokens ÷ all tokens first; ``summed`` forgets to divide the all-reduced sum by the ranks.
    """
    ranks = dist.get_world_size()
    net, loss, data = problem("gpt", seed, micro_batch * ranks, device)
    targets = data.y.clone()  # of text, x and y are two views of the same tokens
    targets[ranks - 1 :: ranks, FEW:] = -100  # what cross-entropy leaves out
    data = Data(data.x, targets)
    whole, mine = gradient(net, loss, [(data.x, data.y)]), of_this_rank(data, micro_batch)
    counts = (data.y != -100).sum(1)
    weight = ranks * int(counts[dist.get_rank() :: ranks].sum()) / int(counts.sum())
    weighted = mean_over_ranks(gradient(net, weighing(loss, weight), mine))
    return {
        "means": distance(mean_over_ranks(gradient(net, loss, mine)), whole),
        "weighted": distance(weighted, whole),
        "summed": distance(ranks * weighted, whole),
    }


def weighing(loss: Callable, weight: float) -> Callable:
    """``loss`` times ``weight``: a mean over ranks then counts each by its own tokens or examples."""
    return lambda outputs, targets: weight * loss(outputs, targets)


def batchnorm(device: torch.device, seed: int, micro_batch: int, accumulation: int, statistics: str) -> dict:
    """BatchNorm on ranks: relative distances to a single process that has the whole batch in one piece.

    ``statistics`` are "own" (each rank normalizes alone), "shared"
    (:class:`~tutorlib.nn.sync_batchnorm.SyncBatchNorm`), or "shared, unequal": the first rank has twice the
    examples of the others. Each loss counts by its examples. ``gradient``, ``mean`` and ``variance`` (running).
    """
    ranks, rank = dist.get_world_size(), dist.get_rank()
    _, loss, data = problem("mlp", seed, micro_batch * accumulation * (ranks + 1), device)
    whole = with_batchnorm(seed, device)
    one, heavy = micro_batch * accumulation, 2 if statistics == "shared, unequal" else 1
    starts = [0, *(one * (heavy + r) for r in range(ranks))]
    data = Data(data.x[: starts[-1]], data.y[: starts[-1]])
    net = copy.deepcopy(whole) if statistics == "own" else synchronized(copy.deepcopy(whole))
    mine = range(starts[rank], starts[rank + 1])
    parts = in_parts(data, mine, len(mine) // accumulation)
    # The weight belongs inside: statistics that are shared carry every rank's loss to every other rank.
    found = mean_over_ranks(gradient(net, weighing(loss, ranks * len(mine) / len(data)), parts))
    right = gradient(whole, loss, [(data.x, data.y)])
    return {
        "gradient": distance(found, right),
        "mean": distance(net[1].running_mean, whole[1].running_mean),
        "variance": distance(net[1].running_var, whole[1].running_var),
    }


def with_batchnorm(seed: int, device: torch.device) -> nn.Sequential:
    """Digits → 128 hidden units, normalized, tanh → class scores, drawn from ``seed`` alone."""
    into, out = problem("mlp", seed, 1, device)[0][::2]
    return nn.Sequential(into, nn.BatchNorm1d(into.out_features), nn.Tanh(), out).double().to(device)
