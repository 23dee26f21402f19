"""Lesson 09: is the noise at the start that of the run, and does the adviser find what a sweep finds?"""

from functools import partial

import numpy as np

from tutorlib.errors import Refused
from tutorlib.experiments import advice_columns as columns
from tutorlib.experiments import choose_your_batch as lesson
from tutorlib.records import Verdict
from tutorlib.results import Results, column, paired
from tutorlib.theory.choice import SLACK
from tutorlib.theory.plan import Plan
from tutorlib.theory.statistics import geometric_interval
from tutorlib.verdicts.rules import INCONCLUSIVE, Finding, above, below, counted, same_ratio, verdict

NAMES = {"mlp": "MLP, SGD", "cnn": "CNN with BatchNorm, Adam", "gpt": "GPT, Adam"}
within = partial(below, SLACK, interval=geometric_interval)
costs = partial(above, SLACK, interval=geometric_interval)


def noise_verdicts(noise: Results) -> list[Verdict]:
    """E15: the noise scale at the end of a short run over the one before the first step."""
    judge = partial(verdict, held="400 updates at batch 32 and one rate; 16 gradients of 256 examples a look")
    rows = []
    for model in ("mlp", "cnn"):
        signal = column(noise, "signals", model=model)
        grown = np.maximum(signal[:, 0], 1e-9) / np.maximum(signal[:, -2:].mean(axis=1), 1e-9)
        says = "the noise scale before training is that of training" if model == "mlp" else "… with BatchNorm"
        found = same_ratio(grown, within=2)
        words = f"noise scale late in a short run ÷ before its first step, {NAMES[model]}"
        rows.append(judge("E15", words, found, "a ratio inside ½ … 2", says=says))
    return rows


def swept_verdicts(sweep: Results, clock: Results, advice: Results) -> list[Verdict]:
    """The adviser against the sweep (E14), D1-44, D0-21 and D4-24."""
    sweep, clock, advice = paired(sweep, clock, advice)
    return advised_verdicts(sweep, clock, advice) + knob_verdicts(sweep, clock, advice) + logged_verdicts()


def advised_verdicts(sweep: Results, clock: Results, advice: Results) -> list[Verdict]:
    judge = partial(verdict, held=HELD, would_change="a ratio clearly above 1.2")
    rows = []
    for largest, says in ((None, "the adviser's plan is within 20 % of the sweep's best"), (lesson.LITTLE, LITTLE)):
        for model, name in NAMES.items():
            says = says if model == "mlp" else f"… {name}{', room for 16 only' if largest else ''}"
            words = f"time of the adviser's plan ÷ of the sweep's best, {name}"
            try:
                found = within(columns.over_best(sweep, clock, advice, model, largest))
            except Refused as refused:  # a batch that was not swept
                found, words = Finding(None, INCONCLUSIVE), f"{words} ({refused})"
            rows.append(judge("E14", words, found, says=says))
    return rows


def knob_verdicts(sweep: Results, clock: Results, advice: Results) -> list[Verdict]:
    """D1-44: what each knob alone would cost. D0-21: batch 32 or 128, where memory has room for 16."""
    judge, rows = partial(verdict, held=HELD), []
    knobs = {model: columns.one_knob(sweep, clock, advice, model) for model in NAMES}
    for number, knob in enumerate(("throughput", "noise", "steps")):
        worst = max(NAMES, key=lambda model: np.log(knobs[model][knob]).mean())
        says = f"… by {knob} alone" if number else f"the batch is not one knob: by {knob} alone you miss it"
        words = f"time of the batch that {KNOBS[knob]} ÷ of the sweep's best, {NAMES[worst]}, the worst of three"
        rows.append(judge("D1-44", words, costs(knobs[worst][knob]), "a ratio below 1.2 on all three", says=says))
    for model, name in NAMES.items():
        ratio = columns.little_memory(sweep, clock, model)
        says = "" if model == "mlp" else f"… {name}"
        rows.append(
            judge(
                "D0-21",
                f"time to the target at batch 32 ÷ at 128, both in micro-batches of {lesson.LITTLE}, {name}",
                below(1, ratio, geometric_interval),
                "a ratio above 1",
                says=says,
            )
        )
    return rows


def logged_verdicts() -> list[Verdict]:
    judge = partial(verdict, "D4-24", held="two plans, counted; examples of an update on real ranks: lesson 02")
    one, two = (Plan(1024, 8, 4, ranks) for ranks in (1, 2))
    words = "batch of a full window ÷ (micro-batch × accumulation), on {}"
    return [
        judge(words.format("one rank"), counted(1, [one.batch / 32]), "another ratio", condition="there is one rank"),
        judge(words.format("two ranks"), counted(1, [two.batch / 32]), "a ratio of 1", says="… on two"),
    ]


KNOBS = {
    "throughput": "does the most examples a second",
    "noise": "is nearest to the noise scale",
    "steps": "takes the fewest steps",
}
LITTLE = "… with room for micro-batches of 16 only"
HELD = (
    "one target each, rates chosen on the other seeds from three or four, some at the end of their grid; one processor"
)
VERDICTS = (((lesson.NOISE,), noise_verdicts), ((lesson.SWEEP, lesson.SECONDS, lesson.ADVICE), swept_verdicts))
RECORDED = REPLAYED = (lesson.SWEEP, lesson.SECONDS, lesson.ADVICE)
