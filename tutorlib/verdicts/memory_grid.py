"""How far predicted memory is off, by family of models: median and worst error, beside the goals set beforehand."""

from dataclasses import dataclass

import numpy as np

MIB = 2**20


@dataclass(frozen=True)
class Goal:
    """No error above ``worst`` of what was measured or ``slack`` bytes, whichever is more; half below ``median``."""

    worst: float
    median: float = 1.0
    slack: int = 0

    def __str__(self) -> str:
        each = f"{100 * self.worst:.3g} %"
        words = f"each within max({each}, {self.slack // MIB} MiB)" if self.slack else f"each within {each}"
        return words + (f", half within {100 * self.median:.3g} %" if self.median < 1 else "")


# On a GPU, and on a processor with the profiler's events as the truth.
ON_A_GPU = {"transformers": Goal(0.05, 0.03), "perceptrons": Goal(0.05, slack=64 * MIB), "conv nets": Goal(0.10)}
ON_A_PROCESSOR = {"transformers": Goal(0.001), "perceptrons": Goal(0.001), "conv nets": Goal(0.02)}
RESERVED = Goal(0.10)


@dataclass(frozen=True)
class Errors:
    """Signed relative errors of one family: how many, the median of their sizes, the worst, where that was."""

    family: str
    what: str
    points: int
    median: float
    worst: float
    where: str
    goal: Goal
    met: bool

    def __str__(self) -> str:
        return (
            f"{self.family}, {self.what}, {self.points} points: median {self.median:.2%}, worst {self.worst:+.2%} "
            f"({self.where}); goal {self.goal}: {'met' if self.met else 'NOT MET'}"
        )


def family_of(model: str) -> str:
    return "conv nets" if "resnet" in model else "perceptrons" if "mlp" in model else "transformers"


def summary(records) -> list[Errors]:
    """Errors of the whole run, of its first step and of reserved memory, by family, from runs that ended well."""
    ran, rows = [record for record in records if record.outcome == "ok"], []
    for family in ON_A_GPU:
        members = [record for record in ran if family_of(record["model"]) == family]
        for what, foretold in (("allocated", "predicted"), ("first_allocated", "predicted_first")):
            goals = ON_A_PROCESSOR if members and members[0].machine.device == "cpu" else ON_A_GPU
            rows.append(errors(family, members, what, foretold, goals[family]))
        told = [record for record in members if "reserved" in record.values]
        rows.append(errors(family, told, "reserved", "predicted_reserved", RESERVED))
    return [row for row in rows if row]


def errors(family: str, members: list, what: str, foretold: str, goal: Goal) -> Errors | None:
    if not members:
        return None
    real, said = (np.array([record[name] for record in members], dtype=float) for name in (what, foretold))
    off = said / real - 1
    median, worst = float(np.median(np.abs(off))), int(np.abs(off).argmax())
    within = np.abs(said - real) <= np.maximum(goal.worst * real, goal.slack)
    met = bool(within.all() and median <= goal.median)
    told = what.replace("_", " ")
    return Errors(family, told, len(members), median, float(off[worst]), words(members[worst]), goal, met)


def words(record) -> str:
    """Which run it was, in the words of its settings; what every run shares is left out."""
    more = ["checkpointing"] if record["checkpointing"] else []
    more += [f"attention {record['attention']}"] if record["attention"] != "fused" else []
    more += [f"accumulation {record['accumulation']}"] if record["accumulation"] > 1 else []
    length = [f"time {record['time']}"] if record["time"] else []
    size = f"micro-batch {record['micro_batch']}"
    return ", ".join([record["model"], size, *length, record["precision"], record["optimizer"], *more])


def wrongly_told(records) -> list[str]:
    """Runs that were said to fit and ran out, or said to run out and fitted, each in a sentence."""
    said = [(r, bool(r["predicted_fits"]), r.outcome == "ok") for r in records if "predicted_fits" in r.values]
    return [
        f"{words(r)}: said to {'fit' if fits else 'run out'}, and it {'ran' if ran else 'ran out'}"
        for r, fits, ran in said
        if fits != ran
    ]
