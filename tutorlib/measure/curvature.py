"""Sharpness: the top eigenvalue of the Hessian, of many replicas at once, and the same in each weight's own size."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.linalg import eigh_tridiagonal
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from tutorlib.errors import Refused
from tutorlib.measure.alike import check_alike, check_subsets
from tutorlib.measure.chunk import losses_of
from tutorlib.measure.ensemble import chunk_size
from tutorlib.measure.guards import check_per_example
from tutorlib.measure.stack import Stack
from tutorlib.nn.data import Data
from tutorlib.theory.noise import check_batch

LOOK = 4  # products between two looks at the tridiagonal matrix


@dataclass(frozen=True)
class Top:
    """The largest eigenvalue of a Hessian, and how well it is known, both but for rounding.

    An eigenvalue lies within ``residual`` = |Hv − λv| of ``value``. ``error`` = min(r, r²/gap) is the usual estimate of
    the distance to it (Parlett 1998, The Symmetric Eigenvalue Problem), with the gap to the second Ritz value, which
    may be a little larger than the true one. ``vector`` is v (parameters,), in the order of the
    model's trainable parameters; ``products`` counts the Hessian-vector products.
    """

    value: float
    residual: float
    error: float
    products: int
    vector: torch.Tensor


def top_eigenvalue(model: nn.Module, loss: Callable, data: Data, **settings) -> Top:
    """:func:`top_eigenvalues` of a single model."""
    (top,) = top_eigenvalues([model], loss, data, **settings)
    return top


def top_eigenvalues(
    models: Sequence[nn.Module],
    loss: Callable,
    data: Data,
    *,
    adaptive: bool = False,
    subsets: torch.Tensor | None = None,
    tolerance: float = 1e-6,
    products: int = 100,
    seed: int = 0,
    chunk: int | None = None,
) -> list[Top]:
    """λ_max of the Hessian H of the mean loss over ``data``, one :class:`Top` a replica.

    ``adaptive`` measures lengths in units of each weight: λ_max of T H T with T = diag|θ|, which no rescaling of
    weights that leaves the function alone can change. ρ²/2 times it is the worst rise of the loss within
    |T⁻¹δ| ≤ ρ, to second order and without the slope. ``subsets`` (replicas, examples) gives each replica
    examples of its own. Lanczos with full reorthogonalization, from a vector drawn by ``seed``, ends where
    ``error`` ≤ ``tolerance``·|λ| for every replica of a chunk, or after ``products``: read ``error`` then.

    Raises ``ValueError`` for parameters that are not finite, a model that is random (dropout) or looks across the
    batch (BatchNorm in training mode), and a loss that is not a mean over examples.
    Source: Lanczos 1950; Kwon et al. 2021, arXiv 2102.11600; Andriushchenko et al. 2023, arXiv 2302.07011.
    """
    check_alike(models)
    for number, model in enumerate(models):
        check_parameters(model, f"models[{number}]")
    if not 0 < tolerance < 1:
        raise Refused(f"tolerance is {tolerance!r}; allowed: a number between 0 and 1, a share of the eigenvalue")
    check_batch(products, name="products")
    subsets = None if subsets is None else check_subsets(subsets, len(models), len(data))
    check_per_example(models[0], loss, data if subsets is None else Data(data.x[subsets[0]], data.y[subsets[0]]))
    examples = len(data) if subsets is None else subsets.shape[1]
    chunk, found = chunk_size(models, loss, data, examples, chunk), []
    for these in np.array_split(np.arange(len(models)), -(-len(models) // chunk)):
        chosen = slice(None) if subsets is None else subsets[these]
        hessian = Hessian([models[r] for r in these], loss, data.x[chosen], data.y[chosen], subsets is None, adaptive)
        found += lanczos(hessian, tolerance, products, seed)
    return found


def check_parameters(model: nn.Module, title: str = "model") -> None:
    """Raises ``ValueError`` where a parameter is not finite."""
    for name, parameter in model.named_parameters():
        if not bool(torch.isfinite(parameter).all()):
            raise Refused(
                f"{title} has NaN or infinity in parameter {name!r}; allowed: finite numbers. A run that diverged has "
                "no curvature: leave it out"
            )


class Hessian:
    """The Hessians of a stack of replicas: ``multiply`` gives every replica's own H v from one backward pass.

    The gradient's graph is built once and kept; replicas share nothing, so the Hessian of their summed losses is
    made of their own blocks, and the gradient of gᵀv is H v.
    """

    def __init__(self, models: Sequence[nn.Module], loss: Callable, x, y, shared: bool, adaptive: bool):
        stack = Stack(models)
        self.parameters = list(stack.parameters.values())
        with sdpa_kernel(SDPBackend.MATH):  # the fused kernels of attention have no second derivative
            losses = losses_of(loss, stack(x, shared), y.expand(len(models), *y.shape) if shared else y)
        self.gradient = self._flat(self._gradient(losses.sum(), create_graph=True))
        if not bool(torch.isfinite(self.gradient).all()):
            raise Refused(
                "loss has a gradient with NaN or infinity; allowed: a finite one. Leave out weights this large"
            )
        self.size = self._flat(self.parameters).detach().abs() if adaptive else None

    def _gradient(self, output: torch.Tensor, **options) -> tuple:
        return torch.autograd.grad(output, self.parameters, materialize_grads=True, **options)

    @staticmethod
    def _flat(tensors) -> torch.Tensor:
        return torch.cat([tensor.flatten(1) for tensor in tensors], dim=1)

    def multiply(self, vectors: torch.Tensor) -> torch.Tensor:
        """H v, or T H T v, for ``vectors`` (replicas, parameters)."""
        if not self.gradient.requires_grad:  # a loss linear in the parameters
            return torch.zeros_like(vectors)
        if self.size is not None:
            vectors = self.size * vectors
        product = self._flat(self._gradient(self.gradient, grad_outputs=vectors, retain_graph=True))
        return product if self.size is None else self.size * product


def lanczos(hessian: Hessian, tolerance: float, most: int, seed: int) -> list[Top]:
    """Every replica's largest eigenvalue: H seen in the growing basis v, H v, H² v …, where it is tridiagonal.

    Rounding makes the basis vectors forget each other; each new one is therefore made orthogonal to all of them.
    """
    replicas, dimension = hessian.gradient.shape
    most = min(most, dimension)
    start = torch.randn(dimension, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    basis = hessian.gradient.new_empty(replicas, most, dimension)
    basis[:, 0] = (start / start.norm()).to(basis.dtype)
    diagonal, beside = np.zeros((most, replicas)), np.zeros((most, replicas))
    for step in range(most):
        known = basis[:, : step + 1]
        following = hessian.multiply(basis[:, step])
        diagonal[step] = (following * basis[:, step]).sum(dim=1).cpu()
        for vectors in (known[:, -2:], known):  # the two that exact arithmetic needs, then all
            following = without(following, vectors)
        length = following.norm(dim=1)
        beside[step] = length.cpu()
        last = step + 1 == most or not beside[step].any()
        if last or (step + 1) % LOOK == 0:
            pairs = [ritz(diagonal[: step + 1, r], beside[: step + 1, r]) for r in range(replicas)]
            if last or all(error <= tolerance * abs(value) for value, error, _ in pairs):
                break
        # Where the basis is whole, nothing follows: a zero vector, which ``ritz`` leaves out.
        basis[:, step + 1] = following / length.clamp_min(torch.finfo(length.dtype).tiny).unsqueeze(1)
    return finished(hessian, known, pairs)


def without(vectors: torch.Tensor, basis: torch.Tensor) -> torch.Tensor:
    """``vectors`` (replicas, parameters) less their shares of an orthonormal ``basis`` (replicas, vectors, parameters).

    Rows times matrices: the other way round these products take five times as long.
    """
    shares = vectors.unsqueeze(1) @ basis.mT
    return vectors - (shares @ basis).squeeze(1)


def ritz(diagonal: np.ndarray, beside: np.ndarray) -> tuple[float, float, np.ndarray]:
    """The largest eigenvalue of a tridiagonal matrix, the error it has for H, and its eigenvector."""
    ends = np.flatnonzero(beside == 0)
    size = int(ends[0]) + 1 if len(ends) else len(beside)  # the basis ended there
    values, vectors = eigh_tridiagonal(
        diagonal[:size], beside[: size - 1], select="i", select_range=(max(size - 2, 0), size - 1)
    )
    residual = beside[size - 1] * abs(vectors[-1, -1])
    return float(values[-1]), distance(residual, values), np.pad(vectors[:, -1], (0, len(diagonal) - size))


def distance(residual: float, values: np.ndarray) -> float:
    """min(r, r²/gap): how far the last of rising Ritz ``values`` may be from an eigenvalue."""
    gap = values[-1] - values[0]
    return float(min(residual, residual**2 / gap) if gap > 0 else residual)


def finished(hessian: Hessian, basis: torch.Tensor, pairs: list) -> list[Top]:
    """The eigenvectors in the space of the parameters, and their residuals from one more product."""
    shares = torch.from_numpy(np.array([vector for *_, vector in pairs])).to(basis.dtype).to(basis.device)
    vectors = (shares.unsqueeze(1) @ basis).squeeze(1)
    values = torch.tensor([value for value, *_ in pairs], dtype=basis.dtype, device=basis.device)
    residuals = (hessian.multiply(vectors) - values.unsqueeze(1) * vectors).norm(dim=1).tolist()
    return [
        Top(value, residual, error, basis.shape[1] + 1, vector)
        for (value, error, _), residual, vector in zip(pairs, residuals, vectors, strict=True)
    ]
