"""Two checks as figures: predicted peaks beside measured ones, and the micro-batches that ran in a budget."""

from matplotlib.axes import Axes

from tutorlib.experiments import fit_the_memory as lesson
from tutorlib.plots import style
from tutorlib.results import Results
from tutorlib.theory.statistics import Estimate

RAN, LOST = "#0072b2", "#d55e00"


@style.look()
def plot_peaks(results: Results, guess=None) -> Axes:
    """Predicted ÷ measured peak of every small model, in %; ``guess`` is that of the small CNN."""
    (axes,) = style.figure()
    for height, record in enumerate(results):
        value = 100 * record["predicted"] / record["measured"]
        style.point(axes, height, Estimate(value, value, value), style.INK, results.recorded, sideways=True)
        axes.text(value - 1.5, height, f"{value:.1f}", ha="right", va="center", fontsize=9)
    names = [r["model"] + (f" × {r['accumulation']}" if r["accumulation"] > 1 else "") for r in results]
    if guess:
        at = (names.index("CNN") + side for side in (-0.4, 0.4))
        axes.fill_betweenx(list(at), *guess, label="your guess", **style.GUESS)
        axes.legend(loc="lower left")
    axes.axvline(100, **style.THEORY)
    axes.set_yticks(range(len(names)), names)
    axes.set(xlim=(0, 112), ylim=(len(names) - 0.5, -0.5), xlabel="predicted peak (% of the measured one)")
    style.small_print(axes, results, "× 2: two micro-batches accumulated")
    return axes


@style.look()
def plot_tries(results: Results, guess=None) -> Axes:
    """Micro-batches that ran to their end, and those that ran out of memory; ``guess`` is the most for two steps."""
    (axes,) = style.figure(height=2.6)
    for height, steps in enumerate((1, 2)):
        ran = lesson.ran(results, steps)
        lost = [r.run.settings["micro_batch"] for r in results if r.run.settings["steps"] == steps]
        lost = [size for size in lost if size not in ran]
        axes.plot(ran, [height] * len(ran), "o", color=RAN, label=None if height else "ran")
        axes.plot(lost, [height] * len(lost), "x", color=LOST, label=None if height else "out of memory")
    if guess:
        axes.fill_between(guess, 0.7, 1.3, label="your guess", **style.GUESS)
    axes.set_yticks((0, 1), ["one step", "two steps"])
    axes.set(ylim=(1.5, -0.9), xlim=(0, 168), xlabel="micro-batch (examples)", xticks=range(0, 161, 16))
    axes.legend(loc="upper left", ncols=3)
    style.small_print(axes, results)
    return axes
