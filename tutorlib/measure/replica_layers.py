"""Layers that compute many replicas in one call: inputs (replicas, examples, …), weights (replicas, …).

Only what the course's nets are made of. A net with any other layer takes the general route of
:class:`tutorlib.measure.stack.Stack`, which is slower and knows every layer that ``torch.vmap`` knows.
"""

from collections.abc import Callable, Mapping

import torch
from torch import nn
from torch.nn import functional as F

from tutorlib.nn.batchnorm import FrozenBatchNorm

ELEMENTWISE = (nn.Identity, nn.Tanh, nn.ReLU, nn.GELU, nn.Sigmoid, nn.SiLU, nn.Dropout)
PLAIN = (nn.Flatten, nn.Unflatten)
CONVOLUTIONS = {nn.Conv1d: F.conv1d, nn.Conv2d: F.conv2d}
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
STATISTICS, AFFINE = ("running_mean", "running_var"), ("weight", "bias")


def batched_layers(model: nn.Module) -> list[Callable] | None:
    """One function a layer, ``(tensors, x) → x`` with ``tensors`` the stacked state by name, or ``None``.

    ``None`` for a model that is not a chain of known layers with weights of their own.
    """
    names = {id(module): f"{name}." if name else "" for name, module in model.named_modules()}
    state, leaves = dict((*model.named_parameters(), *model.named_buffers())), list(_chain(model))
    own = [
        names[id(layer)] + name for layer in leaves for name, _ in (*layer.named_parameters(), *layer.named_buffers())
    ]
    known = all(map(_known, leaves)) and all(name in state for name in own)  # not there: a weight that two layers share
    return [_bind(layer, names[id(layer)]) for layer in leaves] if known else None


def _chain(model: nn.Module):
    if type(model) is nn.Sequential:
        for child in model:
            yield from _chain(child)
    else:
        yield model


def _known(layer: nn.Module) -> bool:
    if type(layer) in CONVOLUTIONS and layer.padding_mode != "zeros":
        return False
    if type(layer) in BATCH_NORMS and layer.momentum is None:  # each replica would average over its own count
        return False
    if type(layer) in PLAIN and getattr(layer, "start_dim", getattr(layer, "dim", None)) < 1:  # merges examples
        return False
    return type(layer) in (*ELEMENTWISE, *PLAIN, *rules())


def rules() -> dict[type, Callable]:
    """The layers with weights, and what computes each of them for all replicas."""
    return {
        nn.Linear: linear,
        nn.GroupNorm: group_norm,
        FrozenBatchNorm: frozen_norm,
        **dict.fromkeys(CONVOLUTIONS, convolution),
        **dict.fromkeys(BATCH_NORMS, batch_norm),
    }


def _bind(layer: nn.Module, prefix: str) -> Callable:
    if type(layer) in ELEMENTWISE:
        return lambda tensors, x: layer(x)
    if type(layer) in PLAIN:
        return lambda tensors, x: layer(x.flatten(0, 1)).unflatten(0, x.shape[:2])
    rule, own = rules()[type(layer)], [name for name, _ in (*layer.named_parameters(), *layer.named_buffers())]
    return lambda tensors, x: rule(layer, {name: tensors[prefix + name] for name in own}, x)


def linear(layer: nn.Linear, own: Mapping, x: torch.Tensor) -> torch.Tensor:
    """W xᵀ + b, one matrix product a replica; axes between examples and features count as examples.

    In this order, and not x Wᵀ, the gradient of W comes out laid out as W is: a step is then four times as fast.
    """
    columns, weight = x.flatten(1, -2).mT, own["weight"]
    y = torch.baddbmm(own["bias"].unsqueeze(2), weight, columns) if "bias" in own else torch.bmm(weight, columns)
    return y.mT.unflatten(1, x.shape[1:-1])


def convolution(layer: nn.Module, own: Mapping, x: torch.Tensor) -> torch.Tensor:
    """A replica is a group: (examples, replicas × channels, …) through one grouped convolution."""
    replicas = len(x)
    bias = own["bias"].flatten() if "bias" in own else None
    settings = (layer.stride, layer.padding, layer.dilation, replicas * layer.groups)
    y = CONVOLUTIONS[type(layer)](_side_by_side(x), own["weight"].flatten(0, 1), bias, *settings)
    return y.unflatten(1, (replicas, -1)).transpose(0, 1)


def batch_norm(layer: nn.Module, own: Mapping, x: torch.Tensor) -> torch.Tensor:
    """Every replica normalizes with its own batch and keeps its own running statistics, updated in place."""
    training = layer.training or "running_mean" not in own
    if layer.training and "num_batches_tracked" in own:
        own["num_batches_tracked"] += 1
    y = F.batch_norm(_side_by_side(x), *_wide(own, *STATISTICS, *AFFINE), training, layer.momentum, layer.eps)
    return y.unflatten(1, (len(x), -1)).transpose(0, 1)


def frozen_norm(layer: FrozenBatchNorm, own: Mapping, x: torch.Tensor) -> torch.Tensor:
    y = F.batch_norm(_side_by_side(x), *_wide(own, *STATISTICS, *AFFINE), eps=layer.eps)
    return y.unflatten(1, (len(x), -1)).transpose(0, 1)


def group_norm(layer: nn.GroupNorm, own: Mapping, x: torch.Tensor) -> torch.Tensor:
    """A replica's groups are groups of its own: replicas × groups of them side by side."""
    y = F.group_norm(_side_by_side(x), len(x) * layer.num_groups, *_wide(own, *AFFINE), layer.eps)
    return y.unflatten(1, (len(x), -1)).transpose(0, 1)


def _wide(own: Mapping, *names: str) -> list[torch.Tensor | None]:
    return [own[name].flatten() if name in own else None for name in names]


def _side_by_side(x: torch.Tensor) -> torch.Tensor:
    """(replicas, examples, channels, …) → (examples, replicas × channels, …)."""
    return x.transpose(0, 1).flatten(1, 2)
