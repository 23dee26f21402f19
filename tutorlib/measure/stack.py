"""R copies of one architecture as one: every parameter gets a replica axis in front."""

import copy
from collections.abc import Sequence

import torch
from torch import nn
from torch.func import functional_call, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from tutorlib.errors import Refused
from tutorlib.measure.replica_layers import batched_layers


class Stack:
    """Models of one architecture, stacked: ``parameters`` and ``buffers`` map a name to (replicas, …).

    Chains of common layers compute all replicas in one call a layer (:mod:`tutorlib.measure.replica_layers`);
    any other module goes through ``torch.vmap``, and a single replica through its own ``forward``. Replicas
    share nothing, so the gradient of the summed losses is every replica's own gradient.
    """

    def __init__(self, models: Sequence[nn.Module]):
        _check_alike(models)
        self.template = copy.deepcopy(models[0])
        self.layers = batched_layers(self.template)
        states = [{**dict(m.named_parameters()), **dict(m.named_buffers())} for m in models]
        trained = [name for name, p in self.template.named_parameters() if p.requires_grad]
        with torch.no_grad():
            tensors = {name: torch.stack([state[name] for state in states]) for name in states[0]}
        self.parameters = {name: tensors.pop(name).requires_grad_() for name in trained}
        self.buffers = tensors  # with the frozen parameters: what is carried along and not trained

    def __len__(self) -> int:
        return len(next(iter(self.parameters.values())))

    def __call__(self, x: torch.Tensor, shared: bool = False) -> torch.Tensor:
        """Outputs (replicas, examples, …) for ``x`` (replicas, examples, …), or (examples, …) if ``shared``."""
        tensors = {**self.parameters, **self.buffers}
        if self.layers:
            x = x.expand(len(self), *x.shape) if shared else x
            for layer in self.layers:
                x = layer(tensors, x)
            return x
        if len(self) == 1:
            one = {name: tensor[0] for name, tensor in tensors.items()}
            return functional_call(self.template, one, (x if shared else x[0],)).unsqueeze(0)

        def one(tensors, x):
            return functional_call(self.template, tensors, (x,))

        with sdpa_kernel(SDPBackend.MATH):  # the fused kernels of attention know no replica axis
            return vmap(one, in_dims=(0, None if shared else 0), randomness="different")(tensors, x)

    def evaluate(self, x: torch.Tensor) -> torch.Tensor:
        """Outputs for shared examples in evaluation mode: no dropout, BatchNorm with its running statistics."""
        training = {module: module.training for module in self.template.modules()}
        self.template.eval()
        try:
            return self(x, shared=True)
        finally:
            for module, mode in training.items():
                module.training = mode

    def gradient(self, losses: torch.Tensor) -> list[torch.Tensor | None]:
        """Each parameter's gradient of the sum of ``losses`` (replicas,): one backward pass for all replicas."""
        return list(torch.autograd.grad(losses.sum(), list(self.parameters.values()), allow_unused=True))

    def keep(self, rows: torch.Tensor) -> None:
        """Go on with these replicas only."""
        self.parameters = {name: p.detach()[rows].requires_grad_() for name, p in self.parameters.items()}
        self.buffers = {name: buffer[rows] for name, buffer in self.buffers.items()}

    def write_to(self, model: nn.Module, row: int) -> None:
        """Copy one replica's parameters and buffers into ``model``."""
        state = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        with torch.no_grad():
            for name, tensor in {**self.parameters, **self.buffers}.items():
                state[name].copy_(tensor[row])


def _check_alike(models: Sequence[nn.Module]) -> None:
    if not models:
        raise Refused("models is empty; allowed: at least one model")

    def shapes(model):
        tensors = (*model.named_parameters(), *model.named_buffers())
        return {name: (tensor.shape, tensor.dtype, tensor.device, tensor.requires_grad) for name, tensor in tensors}

    for number, model in enumerate(models):
        if (
            type(model) is not type(models[0])
            or shapes(model) != shapes(models[0])
            or model.training != models[0].training
        ):
            raise Refused(
                f"models[{number}] differs from models[0] in layers, shapes, mode or device; allowed: copies of one "
                "architecture. Train other shapes in an ensemble of their own"
            )
