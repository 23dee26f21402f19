"""Optimizers that see a layer as a matrix: Shampoo whitens its rows and columns, Muon makes it orthogonal.

Pure functions as in :mod:`tutorlib.nn.optimizers`. A gradient is (rows, columns) or (replicas, rows, columns); more
axes, of a convolution, are told below. K-FAC needs more than a gradient: :mod:`tutorlib.measure.kfac`.
"""

import torch

from tutorlib.nn.optimizers import adamw, replica_axes

QUINTIC = (3.4445, -4.7750, 2.0315)  # steep at 0, between 0.7 and 1.2 near 1: chosen for speed, not to converge


def muon(parameter: torch.Tensor, gradient: torch.Tensor, state, rate, momentum=0.95, weight_decay=0.0):
    """θ ← (1 − ηλ) θ − 0.2 η √max(rows, columns) · NS(μ m + (1 − μ) g), with m ← μ m + (1 − μ) g first.

    NS brings every singular value near 1 and keeps the singular vectors. The factor 0.2 √max(…) gives a step the root
    mean square of a typical AdamW step, so vectors, which take AdamW's step, share its rate. Axes after the second
    count as columns. Here *every* matrix is treated so; the sources leave embeddings and the last layer to AdamW.
    Source: Jordan et al. 2024, kellerjordan.github.io/posts/muon; the factor: Liu et al. 2025, arXiv 2502.16982,
    section 2.2. Equals :class:`torch.optim.Muon` (its adjust_lr_fn "match_rms_adamw") but for bfloat16.
    """
    axes = replica_axes(rate)
    if parameter.ndim - axes < 2:
        return adamw(parameter, gradient, state, rate, weight_decay=weight_decay)
    mean = (1 - momentum) * gradient if state is None else momentum * state + (1 - momentum) * gradient
    ahead = (momentum * mean + (1 - momentum) * gradient).flatten(axes + 1)
    factor = 0.2 * max(ahead.shape[-2:]) ** 0.5
    return parameter * (1 - rate * weight_decay) - rate * factor * orthogonal(ahead).view_as(parameter), mean


def orthogonal(matrix: torch.Tensor, rounds: int = 5) -> torch.Tensor:
    """X ← aX + (b XXᵀ + c (XXᵀ)²) X, five times from X = M/|M|: singular values s ← as + bs³ + cs⁵, vectors stay."""
    a, b, c = QUINTIC
    wide = matrix.mT if matrix.shape[-2] > matrix.shape[-1] else matrix
    x = wide / torch.linalg.matrix_norm(wide, keepdim=True).clamp(min=1e-7)
    for _ in range(rounds):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if matrix.shape[-2] > matrix.shape[-1] else x


def shampoo(parameter: torch.Tensor, gradient: torch.Tensor, state, rate, momentum=0.0, eps=1e-6, every: int = 1):
    """θ ← θ − η v with v ← μ v + L^(−1/4) G R^(−1/4); L ← L + G Gᵀ and R ← R + Gᵀ G from L = R = εI.

    With k axes there are k such sums and the power is −1/(2k): −1/2 for a vector, full-matrix AdaGrad. The sums never
    forget, so steps shrink as 1/√t. Roots are taken anew every ``every`` steps, and at each of the first ``every``, for
    one gradient says nothing of most directions, and its root would blow them up. Momentum is ours, the paper's
    algorithm has none. Source: Gupta, Koren and Singer 2018, arXiv 1802.09568, algorithms 1 and 2.
    """
    axes, order = replica_axes(rate), gradient.ndim - replica_axes(rate)
    floor = eps.reshape(-1, 1) if isinstance(eps, torch.Tensor) else eps
    sums, roots, velocity, step = ([0.0] * order, [None] * order, 0.0, 0) if state is None else state
    sums, roots, direction = list(sums), list(roots), gradient
    for axis in range(order):
        rows = unfolded(gradient, axes, axis)
        sums[axis] = sums[axis] + rows @ rows.mT
        if step < every or step % every == 0:
            roots[axis] = inverse_root(sums[axis], 2 * order, floor)
        direction = folded(roots[axis] @ unfolded(direction, axes, axis), direction, axes, axis)
    velocity = momentum * velocity + direction
    return parameter - rate * velocity, (sums, roots, velocity, step + 1)


def unfolded(tensor: torch.Tensor, axes: int, axis: int) -> torch.Tensor:
    """One axis (after the replicas') as rows, all others as columns."""
    front = tensor.movedim(axes + axis, axes)
    return front.reshape(*front.shape[: axes + 1], -1)


def folded(rows: torch.Tensor, like: torch.Tensor, axes: int, axis: int) -> torch.Tensor:
    """The inverse of :func:`unfolded`, to the shape of ``like``."""
    return rows.view(like.movedim(axes + axis, axes).shape).movedim(axes, axes + axis)


def inverse_root(matrix: torch.Tensor, power: int, eps) -> torch.Tensor:
    """(M + εI)^(−1/power) of symmetric matrices; NaN, and no error, for one that is not finite.

    Eigenvalues are sums of squares: what rounding makes of them below 0 is 0.
    """
    finite = matrix.isfinite().all(dim=-1).all(dim=-1)[..., None, None]
    values, vectors = eigenpairs(torch.where(finite, matrix, 0.0))
    scales = (values.clamp(min=0) + eps) ** (-1 / power)
    return torch.where(finite, (vectors * scales.unsqueeze(-2)) @ vectors.mT, torch.nan)


def eigenpairs(matrices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """``torch.linalg.eigh``; where it gives up, one by one in double precision, and NaN for what still fails.

    Sums of a run that blows up are so ill-conditioned that the library may not converge, and its error would end all;
    in single precision it may also return NaN without a word, for finite sums with many zeros in them.
    """
    try:
        values, vectors = torch.linalg.eigh(matrices)
        if torch.isfinite(values).all() and torch.isfinite(vectors).all():
            return values, vectors
    except torch.linalg.LinAlgError:
        pass
    if matrices.ndim > 2:
        each = [eigenpairs(matrix) for matrix in matrices]
        return torch.stack([values for values, _ in each]), torch.stack([vectors for _, vectors in each])
    try:
        values, vectors = torch.linalg.eigh(matrices.double())
        return values.to(matrices.dtype), vectors.to(matrices.dtype)
    except torch.linalg.LinAlgError:
        return torch.full_like(matrices[0], torch.nan), torch.full_like(matrices, torch.nan)
