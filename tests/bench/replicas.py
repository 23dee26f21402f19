"""Sixty-four replicas at once beside one model at a time with torch.optim, and beside vmap(grad) written directly."""

import numpy as np
import torch
from torch.func import functional_call, grad, stack_module_state, vmap
from torch.nn.functional import cross_entropy

from tutorlib.measure.ensemble import fit_ensemble
from tutorlib.measure.fit import batches
from tutorlib.nn.models import make

REPLICAS, RATE, ROUNDS = 64, 0.05, 5
GOALS = {4: 8.0, 32: 4.0}  # times as fast as one at a time; at any other batch 0.95


def one_at_a_time(models, data, batch, steps):
    for seed, model in enumerate(models):
        optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
        for _, chosen in zip(range(steps), batches(len(data), batch, seed), strict=False):
            loss = cross_entropy(model(data.x[chosen]), data.y[chosen])
            loss.item()  # a loop records its losses
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def vmap_of_grad(models, data, batch, steps):
    """What one would write by hand: no losses, no divergence, no schedule."""
    parameters, _ = stack_module_state(models)
    parameters = {name: p.detach() for name, p in parameters.items()}
    gradient = vmap(grad(lambda p, x, y: cross_entropy(functional_call(models[0], p, (x,)), y)))
    orders = [batches(len(data), batch, seed) for seed in range(len(models))]
    for _ in range(steps):
        chosen = torch.stack([next(order) for order in orders])
        found = gradient(parameters, data.x[chosen], data.y[chosen])
        parameters = {name: p - RATE * found[name] for name, p in parameters.items()}


def at_once(models, data, batch, steps):
    settings = {"rates": [RATE] * len(models), "seeds": range(len(models))}
    fit_ensemble(models, cross_entropy, data, batch=batch, steps=steps, **settings)


def replicas(data, timeit):
    """(batch, way, milliseconds a step of each round, how many times the ensemble's) for every batch and way."""
    for batch in (1, 4, 32, 128, 512, 1024):
        steps, ways = 100 if batch <= 128 else 20, (one_at_a_time, vmap_of_grad, at_once)  # as long as real runs
        times = {way: [] for way in ways}
        for _ in range(ROUNDS):
            for way in ways:
                models = [make("mlp", seed) for seed in range(REPLICAS)]
                seconds = timeit(lambda way=way, models=models: way(models, data, batch, steps), number=1)  # noqa: B023
                times[way].append(1000 * seconds / steps)
        for way in ways:
            each = np.array(times[way])
            yield batch, way.__name__, each, float(np.median(each / times[at_once]))
