"""Gradient noise as numbers to read a tail from: some coordinates, some directions, across many minibatches."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.func import functional_call, grad, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from tutorlib.measure.guards import check_per_example
from tutorlib.measure.per_example import trainable
from tutorlib.nn.data import Data
from tutorlib.theory.noise import check_batch

CHUNK = 128  # examples whose gradients are held at once
ONE_AT_A_TIME = threading.Lock()  # the choice of an attention kernel is the whole process's, and studies run in threads


@dataclass(frozen=True)
class ExampleGradients:
    """What every example's gradient is in a few places; a minibatch gradient there is a mean of rows.

    ``coordinates`` (examples, k) are single parameters, ``directions`` (examples, m) projections on random unit
    vectors; ``sizes`` (parameters,) is the sd of every parameter's gradient over the examples, and ``noise``
    (parameters,) how far the gradient of one minibatch is from the mean: all coordinates of one draw.
    """

    coordinates: np.ndarray
    directions: np.ndarray
    sizes: np.ndarray
    noise: np.ndarray


def example_gradients(
    model: nn.Module, loss: Callable, data: Data, *, coordinates: int, directions: int, batch: int, seed
) -> ExampleGradients:
    """Every example's own gradient, of which a few coordinates and directions, drawn by ``seed``, are kept.

    ``batch`` is that of the one minibatch whose noise is kept in all coordinates.
    Coordinates are drawn among those whose gradient is not 0 in at least 1 % of the examples: some pixels are always
    dark, and most are in most examples.
    Raises ``ValueError`` where per-example gradients do not exist.
    """
    with ONE_AT_A_TIME:
        check_per_example(model, loss, data)
        rows = torch.cat(list(_chunks(model, loss, data)))
    rng = np.random.default_rng(seed)
    sizes = rows.std(dim=0, correction=0)
    alive = np.flatnonzero(((rows != 0).float().mean(dim=0) >= 0.01).cpu().numpy())
    chosen = rng.choice(alive, size=check_batch(coordinates, len(alive), "coordinates", "the live ones"), replace=False)
    axes = rng.standard_normal((rows.shape[1], check_batch(directions, name="directions")))
    axes = torch.from_numpy(axes / np.linalg.norm(axes, axis=0)).to(rows)
    minibatch = torch.from_numpy(rng.integers(len(rows), size=check_batch(batch))).to(rows.device)
    return ExampleGradients(
        *(
            tensor.double().cpu().numpy()
            for tensor in (rows[:, chosen], rows @ axes, sizes, rows[minibatch].mean(dim=0) - rows.mean(dim=0))
        )
    )


def _chunks(model: nn.Module, loss: Callable, data: Data):
    parameters = {name: p.detach() for name, p in trainable(model).items()}

    def one(parameters, x, y):
        return loss(functional_call(model, parameters, (x[None],)), y[None])

    gradients = vmap(grad(one), in_dims=(None, 0, 0))
    with sdpa_kernel(SDPBackend.MATH):  # fused attention has no batching rule
        for x, y in zip(data.x.split(CHUNK), data.y.split(CHUNK), strict=True):
            yield torch.cat([g.flatten(1) for g in gradients(parameters, x, y).values()], dim=1)


def minibatch_means(rows: np.ndarray, batch: int, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Means of ``batch`` rows drawn with replacement, ``draws`` times: (draws, columns)."""
    chosen = rng.integers(len(rows), size=(check_batch(draws, name="draws"), check_batch(batch)))
    places = (chosen + len(rows) * np.arange(draws)[:, None]).ravel()
    counts = np.bincount(places, minlength=draws * len(rows)).reshape(draws, -1)
    return counts.astype(np.float32) @ rows.astype(np.float32) / batch  # one product instead of batch × draws look-ups
