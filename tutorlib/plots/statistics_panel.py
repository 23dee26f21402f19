"""One channel before and after BatchNorm, and the running mean it keeps: drawn from a Gaussian, frame by frame."""

import numpy as np
from matplotlib.axes import Axes

from tutorlib.plots import style
from tutorlib.theory.batch_statistics import running_sd

MEAN, SD, FORWARDS, EPS = 1.0, 2.0, 200, 1e-5


def channel(micro_batch: int, momentum: float, draw: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What goes in, what BatchNorm makes of it (forwards, micro_batch), and the running mean after every forward."""
    values = np.random.default_rng([draw, micro_batch]).normal(MEAN, SD, (FORWARDS, micro_batch))
    mean, variance = values.mean(axis=1, keepdims=True), values.var(axis=1, keepdims=True)
    running = np.empty(FORWARDS)
    kept = MEAN  # as if it had run for long
    for forward, seen in enumerate(mean[:, 0]):
        kept = running[forward] = (1 - momentum) * kept + momentum * seen
    return values, (values - mean) / np.sqrt(variance + EPS), running


@style.look()
def plot_channel(micro_batch: int, momentum: float, accumulation: int, draw: int) -> Axes:
    """Left: the channel's values and BatchNorm's outputs. Right: its running mean, two sd of theory dashed."""
    axes, beside = style.figure(columns=2, height=3.4, ratios=(3, 2), panel=True)
    values, outputs, running = channel(micro_batch, momentum, draw)
    edges = np.arange(-6.1, 8.0, 0.2)  # −1 and 1 are in the middle of a bin
    before, after = (np.histogram(each, edges, density=True)[0] for each in (values, outputs))
    colour = style.batch_colour(micro_batch, 128)
    axes.stairs(before, edges, fill=True, color="0.8", label="before")
    axes.stairs(after, edges, color=colour, linewidth=1.6, label="after")
    axes.plot(edges, np.exp(-(edges**2) / 2) / np.sqrt(2 * np.pi), **style.THEORY, label="mean 0, sd 1")
    axes.set(
        ylim=(0, 1.0), xlim=(-6, 7.9), xlabel="value of one channel", yticks=(), title=f"micro-batch {micro_batch}"
    )
    axes.set_xticks((-4, -1, 1, 4))
    axes.legend(loc="upper right")
    updates = np.arange(1, FORWARDS + 1) / accumulation
    beside.plot(updates, running, color=colour, linewidth=1.4)
    for sign in (-1, 1):
        beside.axhline(MEAN + sign * 2 * SD * running_sd(micro_batch, momentum), **style.THEORY)
    beside.set(
        ylim=(-1, 3), yticks=(-1, 1, 3), xlim=(0, updates[-1]), xlabel="updates", title="running mean (truth: 1)"
    )
    return axes
