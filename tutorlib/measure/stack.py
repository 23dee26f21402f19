"""R copies of one architecture as one: every parameter gets a replica axis in front."""

import copy
from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.func import functional_call, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from tutorlib.errors import Refused
from tutorlib.measure.replica_layers import batched_layers
from tutorlib.nn.data import Data


class Stack:
    """Models of one architecture, stacked: ``parameters`` and ``buffers`` map a name to (replicas, …).

    Chains of common layers compute all replicas in one call a layer (:mod:`tutorlib.measure.replica_layers`);
    any other module goes through ``torch.vmap``, and a single replica through its own ``forward``. Replicas
    share nothing, so the gradient of the summed losses is every replica's own gradient. Buffers are carried along
    where ``forward`` changes them in place, as torch's layers do, and not where it puts new ones in their place.
    """

    def __init__(self, models: Sequence[nn.Module]):
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
            output = functional_call(self.template, one, (x if shared else x[0],))
            if not isinstance(output, torch.Tensor):
                raise Refused(f"model returned a {type(output).__name__}; allowed: one tensor, an example a row")
            return output.unsqueeze(0)

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


def vmap_agrees(models: Sequence[nn.Module], loss: Callable, data: Data, examples: int = 4) -> bool:
    """Whether ``torch.vmap`` gives each of these models the gradient that it has alone, on a few examples."""
    x, y = (tensor[:examples].expand(len(models), *tensor[:examples].shape) for tensor in (data.x, data.y))

    def gradients(which: slice) -> list:
        stack = Stack([copy.deepcopy(model).eval() for model in models[which]])
        return stack.gradient(
            vmap(loss)(stack(x[which]), y[which]) if which == slice(None) else loss(stack(x[which])[0], y[0])
        )

    try:
        Stack(models)(x)  # in its own mode: some layers fail in training only
        together, alone = gradients(slice(None)), [gradients(slice(r, r + 1)) for r in range(len(models))]
    except Exception:  # whatever torch has against it: one by one does work
        return False
    return all(
        (whole is None) == (part is None) and (whole is None or torch.allclose(whole[r], part[0], rtol=1e-3, atol=1e-6))
        for r, parts in enumerate(alone)
        for whole, part in zip(together, parts, strict=True)
    )
