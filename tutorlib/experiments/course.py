"""The course as data: each lesson's question, its exercises, and what answers each of its predictions."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tutorlib.experiments import bets_on_models, bets_on_steps
from tutorlib.records import Experiment

ANSWERS = bets_on_steps.ANSWERS | bets_on_models.ANSWERS


@dataclass(frozen=True)
class Lesson:
    """``answers``: question → the experiments, and what makes the number that was bet on of their results.

    ``exercises`` are the names of the lesson's checks.
    """

    title: str
    question: str
    exercises: tuple[str, ...]
    answers: Mapping[str, tuple[Experiment | Callable, ...]]


def lesson(number: str, title: str, question: str, *exercises: str) -> Lesson:
    return Lesson(title, question, exercises, ANSWERS[number])


LESSONS = {
    "00": lesson(
        "00", "start here", "Which of the four batch sizes do you mean?", "updates per epoch", "mend the loop"
    ),
    "01": lesson("01", "measure the noise", "How wrong is one step?", "two-batch estimator", "break the estimator"),
    "02": lesson("02", "accumulate gradients", "Is 1 × 32 really 32 × 1?", "accumulate"),
    "03": lesson("03", "mind the batchnorm", "What can accumulation not fake?", "freeze BatchNorm"),
    "04": lesson(
        "04", "fit the memory", "Will it fit, and what should I change?", "bytes per parameter", "which lines are off"
    ),
    "05": lesson(
        "05",
        "race two speeds",
        "When does doubling the batch stop paying?",
        "fit the bend",
        "which batch would you rent for",
    ),
    "06": lesson("06", "question generalization", "Does a large batch generalize worse?", "fair comparison"),
    "07": lesson("07", "scale the optimizer", "Which one survives a large batch?", "Lion", "trust ratio"),
    "08": lesson("08", "hunt heavy tails", "Is the noise Gaussian, and can it be bought back?", "Hill index"),
    "09": lesson("09", "choose your batch", "What is right for your own run?", "from three measurements to a plan"),
}
