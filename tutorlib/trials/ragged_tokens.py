"""One batch of ragged text at several micro-batches: the mean of means, the cure, and the true gradient."""

import functools

import numpy as np
import torch
from torch import nn

from tutorlib.measure.accumulation import IGNORED, accumulate
from tutorlib.measure.fit import fit
from tutorlib.measure.ladder import MERGE, distance, flat_gradient, mean_loss, part_gradients, split
from tutorlib.nn.data import text
from tutorlib.nn.data import tokens as stretches
from tutorlib.nn.models import make
from tutorlib.nn.optimizers import adamw
from tutorlib.records import Run
from tutorlib.theory.token_weights import log_normal_lengths, padding_share, token_weights


def tokens(runs: list[Run], device: str) -> list[dict]:
    """One seed's batch at every micro-batch of ``runs``.

    Weights are in units of the fair one: ``short`` and ``long`` those of a token in the examples at the 10th and the
    90th percentile of length. ``reported`` is the loss that a mean of means prints, beside the true ``loss`` a token.
    ``cosine`` and ``naive`` (a relative distance) compare its gradient with the true one, ``cured`` that of
    :func:`~tutorlib.measure.accumulation.accumulate`. ``padding`` is a share of positions, ``padded`` the largest over
    the smallest weight where padding counts in the mean.
    """
    s, seed = runs[0].settings, runs[0].seed
    lengths = log_normal_lengths(s["batch"], s["median"], s["sigma"], s["context"], [seed, 7])
    model = start(s["context"], s["width"], s["blocks"], s["trained"], seed, device)
    x, y = (part.to(device) for part in pieces(lengths, seed))
    truth = accumulate(model, trimmed(x, y, s["batch"]), mean_loss)
    true = flat_gradient(model)
    answers = []
    for micro_batch in (run.settings["micro_batch"] for run in runs):
        parts, losses = trimmed(x, y, micro_batch), []

        def noted(scores, targets, losses=losses):
            losses.append(mean_loss(scores, targets))
            return losses[-1]

        gradients, counts = part_gradients(model, parts, noted)
        naive = MERGE["mean of means"](gradients, counts, len(parts))
        accumulate(model, parts, mean_loss)
        answers.append(
            {
                **weights(lengths, micro_batch),
                "loss": truth.loss,
                "reported": float(torch.stack(losses).detach().mean()),
                "cosine": float(torch.cosine_similarity(naive, true, dim=0)),
                "naive": distance(naive, true),
                "cured": distance(flat_gradient(model), true),
            }
        )
    return answers


def weights(lengths: np.ndarray, micro_batch: int) -> dict:
    naive, padded = (token_weights(lengths, micro_batch, way) for way in ("mean of means", "by padded length"))
    order, tenth = np.argsort(lengths, kind="stable"), len(lengths) // 10
    return {
        "ratio": float(naive.max() / naive.min()),
        "short": float(naive[order[tenth]]),
        "long": float(naive[order[-1 - tenth]]),
        "padding": padding_share(lengths, micro_batch),
        "padded": float(padded.max() / padded.min()),
    }


def trimmed(x: torch.Tensor, y: torch.Tensor, micro_batch: int) -> list:
    """Micro-batches as wide as their own longest example, as a collate function pads them."""
    parts = []
    for a, b in split(x, y, micro_batch):
        width = int((b != IGNORED).sum(1).max())
        parts.append((a[:, :width], b[:, :width]))
    return parts


@functools.cache
def codes() -> torch.Tensor:
    return stretches(text(), 1).x.flatten()


def pieces(lengths: np.ndarray, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Pieces of text from the starts of random lines: codes and following codes, padded to the longest with ignored."""
    lines = (codes() == ord("\n")).nonzero().flatten() + 1
    lines = lines[lines < len(codes()) - lengths.max() - 1]
    first = lines[torch.from_numpy(np.random.default_rng([seed, 8]).integers(len(lines), size=len(lengths)))]
    window = codes()[first[:, None] + torch.arange(lengths.max() + 1)]
    ended = torch.arange(lengths.max()) >= torch.from_numpy(lengths)[:, None]
    return window[:, :-1].masked_fill(ended, 0), window[:, 1:].masked_fill(ended, IGNORED)


@functools.lru_cache(maxsize=2)
def start(context: int, width: int, blocks: int, trained: int, seed: int, device: str) -> nn.Module:
    """A character-level GPT, trained a little on whole stretches of the same text."""
    model = make("gpt", seed, device, vocabulary=128, context=context, width=width, heads=2, blocks=blocks)
    whole = stretches(text(), context).to(device)
    fit(model, mean_loss, whole, batch=4, rate=0.01, steps=trained, seed=seed, optimizer=adamw)
    return model
