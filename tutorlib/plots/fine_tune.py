"""The figures of lesson 06 on fine-tuning: what was learnt and what was forgotten, with the differences judged."""

from matplotlib.axes import Axes

from tutorlib.experiments import fine_tune as lesson
from tutorlib.plots import style
from tutorlib.plots.judged import judged, margin
from tutorlib.plots.question_generalization import beside, trio
from tutorlib.results import Results
from tutorlib.theory.statistics import mean_interval
from tutorlib.verdicts.fine_tune import POINT, fine_tune_verdicts


@style.look()
def plot_fine_tune(results: Results, guess=None) -> Axes:
    """Error on the new task by budget, and the differences that are judged; ``guess``: full batch, 90 updates."""
    axes, right = style.figure(columns=2, height=4.8, ratios=(5, 4))
    for x, (budget, plans) in enumerate(lesson.BUDGETS.items()):
        errors = {b: lesson.cell(results, budget, b) for b in plans}
        trio(axes, x, errors, results.recorded, lesson.BATCHES, named=not x)
    if guess:
        at = list(lesson.BUDGETS).index(lesson.UPDATES) + 0.2
        axes.fill_between([at - 0.1, at + 0.1], *guess, label="your guess", **style.GUESS)
    ticks = [name.replace(" epochs", "\nepochs").replace(" updates", "\nupdates") for name in lesson.BUDGETS]
    axes.set_xticks(range(len(ticks)), [tick.replace(", ", ",\n") for tick in ticks], fontsize=7.5)
    axes.set(title="error, mirrored digits (%)", ylim=(0, None), ylabel="error (%)")
    axes.legend(fontsize=8)
    verdicts(right, results, "error, ")
    right.legend(fontsize=7.5, loc="lower right")
    style.small_print(axes, results)
    return axes


@style.look()
def plot_forgotten(results: Results, guess=None) -> Axes:
    """What was forgotten of the first task against the rate, and the differences that are judged.

    ``guess`` is what batch 48 forgot in 30 epochs at rate 0.06.
    """
    axes, right = style.figure(columns=2, height=3.9, ratios=(5, 4))
    arms = sorted({(b, *plan) for plans in lesson.BUDGETS.values() for b, plan in plans.items()})
    for b, steps, rate in arms:
        _, look = beside(0, b, lesson.BATCHES)
        budget = next(name for name, plans in lesson.BUDGETS.items() if plans.get(b) == (steps, rate))
        found = mean_interval(lesson.cell(results, budget, b, "forgot"))
        style.point(axes, rate, found, recorded=results.recorded, size=5.5, **look)
        place = {"xytext": (-6, 3), "ha": "right"} if b == lesson.SMALL or steps == 90 else {"xytext": (6, 3)}
        axes.annotate(f"{steps}", (rate, found.value), textcoords="offset points", fontsize=7.5, **place)
    for b in lesson.BATCHES:
        _, look = beside(0, b, lesson.BATCHES)
        axes.plot([], [], color=look["colour"], marker=look["marker"], linestyle="none", label=f"batch {b}")
    if guess:
        axes.fill_between([0.055, 0.066], *guess, label="your guess", **style.GUESS)
    axes.set(xscale="log", xlim=(0.009, 0.8), ylim=(0, 60), xlabel="rate η", ylabel="forgotten (points)")
    axes.set_title("forgotten of the others; numbers: updates", fontsize=10)
    style.plain_ticks(axes.xaxis, {rate: f"{rate:g}" for rate in (0.015, 0.042, 0.1, 0.25, 0.5)})
    axes.legend(fontsize=8, loc="upper left")
    verdicts(right, results, "forgotten, ")
    right.legend(fontsize=7.5, loc="lower left")
    style.small_print(axes, results)
    return axes


def verdicts(axes: Axes, results: Results, prefix: str) -> None:
    judged(axes, fine_tune_verdicts(results), prefix, results.recorded)
    margin(axes, -POINT, POINT, "within a point", sideways=True)
    axes.set_title("difference (points), paired", fontsize=10)
