"""Optimizers as pure functions: (parameter, gradient, state, rate) → (parameter, state).

Each is short enough to read in a lesson. ``state`` is ``None`` on the first step.
"""

import torch


def sgd(parameter: torch.Tensor, gradient: torch.Tensor, state, rate: float, momentum: float = 0.0):
    """θ ← θ − η v with v ← μ v + g; plain gradient descent at μ = 0. Equals :class:`torch.optim.SGD`."""
    velocity = gradient if state is None else momentum * state + gradient
    return parameter - rate * velocity, velocity if momentum else None
