"""What models must share before they can be trained as one, each with the error that says so."""

from collections.abc import Mapping, Sequence

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from tutorlib.errors import Refused

HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
PLAIN = (bool, int, float, str, tuple, type(None))


def check_alike(models: Sequence[nn.Module]) -> None:
    """Raises ``ValueError`` unless ``models`` are separate copies of one architecture that a stack can stand for."""
    if not len(models):
        raise Refused("models is empty; allowed: at least one model")
    owner: dict[int, int] = {}
    first = _described(models[0])
    for number, model in enumerate(models):
        if _described(model) != first:
            raise Refused(
                f"models[{number}] differs from models[0] in layers, shapes, settings, mode or device; allowed: copies "
                "of one architecture. Train other models in an ensemble of their own"
            )
        _check_plain(number, model)
        for tensor in (*model.parameters(), *model.buffers()):
            if owner.setdefault(id(tensor), number) != number:
                raise Refused(
                    f"models[{number}] shares a tensor with models[{owner[id(tensor)]}]; allowed: separate models. "
                    "Use copy.deepcopy"
                )


def _check_plain(number: int, model: nn.Module) -> None:
    watched = [module for module in model.modules() if any(getattr(module, hooks) for hooks in HOOKS)]
    if watched or any(p._backward_hooks for p in model.parameters()):
        raise Refused(
            f"models[{number}] has hooks, which see one model at a time; allowed: none. Remove them, or train with fit"
        )
    if any("forward" in vars(module) for module in model.modules()):
        raise Refused(
            f"models[{number}] has a forward of its own, set on the object; allowed: the forward of its class, for a "
            "copy would go on calling the original"
        )
    if any(is_lazy(p) for p in model.parameters()):
        raise Refused(
            f"models[{number}] has lazy parameters; allowed: shapes that are known. Call it once on one example"
        )
    if not any(p.requires_grad for p in model.parameters()):
        raise Refused(f"models[{number}] has no parameter to train; allowed: at least one with requires_grad")


def _described(model: nn.Module) -> tuple:
    """Everything that copies of one architecture have in common."""
    layers = [
        (
            name,
            type(module).__qualname__,
            {key: value for key, value in vars(module).items() if isinstance(value, PLAIN)},
        )
        for name, module in model.named_modules(remove_duplicate=False)
    ]
    tensors = [
        (name, None if is_lazy(tensor) else tensor.shape, tensor.dtype, tensor.device, tensor.requires_grad)
        for name, tensor in (*model.named_parameters(remove_duplicate=False), *model.named_buffers())
    ]
    return layers, tensors


def check_subsets(subsets, replicas: int, examples: int) -> torch.Tensor:
    """``subsets`` (replicas, examples) on the processor, if it holds indices into the data."""
    if not isinstance(subsets, torch.Tensor) or subsets.ndim != 2 or subsets.is_floating_point():
        raise Refused(
            "subsets must be a tensor (replicas, examples) of whole numbers; use torch.stack of index tensors"
        )
    if len(subsets) != replicas or not subsets.shape[1]:
        raise Refused(
            f"subsets has shape {tuple(subsets.shape)}; allowed: a row of examples for each of {replicas} replicas"
        )
    if int(subsets.min()) < 0 or int(subsets.max()) >= examples:
        raise Refused(f"subsets holds {int(subsets.min())} … {int(subsets.max())}; allowed: 0 … {examples - 1}")
    return subsets.cpu().long()


def check_knobs(knobs: Mapping[str, Sequence[float]], replicas: int) -> dict[str, torch.Tensor]:
    """``knobs`` as tensors (replicas,), if there is one finite number for each replica."""
    checked = {name: torch.as_tensor(values, dtype=torch.float64) for name, values in knobs.items()}
    for name, values in checked.items():
        if values.shape != (replicas,) or not values.isfinite().all():
            raise Refused(
                f"knobs[{name!r}] is {knobs[name]!r}; allowed: a finite number for each of {replicas} replicas"
            )
    return checked
