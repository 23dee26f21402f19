"""What the tests of ``test_parallel`` have done on ranks: a fresh process must find it by name."""

import os
import signal
import subprocess
import time

import torch
import torch.distributed as dist
from torch import nn
from torch.profiler import profile

from tutorlib.errors import Refused
from tutorlib.measure import ranks
from tutorlib.nn.sync_batchnorm import SyncBatchNorm, synchronized


def surroundings(device, word):
    """What a rank finds around it; it leaves a child behind that would sleep for ten minutes."""
    subprocess.Popen(["sleep", "600"])
    total = torch.tensor(float(dist.get_rank() + 1))
    dist.all_reduce(total)
    return [word, os.environ["RANK"], dist.get_backend(), os.environ["WORLD_SIZE"], float(total), os.getpgid(0)]


def last_raises(device):
    if dist.get_rank():
        raise ZeroDivisionError("three apples\nfor nobody")
    dist.barrier()


def nobody_answers(device):
    time.sleep(600)


def last_is_killed(device):
    subprocess.Popen(["sleep", "600"])
    dist.barrier()
    if dist.get_rank():
        os.kill(os.getpid(), signal.SIGKILL)
    dist.barrier()


def witness(device, accumulation, no_sync):
    """All-reduces that torch's profiler saw gloo execute in one update of DDP, without any hook of ours."""
    net, loss, data = ranks.problem("gpt", 0, 4 * accumulation * 2, device)
    wrapped, mine = nn.parallel.DistributedDataParallel(net), ranks.of_this_rank(data, 4)
    ranks.ddp_gradient(wrapped, loss, mine, no_sync)
    with profile() as seen:
        ranks.ddp_gradient(wrapped, loss, mine, no_sync)
    return sum(event.name == "gloo:all_reduce" for event in seen.events())


def batchnorm_errors(device, shape, ends, momentum=0.1, affine=True):
    """Largest differences between BatchNorm over ranks and torch's on the whole batch, after two forward passes.

    Rank r has the examples from ``ends[r]`` to ``ends[r + 1]``.
    """
    make = torch.Generator().manual_seed(0)
    x, upstream = (torch.randn(2, ends[-1], *shape, generator=make, dtype=torch.double) + 3 for _ in range(2))
    whole = {1: nn.BatchNorm1d, 2: nn.BatchNorm1d, 3: nn.BatchNorm2d}[len(shape)](
        shape[0], momentum=momentum, affine=affine, dtype=torch.double
    )
    if affine:
        nn.init.normal_(whole.weight, generator=make)
    shared = synchronized(type(whole)(shape[0], momentum=momentum, affine=affine, dtype=torch.double))
    shared.load_state_dict(whole.state_dict())
    mine, errors = slice(ends[dist.get_rank()], ends[dist.get_rank() + 1]), {}

    def keep(name, a, b):
        gap = float((a - b).abs().max()) if a.numel() else 0.0
        errors[name] = max(gap, errors.get(name, 0.0))

    for step in range(2):
        all_of_it, part = x[step].clone().requires_grad_(), x[step, mine].clone().requires_grad_()
        expected, found = whole(all_of_it), shared(part)
        (upstream[step] * expected.square()).sum().backward()
        (upstream[step, mine] * found.square()).sum().backward()
        keep("output", found, expected[mine])
        keep("input gradient", part.grad, all_of_it.grad[mine])
    for name, buffer in shared.named_buffers():
        keep(name, buffer.double(), dict(whole.named_buffers())[name].double())
    for a, b in zip(shared.parameters(), whole.parameters(), strict=True):
        total = a.grad.clone()
        dist.all_reduce(total)
        keep("parameter gradient", total, b.grad)
    keep("evaluation", shared.eval()(x[0]), whole.eval()(x[0]))
    assert isinstance(shared, SyncBatchNorm)
    return errors


def one_value_a_channel(device):
    try:
        SyncBatchNorm(3)(torch.zeros(1 - dist.get_rank(), 3))
    except Refused as refused:
        return str(refused)
