"""What must be true before a per-example gradient means anything, each with the error that says so."""

from collections.abc import Callable

import torch
from torch import nn
from torch.func import functional_call

from tutorlib.errors import Refused
from tutorlib.nn.data import Data, check_finite

PROBE = 4  # examples
WHOLE = ""  # the model itself among its layers


def check_per_example(model: nn.Module, loss: Callable, data: Data) -> None:
    """Probe with four examples that every example has a gradient of its own, the same at every call.

    Raises ``ValueError`` for NaN in the data, a random layer (dropout in training mode), a layer that
    looks across the batch (BatchNorm in training mode, found by its behaviour and not by its name), and a
    loss that is not the mean of the examples' own losses. Costs three small forward passes.
    """
    if not len(data):
        raise Refused("data has no examples; allowed: at least one")
    check_finite(data.x)
    probe = torch.linspace(0, len(data) - 1, PROBE, device=data.x.device).long()  # classes may stand in order
    x, y = data.x[probe], data.y[probe]
    with torch.no_grad():
        outputs, again, fewer = (layer_outputs(model, part) for part in (x, x, x[: PROBE // 2]))
        if (layer := _first_difference(outputs, again)) is not None:
            raise Refused(
                f"model is random at {_title(model, layer)}: the same examples gave two different outputs; "
                "allowed: a model that repeats itself. Call model.eval(), or set the dropout rate to 0"
            )
        if (layer := _first_difference(outputs, fewer)) is not None:
            raise Refused(
                f"model looks across the batch at {_title(model, layer)}: an example's output changes with "
                "its neighbours, so per-example gradients do not exist; allowed: layers that treat every example "
                "alone. Call model.eval() to freeze BatchNorm, or use GroupNorm or LayerNorm"
            )
        check_mean_loss(loss, outputs[WHOLE], y)


def check_loss_of(model: nn.Module, loss: Callable, data: Data) -> None:
    """:func:`check_mean_loss` on a few examples of the data: one small forward pass."""
    probe = torch.arange(min(PROBE, len(data)), device=data.x.device)
    with torch.no_grad():
        check_mean_loss(loss, forward(model, data.x[probe]), data.y[probe])


def check_mean_loss(loss: Callable, outputs: torch.Tensor, targets: torch.Tensor) -> None:
    """Raises ``ValueError`` unless ``loss`` of a batch is the mean of the losses of its examples."""
    whole = loss(outputs, targets)
    if whole.ndim:
        raise Refused(
            f"loss returned shape {tuple(whole.shape)}; allowed: one number, the mean over the examples. "
            'Use reduction="mean"'
        )
    alone = torch.stack([loss(outputs[i : i + 1], targets[i : i + 1]) for i in range(len(outputs))])
    if torch.allclose(whole, alone.mean(), rtol=1e-3, atol=0):
        return
    if torch.allclose(whole, alone.sum(), rtol=1e-3, atol=0):
        raise Refused('loss sums over the examples; allowed: their mean. Use reduction="mean"')
    raise Refused(
        f"loss of {len(outputs)} examples is {whole:.4g}, the mean of their own losses {alone.mean():.4g}; "
        "allowed: a plain mean over examples. Leave out class weights and losses that compare examples with each other"
    )


def forward(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """The output, computed on copies of the buffers: running statistics stay where they were."""
    copies = {name: buffer.clone() for name, buffer in model.named_buffers()}
    return functional_call(model, copies, (x,)) if copies else model(x)


def layer_outputs(model: nn.Module, x: torch.Tensor) -> dict[str, torch.Tensor]:
    """What every layer answers, by name in the order of the calls, and last the model's own output."""
    seen: dict[str, torch.Tensor] = {}

    def keep(name):
        def hook(module, inputs, output):
            if isinstance(output, torch.Tensor):
                seen.setdefault(name, output.clone())  # the next layer may work in place

        return hook

    handles = [module.register_forward_hook(keep(name)) for name, module in model.named_modules() if name]
    try:
        return seen | {WHOLE: forward(model, x)}
    finally:
        for handle in handles:
            handle.remove()


def _first_difference(outputs: dict, others: dict) -> str | None:
    """The first layer that answers the examples in both differently; layers without an example axis are passed over."""
    for name, output in outputs.items():
        other = others.get(name)
        if other is None or output.shape[1:] != other.shape[1:] or (name != WHOLE and not output.ndim):
            continue
        if not torch.allclose(output[: len(other)], other, rtol=1e-3, atol=1e-5, equal_nan=True):
            return name
    return None


def _title(model: nn.Module, name: str) -> str:
    return "its own forward" if name == WHOLE else f"layer {name!r} ({type(model.get_submodule(name)).__name__})"
