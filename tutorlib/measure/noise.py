"""Gradient noise: tr Σ and |G|² exactly, from two batch sizes, or from the parts of an accumulated step."""

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from tutorlib.errors import Refused
from tutorlib.measure.guards import check_loss_of, forward
from tutorlib.measure.per_example import per_example_squares, trainable
from tutorlib.nn.data import Data
from tutorlib.theory.noise import Noise, NoiseDraws, check_batch, two_batch_estimates

Sampler = Callable[[int], torch.Tensor]


def exact_noise(model: nn.Module, loss: Callable, data: Data) -> Noise:
    """tr Σ = mean |g_i|² − |G|² over all examples, and |G|²; nothing is sampled.

    About one backward pass for linear and convolutional nets. Raises ``ValueError`` as
    :func:`~tutorlib.measure.per_example.per_example_squares` does, for one example, and where every gradient is zero.
    """
    if isinstance(data, Data) and len(data) == 1:
        raise Refused("data has 1 example, which differs from none; allowed: at least 2")
    measured = per_example_squares(model, loss, data)
    check_gradient(float(measured.squares.sum()))
    grad_sq = float(measured.mean.double().square().sum())
    return Noise(float(measured.squares.double().mean()) - grad_sq, grad_sq)


def check_gradient(square: float) -> None:
    """Raises ``ValueError`` where a squared length says that there is no gradient: neither signal nor noise."""
    if square == 0:
        raise Refused(
            "gradient of the loss is zero in every parameter; allowed: a loss that changes with the model's outputs. "
            "Look for a constant loss, dead units, or a task that is solved"
        )


def gradient_sampler(model: nn.Module, loss: Callable, data: Data, seed, replacement: bool = True) -> Sampler:
    """A function: batch size → the flat gradient of a fresh random minibatch, by a real backward pass.

    ``seed`` decides the whole sequence of draws. The model's parameters and ``.grad`` are left alone.
    """
    check_loss_of(model, loss, data)
    parameters, rng = list(trainable(model).values()), np.random.default_rng(seed)

    def sample(batch: int) -> torch.Tensor:
        if replacement:
            chosen = rng.integers(len(data), size=check_batch(batch))
        else:
            chosen = rng.permutation(len(data))[: check_batch(batch, len(data))]
        chosen = torch.from_numpy(chosen).to(data.x.device)
        gradients = torch.autograd.grad(loss(forward(model, data.x[chosen]), data.y[chosen]), parameters)
        return torch.cat([g.flatten() for g in gradients])

    return sample


def spread(vectors, centre: torch.Tensor) -> tuple[float, float]:
    """Mean squared distance of some vectors from ``centre``, and their mean cosine with it."""
    squares, cosines = [], []
    for vector in vectors:
        squares.append(float((vector - centre).square().sum()))
        cosines.append(float(torch.nn.functional.cosine_similarity(vector, centre, dim=0)))
    return float(np.mean(squares)), float(np.mean(cosines))


def two_batch_noise(sample: Sampler, small: int, big: int, draws: int) -> NoiseDraws:
    """tr Σ and |G|² from gradient lengths at two batch sizes: one gradient of each a draw, no per-example pass.

    Unbiased with replacement; see :func:`~tutorlib.theory.noise.two_batch_estimates`.
    """
    check_batch(draws, name="draws")
    two_batch_estimates(0.0, 0.0, small, big)  # the sizes are refused before anything is measured
    small_sq, big_sq = ([float(sample(batch).square().sum()) for _ in range(draws)] for batch in (small, big))
    return NoiseDraws(*two_batch_estimates(small_sq, big_sq, small, big))


def micro_batch_noise(sample: Sampler, micro_batch: int, accumulation: int, draws: int) -> NoiseDraws:
    """The same from accumulation's own micro-batches: their gradients are the small batch, their mean the big one.

    Costs nothing beyond the training step itself. ``accumulation`` is at least 2.
    """
    check_batch(draws, name="draws")
    check_batch(micro_batch, name="micro_batch")
    if check_batch(accumulation, name="accumulation") < 2:
        raise Refused("accumulation is 1; allowed: at least 2, since one micro-batch is only one batch size")
    small_sq, big_sq = [], []
    for _ in range(draws):
        total, squares = 0.0, 0.0  # of a large model there is room for few gradients at a time
        for _ in range(accumulation):
            part = sample(micro_batch)
            total, squares = total + part, squares + float(part.square().sum())
        small_sq.append(squares / accumulation)
        big_sq.append(float((total / accumulation).square().sum()))
    return NoiseDraws(*two_batch_estimates(small_sq, big_sq, micro_batch, micro_batch * accumulation))
