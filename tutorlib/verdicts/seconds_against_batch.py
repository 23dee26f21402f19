"""Lesson 05, seconds: what a step takes, and what it makes of the steps."""

from functools import partial

import numpy as np

from tutorlib.experiments import race_two_speeds as lesson
from tutorlib.experiments import two_speeds_columns as columns
from tutorlib.records import Verdict
from tutorlib.results import Results, column, paired
from tutorlib.theory.statistics import geometric_interval
from tutorlib.theory.trade_off import fastest_batch, fit_trade_off
from tutorlib.verdicts.rules import Finding, above, below, bounded, same_ratio, verdict
from tutorlib.verdicts.steps_against_batch import RUN

UNFILLED = "overhead fills the small step, as on this processor; where examples fill it, nothing is gained"
FILLED, APART = "… where examples fill the step", "a ratio clearly outside 0.8 … 1.25"
UP_TO = "the device is not filled yet, and examples beyond B_crit are not counted as use"
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

    def passes(batch: int, model: dict):
        backward, forward = (column(clock, name, batch=batch, **model) for name in ("backward", "forward"))
        return same_ratio(backward / forward)

    full = 8 * parts(128, lesson.DEEP) / parts(1024, lesson.DEEP)
    rows = [
        ("D1-03", f"{per_example}batch 1 ÷ at 64, {small}", faster(step(1) * 64 / step(64)), LESS, "", UNFILLED),
        ("D1-03", f"{per_example}batch 512 ÷ at 1,024, {deep}", faster(filled), MORE, "… and from 512 to 1,024", ""),
        ("D1-40", f"{per_example}micro-batch 4 ÷ at 64, {small}", faster(parts(4) * 16 / parts(64)), LESS, "", loader),
        ("D3-26", f"four micro-batches of 4 ÷ two of 8, {small}", faster(2 * parts(4) / parts(8)), LESS, "", UNFILLED),
        ("D4-17", f"seconds of backward ÷ forward, {deep}, batch 256", passes(256, lesson.DEEP), SAME, "", ""),
        (
            "D4-17",
            f"the same, {small}, batch 64",
            passes(64, lesson.SMALL),
            APART,
            "… in a net of one hidden layer",
            "",
        ),
        ("D4-18", f"8 × seconds of 4 ÷ those of 32, {small}", same_ratio(8 * parts(4) / parts(32)), SAME, "", ""),
        ("D4-18", f"8 × seconds of 128 ÷ those of 1,024, {deep}", same_ratio(full), APART, FILLED, ""),
        ("D4-19", f"8 × 4 with one update ÷ 1 × 32, {small}", same_ratio(in_eight(32)), SAME, "", ""),
        (
            "D4-19",
            f"8 × 128 with one update ÷ 1 × 1,024, {deep}",
            same_ratio(in_eight(1024, lesson.DEEP)),
            APART,
            FILLED,
            "",
        ),
    ]
    return [judge(*row, says=says, condition=condition) for *row, says, condition in rows]


@bounded
def fast_by_formula(time: dict, steps: dict, clock: Results) -> Finding:
    """Seconds at the batch nearest to the formula's, over those of the fastest other batch: below 1.25."""
    law = fit_trade_off(list(steps), [np.exp(np.log(many).mean()) for many in steps.values()])
    formula = fastest_batch(law, columns.step_law(clock))
    near = min(time, key=lambda b: abs(np.log(b / max(formula, 1e-9))))
    least = min((b for b in time if b != near), key=lambda b: np.log(time[b]).mean())
    return below(1.25, time[near] / time[least], geometric_interval)


def race_verdicts(sgd: Results, clock: Results) -> list[Verdict]:
    """D1-02, D1-05, D2-04, D2-10, D2-21, D3-05, D3-07: steps and seconds together."""
    judge = partial(verdict, held=RUN + "; plain SGD; seconds of this device")
    sgd, clock = paired(sgd, clock)
    time, steps = columns.seconds_to_target(sgd, clock, "SGD"), columns.per_batch(sgd, "SGD")
    second = {b: column(clock, "step", batch=b, **lesson.SMALL) / b for b in (8, 64)}
    arithmetic = "… counted in examples, that is in forward and backward arithmetic"
    past = above(1, time[64] / time[512], geometric_interval)
    to = "seconds to the target at "
    rows = [
        (
            "D1-02",
            f"{to}512, which does the most examples a second, ÷ at 64",
            faster(time[512] / time[64]),
            LESS,
            "",
            "",
        ),
        ("D1-05", f"{to}1 ÷ at 64", faster(time[1] / time[64]), LESS, "… so the smallest batch is not the fastest", ""),
        ("D1-05", f"{to}512 ÷ at 64", faster(time[512] / time[64]), LESS, "… and neither is the largest", ""),
        (
            "E25",
            f"{to}the batch nearest √(B_crit · t₀/c) ÷ at the fastest other batch",
            fast_by_formula(time, steps, clock),
            "a ratio above 1.25",
            "the two laws find a batch that is about as fast as any",
            "",
        ),
        ("D2-04", "seconds an example at 8 ÷ at 64", faster(second[8] / second[64]), LESS, "", UP_TO),
        ("D2-10", "steps to the target at 8 ÷ at 512", faster(steps[8] / steps[512]), LESS, "", "counted in steps"),
        ("D2-10", f"{to}64 ÷ at 512", past, "a ratio above 1", "… in seconds, from 64 on", ""),
        ("D2-21", f"{to}1 ÷ at 64", faster(time[1] / time[64]), LESS, "", UNFILLED),
        (
            "D2-21",
            "examples to the target at 1 ÷ at 64",
            above(1, steps[1] / (64 * steps[64]), geometric_interval),
            "a ratio above 1",
            arithmetic,
            "",
        ),
        ("D3-05", f"{to}8 ÷ at 64", faster(time[8] / time[64]), LESS, "", UNFILLED),
        ("D3-07", f"{to}8 ÷ at 128", faster(time[8] / time[128]), LESS, "", "compared with batches of up to 8"),
        ("D3-07", f"{to}64 ÷ at 512", past, "a ratio above 1", "… and the larger the faster", ""),
    ]
    return [judge(*row, says=says, condition=condition) for *row, says, condition in rows]
