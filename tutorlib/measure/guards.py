"""What must be true before a per-example gradient means anything, each with the error that says so."""

from collections.abc import Callable

import torch
from torch import nn
from torch.func import functional_call

from tutorlib.errors import Refused, kind, refusing
from tutorlib.measure.mean_loss import check_mean_loss, check_outputs
from tutorlib.nn.data import Data, check_finite

PROBE = 4  # examples
WHOLE = ""  # the model itself among its layers


def check_per_example(model: nn.Module, loss: Callable, data: Data) -> set[str]:
    """Probe with four examples that every example has a gradient of its own, the same at every call.

    Returns the names of the layers whose first axis follows the examples.

    Raises :class:`~tutorlib.errors.Refused` for NaN in the data, a random layer (dropout in training mode), a layer
    that looks across the batch (BatchNorm in training mode, found by its behaviour and not by its name), and a
    loss that is not the mean of the examples' own losses. Costs two small forward passes.
    """
    check_three(model, loss, data)
    check_finite(data.x)
    x, y = data.x[_spaced(data)], data.y[_spaced(data)]
    with torch.no_grad(), refusing("model and loss", what_works(model, data)):
        outputs, fewer = layer_outputs(model, x), layer_outputs(model, x[: PROBE // 2])
        check_outputs(outputs[WHOLE])
        if _first_difference(outputs, fewer) is not None:
            _say_why(model, x, outputs, fewer)
        check_mean_loss(loss, outputs[WHOLE], y)
    sizes = {name: (output.shape[:1], fewer[name].shape[:1]) for name, output in outputs.items() if name in fewer}
    return {name for name, (many, few) in sizes.items() if many == (PROBE,) and few == (PROBE // 2,)}


def _spaced(data: Data) -> list[int]:
    """Four examples from one end to the other, for classes may stand in order."""
    return [i * (len(data) - 1) // (PROBE - 1) for i in range(PROBE)]


def _say_why(model: nn.Module, x: torch.Tensor, outputs: dict, fewer: dict) -> None:
    if (layer := _first_difference(outputs, layer_outputs(model, x))) is not None:
        raise Refused(
            f"model is random at {_title(model, layer)}: the same examples gave two different outputs; "
            "allowed: a model that repeats itself. Call model.eval(), or set the dropout rate to 0"
        )
    raise Refused(
        f"model looks across the batch at {_title(model, _first_difference(outputs, fewer))}: an example's output "
        "changes with its neighbours, so per-example gradients do not exist; allowed: layers that treat every "
        "example alone. Call model.eval() to freeze BatchNorm, or use GroupNorm or LayerNorm"
    )


def check_loss_of(model: nn.Module, loss: Callable, data: Data) -> None:
    """:func:`~tutorlib.measure.mean_loss.check_mean_loss` on a few examples of the data: one small forward pass."""
    check_three(model, loss, data)
    probe = torch.arange(min(PROBE, len(data)), device=data.x.device)
    with torch.no_grad(), refusing("model and loss", what_works(model, data)):
        outputs = forward(model, data.x[probe])
        check_outputs(outputs)
        check_mean_loss(loss, outputs, data.y[probe])


def check_model(model) -> nn.Module:
    """``model`` if it is a module; a ``ValueError`` that says so if not: a class, say, is none."""
    if not isinstance(model, nn.Module):
        raise Refused(f"model is {kind(model)}; allowed: a torch.nn.Module")
    return model


def check_function(given, name: str, takes: str) -> Callable:
    """``given`` if it can be called; a ``ValueError`` that says what it takes if not."""
    if not callable(given):
        raise Refused(f"{name} is {kind(given)}; allowed: a function {takes}")
    return given


def check_three(model, loss, data) -> None:
    """Raises ``ValueError`` unless these are a module, a function and :class:`~tutorlib.nn.data.Data`."""
    check_model(model)
    check_function(loss, "loss", "(outputs, targets) → one number")
    if not isinstance(data, Data):
        raise Refused(f"data is {kind(data)}; allowed: tutorlib.nn.data.Data(x, y), two tensors with all the examples")
    if not len(data):
        raise Refused("data has no examples; allowed: at least one")


def what_works(model: nn.Module, data: Data) -> str:
    """What is allowed where model and loss fail, with the types of numbers where these differ."""
    types = {p.dtype for p in model.parameters() if p.is_floating_point()}
    if data.x.is_floating_point() and types and data.x.dtype not in types:
        theirs = " and ".join(sorted(map(str, types)))
        return f"inputs of the model's own type. x is {data.x.dtype} and the model {theirs}: convert either"
    return "a loss of model(inputs) and targets. Try these three by hand"


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
        output = output[: len(other)]
        if not torch.equal(output, other) and not torch.allclose(output, other, rtol=1e-3, atol=1e-5, equal_nan=True):
            return name
    return None


def _title(model: nn.Module, name: str) -> str:
    return "its own forward" if name == WHOLE else f"layer {name!r} ({type(model.get_submodule(name)).__name__})"
