"""The one schema: what an experiment is, what one run measured, and what a verdict says.

Every class is a frozen dataclass that writes itself as one line of JSON and reads itself back. Reading
refuses what it does not know (an unknown or a missing field) and writing refuses NaN and infinity: a run
that diverged is an *outcome*, never a number.
"""

import dataclasses
import functools
import hashlib
import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from tutorlib.errors import Refused
from tutorlib.jsonlines import Line, frozen

OUTCOMES = ("ok", "diverged", "out_of_memory")
VERDICTS = ("holds", "holds if", "does not hold", "inconclusive at this budget")


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


@dataclass(frozen=True, eq=False)
class Run(Line):
    """One point of an experiment: which experiment, at which settings, with which seed.

    ``settings`` is everything that decides the result: what varies *and* what is held. Two runs are equal
    when they are written alike.
    """

    experiment: str
    settings: Mapping
    seed: int

    def __post_init__(self):
        object.__setattr__(self, "settings", frozen(self.settings, "settings"))

    @functools.cached_property
    def key(self) -> str:
        """Sixteen hex digits that are the same exactly when the run is."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:16]

    def __eq__(self, other) -> bool:
        return isinstance(other, Run) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


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
            raise Refused(f"outcome is {self.outcome!r}; allowed: {', '.join(OUTCOMES)}")
        object.__setattr__(self, "values", frozen(self.values, "values", vectors=True))
        frozen({"seconds": self.seconds}, "record")

    def __getitem__(self, name: str):
        """A measured value or, failing that, a setting of the run."""
        for mapping in (self.values, self.run.settings):
            if name in mapping:
                return mapping[name]
        raise KeyError(f"{name!r}; measured: {list(self.values)}, settings: {list(self.run.settings)}")


@dataclass(frozen=True)
class Experiment(Line):
    """An experiment as data: what varies, what is held (each held thing is a caveat), and the seeds.

    ``trial`` names the function of :mod:`tutorlib.trials` that turns one run into numbers, or several at once:
    those that differ only in what ``together`` names, settings and perhaps "seed".
    ``points`` lists the settings that vary, one mapping a point. ``full`` replaces held settings when
    there is a GPU to spend. ``print_under`` is the small print of its figures, with the names of held
    settings in braces. ``device`` is named where the question is about one, whatever else there is.
    ``side_by_side`` groups may be computed in threads: none of them reads a clock, or draws from
    torch's one random stream without holding its lock.
    """

    name: str
    question: str
    trial: str
    points: tuple
    print_under: str
    held: Mapping = field(default_factory=dict)
    full: Mapping = field(default_factory=dict)
    together: tuple = ()
    side_by_side: bool = False
    device: str | None = None
    seeds: int = 24
    base_seed: int = 0

    def __post_init__(self):
        if not isinstance(self.seeds, int) or self.seeds < 1:
            raise Refused(f"seeds is {self.seeds!r}; allowed: a whole number of at least 1")
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

    def groups(self) -> list[list[Run]]:
        """The runs that one call of the trial measures, in an order that leaves complete seeds behind.

        Seeds go together in blocks of sixteen, or of eight where a seed has more than four runs: more would take longer
        to stop, and gain nothing. What is measured already never decides who shares a group: going on gives what an
        undisturbed study gives.
        """
        alike: dict = {}
        for run in self.runs():
            apart = {name: value for name, value in run.settings.items() if name not in self.together}
            alike.setdefault(json.dumps(apart), []).append(run)
        groups = []
        for runs in alike.values():
            one_seed = len(runs) // self.seeds
            size = one_seed * ((16 if one_seed <= 4 else 8) if "seed" in self.together else 1)
            groups += [runs[start : start + size] for start in range(0, len(runs), size)]
        return sorted(groups, key=lambda group: group[0].seed)

    def at(self, budget: str = "quick", **changes) -> "Experiment":
        """The same experiment at the ``quick`` or the ``full`` budget, or with fields replaced."""
        if budget not in ("quick", "full"):
            raise Refused(f'budget is {budget!r}; allowed: "quick", "full"')
        known = [f.name for f in dataclasses.fields(self)]
        if unknown := sorted(set(changes) - set(known)):
            raise Refused(f"an experiment has no {unknown}; it has {known}")
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

    ``low`` and ``high`` bound the 95 % interval of ``estimate``, all ``None`` where none is bounded;
    ``held`` is the caveat and ``would_change`` the result that would have changed the conclusion. ``other_seeds`` is
    what the same measurement said under other base seeds, where :mod:`tutorlib.verdicts.repeats` knows.
    """

    claim: str
    says: str
    verdict: str
    measured: str
    estimate: float | None
    low: float | None
    high: float | None
    held: str
    would_change: str
    condition: str = ""
    other_seeds: str = ""

    def __post_init__(self):
        if self.verdict not in VERDICTS:
            raise Refused(f"verdict is {self.verdict!r}; allowed: {', '.join(VERDICTS)}")
        if (self.verdict == "holds if") != bool(self.condition):
            raise Refused(f'{self.claim}: "holds if" needs a condition, and only "holds if" has one')
        numbers = {"estimate": self.estimate, "low": self.low, "high": self.high}
        frozen({name: value for name, value in numbers.items() if value is not None}, "verdict")
