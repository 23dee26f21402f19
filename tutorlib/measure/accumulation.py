"""Gradient accumulation that is right: the gradient of a whole batch, one micro-batch at a time."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from tutorlib.errors import Refused

IGNORED = -100  # the target that torch's cross-entropy leaves out


def counted(targets: torch.Tensor) -> int:
    """How many targets a mean loss divides by: class numbers that are not ignored, or else examples."""
    return len(targets) if targets.is_floating_point() else int((targets != IGNORED).sum())


@dataclass(frozen=True)
class Window:
    """What one window gave: its mean loss, its counted targets, the length of its gradient before clipping."""

    loss: float
    targets: int
    length: float


def accumulate(
    model: nn.Module,
    parts: Iterable[tuple[torch.Tensor, torch.Tensor]],
    loss: Callable,
    *,
    count: Callable = counted,
    clip: float | None = None,
) -> Window:
    """Leave in every ``p.grad`` the gradient of the whole batch, of which ``parts`` are the micro-batches (x, y).

    With n_k targets counted in part k and g_k the gradient of its mean loss, G = Σ n_k g_k / Σ n_k. That is right for
    ragged examples, a smaller last part, a window with fewer parts, and parts without a target (which are skipped).
    ``loss(outputs, targets)`` is the mean over the targets that ``count(targets)`` counts. Older gradients are
    dropped; ``clip`` shortens G once, after the last part. Stepping is left to the caller::

        for window in windows:
            accumulate(model, window, cross_entropy, clip=1.0)
            optimizer.step()

    With dropout every part draws masks of its own, so G has the distribution of the big batch's, not its value.
    G is summed in the type of the parameters. In bfloat16 that costs two digits: keep parameters in float32.

    Raises :class:`~tutorlib.errors.Refused` where no sum over parts is right: BatchNorm on statistics of the batch, and
    a loss that compares examples (in-batch negatives, load balancing), found on the first part's outputs, or the first
    two parts' where it has one example. Not found: a model of your own whose layers look across the batch, and losses
    added inside it. Source: the count that the Transformers library calls ``num_items_in_batch`` since October 2024.
    """
    parts = list(parts)
    if clip is not None and not clip > 0:
        raise Refused(f"clip is {clip!r}; allowed: a length above 0, or None for no clipping")
    counts = [count(y) for _, y in parts]
    if not sum(counts):
        raise Refused(f"parts are {len(parts)} with no counted target in them; allowed: at least one. Skip this window")
    if len(parts) > 1:
        refuse_batchnorm(model)
    model.zero_grad()  # what an earlier window left is no part of this batch
    total, seen = 0.0, []
    for (x, y), n in zip(parts, counts, strict=True):
        if not n:
            continue  # the mean over no target is 0/0, and its share of the batch is nothing
        outputs = model(x)
        if len(parts) > 1 and len(seen) < 2:
            seen = probe(seen, outputs, y)
            refuse_comparisons(loss, count, seen)
        share = loss(outputs, y) * (n / sum(counts))
        share.backward()
        total += share.detach()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    length = get_total_norm(gradients)
    if clip is not None:
        clip_grads_with_norm_(model.parameters(), clip, length)
    return Window(float(total), sum(counts), float(length))


def refuse_batchnorm(model: nn.Module) -> None:
    for name, layer in model.named_modules():
        if isinstance(layer, _BatchNorm) and (layer.training or layer.running_mean is None):
            raise Refused(
                f"model normalizes layer {name!r} ({type(layer).__name__}) by the statistics of each micro-batch, and "
                "no sum over micro-batches gives the gradient of the whole batch; allowed: layers that treat every "
                "example alone. Put it into eval mode, use GroupNorm or LayerNorm, or pass the batch as one part"
            )


def probe(seen: list, outputs, y: torch.Tensor) -> list:
    """Two groups of examples to compare: the halves of a part or, where it has one example, two parts."""
    if not isinstance(outputs, torch.Tensor) or len(outputs) != len(y):
        return seen
    outputs, half = outputs.detach(), len(y) // 2
    halves = [(outputs[:half], y[:half]), (outputs[half:], y[half:])]
    return halves if half else [*seen, (outputs, y)]


def refuse_comparisons(loss: Callable, count: Callable, groups: list) -> None:
    """Raises ``Refused`` unless the loss of both groups together is the mean of theirs, weighted by their counts."""
    counts = [count(y) for _, y in groups]
    if len(groups) < 2 or not all(counts) or groups[0][0].shape[1:] != groups[1][0].shape[1:]:
        return
    with torch.no_grad():
        groups = [(o if o.dtype == torch.float64 else o.float(), y) for o, y in groups]  # too coarse in half precision
        alone = sum(n * float(loss(o, y)) for (o, y), n in zip(groups, counts, strict=True)) / sum(counts)
        together = float(loss(*(torch.cat(column) for column in zip(*groups, strict=True))))
    if math.isfinite(together) and not math.isclose(together, alone, rel_tol=1e-5, abs_tol=1e-6):
        raise Refused(
            f"loss of {sum(len(y) for _, y in groups)} examples is {together:.6g}, and the mean of its two halves, "
            f"weighted by their counted targets, {alone:.6g}; allowed: a mean over the targets that `count` counts. "
            "A sum, class weights, and losses that compare examples (in-batch negatives, load balancing) are not"
        )
