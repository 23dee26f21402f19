"""The figure of lesson 06 on a net where noise helps: distances to the truth, and their ratios seed by seed."""

from matplotlib.axes import Axes

from tutorlib.experiments import diagonal_net as lesson
from tutorlib.plots import style
from tutorlib.plots.judged import judged
from tutorlib.results import Results
from tutorlib.theory.statistics import geometric_interval
from tutorlib.verdicts.diagonal_net import noise_verdicts

ARMS = (
    ("none", lesson.EXAMPLES, "full batch", "o"),
    ("minibatch", 4, "batch 4", "D"),
    ("minibatch", 1, "batch 1", "s"),
    ("gaussian", 1, "full batch,\nrandom weights", "^"),
)


@style.look()
def plot_diagonal(results: Results, guess=None) -> Axes:
    """Distance to the truth against the rate, with and without noise; beside it the ratios that are judged.

    ``guess`` is the share that is left with batch 1 at the highest rate: the first ratio.
    """
    axes, beside = style.figure(columns=2, height=4.2)
    for noise, batch, name, marker in ARMS:
        rates = sorted(p["rate"] for p in results.experiment.points if (p["noise"], p["batch"]) == (noise, batch))
        colour = "#d55e00" if noise == "gaussian" else style.batch_colour(batch, 64)
        found = [geometric_interval(lesson.arm(results, noise, batch, rate)) for rate in rates]
        shift = 1.06 if noise == "gaussian" else 1.0
        axes.plot(rates, [each.value for each in found], color=colour, linewidth=0.8)
        for rate, each in zip(rates, found, strict=True):
            label = name if rate == rates[0] else None
            style.point(axes, rate * shift, each, colour, results.recorded, marker, label=label)
    judged(beside, noise_verdicts(results), "distance² to the truth, ", results.recorded, nothing=1)
    if guess:
        beside.fill_between(guess, -0.4, 0.4, label="your guess", **style.GUESS)
        beside.legend(fontsize=8, loc="lower left")
    axes.set(xscale="log", yscale="log", xlabel="rate η", ylabel="distance² to the truth", ylim=(0.06, 0.8))
    axes.set_title("each arm by itself", fontsize=10)
    beside.set(xscale="log", xlabel="ratio, seed by seed", xlim=(0.15, 1.5))
    beside.set_title("what is judged", fontsize=10)
    style.plain_ticks(axes.xaxis, {rate: f"{rate:g}" for rate in (0.005, 0.01, 0.02, 0.04)})
    style.plain_ticks(axes.yaxis, style.few_values(*axes.get_ylim()))
    style.plain_ticks(beside.xaxis, {ratio: f"{ratio:g}" for ratio in (0.2, 0.3, 0.5, 0.7, 1)})
    axes.legend(fontsize=8, loc="lower left")
    style.small_print(axes, results)
    return axes
