"""What must be true before a per-example gradient means anything, each with the error that says so."""

from collections.abc import Callable

import torch
from torch import nn
from torch.func import functional_call

from tutorlib.nn.data import Data, check_finite

PROBE = 4  # examples


def check_per_example(model: nn.Module, loss: Callable, data: Data) -> None:
    """Probe with four examples that every example has a gradient of its own, the same at every call.

    Raises ``ValueError`` for NaN in the data, a random layer (dropout in training mode), a layer that
    looks across the batch (BatchNorm in training mode, found by its behaviour and not by its name), and a
    loss that is not the mean of the examples' own losses. Costs three small forward passes.
    """
    check_finite(data.x)
    probe = torch.arange(PROBE, device=data.x.device) % len(data)
    x, y = data.x[probe], data.y[probe]
    with torch.no_grad():
        outputs = _forward(model, x)
        if not _same(outputs, _forward(model, x)):
            raise ValueError(
                f"model is random at {_first_layer(model, x, x)}: the same examples gave two different outputs; "
                "allowed: a model that repeats itself. Call model.eval(), or set the dropout rate to 0"
            )
        few = x[: PROBE // 2]
        if not _same(outputs[: PROBE // 2], _forward(model, few)):
            raise ValueError(
                f"model looks across the batch at {_first_layer(model, x, few)}: an example's output changes with "
                "its neighbours, so per-example gradients do not exist; allowed: layers that treat every example "
                "alone. Call model.eval() to freeze BatchNorm, or use GroupNorm or LayerNorm"
            )
        check_mean_loss(loss, outputs, y)


def check_mean_loss(loss: Callable, outputs: torch.Tensor, targets: torch.Tensor) -> None:
    """Raises ``ValueError`` unless ``loss`` of a batch is the mean of the losses of its examples."""
    whole = loss(outputs, targets)
    if whole.ndim:
        raise ValueError(
            f"loss returned shape {tuple(whole.shape)}; allowed: one number, the mean over the examples. "
            'Use reduction="mean"'
        )
    alone = torch.stack([loss(outputs[i : i + 1], targets[i : i + 1]) for i in range(len(outputs))])
    if torch.allclose(whole, alone.mean(), rtol=1e-3, atol=1e-6):
        return
    if torch.allclose(whole, alone.sum(), rtol=1e-3, atol=1e-6):
        raise ValueError('loss sums over the examples; allowed: their mean. Use reduction="mean"')
    raise ValueError(
        f"loss of {len(outputs)} examples is {whole:.4g}, the mean of their own losses {alone.mean():.4g}; "
        "allowed: a plain mean over examples. Leave out class weights and losses that compare examples with each other"
    )


def _forward(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """The output, computed on copies of the buffers: running statistics stay where they were."""
    copies = {name: buffer.clone() for name, buffer in model.named_buffers()}
    return functional_call(model, copies, (x,)) if copies else model(x)


def _first_layer(model: nn.Module, x: torch.Tensor, x_again: torch.Tensor) -> str:
    """The first layer whose outputs for the examples in both calls differ, by name and type."""
    first, again = _layer_outputs(model, x), _layer_outputs(model, x_again)
    for name, output in first.items():
        if not _same(output[: len(x_again)], again[name]):
            return f"layer {name!r} ({type(model.get_submodule(name)).__name__})"
    return "its own forward"


def _layer_outputs(model: nn.Module, x: torch.Tensor) -> dict[str, torch.Tensor]:
    seen: dict[str, torch.Tensor] = {}

    def keep(name):
        def hook(module, inputs, output):
            if name and isinstance(output, torch.Tensor):
                seen.setdefault(name, output.detach().clone())

        return hook

    handles = [module.register_forward_hook(keep(name)) for name, module in model.named_modules()]
    try:
        _forward(model, x)
    finally:
        for handle in handles:
            handle.remove()
    return seen


def _same(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.shape == b.shape and torch.allclose(a, b, rtol=1e-3, atol=1e-5, equal_nan=True)
