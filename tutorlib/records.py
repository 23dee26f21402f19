"""The one schema: what an experiment is, what one run measured, and what a verdict says.

Every class is a frozen dataclass that writes itself as one line of JSON and reads itself back. Reading
refuses what it does not know (an unknown or a missing field) and writing refuses NaN and infinity: a run
that diverged is an *outcome*, never a number.
"""

import dataclasses
import hashlib
import itertools
import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

OUTCOMES = ("ok", "diverged", "out_of_memory")
VERDICTS = ("holds", "holds if", "does not hold", "inconclusive at this budget")
CELL_TYPES = (str, int, float, bool)


def frozen(mapping: Mapping, where: str, vectors: bool = False) -> Mapping:
    """A read-only copy with sorted keys, refused if a value could not be written as plain JSON."""
    for key, value in mapping.items():
        items = value if vectors and isinstance(value, tuple | list) else (value,)
        for item in items:
            if not isinstance(item, CELL_TYPES):
                raise ValueError(f"{where}[{key!r}] is a {type(item).__name__}; allowed: text, numbers, true/false")
            if isinstance(item, float) and not math.isfinite(item):
                raise ValueError(
                    f"{where}[{key!r}] is {item}; a record holds finite numbers only: "
                    'store the outcome "diverged" and leave the number out'
                )
    return MappingProxyType({k: tuple(v) if isinstance(v, list) else v for k, v in sorted(mapping.items())})


class Line:
    """One JSON line ↔ one frozen dataclass."""

    def to_json(self) -> str:
        return json.dumps(_plain(self), ensure_ascii=False, allow_nan=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, line: str):
        """Raises ``ValueError`` on broken JSON, NaN, an unknown field or a missing one."""
        return _build(cls, json.loads(line, parse_constant=_refuse_constant))


def _plain(value):
    if dataclasses.is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _build(cls, raw):
    if not isinstance(raw, dict):
        raise ValueError(f"a {cls.__name__} is written as a JSON object, got {type(raw).__name__}")
    known = {f.name: f for f in dataclasses.fields(cls)}
    required = {
        name for name, f in known.items()
        if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    }
    if wrong := set(raw) - set(known):
        raise ValueError(f"{cls.__name__} has no field {sorted(wrong)}; its fields are {sorted(known)}")
    if missing := required - set(raw):
        raise ValueError(f"{cls.__name__} needs the field {sorted(missing)}")
    nested = {"run": Run, "machine": Machine}
    return cls(**{
        name: _build(nested[name], item) if name in nested else tuple(item) if isinstance(item, list) else item
        for name, item in raw.items()
    })


def _refuse_constant(name: str):
    raise ValueError(f"{name} in a record: only finite numbers are allowed")


@dataclass(frozen=True)
class Machine(Line):
    """Where a number was measured: enough to tell two machines apart, nothing about their owner."""

    device: str
    name: str
    threads: int
    python: str
    torch: str
    tutorlib: str
    commit: str = "unknown"


@dataclass(frozen=True)
class Run(Line):
    """One point of an experiment: which experiment, at which settings, with which seed.

    ``settings`` is everything that decides the result: what varies *and* what is held.
    """

    experiment: str
    settings: Mapping
    seed: int

    def __post_init__(self):
        object.__setattr__(self, "settings", frozen(self.settings, "settings"))

    @property
    def key(self) -> str:
        """Sixteen hex digits that are the same exactly when the run is."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:16]


@dataclass(frozen=True)
class RunRecord(Line):
    """What one run measured, where, and with which version of the instruments.

    ``values`` are finite numbers or tuples of them; ``source`` is a hash of the code that measured
    (:func:`tutorlib.store.source_hash`), so that a record made by other code is never taken for new.
    """

    run: Run
    outcome: str
    values: Mapping
    machine: Machine
    source: str
    seconds: float = 0.0

    def __post_init__(self):
        if self.outcome not in OUTCOMES:
            raise ValueError(f"outcome is {self.outcome!r}; allowed: {', '.join(OUTCOMES)}")
        object.__setattr__(self, "values", frozen(self.values, "values", vectors=True))

    def __getitem__(self, name: str):
        """A measured value or, failing that, a setting of the run."""
        for mapping in (self.values, self.run.settings):
            if name in mapping:
                return mapping[name]
        raise KeyError(f"{name!r}; measured: {list(self.values)}, settings: {list(self.run.settings)}")


@dataclass(frozen=True)
class Experiment(Line):
    """An experiment as data: what varies, what is held (each held thing is a caveat), and the seeds.

    ``trial`` names the function of :mod:`tutorlib.trials` that turns one run into numbers.
    ``points`` lists the settings that vary, one mapping a point. ``full`` replaces held settings when
    there is a GPU to spend. ``print_under`` is the small print of its figures, with the names of held
    settings in braces.
    """

    name: str
    question: str
    trial: str
    points: tuple
    print_under: str
    held: Mapping = field(default_factory=dict)
    full: Mapping = field(default_factory=dict)
    seeds: int = 24
    base_seed: int = 0

    def __post_init__(self):
        if not isinstance(self.seeds, int) or self.seeds < 1:
            raise ValueError(f"seeds is {self.seeds!r}; allowed: a whole number of at least 1")
        for name in ("held", "full"):
            object.__setattr__(self, name, frozen(getattr(self, name), name))
        object.__setattr__(self, "points", tuple(frozen(point, "points") for point in self.points))

    @property
    def small_print(self) -> str:
        return self.print_under.format(**self.held)

    def runs(self) -> list[Run]:
        """Every point at every seed, seed by seed, so that an early stop leaves complete seeds."""
        seeds = range(1000 * self.base_seed, 1000 * self.base_seed + self.seeds)
        return [Run(self.name, {**self.held, **point}, seed) for seed in seeds for point in self.points]

    def at(self, budget: str = "quick", **changes) -> "Experiment":
        """The same experiment at the ``quick`` or the ``full`` budget, or with fields replaced."""
        if budget not in ("quick", "full"):
            raise ValueError(f'budget is {budget!r}; allowed: "quick", "full"')
        held = {**self.held, **self.full} if budget == "full" else self.held
        return dataclasses.replace(self, **{"held": held, **changes})


def grid(**axes) -> tuple[dict, ...]:
    """Every combination of the given values, the last axis fastest.

    >>> grid(batch=(1, 2), replacement=(True,))
    ({'batch': 1, 'replacement': True}, {'batch': 2, 'replacement': True})
    """
    return tuple(dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values()))


@dataclass(frozen=True)
class Verdict(Line):
    """What a measurement says about one claim.

    ``low`` and ``high`` bound the 95 % interval of ``estimate``; ``held`` is the caveat and
    ``would_change`` the result that would have changed the conclusion.
    """

    claim: str
    says: str
    verdict: str
    measured: str
    estimate: float
    low: float
    high: float
    held: str
    would_change: str
    condition: str = ""

    def __post_init__(self):
        if self.verdict not in VERDICTS:
            raise ValueError(f"verdict is {self.verdict!r}; allowed: {', '.join(VERDICTS)}")
        if (self.verdict == "holds if") != bool(self.condition):
            raise ValueError(f'{self.claim}: "holds if" needs a condition, and only "holds if" has one')
        frozen({"estimate": self.estimate, "low": self.low, "high": self.high}, "verdict")


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
        counts = Counter(r.run.seed for r in self.records)
        return sum(count == len(self.experiment.points) for count in counts.values())

    @property
    def provenance(self) -> str:
        """Live or recorded, on what, how many seeds, and how many runs have no number."""
        where = "nothing measured yet"
        if self.records:
            machine = self.records[0].machine
            where = f"recorded on {machine.name}" if self.recorded else f"live on {machine.device}"
        lost = Counter(r.outcome.replace("_", " ") for r in self.records if r.outcome != "ok")
        return ", ".join([where, f"{self.seeds} seeds", *(f"{count} runs {word}" for word, count in lost.items())])


def column(records, name: str, **settings) -> np.ndarray:
    """One number a seed, ordered by seed, from the records at these settings.

    Only seeds whose every run ended well are used, so that two columns pair up row by row.
    """
    records = list(records)
    points = {json.dumps(dict(r.run.settings)) for r in records}
    well = Counter(r.run.seed for r in records if r.outcome == "ok")
    chosen = [
        r for r in records
        if well[r.run.seed] == len(points) and all(r.run.settings.get(k) == v for k, v in settings.items())
    ]
    if not chosen:
        raise ValueError(
            f"no complete seed among {len(records)} records at {settings}; run the experiment again: "
            "it goes on where it stopped"
        )
    return np.array([r[name] for r in sorted(chosen, key=lambda r: r.run.seed)])
