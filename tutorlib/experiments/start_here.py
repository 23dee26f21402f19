"""Lesson 00: training loops as the documents print them, and right ones, whose updates are counted."""

from tutorlib.records import Experiment
from tutorlib.results import column

PLANS = {"A": (32, 1), "B": (16, 2), "C": (8, 4), "D": (4, 8)}


def point(loop: str, micro_batch: int, accumulation: int, **changes) -> dict:
    plan = {"micro_batch": micro_batch, "accumulation": accumulation}
    return {"loop": loop, **plan, "ranks": 1, "epochs": 1, "drop_last": False, "examples": 10_000, **changes}


LOOPS = Experiment(
    name="loops",
    question="How many updates does each loop make, and of what?",
    trial="start_here.loops",
    points=(
        *(point("right", *plan) for plan in PLANS.values()),
        point("right", 32, 1, drop_last=True),
        *(point("dropping", *PLANS[name]) for name in "BCD"),
        point("shrinking", *PLANS["B"]),
        *(point("right", *plan, ranks=5, examples=1_000) for plan in ((4, 4), (8, 2))),
        point("D3-21", 4, 1, drop_last=True, examples=1_002),
        point("D1-11", *PLANS["C"]),
        point("D3-22", *PLANS["C"], epochs=2),
        point("D4-20", *PLANS["D"]),
    ),
    print_under="Shuffled by torch's DataLoader; SGD. One weight an example, so the gradient says what is in it: "
    "counts, the same on every machine and with every seed",
    seeds=1,
)


def count(records, name: str, loop: str, plan: tuple[int, int], **more) -> float:
    """One count of one loop at one plan, (micro-batch, accumulation)."""
    micro_batch, accumulation = plan
    (value,) = column(records, name, loop=loop, micro_batch=micro_batch, accumulation=accumulation, **more)
    return float(value)
