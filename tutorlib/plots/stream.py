"""The figure of lesson 06 on a stream: losses on fresh and on seen examples, and their ratio seed by seed."""

from matplotlib.axes import Axes

from tutorlib.experiments import stream as lesson
from tutorlib.plots import style
from tutorlib.plots.judged import margin
from tutorlib.results import Results
from tutorlib.theory.statistics import geometric_interval
from tutorlib.verdicts.stream import CLOSE


@style.look()
def plot_stream(results: Results, guess=None) -> Axes:
    """Above: loss on fresh and on seen examples, each once (left) or 512 of them often. Below: fresh ÷ seen.

    ``guess`` is the ratio at the largest batch, each example once.
    """
    grid = style.figure(columns=2, rows=2, height=5.0, ratios=(3, 2))
    for number, (examples, title) in enumerate(((lesson.SEEN, "every example once"), (lesson.FEW, "512, often"))):
        batches = [p["batch"] for p in results.experiment.points if p["examples"] == examples]
        above, below = grid[number], grid[2 + number]
        losses = {name: [lesson.loss(results, b, examples, name) for b in batches] for name in ("loss", "train")}
        draw(above, batches, losses["loss"], results.recorded, "o", "fresh")
        draw(above, batches, losses["train"], results.recorded, "_", "seen")
        ratios = [fresh / seen for fresh, seen in zip(losses["loss"], losses["train"], strict=True)]
        draw(below, batches, ratios, results.recorded, "s")
        below.axhline(1, **style.THEORY)
        above.set(title=title, ylim=(0, None))
        for axes in (above, below):
            style.batch_axis(axes, batches, "" if axes is above else "batch (examples)")
            axes.set_xlim(batches[0] / 2, batches[-1] * 2)
    above, _, once, often = grid
    margin(once, 1 / CLOSE, CLOSE, "within a tenth")
    if guess:
        once.fill_between([2900, 5800], *guess, label="your guess", **style.GUESS)
    once.set(ylabel="fresh ÷ seen", ylim=(0.88, max(1.15, 1.05 * guess[1] if guess else 0)))
    often.set(ylim=(0, None))
    above.set_ylabel("loss")
    above.legend(fontsize=8)
    once.legend(fontsize=8)
    style.small_print(above, results, "Below, seed by seed")
    return above


def draw(axes: Axes, batches: list, columns: list, recorded: bool, marker: str, label: str | None = None) -> None:
    """A line over the batches, a point with its interval at each."""
    found = [geometric_interval(values) for values in columns]
    axes.plot(batches, [each.value for each in found], color="0.7", linewidth=0.8, zorder=0)
    for b, each in zip(batches, found, strict=True):
        named = label if b == batches[0] else None
        style.point(axes, b, each, style.batch_colour(b, 4096), recorded, marker, label=named, size=7)
