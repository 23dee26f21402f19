"""The weights of tokens as a panel: lengths on one axis, what a token of such a text counts for on the other."""

import numpy as np
from matplotlib.axes import Axes

from tutorlib.plots import style
from tutorlib.theory.token_weights import example_weights, token_weights


def quarters(lengths: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """The sum of ``shares`` over each quarter of the texts, from the shortest to the longest."""
    return np.array([part.sum() for part in np.array_split(shares[np.argsort(lengths, kind="stable")], 4)])


@style.look()
def plot_weights(lengths: np.ndarray, micro_batch: int, division: str) -> Axes:
    """Left: every text's length and the weight of its tokens. Right: the share of the update, quarter by quarter."""
    axes, beside = style.figure(columns=2, ratios=(3, 2), panel=True)
    colour = style.batch_colour(micro_batch, 64)
    axes.plot(lengths, token_weights(lengths, micro_batch, division), "o", color=colour, markersize=6)
    axes.axhline(1, **style.THEORY)
    axes.set(xscale="log", yscale="log", xlim=(2, 3000), ylim=(0.05, 60), xlabel="length of the text (tokens)",
             title="weight of one token (dashed: alike)")  # fmt: skip
    style.plain_ticks(axes.xaxis, {n: f"{n:,}" for n in (3, 10, 30, 100, 300, 1000)})
    style.plain_ticks(axes.yaxis, {0.1: "0.1", 0.3: "0.3", 1: "1", 3: "3", 10: "10", 30: "30"})
    beside.bar(range(4), quarters(lengths, example_weights(lengths, micro_batch, division)), color=colour, width=0.6)
    for place, share in enumerate(quarters(lengths, lengths / lengths.sum())):
        beside.plot([place - 0.4, place + 0.4], [share, share], **{**style.THEORY, "zorder": 3})
    beside.set(ylim=(0, 0.85), title="share of the update", xlabel="quarter of the texts")
    style.plain_ticks(beside.xaxis, {0: "shortest", 3: "longest"})
    style.plain_ticks(beside.yaxis, {0: "0", 0.25: "¼", 0.5: "½", 0.75: "¾"})
    return axes
