"""The figure of lesson 06 on wrong labels: errors, the differences that are judged, and labels that say nothing."""

from matplotlib.axes import Axes

from tutorlib.experiments import label_noise as lesson
from tutorlib.experiments.question_generalization import BATCHES
from tutorlib.plots import style
from tutorlib.plots.judged import margin
from tutorlib.plots.question_generalization import FIT, both, gaps, trio
from tutorlib.results import Results, column
from tutorlib.verdicts.label_noise import CLOSE


@style.look()
def plot_labels(results: Results, random: Results, guess=None) -> Axes:
    """Held-out error with right and wrong labels, at one rate and at own rates; short lines: given labels missed.

    In the middle the paired differences to batch 10, on the right labels that say nothing. ``guess`` is the error of
    batch 100 with wrong labels at one rate.
    """
    axes, middle, right = style.figure(columns=3, height=4.2, ratios=(5, 5, 3))
    one = dict.fromkeys(BATCHES, lesson.SAME)
    groups = {
        "right,\none rate": (0, one),
        "30 % wrong,\none rate": (30, one),
        "30 % wrong,\nown rates": (30, lesson.OWN),
    }
    for x, (wrong, rates) in enumerate(groups.values()):
        errors, missed = both(lambda b, name, w=wrong, r=rates: lesson.found(results, w, b, r[b], name))
        trio(axes, x, errors, results.recorded, BATCHES, missed, named=not x)
        gaps(middle, x, errors, results.recorded, BATCHES, top=40)
    if guess:
        axes.fill_between([0.9, 1.1], *guess, label="your guess", **style.GUESS)
    axes.plot([0.6, 2.4], [30, 30], **style.THEORY, label="all right: 30 % missed")
    axes.plot([], [], color="0.4", label="training labels missed", **FIT)
    margin(middle, -CLOSE, CLOSE, "within a point")
    middle.axhline(0, **style.THEORY)
    for place in (axes, middle):
        place.set_xticks(range(len(groups)), list(groups), fontsize=7.5)
        place.set_xlim(-0.5, len(groups) - 0.5)
    axes.set(ylabel="error (%)", ylim=(-2, 78))
    axes.set_title("held-out error (%)", fontsize=10)
    middle.set_title("minus batch 10 (points)", fontsize=10)
    axes.legend(fontsize=7.5, loc="upper left")
    middle.legend(fontsize=7.5, loc="upper right")
    nothing(right, random)
    style.small_print(axes, results, f"Right: {random.experiment.held['examples']} digits, labels that say nothing")
    return axes


def nothing(axes: Axes, random: Results) -> None:
    """Labels that say nothing: all are learnt, and held-out digits are left to chance."""
    batches = tuple(point["batch"] for point in random.experiment.points)
    errors, missed = ({b: column(random, name, batch=b) for b in batches} for name in ("error", "train"))
    trio(axes, 0, errors, random.recorded, batches, missed, named=True)
    axes.axhline(90, **style.THEORY, label="chance: 90 %")
    axes.set(xlim=(-0.6, 0.6), ylim=(-3, 130))
    axes.set_title("random labels (%)", fontsize=10)
    axes.set_xticks([])
    axes.set_yticks([0, 30, 60, 90])
    axes.legend(fontsize=7.5, loc="upper left")
