"""K-FAC: the inverse curvature of every layer as two small matrices, one of its inputs and one of its outputs.

It does not fit (parameter, gradient, state, rate): the matrices are made of what passes *through* a layer. So it is
not an optimizer but stands before one, ``fit_ensemble(…, precondition=kfac)``, and knows chains of linear layers.
"""

import torch
from torch import nn

from tutorlib.errors import Refused
from tutorlib.measure.replica_layers import ELEMENTWISE, PLAIN
from tutorlib.measure.stack import Stack


def kfac(
    stack: Stack,
    x: torch.Tensor,
    gradients: list,
    state,
    damping=0.01,
    memory: float = 0.95,
    loss: str = "softmax",
    draws: int = 0,
    seed: int = 0,
):
    """Each layer's [∂W | ∂b] ← (G + √γ/π)⁻¹ [∂W | ∂b] (A + π√γ)⁻¹, for ``stack`` on ``x`` (replicas, examples, …).

    A = E[āāᵀ] of a layer's inputs with a 1 behind them, G = E[ggᵀ] of the gradients at its outputs, where targets are
    the model's own: exact, in one backward pass for each output, or unbiased from ``draws`` passes with random signs,
    which pays where outputs are many. π² = (tr A/size A) / (tr G/size G) shares the
    ``damping`` γ, a number or one a replica. Both matrices are running means that keep min(1 − 1/k, ``memory``) at
    step k. ``loss`` says what the outputs are for: "softmax" (cross-entropy) or "squared" (the mean over outputs).
    Source: Martens and Grosse 2015, arXiv 1503.05671, sections 3 (factors), 5 (running means; there with sampled
    targets) and 6.3 (damping); its rescaling and momentum of sections 6.4 and 7 are left to the optimizer that follows.
    """
    step, old = (0, None) if state is None else state
    fresh = factors(stack, x, loss, draws, seed=(seed << 32) + step)
    old = fresh if old is None else old
    keep = min(1 - 1 / (step + 1), memory)
    means = [
        tuple(keep * a + (1 - keep) * b for a, b in zip(*pair, strict=True)) for pair in zip(old, fresh, strict=True)
    ]
    moved = []
    for (a, g), weight, bias in zip(means, gradients[::2], gradients[1::2], strict=True):
        both = preconditioned(torch.cat([weight, bias.unsqueeze(2)], dim=2), a, g, damping)
        moved += [both[:, :, :-1], both[:, :, -1]]
    return moved, (step + 1, means)


def preconditioned(gradient: torch.Tensor, a: torch.Tensor, g: torch.Tensor, damping) -> torch.Tensor:
    """(G + √γ/π)⁻¹ ∂ (A + π√γ)⁻¹ for (replicas, outputs, inputs); what is singular comes out as not finite."""
    share = (mean_diagonal(a) / mean_diagonal(g)).sqrt()
    root = torch.as_tensor(damping, dtype=a.dtype, device=a.device).reshape(-1, 1, 1).sqrt()
    return inverse(g, root / share) @ gradient @ inverse(a, root * share)


def mean_diagonal(matrix: torch.Tensor) -> torch.Tensor:
    return matrix.diagonal(dim1=-2, dim2=-1).mean(dim=-1)[:, None, None]


def inverse(matrix: torch.Tensor, added: torch.Tensor) -> torch.Tensor:
    one = torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
    return torch.linalg.inv_ex(matrix + added * one).inverse  # never raises: one replica's end is its own


def factors(
    stack: Stack, x: torch.Tensor, loss: str = "softmax", draws: int = 0, seed: int = 0
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """A (replicas, inputs + 1, inputs + 1) and G (replicas, outputs, outputs) of every linear layer, in their order.

    With ``draws``, each pass goes back along the columns of S with random signs, the same in all replicas: (Sε)(Sε)ᵀ is
    S Sᵀ on average.
    """
    inputs, outputs, signal = [], [], x
    for layer, computed in zip(linear_chain(stack), stack.layers, strict=True):
        if isinstance(layer, nn.Linear):
            inputs.append(torch.cat([signal.detach(), torch.ones_like(signal[..., :1])], dim=-1))
        signal = computed(stack.parameters, signal)
        if isinstance(layer, nn.Linear):
            outputs.append(signal)
    squares = [0.0] * len(outputs)
    made = signal.detach()
    if draws:
        signs = torch.randint(2, (*made.shape[1:], draws), generator=torch.Generator().manual_seed(seed))
        columns = ((2 * signs - 1).to(made) / draws**0.5).expand(*made.shape, draws)
    else:
        columns = torch.ones_like(made).diag_embed()
    columns = through_root(columns, made, loss)
    for column in columns.unbind(dim=-1):
        found = torch.autograd.grad(signal, outputs, column, retain_graph=True)
        squares = [square + g.mT @ g for square, g in zip(squares, found, strict=True)]
    return [(a.mT @ a / x.shape[1], square / x.shape[1]) for a, square in zip(inputs, squares, strict=True)]


def through_root(columns: torch.Tensor, outputs: torch.Tensor, loss: str) -> torch.Tensor:
    """S · columns, (…, outputs, columns), with S Sᵀ = the second derivative of one example's loss; S is never formed.

    Softmax: diag(p) − p pᵀ, so S = diag(√p) − p √pᵀ, for |√p| = 1. Squared, a mean over C outputs: 2/C, the identity.
    """
    if loss == "softmax":
        p = outputs.softmax(dim=-1).unsqueeze(-1)
        scaled = p.sqrt() * columns
        return scaled - p * scaled.sum(dim=-2, keepdim=True)
    if loss == "squared":
        return (2 / outputs.shape[-1]) ** 0.5 * columns
    raise Refused(f'loss is "{loss}"; allowed: "softmax", "squared"')


def linear_chain(stack: Stack) -> list[nn.Module]:
    """The layers of a stack that K-FAC knows: linear ones with a bias, and activations between them."""
    layers = [layer for layer in stack.template.modules() if type(layer) is not nn.Sequential]
    linear = [layer for layer in layers if type(layer) is nn.Linear and layer.bias is not None]
    known = all(layer in linear or type(layer) in (*ELEMENTWISE, *PLAIN) for layer in layers)
    if not (known and linear and stack.layers and len(stack.parameters) == 2 * len(linear)):
        raise Refused(
            f"K-FAC got a model of {', '.join(type(layer).__name__ for layer in layers)}; allowed: nn.Sequential of "
            "nn.Linear with bias, all trained, and activations. Take another optimizer for this model"
        )
    return layers
