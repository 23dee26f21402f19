"""Optimizers as pure functions: (parameter, gradient, state, rate) → (parameter, state).

Each is short enough to read in a lesson. ``state`` is ``None`` on the first step, then what the function
returned. Where a parameter holds many replicas, (replicas, …), ``rate`` is a tensor that broadcasts over them.
"""

import math

import torch


def sgd(parameter: torch.Tensor, gradient: torch.Tensor, state, rate, momentum: float = 0.0):
    """θ ← θ − η v with v ← μ v + g; plain gradient descent at μ = 0. Equals :class:`torch.optim.SGD`."""
    velocity = gradient if state is None else momentum * state + gradient
    return parameter - rate * velocity, velocity if momentum else None


def adamw(
    parameter: torch.Tensor,
    gradient: torch.Tensor,
    state,
    rate,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
):
    """θ ← (1 − ηλ) θ − η m̂ / (√v̂ + ε), with m and v running means of g and g². Equals :class:`torch.optim.AdamW`.

    m̂ = m/(1 − β₁ᵗ) and v̂ = v/(1 − β₂ᵗ) undo the start from zero. Plain Adam at λ = 0, the default here.
    Source: Kingma and Ba 2015, arXiv 1412.6980, algorithm 1; Loshchilov and Hutter 2019, arXiv 1711.05101.
    """
    mean, square, step = (0.0, 0.0, 0) if state is None else state
    (first, second), step = betas, step + 1
    mean = first * mean + (1 - first) * gradient
    square = second * square + (1 - second) * gradient.square()
    length = square.sqrt() / math.sqrt(1 - second**step) + eps
    parameter = parameter * (1 - rate * weight_decay) if weight_decay else parameter
    return parameter - rate / (1 - first**step) * mean / length, (mean, square, step)
