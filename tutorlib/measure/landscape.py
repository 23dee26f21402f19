"""Slices of the loss: along the straight line between two solutions, and in a plane around one."""

from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.nn.utils import parameters_to_vector

from tutorlib.errors import Refused
from tutorlib.measure.chunk import losses_of
from tutorlib.measure.curvature import check_parameters
from tutorlib.measure.ensemble import chunk_size
from tutorlib.measure.stack import Stack
from tutorlib.nn.data import Data


def weights(model: nn.Module) -> torch.Tensor:
    """All trainable parameters as one vector (parameters,)."""
    return parameters_to_vector(p.detach() for p in model.parameters() if p.requires_grad)


@torch.no_grad()
def losses_at(model: nn.Module, points: torch.Tensor, loss: Callable, data: Data) -> np.ndarray:
    """The mean loss (points,) of ``model`` with other weights, ``points`` (points, parameters), in evaluation mode.

    Many points at once, as replicas; the model itself is left alone.
    """
    if points.shape[1:] != weights(model).shape:
        raise Refused(
            f"points has shape {tuple(points.shape)}; allowed: a row of {len(weights(model)):,} parameters for each"
        )
    found = []
    for some in points.split(chunk_size([model] * 2, loss, data, len(data), None)):
        stack = Stack([model] * len(some))
        sizes = [p[0].numel() for p in stack.parameters.values()]
        parts = zip(stack.parameters.items(), some.split(sizes, dim=1), strict=True)
        stack.parameters = {name: part.reshape(p.shape) for (name, p), part in parts}
        found.append(losses_of(loss, stack.evaluate(data.x), data.y.expand(len(some), *data.y.shape)))
    return torch.cat(found).cpu().numpy()


def between(first: nn.Module, second: nn.Module, loss: Callable, data: Data, places) -> np.ndarray:
    """The loss at (1 − a) θ₁ + a θ₂ for every a in ``places``: 0 is ``first``, 1 is ``second``.

    Source: Goodfellow, Vinyals and Saxe 2015, arXiv 1412.6544.
    """
    for model, title in ((first, "first"), (second, "second")):
        check_parameters(model, title)
    start, end = weights(first), weights(second)
    if start.shape != end.shape:
        raise Refused(f"second has {len(end):,} parameters and first {len(start):,}; allowed: one architecture")
    a = torch.as_tensor(places).to(start).unsqueeze(1)
    return losses_at(first, (1 - a) * start + a * end, loss, data)


def around(model: nn.Module, across: torch.Tensor, up: torch.Tensor, loss: Callable, data: Data, steps) -> np.ndarray:
    """The loss (steps, steps) at θ + a·``across`` + b·``up`` for a, b in ``steps``; a row is one b."""
    check_parameters(model)
    steps = torch.as_tensor(steps).to(across)
    b, a = torch.meshgrid(steps, steps, indexing="ij")
    points = weights(model) + a.reshape(-1, 1) * across + b.reshape(-1, 1) * up
    return losses_at(model, points, loss, data).reshape(len(steps), len(steps))


def random_direction(model: nn.Module, seed: int) -> torch.Tensor:
    """A direction of length 1, drawn by ``seed``."""
    drawn = torch.randn(len(weights(model)), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (drawn / drawn.norm()).to(weights(model))


def filter_normalised(model: nn.Module, seed: int) -> torch.Tensor:
    """The same draw with every filter, a unit's incoming weights, as long as the model's own; biases do not move.

    A rescaling of whole filters, which leaves a ReLU net's function alone, then leaves the slice alone too.
    Source: Li et al. 2018, arXiv 1712.09913, section 4.
    """
    trained = [p.detach() for p in model.parameters() if p.requires_grad]
    drawn = random_direction(model, seed).split([p.numel() for p in trained])
    return torch.cat([_like(part.view_as(p), p).flatten() for part, p in zip(drawn, trained, strict=True)])


def _like(direction: torch.Tensor, parameter: torch.Tensor) -> torch.Tensor:
    if parameter.ndim < 2:
        return torch.zeros_like(parameter)
    rows, own = direction.flatten(1), parameter.flatten(1).norm(dim=1, keepdim=True)
    return (rows / rows.norm(dim=1, keepdim=True) * own).view_as(parameter)
