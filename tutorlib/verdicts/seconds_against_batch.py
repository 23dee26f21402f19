"""Lesson 05, seconds: what a step takes, and what it makes of the steps."""

from functools import partial

from tutorlib.experiments import race_two_speeds as lesson
from tutorlib.experiments import two_speeds_columns as columns
from tutorlib.records import Verdict
from tutorlib.results import Results, column
from tutorlib.theory.statistics import geometric_interval
from tutorlib.verdicts.rules import above, same_ratio, verdict
from tutorlib.verdicts.steps_against_batch import RUN

UNFILLED = "the smaller batch leaves the device waiting; where it is full, nothing is gained"
MORE, LESS, SAME = "a ratio above 1.25", "a ratio below 1.25", "a ratio inside 0.8 … 1.25"


def faster(ratio):
    """The first takes clearly longer than the second: more than 1.25 times as long."""
    return above(1.25, ratio, geometric_interval)


def clock_verdicts(clock: Results) -> list[Verdict]:
    """D1-03, D1-40, D3-26, D4-17, D4-18, D4-19 on this device."""
    judge = partial(verdict, held="this device, one thread on a processor; examples already in memory")

    def step(batch: int, model: dict = lesson.SMALL):
        return column(clock, "step", batch=batch, **model)

    def parts(batch: int, model: dict = lesson.SMALL):
        return columns.parts(clock, batch, **model)

    def in_eight(batch: int, model: dict = lesson.SMALL):
        """Eight micro-batches and one update ÷ the same examples in one piece."""
        micro = parts(batch // 8, model)
        return (8 * micro + step(batch // 8, model) - micro) / step(batch, model)

    small, deep = "small net", "deep net"
    per_example = "seconds per example at "
    filled = step(512, lesson.DEEP) * 2 / step(1024, lesson.DEEP)
    loader = UNFILLED + ". Time the data loader first: a slow one looks the same"
    passes = [column(clock, name, batch=256, **lesson.DEEP) for name in ("backward", "forward")]
    rows = [
        ("D1-03", f"{per_example}batch 1 ÷ at 64, {small}", faster(step(1) * 64 / step(64)), LESS, "", UNFILLED),
        ("D1-03", f"{per_example}batch 512 ÷ at 1,024, {deep}", faster(filled), MORE, "… and from 512 to 1,024", ""),
        ("D1-40", f"{per_example}micro-batch 4 ÷ at 64, {small}", faster(parts(4) * 16 / parts(64)), LESS, "", loader),
        ("D3-26", f"four micro-batches of 4 ÷ two of 8, {small}", faster(2 * parts(4) / parts(8)), LESS, "", UNFILLED),
        ("D4-17", f"seconds of backward ÷ forward, {deep}, batch 256", same_ratio(passes[0] / passes[1]), SAME, "", ""),
        ("D4-18", f"8 × seconds of 4 ÷ those of 32, {small}", same_ratio(8 * parts(4) / parts(32)), SAME, "", ""),
        ("D4-19", f"8 × 4 with one update ÷ 1 × 32, {small}", same_ratio(in_eight(32)), SAME, "", ""),
        (
            "D4-19",
            f"8 × 128 with one update ÷ 1 × 1,024, {deep}",
            same_ratio(in_eight(1024, lesson.DEEP)),
            "a ratio clearly outside 0.8 … 1.25",
            "… and with micro-batches that fill the device",
            "",
        ),
    ]
    return [judge(*row, says=says, condition=condition) for *row, says, condition in rows]


def race_verdicts(sgd: Results, clock: Results) -> list[Verdict]:
    """D1-02, D1-05, D2-04, D2-10, D2-21, D3-05, D3-07: steps and seconds together."""
    judge = partial(verdict, held=RUN + "; seconds of this device")
    time, steps = columns.seconds_to_target(sgd, clock, "SGD"), columns.per_batch(sgd, "SGD")
    crowded = "the small batch does not fill the device: here t₀ is larger than c·B"
    fastest = "at 512, which does the most examples a second, ÷ at 64"
    examples = above(1, steps[1] / (64 * steps[64]), geometric_interval)
    large = above(1, time[64] / time[512], geometric_interval)
    rows = [
        ("D1-02", fastest, faster(time[512] / time[64]), LESS, "", ""),
        ("D1-05", "at 1 ÷ at 64", faster(time[1] / time[64]), LESS, "… so the smallest batch is not the fastest", ""),
        ("D1-05", "at 512 ÷ at 64", faster(time[512] / time[64]), LESS, "… and neither is the largest", ""),
        ("D2-04", "at 8 ÷ at 64", faster(time[8] / time[64]), LESS, "", ""),
        ("D2-10", "at 64 ÷ at 512", large, "a ratio above 1", "", ""),
        ("D2-21", "at 1 ÷ at 64", faster(time[1] / time[64]), LESS, "", crowded),
        ("D3-05", "at 8 ÷ at 64", faster(time[8] / time[64]), LESS, "", crowded),
        ("D3-07", "at 64 ÷ at 512", large, "a ratio above 1", "", ""),
    ]
    arithmetic = "… counted in examples, that is in arithmetic"
    return [
        judge(claim, f"seconds to the target {words}", *rest, says=says, condition=condition)
        for claim, words, *rest, says, condition in rows
    ] + [judge("D2-21", "examples to the target at 1 ÷ at 64", examples, "a ratio above 1", says=arithmetic)]
