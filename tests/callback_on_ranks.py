"""What the tests of the batch meter have done on ranks: a fresh process must find it by name."""

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.functional import cross_entropy

from tutorlib.callbacks.meter import BatchMeter
from tutorlib.nn.data import digits
from tutorlib.nn.models import make


def heard(device, accumulation, micro_batch, updates):
    """A DDP loop with a meter: what it logs, its draws, and every rank's micro-batch gradients, update by update."""
    net, data, seen = make("mlp", 0).double(), digits(512), []
    wrapped = nn.parallel.DistributedDataParallel(net)
    meter = BatchMeter(net, lambda *line: None)
    mine = list(range(dist.get_rank(), 512, dist.get_world_size()))
    for update in range(updates):
        for k in range(accumulation):
            begin = (update * accumulation + k) * micro_batch
            x, y = (t[mine[begin : begin + micro_batch]] for t in (data.x.double(), data.y))
            gradients = torch.autograd.grad(cross_entropy(net(x), y), list(net.parameters()))
            seen.append(torch.cat([g.flatten() for g in gradients]))
            wrapped.require_backward_grad_sync = k == accumulation - 1
            (cross_entropy(wrapped(x), y) / accumulation).backward()
            meter.part((x, y))
        meter.update()
        with torch.no_grad():
            for p in net.parameters():
                p -= 0.1 * p.grad
                p.grad = None
    values = meter.values()
    rows = torch.stack(seen)
    every = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
    dist.all_gather(every, rows)
    in_turn = torch.stack([e.unflatten(0, (updates, accumulation)) for e in every], 1).flatten(0, 2)
    draws = meter.draws
    return {
        "values": values,
        "trace": draws.trace_draws.tolist(),
        "grad_sq": draws.grad_sq_draws.tolist(),
        "seen": in_turn.tolist(),
    }
