"""Optimizers as pure functions: (parameter, gradient, state, rate) → (parameter, state).

Each is short enough to read in a lesson. ``state`` is ``None`` on the first step, then what the function
returned. Where a parameter holds many replicas, (replicas, …), ``rate`` is a tensor that broadcasts over them, and so
may be any other number of the optimizer: a knob of one value a replica. A plain number stands for one model alone.
Those that look at a whole matrix are in :mod:`tutorlib.nn.matrix_optimizers`.
"""

import torch


def sgd(parameter: torch.Tensor, gradient: torch.Tensor, state, rate, momentum=0.0):
    """θ ← θ − η v with v ← μ v + g; plain gradient descent at μ = 0. Equals :class:`torch.optim.SGD`."""
    velocity = gradient if state is None else momentum * state + gradient
    return parameter - rate * velocity, velocity if turned_on(momentum) else None


def adamw(
    parameter: torch.Tensor, gradient: torch.Tensor, state, rate, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0
):
    """θ ← (1 − ηλ) θ − η m̂ / (√v̂ + ε), with m and v running means of g and g². Equals :class:`torch.optim.AdamW`.

    m̂ = m/(1 − β₁ᵗ) and v̂ = v/(1 − β₂ᵗ) undo the start from zero. Plain Adam at λ = 0, the default here.
    Source: Kingma and Ba 2015, arXiv 1412.6980, algorithm 1; Loshchilov and Hutter 2019, arXiv 1711.05101, algorithm 2.
    """
    direction, state = adam_direction(gradient, state, beta1, beta2, eps)
    parameter = parameter * (1 - rate * weight_decay) if turned_on(weight_decay) else parameter
    return parameter - rate * direction, state


def adam_direction(gradient: torch.Tensor, state, beta1, beta2, eps):
    """m̂ / (√v̂ + ε), and (m, v, t) after this step."""
    mean, square, step = (0.0, 0.0, 0) if state is None else state
    step = step + 1
    mean = beta1 * mean + (1 - beta1) * gradient
    square = beta2 * square + (1 - beta2) * gradient.square()
    seen, seen_squares = 1 - beta1**step, (1 - beta2**step) ** 0.5
    return mean / (square.sqrt() * (seen / seen_squares) + seen * eps), (mean, square, step)  # once over the tensor


def lion(parameter: torch.Tensor, gradient: torch.Tensor, state, rate, beta1=0.9, beta2=0.99, weight_decay=0.0):
    """θ ← (1 − ηλ) θ − η sign(c) with c = β₁ m + (1 − β₁) g, and only then m ← β₂ m + (1 − β₂) g.

    Every number moves by exactly η, so rates are three to ten times smaller than Adam's.
    Source: Chen et al. 2023, arXiv 2302.06675, algorithm 2 (rates: section 5).
    """
    mean = torch.zeros_like(gradient) if state is None else state
    mixed = gradient.lerp(mean, beta1)  # β₁ m + (1 − β₁) g
    direction = torch.add(mixed.sign(), mixed, alpha=0)  # torch says sign(NaN) = 0: a run that ended would seem to rest
    parameter = parameter * (1 - rate * weight_decay) if turned_on(weight_decay) else parameter
    return parameter - rate * direction, gradient.lerp(mean, beta2)


def lars(parameter: torch.Tensor, gradient: torch.Tensor, state, rate, momentum=0.9, trust=0.001, weight_decay=0.0):
    """SGD with momentum on q (g + λθ), where q = trust·|θ| / (|g| + λ|θ|) is one number a layer.

    A layer's first step is then trust·η of its length, whatever the length of its gradient. q = 1 where |θ| or the
    denominator is 0. Biases and scales (fewer than two axes) take plain steps without decay, as implementations do;
    the paper makes no such exception. The rate stays outside the momentum, as in torch's SGD; in the paper it is
    inside, which is the same until the rate changes.
    Source: You, Gitman and Ginsburg 2017, arXiv 1708.03888, section 4 and algorithm 1.
    """
    if parameter.ndim - replica_axes(rate) > 1:
        size, slope = length(parameter, rate), length(gradient, rate)
        ratio = trust_ratio(trust * size, slope + weight_decay * size)
        gradient = ratio * (gradient + weight_decay * parameter)
    return sgd(parameter, gradient, state, rate, momentum)


def lamb(
    parameter: torch.Tensor, gradient: torch.Tensor, state, rate, beta1=0.9, beta2=0.999, eps=1e-6, weight_decay=0.0
):
    """θ ← θ − η (|θ|/|r|) r with r = m̂/(√v̂ + ε) + λθ: Adam's direction, every layer's step η times its own length.

    The ratio is 1 where |θ| or |r| is 0. Biases and scales (fewer than two axes) take Adam's step without decay; the
    paper makes no such exception. φ of the paper is the identity.
    Source: You et al. 2020, arXiv 1904.00962, algorithm 2.
    """
    direction, state = adam_direction(gradient, state, beta1, beta2, eps)
    if parameter.ndim - replica_axes(rate) > 1:
        direction = direction + weight_decay * parameter
        direction = trust_ratio(length(parameter, rate), length(direction, rate)) * direction
    return parameter - rate * direction, state


def trust_ratio(above: torch.Tensor, below: torch.Tensor) -> torch.Tensor:
    """above / below, and 1 where either is 0: a layer that begins at zero could never leave it."""
    return torch.where((above > 0) & (below != 0), above / below, 1.0)


def length(tensor: torch.Tensor, rate) -> torch.Tensor:
    """|tensor|, of each replica's own part where ``rate`` says that there are replicas; broadcasts with ``tensor``."""
    axes = replica_axes(rate)
    own = torch.linalg.vector_norm(tensor.reshape(*tensor.shape[:axes], -1), dim=-1)
    return own.view(*own.shape, *[1] * (tensor.ndim - axes))


def replica_axes(rate) -> int:
    """How many axes of a parameter count replicas: one if the rate has one value for each, none if it is a number."""
    return int(isinstance(rate, torch.Tensor) and rate.ndim > 0)


def turned_on(knob) -> bool:
    """Whether a knob does anything: one value a replica may."""
    return isinstance(knob, torch.Tensor) or knob != 0
