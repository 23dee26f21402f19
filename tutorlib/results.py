"""What an experiment has measured so far, and its columns of numbers."""

import dataclasses
from collections import Counter
from dataclasses import dataclass

import numpy as np

from tutorlib.errors import Refused
from tutorlib.records import Experiment, RunRecord


@dataclass(frozen=True)
class Results:
    """What an experiment has measured so far: ``stopped`` early or whole, ``recorded`` elsewhere or live here."""

    experiment: Experiment
    records: tuple[RunRecord, ...]
    stopped: bool = False
    recorded: bool = False

    def __iter__(self):
        return iter(self.records)

    def __len__(self) -> int:
        return len(self.records)

    @property
    def seeds(self) -> int:
        """How many seeds have every point."""
        counts = Counter(run.seed for run in {r.run for r in self.records})
        return sum(count == len(self.experiment.points) for count in counts.values())

    @property
    def provenance(self) -> str:
        """Live or recorded, on what, how many seeds, and how many runs have no number."""
        where = "nothing measured yet"
        if self.records:
            machine = self.records[0].machine
            where = f"recorded on {machine.name}" if self.recorded else f"live on {machine.device}"
        lost = Counter(r.outcome.replace("_", " ") for r in self.records if r.outcome != "ok")
        seeds = f"{self.seeds} seed" if self.seeds == 1 else f"{self.seeds} seeds"
        return ", ".join([where, seeds, *(f"{count} runs {word}" for word, count in lost.items())])


def column(records, name: str, **settings) -> np.ndarray:
    """One number a seed, ordered by seed, from the records at these settings.

    Only seeds whose every run ended well are used, so that two columns pair up row by row.
    """
    records = list({r.run: r for r in records}.values())
    whole = complete_seeds(records)
    chosen = [
        r for r in records if r.run.seed in whole and all(r.run.settings.get(k) == v for k, v in settings.items())
    ]
    if not chosen:
        raise Refused(
            f"no complete seed among {len(records)} records at {settings}; run the experiment again: "
            "it goes on where it stopped"
        )
    return np.array([r[name] for r in sorted(chosen, key=lambda r: r.run.seed)])


def paired(*results: Results) -> tuple[Results, ...]:
    """The same results with only those seeds that are complete, and ended well, in every one of them."""
    shared = set.intersection(*(complete_seeds(each) for each in results))
    return tuple(dataclasses.replace(each, records=tuple(r for r in each if r.run.seed in shared)) for each in results)


def complete_seeds(records) -> set[int]:
    """The seeds whose every run ended well."""
    records = {r.run: r for r in records}.values()
    points = {frozenset(r.run.settings.items()) for r in records}
    well = Counter(r.run.seed for r in records if r.outcome == "ok")
    return {seed for seed, count in well.items() if count == len(points)}
