"""Lesson 02, seconds: what accumulation costs in time."""

from functools import partial

from tutorlib.experiments.accumulation_clock import BATCH
from tutorlib.experiments.race_two_speeds import DEEP, SMALL
from tutorlib.records import Verdict
from tutorlib.results import Results, column
from tutorlib.theory.statistics import geometric_interval
from tutorlib.verdicts.rules import above, below, verdict

UNFILLED = "the micro-batch does not fill the device"


def seconds_verdicts(clock: Results) -> list[Verdict]:
    """D0-10, D3-24, D4-09: time against the size of the micro-batch, at equal samples."""
    judge = partial(
        verdict, held="this device, one thread on a processor; one batch of 256; examples already in memory"
    )

    def seconds(size: int, model: dict):
        return column(clock, "step", micro_batch=size, **model)

    def slower(few: int, many: int, model: dict):
        return above(1.25, seconds(few, model) / seconds(many, model), geometric_interval)

    tiny, filled = "seconds of an update in parts of 8 ÷ in one piece, ", "in parts of 128 ÷ in one piece, deep net"
    halved = below(1.25, seconds(128, DEEP) / seconds(BATCH, DEEP), geometric_interval)
    return [
        judge("D0-10", tiny + "small net", slower(8, BATCH, SMALL), "a ratio below 1.25", condition=UNFILLED),
        judge("D4-09", tiny + "deep net", slower(8, BATCH, DEEP), "a ratio below 1.25", condition=UNFILLED),
        judge("D4-09", filled, halved, "a ratio above 1.25", says="… and by less than a quarter in parts of 128"),
        judge(
            "D3-24",
            "seconds of an update in parts of 1 ÷ in parts of 4, small net",
            slower(1, 4, SMALL),
            "a ratio below 1.25",
            says="micro-batch 1 is the slowest way to the same update",
            condition=UNFILLED,
        ),
    ]
