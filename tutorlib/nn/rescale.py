"""The same function at other weights: what a ReLU net's hidden layer is multiplied by, the next one is divided by."""

import copy
import math

import torch
from torch import nn

from tutorlib.errors import Refused


@torch.no_grad()
def rescaled(model: nn.Sequential, factor: float) -> nn.Sequential:
    """A copy with W₁ ← cW₁, b₁ ← cb₁, W₂ ← W₂/c: ReLU(cz) = c ReLU(z) for c > 0, so no output changes.

    Source: Dinh et al. 2017, arXiv 1703.04933, "α-scale transformation".
    """
    if [type(layer) for layer in model] != [nn.Linear, nn.ReLU, nn.Linear]:
        raise Refused(
            f"model is {', '.join(type(layer).__name__ for layer in model)}; allowed: Linear, ReLU, Linear. Other "
            "activations do not pass a factor on: tanh(cz) is not c tanh(z)"
        )
    if not 0 < factor < math.inf:
        raise Refused(f"factor is {factor!r}; allowed: a positive number, for ReLU passes on no other")
    other = copy.deepcopy(model)
    first, _, last = other
    for parameter in (first.weight, first.bias):
        if parameter is not None:
            parameter.mul_(factor)
    last.weight.div_(factor)
    return other
