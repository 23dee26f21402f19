"""ε-sharpness: how far the loss can rise in a small box around the weights, by jumping from corner to corner."""

from collections.abc import Callable

import torch
from torch import nn

from tutorlib.errors import Refused
from tutorlib.measure.curvature import check_parameters
from tutorlib.measure.guards import check_per_example
from tutorlib.nn.data import Data


def box_sharpness(
    model: nn.Module, loss: Callable, data: Data, size: float = 1e-3, jumps: int = 10, seed: int = 0
) -> float:
    """100 · (max L(θ + δ) − L(θ)) / (1 + L(θ)) over the box |δᵢ| ≤ ``size``·(|θᵢ| + 1): a lower bound of it.

    Each jump goes to the corner where the linear model of the loss at the present point is largest: δ = box · sign(g).
    Where the loss is convex in the box no jump goes down; elsewhere the best point seen counts. From the corner that
    the gradient names and from one drawn by ``seed``: on bowls of five weights that gave the maximum away from the
    minimum, and 0.4 to 1 of it close to it. Raises as ``top_eigenvalues`` does.
    Source: Keskar et al. 2017, arXiv 1609.04836, metric 2.1 with A = I; they climb with L-BFGS-B.
    """
    check_parameters(model)
    if not 0 < size < float("inf"):
        raise Refused(f"size is {size!r}; allowed: a positive number, of the order of 1e-3")
    check_per_example(model, loss, data)
    trained = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}

    def climb(moved: dict) -> tuple[float, dict]:
        """The loss there, and the corner that its gradient names."""
        here = {name: p.requires_grad_() for name, p in moved.items()}
        value = loss(torch.func.functional_call(model, here, (data.x,)), data.y)
        slopes = torch.autograd.grad(value, list(here.values()), materialize_grads=True)
        return value.item(), {name: slope.sign() for name, slope in zip(here, slopes, strict=True)}

    def corner(signs: dict) -> dict:
        return {name: p + size * (p.abs() + 1) * signs[name] for name, p in trained.items()}

    begin, named = climb({name: p.clone() for name, p in trained.items()})
    best, generator = begin, torch.Generator().manual_seed(seed)
    drawn = {name: torch.randn(p.shape, generator=generator).sign().to(p) for name, p in trained.items()}
    for signs in (named, drawn):
        for _ in range(jumps):
            value, signs = climb(corner(signs))
            best = max(best, value)
    return 100 * (best - begin) / (1 + begin)
