"""BatchNorm's stand-ins and the three cures that put them in place: freeze, group, recompute."""

from collections.abc import Callable, Iterator

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parameter import is_lazy

from tutorlib.errors import Refused
from tutorlib.nn.data import Data
from tutorlib.theory.noise import check_batch


class FrozenBatchNorm(nn.Module):
    """y = γ (x − m)/√(v + ε) + β with running statistics that stay as they are, in any mode.

    The mean m and variance v, γ and β are the tensors of the BatchNorm it stands in for, under the same names, so
    checkpoints fit both. Source: Wu and He 2018, arXiv 1803.08494, section 4.2 (there BN*).
    """

    def __init__(self, layer: _BatchNorm):
        super().__init__()
        self.eps = layer.eps
        self.weight, self.bias = layer.weight, layer.bias
        for name, buffer in layer.named_buffers(recurse=False):
            self.register_buffer(name, buffer)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)

    def extra_repr(self) -> str:
        return f"{len(self.running_mean)}, eps={self.eps}"


def freeze_batchnorm(model: nn.Module, affine: bool = True) -> nn.Module:
    """``model`` with every BatchNorm frozen: it looks at no neighbour, and ``model.train()`` does not wake it.

    What the model computes in evaluation mode stays the same to the last bit. ``affine=True`` freezes γ and β too,
    ``False`` goes on training them. For nets whose running statistics are worth keeping: pretrained ones. Raises
    ``ValueError`` where a BatchNorm has none or has not seen data. The model is changed in place.
    """

    def frozen(name: str, layer: _BatchNorm) -> nn.Module:
        if layer.running_mean is None or layer.running_var is None:
            raise Refused(
                f"layer {name!r} keeps no running statistics (track_running_stats=False) to be frozen at; allowed: "
                "BatchNorm with statistics. Use to_group_norm, and train again"
            )
        if not layer.running_mean.any() and bool((layer.running_var == 1).all()):
            raise Refused(
                f"layer {name!r} has seen no data yet: its statistics are still 0 and 1; allowed: a trained or "
                "pretrained model. Load its weights first, or use to_group_norm"
            )
        stand_in = FrozenBatchNorm(layer)
        if affine:
            stand_in.requires_grad_(False)
        return stand_in

    return _replaced(model, frozen)


def to_group_norm(model: nn.Module, groups: int) -> nn.Module:
    """``model`` with every BatchNorm replaced by GroupNorm: statistics of one example over groups of channels.

    γ, β and ε are kept, and so is the function in one case: a BatchNorm in training mode at micro-batch 1 over
    spatial positions is a GroupNorm of one channel a group. Anything else is another function, trained
    statistics are lost: train from scratch, or train on. The model is changed in place. Raises ``ValueError`` where
    ``groups`` does not divide the channels. Source: Wu and He 2018, arXiv 1803.08494, section 3.
    """

    def grouped(name: str, layer: _BatchNorm) -> nn.Module:
        if layer.num_features % check_batch(groups, name="groups"):
            raise Refused(
                f"groups is {groups}, and layer {name!r} has {layer.num_features} channels; allowed: a divisor of "
                f"{layer.num_features}"
            )
        stand_in = nn.GroupNorm(groups, layer.num_features, layer.eps, affine=False)
        stand_in.affine, stand_in.weight, stand_in.bias = layer.affine, layer.weight, layer.bias
        return stand_in

    return _replaced(model, grouped)


@torch.no_grad()
def recompute_statistics(model: nn.Module, data: Data, batch: int) -> nn.Module:
    """``model`` with its running statistics replaced by plain averages over ``data``, ``batch`` examples at a time.

    Running statistics lag behind the weights and come from micro-batches; these are of the final weights. Dropout is
    off, weights and modes stay as they are, an incomplete last batch is left out. Without dropout it equals
    :func:`torch.optim.swa_utils.update_bn`. Source: Wu and Johnson 2021, arXiv 2105.07576, section 3 (PreciseBN).
    """
    batch, layers = check_batch(batch, len(data)), [layer for _, layer in batch_norms(model)]
    modes, momenta = {module: module.training for module in model.modules()}, [layer.momentum for layer in layers]
    model.eval()
    try:
        for layer in layers:
            layer.reset_running_stats()
            layer.momentum = None  # a plain average over all calls
            layer.train()
        for part in data.x[: len(data) // batch * batch].split(batch):
            model(part)
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
        for module, mode in modes.items():
            module.training = mode
    return model


def batch_norms(model: nn.Module) -> Iterator[tuple[str, _BatchNorm]]:
    """Every BatchNorm of torch's family by its name: 1-3d, synchronised, and what derives from them."""
    for name, module in model.named_modules():
        if isinstance(module, _BatchNorm):
            yield name, module


def _replaced(model: nn.Module, stand_in: Callable) -> nn.Module:
    """``model`` with ``stand_in(name, layer)`` in every place of every BatchNorm, a shared one shared again."""
    found = dict(batch_norms(model))
    for name, layer in found.items():
        if any(is_lazy(tensor) for tensor in (*layer.parameters(), *layer.buffers())):
            raise Refused(
                f"layer {name!r} is lazy; allowed: layers that know their channels. Call the model once on one batch"
            )
    new = {layer: stand_in(name, layer).train(layer.training) for name, layer in found.items()}
    for module in model.modules():
        for name, child in module._modules.items():  # named_children would pass over a layer used twice
            if child in new:
                module._modules[name] = new[child]
    return new.get(model, model)
