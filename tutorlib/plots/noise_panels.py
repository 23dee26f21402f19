"""The pictures of lesson 01 that are drawn from recorded gradients or in closed form, frame by frame."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Ellipse

from tutorlib.plots import style
from tutorlib.plots.measure_the_noise import KINDS
from tutorlib.theory.walk import walk


@style.look()
def plot_batches(record, batches=(1, 8, 64, 512)) -> Axes:
    """The picture of the lesson: the same gradient seen by four batch sizes."""
    row = style.figure(columns=len(batches), height=2.2, panel=True)
    for axes, batch in zip(row, batches, strict=True):
        draw_cloud(axes, np.stack([record["along"], record["across"]], axis=1), batch, draw=1)
        axes.set(xticks=(), yticks=(), xlabel="", ylabel="", title=f"batch {batch}")
    row[0].set(xlabel="along the full gradient", ylabel="across it")
    return row[0]


@style.look()
def plot_arrows(cloud: np.ndarray, batch: int, draw: int) -> Axes:
    """Minibatch gradients as arrows in a plane, and their scatter against batch.

    ``cloud`` (examples, 2) is every example's gradient on the two directions of the plane.
    """
    axes, beside = style.figure(columns=2, height=3.4, ratios=(3, 2), panel=True)
    tips = draw_cloud(axes, cloud, batch, draw)
    sd = np.linalg.norm(cloud.std(axis=0))
    beside.plot((0, 10), np.log2(sd / np.sqrt([1, 1024])), **style.THEORY)
    beside.plot(
        np.log2(batch), np.log2(scatter(tips, cloud.mean(axis=0))), "o", color=style.batch_colour(batch), markersize=8
    )
    beside.set_xticks((0, 5, 10), ("1", "32", "1,024"))
    beside.set_yticks((0, -2, -4), ("1", "1/4", "1/16"))
    beside.set(ylim=(-5.5, 0.7), xlabel="batch (examples)", title="scatter (sd) in this plane")
    return axes


def draw_cloud(axes: Axes, cloud: np.ndarray, batch: int, draw: int, arrows: int = 80) -> np.ndarray:
    """Arrows to the gradients of ``arrows`` minibatches, the full gradient in ink, two theory sd dashed; their tips."""
    mean, sd = cloud.mean(axis=0), cloud.std(axis=0)
    tips = minibatch_means(cloud, batch, draw, arrows)
    plain = {"angles": "xy", "scale_units": "xy", "scale": 1}
    axes.quiver(*np.zeros_like(tips).T, *tips.T, **plain, width=0.0035, color=style.batch_colour(batch))
    axes.quiver(0, 0, *mean, **plain, width=0.012, color=style.INK, zorder=4)
    axes.add_patch(Ellipse(mean, *(4 * sd / np.sqrt(batch)), fill=False, **style.THEORY))
    high = 1.5 * float(np.linalg.norm(sd))
    wide = high * axes.bbox.width / axes.bbox.height  # the same scale on both axes: an angle is an angle
    axes.set(
        xlim=(mean[0] - wide, mean[0] + wide),
        ylim=(-high, high),
        xticks=(-1, 0, 1),
        yticks=(-1, 0, 1),
        xlabel="along the full gradient",
        ylabel="across it",
        title=f"batch {batch:,}",
    )
    return tips


def minibatch_means(cloud: np.ndarray, batch: int, draw: int, count: int) -> np.ndarray:
    """Means of ``count`` random minibatches drawn with replacement, shape (count, 2)."""
    chosen = np.random.default_rng([draw, batch]).integers(len(cloud), size=(count, batch))
    return cloud[chosen].mean(axis=1)


def scatter(tips: np.ndarray, mean: np.ndarray) -> float:
    return float(np.sqrt(((tips - mean) ** 2).sum(axis=1).mean()))


@style.look()
def plot_walks(rate: float, examples: int, steepness: float, noise: float, draw: int) -> Axes:
    """Three ways to spend the same examples on a bowl: small steps, one accumulated step, one at a scaled rate."""
    axes, beside = style.figure(columns=2, height=3.6, ratios=(3, 2), panel=True)
    start, curvature = np.array([-3.0, 1.2]), np.array([1.0, steepness])
    grid = np.meshgrid(np.linspace(-4, 4, 60), np.linspace(-2.4, 2.4, 40))
    axes.contour(*grid, grid[0] ** 2 + steepness * grid[1] ** 2, levels=8, colors="0.85", linewidths=0.8, zorder=0)
    plans = ((rate, 1), (rate, examples), (rate * examples, examples))
    for row, ((step, batch), (_, marker, words)) in enumerate(zip(plans, KINDS, strict=True)):
        path = walk(start, curvature, noise, step, batch, examples, draw)
        colour = style.batch_colour(batch)
        axes.plot(
            *path.T,
            marker=marker,
            markersize=3 if batch == 1 else 7,
            color=colour,
            linewidth=1.2,
            markerfacecolor="none" if row == 2 else colour,
            label=words.format(n=examples),
        )
        beside.barh(row, np.linalg.norm(path[-1] - start), color=colour, height=0.5)
    axes.plot(0, 0, "+", color=style.INK, markersize=12)
    axes.set(
        xlim=(-4, 4),
        ylim=(-2.4, 2.4),
        xticks=(-3, 0, 3),
        yticks=(-2, 0, 2),
        xlabel="flat direction",
        ylabel="steep direction",
    )
    axes.legend(loc="lower left", fontsize=8)
    beside.axvline(np.linalg.norm(start), **style.THEORY)
    beside.set(
        ylim=(2.5, -0.5),
        xlim=(0, 6),
        xlabel="distance from the start",
        yticks=[],
        xticks=(0, 3, 6),
        title="dashed: to the minimum",
    )
    return axes
