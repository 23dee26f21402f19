"""Mean of means: what a token weighs in the update when every micro-batch is averaged by itself."""

import numpy as np

from tutorlib.errors import Refused
from tutorlib.theory.noise import check_batch

DIVISIONS = ("by all tokens", "mean of means", "by padded length")


def token_weights(lengths, micro_batch: int, division: str = "mean of means") -> np.ndarray:
    """The weight of one token of every example, in units of the fair weight 1/N, N = Σ lengths; shape (examples,).

    Examples are taken ``micro_batch`` at a time, in order; K parts, and part k has m examples, n_k tokens and the
    longest example L_k.

        by all tokens       1                 each part's sum divided by N: the cure
        mean of means       N / (K n_k)       each part's mean over its tokens, divided by K
        by padded length    N / (K m L_k)     each part's mean over its padded block, where padding adds 0

    Mean of means averages to 1 over the tokens where no part is empty: what one part gains, others lose. By padded
    length the average is below 1: the gradient shrinks too. Tokens of an empty example weigh like its part's.
    """
    lengths = check_lengths(lengths)
    check_batch(micro_batch, name="micro_batch")
    if division not in DIVISIONS:
        raise Refused(f"division is {division!r}; allowed: {', '.join(DIVISIONS)}")
    if division == "by all tokens":
        return np.ones(len(lengths))
    starts = np.arange(0, len(lengths), micro_batch)
    sizes = np.diff([*starts, len(lengths)])
    tokens = np.add.reduceat(lengths, starts)
    divisors = tokens if division == "mean of means" else sizes * np.maximum.reduceat(lengths, starts)
    if not divisors.all():
        raise Refused(
            f"part {int((divisors == 0).argmax())} has no token, and a mean over nothing is 0/0; allowed: a token in "
            'every part. Divide "by all tokens", or drop the empty examples'
        )
    return np.repeat(lengths.sum() / (len(starts) * divisors), sizes)


def example_weights(lengths, micro_batch: int, division: str = "mean of means") -> np.ndarray:
    """The share of the update that each whole example has: its tokens times their weight, over N. Shape (examples,)."""
    lengths = check_lengths(lengths)
    return lengths * token_weights(lengths, micro_batch, division) / lengths.sum()


def padding_share(lengths, micro_batch: int) -> float:
    """The share of all positions that are padding, when every part is as wide as its longest example."""
    lengths = check_lengths(lengths)
    parts = [lengths[i : i + micro_batch] for i in range(0, len(lengths), check_batch(micro_batch, name="micro_batch"))]
    return 1 - float(lengths.sum() / sum(len(part) * part.max() for part in parts))


def log_normal_lengths(examples: int, median: float, sigma: float, longest: int, seed) -> np.ndarray:
    """Whole lengths with logarithms normal around log ``median``, from 1 to ``longest``."""
    drawn = median * np.exp(sigma * np.random.default_rng(seed).standard_normal(examples))
    return np.clip(np.rint(drawn), 1, longest).astype(int)


def check_lengths(lengths) -> np.ndarray:
    given = np.asarray(lengths, dtype=float).ravel()
    if not len(given) or not np.isfinite(given).all() or (given < 0).any() or (given % 1).any() or not given.sum():
        raise Refused(f"lengths are {given.tolist()}; allowed: whole numbers of at least 0, not all of them 0")
    return given.astype(int)
