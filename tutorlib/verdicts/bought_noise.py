"""Lesson 08: what bought noise is good for, and its price: D1-36 … D1-39 and E28."""

from functools import partial

import numpy as np

from tutorlib.experiments import bought_noise as lesson
from tutorlib.records import Verdict
from tutorlib.results import Results, column
from tutorlib.theory.statistics import geometric_interval, share_interval
from tutorlib.verdicts.rules import above, below, same_ratio, verdict

HELD = "diagonal linear net, where noise is known to be the cause; one rate for all arms, but for one control"
NOT_DEEP = "the noise is what helps; this net was made so that it is"


def bought_verdicts(records) -> list[Verdict]:
    """D1-36, D1-37, D1-39 and E28: which noise does what batch 1 does."""
    judge, over = partial(verdict, held=HELD), partial(lesson.over, records)
    less = partial(below, 0.9, interval=geometric_interval)
    wide, other = "a ratio above 0.9", "a ratio clearly outside 0.8 … 1.25"
    rows = (
        ("E08", "error at batch 1 ÷ at the full batch", less(over(lesson.SMALL, lesson.FULL)), wide,
         "there is something to buy", ""),
        ("E08", "error at 8 × the rate ÷ at the rate, full batch", less(over(lesson.FAST, lesson.FULL)), wide,
         "… and a higher rate buys it without noise (control)", ""),
        ("D1-36", "error with Gaussian weights ÷ full batch", less(over(lesson.GAUSSIAN, lesson.FULL)), wide,
         "structured noise at the full batch buys it back", NOT_DEEP),
        ("D1-36", "… ÷ batch 1", same_ratio(over(lesson.GAUSSIAN, lesson.SMALL)), other, "… all of it", ""),
        ("D1-36", "error with ±1 weights ÷ with Gaussian ones", same_ratio(over(lesson.SIGNS, lesson.GAUSSIAN)), other,
         "the lightest tail does as well", ""),
        ("D1-36", "error with Student-t weights ÷ with Gaussian ones",
         below(0.95, over(lesson.STUDENT, lesson.GAUSSIAN), geometric_interval), "a ratio below 0.95",
         "it takes a heavy tail: t₃ of the same variance buys more", ""),
        ("D1-37", "error with isotropic noise of the same trace ÷ full batch",
         same_ratio(over(lesson.ISOTROPIC, lesson.FULL)), other, "random directions buy nothing", ""),
        ("D1-37", "error with Gaussian weights ÷ isotropic", less(over(lesson.GAUSSIAN, lesson.ISOTROPIC)), wide,
         "", ""),
        ("D1-39", "full batch with Gaussian weights ÷ batch 1", same_ratio(over(lesson.GAUSSIAN, lesson.SMALL)), other,
         "",
         "only the noise is asked for: then any batch can have it, and steps, examples and seconds are another choice"),
        ("E28", "log error: what the penalty closes minus half the way",
         above(0, lesson.closed(records, lesson.PENALTY)), "half or less",
         "a penalty η/4 · mean |gᵢ|² closes more than half, without any noise", ""),
    )  # fmt: skip
    return [
        judge(claim, words, found, change, says=says, condition=condition)
        for claim, words, found, change, says, condition in rows
    ]


def jump_verdicts(records, jumps: Results) -> list[Verdict]:
    """D1-36 where weights are truly α-stable; a run that diverged has lost."""
    judge = partial(verdict, held=f"{HELD}; a diverged run counts as worse than any")
    often = partial(above, 0.5, interval=share_interval)
    found = {name: lesson.ends(jumps, name) for name in (lesson.MILD, lesson.WILD, lesson.DOUBLE)}
    full = {r.run.seed: r["error"] for r in records if r.run.settings["arm"] == lesson.FULL}
    lost = {name: np.array([float(np.isinf(e)) for e in ends.values()]) for name, ends in found.items()}
    wins = {name: np.array([float(e < full[seed]) for seed, e in ends.items()]) for name, ends in found.items()}
    pairs = [(found[lesson.MILD][seed], e) for seed, e in found[lesson.DOUBLE].items()]
    ratios = [a / b for a, b in pairs if np.isfinite(a) and np.isfinite(b)]
    rows = (
        ("share of seeds better than the full batch, α = 1.8", often(wins[lesson.MILD]), "half or fewer",
         "α-stable weights buy noise back, too"),
        ("error, α = 1.8 ÷ Gaussian of 2 × the variance, both ended", below(0.8, ratios, geometric_interval),
         "a ratio below 0.8", "… more than a Gaussian with more variance does"),
        ("share of runs that diverged, α = 1.5", often(lost[lesson.WILD]), "fewer than half",
         "… and at α = 1.5 they blow most runs up"),
    )  # fmt: skip
    return [judge("D1-36", words, found, change, says=says) for words, found, change, says in rows]


def price_verdicts(records) -> list[Verdict]:
    """D1-38: what a step costs."""
    judge = partial(verdict, held="time of one full-batch gradient of a small MLP on the machine it was measured on")
    weighted, isotropic = (column(records, name) for name in ("weighted", "isotropic"))
    rows = (
        ("seconds of a step with weighted losses ÷ without", above(1.25, weighted, geometric_interval),
         "below 1.25", ""),
        ("… with isotropic noise of the same trace", above(1.25, isotropic, geometric_interval), "below 1.25",
         "… while noise without structure, its trace known, costs more"),
    )  # fmt: skip
    return [judge("D1-38", words, found, change, says=says) for words, found, change, says in rows]


PARTS = (
    ((lesson.BUY,), bought_verdicts),
    ((lesson.BUY, lesson.JUMPS), jump_verdicts),
    ((lesson.PRICE,), price_verdicts),
)
