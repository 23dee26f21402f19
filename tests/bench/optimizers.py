"""One step of sixty-four replicas at once beside sixty-four of torch's, and of pytorch_optimizer's where it is."""

from functools import partial

import numpy as np
import torch

from tutorlib.nn.matrix_optimizers import muon, shampoo
from tutorlib.nn.models import make
from tutorlib.nn.optimizers import adamw, lamb, lars, lion, sgd

REPLICAS, RATE, STEPS, ROUNDS = 64, 0.001, 10, 5
GOAL = 2.0  # times as fast as torch's own for numbers one at a time; never slower than the others
MOMENTUM = {"momentum": 0.9}


def pairs():
    """Our function, their class, whether vectors count too, and the goal."""
    yield "SGD", partial(sgd, **MOMENTUM), partial(torch.optim.SGD, **MOMENTUM), True, GOAL
    yield "AdamW", adamw, torch.optim.AdamW, True, GOAL
    if hasattr(torch.optim, "Muon"):
        yield "Muon", muon, torch.optim.Muon, False, 1.0
    try:
        import pytorch_optimizer as library
    except ImportError as error:
        print(f"optimizers: pytorch_optimizer is left out, it cannot be imported ({error})")
        return
    yield "Lion", lion, library.Lion, True, 1.0
    yield "LARS", lars, library.LARS, True, 1.0
    yield "LAMB", lamb, library.Lamb, True, 1.0
    yield "Shampoo", shampoo, library.Shampoo, False, 1.0


def optimizers(timeit):
    """(name, way, milliseconds a step of each round, how many times the time at once, the goal) for every optimizer."""
    for name, ours, theirs, vectors, goal in pairs():
        models = [[p for p in make("mlp", seed).parameters() if vectors or p.ndim == 2] for seed in range(REPLICAS)]
        stacked = [torch.stack(each).detach() for each in zip(*models, strict=True)]
        gradients = [torch.randn(p.shape, generator=torch.Generator().manual_seed(0)) for p in stacked]
        for replica, parameters in enumerate(models):
            for p, gradient in zip(parameters, gradients, strict=True):
                p.grad = gradient[replica].clone()
        separate, states = [theirs(parameters, lr=RATE) for parameters in models], [None] * len(stacked)

        def one_by_one(separate=separate):
            for optimizer in separate:
                optimizer.step()

        def at_once(ours=ours, stacked=stacked, gradients=gradients, states=states):
            for number, (p, gradient) in enumerate(zip(stacked, gradients, strict=True)):
                rate = torch.full((REPLICAS, *[1] * (p.ndim - 1)), RATE)
                stacked[number], states[number] = ours(p, gradient, states[number], rate)

        times = {way: [] for way in (one_by_one, at_once)}
        for _ in range(ROUNDS + 1):  # the first is a warm-up
            for way, each in times.items():
                each.append(1000 * timeit(way, number=STEPS) / STEPS)
        for way, each in times.items():
            each = np.array(each[1:])
            yield name, way.__name__, each, float(np.median(each / times[at_once][1:])), goal
