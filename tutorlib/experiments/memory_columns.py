"""Lesson 04's record as lines: one for each model, precision, attention and checkpointing, any optimizer counted."""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from tutorlib.errors import Refused
from tutorlib.records import RunRecord
from tutorlib.results import Results
from tutorlib.theory.memory import KINDS
from tutorlib.theory.memory_line import Length, MemoryLine, Place
from tutorlib.theory.recipes import Recipe


@dataclass(frozen=True)
class Lines:
    """Lines by (model, precision, attention, checkpointing), with AdamW, and each model's parameters."""

    lines: dict[tuple, MemoryLine]
    parameters: dict[str, int]

    @classmethod
    def read(cls, results: Results) -> "Lines":
        """Raises ``ValueError`` where a point of the experiment is missing."""
        points, there = results.experiment.points, [r for r in results if r.outcome == "ok"]
        if missing := sum(not any(point.items() <= r.run.settings.items() for r in there) for point in points):
            raise Refused(
                f"{missing} of {len(points)} points of {results.experiment.name!r} have no record; allowed: all of "
                "them. Record them again: python -m tutorlib record"
            )
        found = defaultdict(list)
        for r in sorted(there, key=time_of):
            s = r.run.settings
            found[s["model"], s["precision"], s.get("attention", "fused"), s.get("checkpointing", False)].append(r)
        return cls({key: line(records) for key, records in found.items()}, {r["model"]: r["parameters"] for r in there})

    def line(self, model: str, recipe: Recipe) -> MemoryLine | None:
        """The line of a model under a recipe; ``None`` where none is recorded."""
        made = self.lines.get((model, recipe.precision, recipe.attention, recipe.checkpointing))
        if made is None or recipe.optimizer == "AdamW":
            return made
        return made.with_optimizer(recipe.optimizer, self.parameters[model], recipe.precision)


def line(records: list) -> MemoryLine:
    """The records of one model and recipe, shortest text first."""
    last, at_lengths = records[-1], [lengths(r) for r in records]
    places = tuple(Place(same) for same in zip(*at_lengths, strict=True))
    return MemoryLine(places, np.asarray(last["step"], dtype=float), last["reserved"])


def lengths(record: RunRecord) -> list[Length]:
    """The line of every place at the record's length."""
    few, many = (np.reshape(record[f"places_{size}"], (-1, len(KINDS))) for size in ("small", "large"))
    settings, time = record.run.settings, time_of(record)
    return [Length.through(time, settings["small"], settings["large"], *ends) for ends in zip(few, many, strict=True)]


def time_of(record: RunRecord) -> int:
    """Tokens of an example; an image is one."""
    return record.run.settings.get("time", 1)
