"""Slow, obvious twins: what the instruments should have measured, written as loops from the definition."""

import collections
import itertools

import numpy as np
import torch
from torch.utils.data import DataLoader, DistributedSampler

from tutorlib.measure.fit import batches
from tutorlib.theory.noise import Noise


def naive_exact_noise(model, loss, data):
    """One backward pass per example, every gradient kept, tr Σ and |G|² read off their definitions."""
    parameters, gradients = [p for p in model.parameters() if p.requires_grad], []
    for i in range(len(data)):
        value = loss(model(data.x[i : i + 1]), data.y[i : i + 1])
        parts = torch.autograd.grad(value, parameters, allow_unused=True, materialize_grads=True)
        gradients.append(torch.cat([part.flatten() for part in parts]))
    mean = sum(gradients) / len(gradients)
    trace = sum(float(((g - mean) ** 2).sum()) for g in gradients) / len(gradients)
    return Noise(trace, float((mean**2).sum()))


def naive_fit(model, loss, data, batch, rate, steps, seed, momentum=0.0):
    """Whole batches and torch's own optimizer; the losses before each update."""
    optimizer, losses = torch.optim.SGD(model.parameters(), lr=rate, momentum=momentum), []
    for _, chosen in zip(range(steps), batches(len(data), batch, seed), strict=False):
        optimizer.zero_grad()
        value = loss(model(data.x[chosen]), data.y[chosen])
        value.backward()
        optimizer.step()
        losses.append(value.item())
    return losses


def naive_two_batch(sample, small, big, draws):
    """A line through two points, draw by draw, in two loops; the averages, so that .scale is their ratio."""
    small_sq = [sum(x * x for x in sample(small).tolist()) for _ in range(draws)]
    big_sq = [sum(x * x for x in sample(big).tolist()) for _ in range(draws)]
    trace = grad_sq = 0.0
    for s, b in zip(small_sq, big_sq, strict=True):
        trace += (s - b) / (1 / small - 1 / big) / draws
        grad_sq += (big * b - small * s) / (big - small) / draws
    return Noise(trace, grad_sq)


def naive_micro_batch(sample, micro_batch, accumulation, draws):
    """Lengths of the parts and of their mean, number by number; the averages of the two-batch formula."""
    trace, grad_sq, big = 0.0, 0.0, micro_batch * accumulation
    for _ in range(draws):
        parts = [sample(micro_batch).tolist() for _ in range(accumulation)]
        s = sum(x * x for part in parts for x in part) / accumulation
        b = sum((sum(column) / accumulation) ** 2 for column in zip(*parts, strict=True))
        trace += (s - b) / (1 / micro_batch - 1 / big) / draws
        grad_sq += (big * b - micro_batch * s) / (big - micro_batch) / draws
    return Noise(trace, grad_sq)


def exact_minibatch_variance(vectors, batch, replacement):
    """E|mean of a minibatch − mean of all|² over every minibatch there is: tuples with, subsets without."""
    centre, total, count = np.mean(vectors, axis=0), 0.0, 0
    subsets, tuples = itertools.combinations(vectors, batch), itertools.product(vectors, repeat=batch)
    for group in tuples if replacement else subsets:
        total += float(np.sum((np.mean(group, axis=0) - centre) ** 2))
        count += 1
    return total / count


def naive_walk(start, curvature, noise, rate, batch, examples, seed):
    """Where SGD on a bowl ends, one coordinate and one example at a time."""
    xi = np.random.default_rng(seed).standard_normal((examples, len(start)))
    position = list(start)
    for step in range(examples // batch):
        for i, h in enumerate(curvature):
            gradient = 0.0
            for example in range(step * batch, (step + 1) * batch):
                gradient += (h * position[i] + noise * xi[example, i]) / batch
            position[i] -= rate * gradient
    return position


def naive_plan(plan):
    """The plan walked through torch's own loaders: what every update is made of, and which examples none has.

    Returns the micro-batches that pass, (epoch, after, micro-batches, divisor) of every update, every example's passes,
    and (example, epoch of the pass, its weight over its share of a full batch) for every pass that an update has.
    """
    data = list(range(plan.examples))
    samplers = [DistributedSampler(data, plan.ranks, rank, drop_last=plan.drop_last) for rank in range(plan.ranks)]
    loaders = [DataLoader(data, plan.micro_batch, sampler=s, drop_last=plan.drop_last) for s in samplers]
    passed, updates, seen, used, window = 0, [], collections.Counter(), [], []
    for epoch in range(plan.epochs):
        for sampler in samplers:
            sampler.set_epoch(epoch)
        if plan.window == "dropped":
            window = []
        steps = list(zip(*loaders, strict=True))  # every rank has as many
        for number, parts in enumerate(steps, start=1):
            passed += 1
            parts = [part.tolist() for part in parts]
            seen.update(i for part in parts for i in part)
            window.append((epoch, parts))
            full = len(window) == plan.accumulation if plan.window == "carried" else number % plan.accumulation == 0
            last = number == len(steps) and plan.window in ("stepped", "shrunk")
            if full or last:
                divisor = len(window) if plan.window == "stepped" else plan.accumulation
                updates.append((epoch, number, len(window), divisor))
                for when, parts in window:
                    weights = [(1 / (divisor * plan.ranks * len(part)) * plan.batch, part) for part in parts]
                    used += [(i, when, weight) for weight, part in weights for i in part]
                window = []
    return passed, updates, seen, used
