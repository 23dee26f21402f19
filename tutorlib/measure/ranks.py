"""One update of data-parallel ranks against one process: its gradient, and what passes between the ranks.

The instruments, :func:`one_gradient` and :func:`sent`, run on every rank, called as ``function(device, **settings)`` by
:func:`tutorlib.measure.parallel.on_ranks`, and answer in plain numbers, in fp64. A *part* is one micro-batch (x, y).
"""

import copy
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from tutorlib.nn.data import Data, digits, text, tokens
from tutorlib.nn.models import make, next_token_loss

CONTEXT = 16
SIZES = {"mlp": {}, "gpt": {"context": CONTEXT, "width": 32, "blocks": 1}}


def problem(model: str, seed: int, examples: int, device: torch.device) -> tuple[nn.Module, Callable, Data]:
    """The same model and examples on every rank, in fp64."""
    net = make(model, seed, device, **SIZES[model]).double()
    if model == "gpt":
        written, length = text(), examples * CONTEXT + 1
        first = 1000 * seed % (len(written) - length)
        return net, next_token_loss, tokens(written[first : first + length], CONTEXT).to(device)
    data = digits(examples, seed, device)
    return net, F.cross_entropy, Data(data.x.double(), data.y)


def in_parts(data: Data, chosen, micro_batch: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    indices = torch.as_tensor(chosen, device=data.x.device)
    return [(data.x[part], data.y[part]) for part in indices.split(micro_batch)]


def of_this_rank(data: Data, micro_batch: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Every N-th example, from the rank's own number on."""
    return in_parts(data, range(dist.get_rank(), len(data), dist.get_world_size()), micro_batch)


def gradient(net: nn.Module, loss: Callable, parts: list) -> torch.Tensor:
    """The accumulated gradient of equal parts, as one vector: each backward adds, so each loss is divided."""
    net.zero_grad()
    for x, y in parts:
        (loss(net(x), y) / len(parts)).backward()
    return flat_gradient(net)


def flat_gradient(net: nn.Module) -> torch.Tensor:
    return torch.cat([p.grad.flatten() for p in net.parameters()])


def mean_over_ranks(vector: torch.Tensor) -> torch.Tensor:
    """Data parallelism by hand: one all-reduce, which sums, and the division that it leaves to you."""
    total = vector.clone()
    dist.all_reduce(total)
    return total / dist.get_world_size()


@dataclass
class Traffic:
    """All-reduces that were really executed, in how many backward passes, and the bytes each rank put into them."""

    all_reduces: int = 0
    rounds: int = 0
    bytes: int = 0

    def send(self, bucket: dist.GradBucket):
        """A DDP communication hook: it counts the bucket, then executes the all-reduce that DDP would."""
        self.all_reduces += 1
        self.rounds += bucket.is_last()
        self.bytes += bucket.buffer().numel() * bucket.buffer().element_size()
        return allreduce_hook(None, bucket)


def ddp(net: nn.Module, bucket_mb: float = 25) -> tuple[DistributedDataParallel, Traffic]:
    """A copy of ``net`` wrapped as torch does it, and the count of what it sends."""
    wrapped, traffic = DistributedDataParallel(copy.deepcopy(net), bucket_cap_mb=bucket_mb), Traffic()
    wrapped.register_comm_hook(traffic, Traffic.send)
    return wrapped, traffic


def ddp_gradient(wrapped: DistributedDataParallel, loss: Callable, parts: list, no_sync: bool = True) -> torch.Tensor:
    """The gradient that DDP hands the optimizer; with ``no_sync`` it talks in the last backward pass only."""
    wrapped.zero_grad()
    for number, (x, y) in enumerate(parts, start=1):
        with wrapped.no_sync() if no_sync and number < len(parts) else nullcontext():
            (loss(wrapped(x), y) / len(parts)).backward()
    return flat_gradient(wrapped.module)


def distance(a: torch.Tensor, b: torch.Tensor) -> float:
    """|a − b| / |b|, the largest over ranks."""
    worst = (a - b).norm() / b.norm()
    dist.all_reduce(worst, dist.ReduceOp.MAX)
    return float(worst)


def one_gradient(device: torch.device, seed: int, model: str, micro_batch: int, accumulation: int) -> dict:
    """Relative distance to the gradient of the whole batch in one piece, three ways.

    ``accumulated`` in one process, in ranks · K parts; ``by_hand`` on ranks with one all-reduce; ``ddp`` by torch.
    SGD's update is −η times the gradient, so the distances are those of the update.
    """
    net, loss, data = problem(model, seed, micro_batch * accumulation * dist.get_world_size(), device)
    whole, mine = gradient(net, loss, [(data.x, data.y)]), of_this_rank(data, micro_batch)
    return {
        "accumulated": distance(gradient(net, loss, in_parts(data, range(len(data)), micro_batch)), whole),
        "by_hand": distance(mean_over_ranks(gradient(net, loss, mine)), whole),
        "ddp": distance(ddp_gradient(ddp(net)[0], loss, mine), whole),
    }


def sent(
    device: torch.device, seed: int, micro_batch: int, accumulation: int, no_sync: bool, bucket_mb: float = 25
) -> dict:
    """What one update of a GPT sends under DDP, and how far its gradient is from that of the whole batch in one piece.

    The second update counts: after the first, DDP lays its buckets out anew.
    """
    net, loss, data = problem("gpt", seed, micro_batch * accumulation * dist.get_world_size(), device)
    mine, (wrapped, traffic) = of_this_rank(data, micro_batch), ddp(net, bucket_mb)
    ddp_gradient(wrapped, loss, mine, no_sync)
    first = copy.copy(traffic)
    found = ddp_gradient(wrapped, loss, mine, no_sync)
    return {
        **{name: count - getattr(first, name) for name, count in vars(traffic).items()},
        "distance": distance(found, gradient(net, loss, [(data.x, data.y)])),
    }
