"""How far a learner is: the map with what is done, and every bet beside what the learner's own runs measured.

What a cell *stores* is the same for everyone, a line of text; what is done is drawn where the notebook runs.
"""

import contextlib
import html
from collections.abc import Iterable
from dataclasses import dataclass

import ipywidgets as widgets

from tutorlib import progress
from tutorlib.errors import Refused
from tutorlib.experiments.course import LESSONS, Lesson
from tutorlib.records import Experiment
from tutorlib.results import Results
from tutorlib.store import live, recorded, source_hash
from tutorlib.widgets.show import Shown, number

SIGNS = {"done": "✓", "begun": "◐", "not yet": "·"}


@dataclass(frozen=True)
class Place:
    """One lesson on the learner's map."""

    number: str
    lesson: Lesson
    predicted: int
    solved: int

    @property
    def state(self) -> str:
        left = len(self.lesson.answers) + len(self.lesson.exercises) - self.predicted - self.solved
        return "done" if not left else "begun" if self.predicted + self.solved else "not yet"


def places() -> list[Place]:
    known = progress.load()
    return [
        Place(
            name,
            lesson,
            sum(("prediction", question) in known for question in lesson.answers),
            sum(("exercise", exercise) in known for exercise in lesson.exercises),
        )
        for name, lesson in LESSONS.items()
    ]


@dataclass(frozen=True)
class Bet:
    """A locked prediction, and what the learner's own runs say or, where they are not whole, those that ship."""

    lesson: str
    made: progress.Done
    measured: float | None

    @property
    def word(self) -> str:
        if self.measured is None:
            return "not measured here yet"
        # What is drawn as the same number counts as the same: 0.704 is inside a range that ends at 0.7.
        low, high = self.made.told["low"], self.made.told["high"]
        return "inside" if low <= self.measured <= high or self.shown in (shown(low), shown(high)) else "outside"

    @property
    def shown(self) -> str:
        return "" if self.measured is None else shown(self.measured)

    @property
    def range(self) -> str:
        low, high, unit = (self.made.told[name] for name in ("low", "high", "unit"))
        return f"{low:g}{unit} … {high:g}{unit}"


def shown(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else number(value)


def bets() -> list[Bet]:
    """In the order of the course; questions that are in no lesson any more are left out."""
    known = progress.load()
    return [
        Bet(name, made, settled(*answer))
        for name, lesson in LESSONS.items()
        for question, answer in lesson.answers.items()
        if (made := known.get(("prediction", question)))
    ]


def settled(*answer) -> float | None:
    """The number that ``answer``, experiments and a function of their results, makes of what is known of them."""
    *experiments, value = answer
    results = [whole(experiment) for experiment in experiments]
    if None not in results:
        with contextlib.suppress(Refused):  # runs that diverged may leave no complete seed
            return float(value(*results))
    return None


def whole(experiment: Experiment) -> Results | None:
    """What the learner's cache holds at the budget that is whole in it, or else what ships recorded.

    Numbers of older code do not count.
    """
    known = {r.run: r for r in live(experiment.name).load() if r.source == source_hash()}
    for budget in ("full", "quick"):
        at = experiment.at(budget)
        if all(run in known for run in at.runs()):
            return Results(at, tuple(known[run] for run in at.runs()))
    with contextlib.suppress(Refused):  # none ships
        return recorded(experiment)
    return None


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    style = "style='text-align:left;vertical-align:top;padding-right:12px'"
    top = "".join(f"<th {style}>{cell}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td {style}>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


class Map(Shown):
    """``Map()`` as a cell's last line: the lessons, and what is done in each."""

    def __init__(self):
        rows = [(f"{SIGNS[p.state]} {p.number} {p.lesson.title}", p.lesson.question, *tallies(p)) for p in places()]
        self.drawn = widgets.HTML(table(("lesson", "question", "predictions locked", "exercises solved"), rows))
        super().__init__(None, "Map: the lessons, and what you have done in each.", self.drawn)


def tallies(place: Place) -> tuple[str, str]:
    lesson = place.lesson
    return f"{place.predicted} of {len(lesson.answers)}", f"{place.solved} of {len(lesson.exercises)}"


class Bets(Shown):
    """``Bets()`` as a cell's last line: what you predicted, and what was measured: here, or else on record."""

    def __init__(self):
        made = bets()
        rows = [(b.lesson, b.made.name, b.range, b.shown or "–", b.word, b.made.told["because"]) for b in made]
        head = ("lesson", "you were asked", "your range", "measured", "", "because")
        self.drawn = widgets.HTML((table(head, rows) if made else "") + f"<p>{sentence(made)}</p>")
        super().__init__(None, "Predictions: yours, beside what your own runs measured.", self.drawn)


def sentence(made: list[Bet]) -> str:
    if not made:
        return "No prediction is locked yet: every lesson asks for one before it measures."
    words = [bet.word for bet in made]
    settled_ones = words.count("inside") + words.count("outside")
    open_ones = f"; {len(words) - settled_ones} not measured on this computer yet" if settled_ones < len(words) else ""
    return f"{words.count('inside')} of {settled_ones} measured numbers are inside your range{open_ones}."
