"""Squared length of every example's gradient, from one backward pass where the layers allow it.

For a linear layer with input a and output gradient d, one example's weight gradient is the outer product
d aᵀ, whose squared length is |a|²·|d|²: no gradient of any single example is ever formed. With several
positions per example (a sequence, the patches under a convolution) it is Σ d_t a_tᵀ, and its squared length
is Σ_tu (a_t·a_u)(d_t·d_u). Source: Goodfellow 2015, arXiv 1510.01799.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.func import functional_call, grad, vmap
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from tutorlib.errors import Refused
from tutorlib.measure.guards import check_per_example, forward
from tutorlib.nn.data import Data

CHUNK_NUMBERS = 2**24  # per-example gradients held at once by the general route: 64 MiB in fp32


@dataclass(frozen=True)
class PerExample:
    """``squares`` (examples,): |g_i|²; ``mean`` (parameters,): their mean gradient G, flat."""

    squares: torch.Tensor
    mean: torch.Tensor
    route: str


def per_example_squares(model: nn.Module, loss: Callable, data: Data) -> PerExample:
    """|g_i|² of every example and G, exactly, without changing the model or its ``.grad``.

    Takes the fast route when every trainable parameter sits in one linear or convolutional layer that is
    called once, else the general route: ``vmap(grad)`` in chunks. Raises ``ValueError`` where per-example
    gradients do not exist (see :func:`~tutorlib.measure.guards.check_per_example`).
    """
    follow = check_per_example(model, loss, data)
    return _fast(model, loss, data, follow) or _general(model, loss, data)


def trainable(model: nn.Module) -> dict[str, nn.Parameter]:
    found = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if not found:
        raise Refused("model has no trainable parameter; allowed: at least one with requires_grad=True")
    return found


def _fast(model: nn.Module, loss: Callable, data: Data, follow: set[str]) -> PerExample | None:
    parameters = list(trainable(model).values())
    holders = {n: m for n, m in model.named_modules() if any(p.requires_grad for p in m.parameters(recurse=False))}
    layers = list(holders.values())
    own = [p for layer in layers for p in layer.parameters(recurse=False)]
    if not holders.keys() <= follow or not all(map(_has_rule, layers)) or len(set(own)) < len(own):
        return None
    outputs, calls = _calls(model, layers, data.x)
    if sorted(map(id, layers)) != sorted(id(layer) for layer, _, _ in calls):
        return None
    if any(len(inputs) != 1 or len(inputs[0]) != len(data) for _, inputs, _ in calls):
        return None
    gradients = torch.autograd.grad(
        loss(outputs, data.y), parameters + [output for _, _, output in calls], materialize_grads=True
    )
    by_parameter = dict(zip(parameters, gradients, strict=False))
    squares = 0.0
    for (layer, (inputs,), _), d in zip(calls, gradients[len(parameters) :], strict=True):
        a, d = _positions(layer, inputs.detach(), d)
        if not _explains(by_parameter.get(layer.weight), by_parameter.get(layer.bias), a, d):
            return None
        squares += _layer_squares(layer, a, d)
    mean = torch.cat([g.flatten() for g in gradients[: len(parameters)]])
    return PerExample(squares * len(data) ** 2, mean, "fast")  # d holds the mean's 1/N


def _calls(model: nn.Module, layers: list, x: torch.Tensor):
    """The output, and (layer, inputs, output) of every call of these layers."""
    calls = []
    handles = [layer.register_forward_hook(lambda *call: calls.append(call)) for layer in layers]
    try:
        return forward(model, x), calls
    finally:
        for handle in handles:
            handle.remove()


def _has_rule(layer: nn.Module) -> bool:
    names = {name for name, _ in layer.named_parameters(recurse=False)}  # weight normalization adds its own
    if type(layer) not in (nn.Linear, nn.Conv1d, nn.Conv2d) or not names <= {"weight", "bias"}:
        return False
    plain = type(layer) is nn.Linear or (layer.groups == 1 and layer.padding_mode == "zeros")
    return plain and not isinstance(getattr(layer, "padding", 0), str)


def _positions(layer: nn.Module, a: torch.Tensor, d: torch.Tensor):
    """Inputs (examples, positions, p) and output gradients (examples, positions, q).

    A convolution is linear in its patches: one position for each place the kernel is put.
    """
    if isinstance(layer, nn.Linear):
        return a.reshape(len(a), -1, a.shape[-1]), d.reshape(len(d), -1, d.shape[-1])
    a = F.pad(a, [side for width in reversed(layer.padding) for side in (width, width)])
    axes = zip(layer.kernel_size, layer.dilation, layer.stride, strict=True)
    for axis, (kernel, dilation, stride) in enumerate(axes, start=2):
        a = a.unfold(axis, (kernel - 1) * dilation + 1, stride)[..., ::dilation]
    space = len(layer.kernel_size)  # now (examples, channels, *places, *kernel)
    patches = a.movedim(1, 1 + space).flatten(1, space).flatten(2)
    return patches.contiguous(), d.flatten(2).contiguous().mT  # bmm copies strided matrices one by one


def _layer_squares(layer: nn.Module, a: torch.Tensor, d: torch.Tensor) -> torch.Tensor:
    (_, positions, p), q = a.shape, d.shape[-1]
    bias_squares = _length_squares(d if positions == 1 else d.sum(1, keepdim=True))
    squares = 0.0 * bias_squares
    if layer.weight.requires_grad:
        if positions == 1:
            squares = _length_squares(a) * bias_squares
        elif positions * (p + q) < p * q:
            squares = ((a @ a.mT) * (d @ d.mT)).sum((1, 2))
        else:
            squares = _length_squares(d.mT @ a)
    if layer.bias is not None and layer.bias.requires_grad:
        squares = squares + bias_squares
    return squares


def _length_squares(rows: torch.Tensor) -> torch.Tensor:
    return torch.linalg.vector_norm(rows, dim=(1, 2)).square()


def _explains(weight_gradient, bias_gradient, a: torch.Tensor, d: torch.Tensor) -> bool:
    """Whether Σ d aᵀ and Σ d really are autograd's gradients: a parameter also used elsewhere shows here.

    Freivalds' check (1977): both sides are multiplied by one vector, so it costs no second product.
    """
    a, d = a.reshape(-1, a.shape[-1]), d.reshape(-1, d.shape[-1])
    weights, theirs = torch.zeros_like(a[:, 0]), torch.zeros_like(d[0])
    if weight_gradient is not None:
        probe = torch.linspace(1, 2, a.shape[-1], dtype=a.dtype, device=a.device)
        weights, theirs = a @ probe, weight_gradient.flatten(1) @ probe
    if bias_gradient is not None:  # a bias is the weight of an input that is always 1
        weights, theirs = weights + 1, theirs + bias_gradient
    distance = torch.linalg.vector_norm(weights @ d - theirs)
    if distance <= 1e-3 * torch.linalg.vector_norm(theirs):
        return True
    return bool(distance <= 1e-5 * (weights.abs() @ d.abs()).norm())  # terms that cancel leave their rounding


def _general(model: nn.Module, loss: Callable, data: Data) -> PerExample:
    parameters = {name: p.detach() for name, p in trainable(model).items()}

    def one(parameters, x, y):
        return loss(functional_call(model, parameters, (x[None],)), y[None])

    gradients = vmap(grad(one), in_dims=(None, 0, 0))
    count = sum(p.numel() for p in parameters.values())
    chunk = max(1, CHUNK_NUMBERS // count)
    squares, total = [], 0.0
    with sdpa_kernel(SDPBackend.MATH):  # fused attention has no batching rule: slower, and it warns
        for x, y in zip(data.x.split(chunk), data.y.split(chunk), strict=True):
            rows = torch.cat([g.flatten(1) for g in gradients(parameters, x, y).values()], dim=1)
            squares.append(rows.square().sum(1))
            total = total + rows.sum(0)
    return PerExample(torch.cat(squares), total / len(data), "general")
