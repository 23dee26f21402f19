"""Lesson 08: what bought noise is good for, and its price: D1-36 … D1-39 and E28."""

from functools import partial

import numpy as np

from tutorlib.experiments import bought_noise as lesson
from tutorlib.records import Verdict
from tutorlib.results import Results, column
from tutorlib.theory.statistics import geometric_interval, ratio_interval, share_interval
from tutorlib.verdicts.rules import above, below, verdict

HELD = "diagonal linear net, where noise is known to be the cause; rate 0.02 unless it says so"
MOVED = (
    "bounds of a share were chosen after a first run: half (four fifths was tried, and other base seeds disagreed), 0.2"
)
NOT_DEEP = "the noise is what helps; this net was made so that it is"


def share(pairs):
    """The ratio of two means from pairs, with its interval."""
    return ratio_interval(pairs[:, 0], pairs[:, 1])


def bought_verdicts(records, twice) -> list[Verdict]:
    """D1-36, D1-37, D1-39 and E28: which noise does what batch 1 does."""
    judge, over = partial(verdict, held=f"{HELD}; {MOVED}"), partial(lesson.over, records)
    less = partial(below, 0.9, interval=geometric_interval)

    def buys(least: float, name: str, measured=records):
        return above(least, lesson.gaps(measured, name), share)

    wide, most, little = "a ratio above 0.9", "half or less", "a share above 0.2"
    of = "of batch 1's gain in log error over the full batch, the share that"
    rows = (
        ("E08", "error at batch 1 ÷ at the full batch", less(over(lesson.SMALL, lesson.FULL)), wide,
         "there is something to buy", ""),
        ("E08", "error at 8 × the rate ÷ at the rate, full batch", less(over(lesson.FAST, lesson.FULL)), wide,
         "… and a higher rate buys it without noise (control)", ""),
        ("D1-36", f"{of} Gaussian weights buy", buys(0.5, lesson.GAUSSIAN), most, "", NOT_DEEP),
        ("D1-36", "… 1 ± sd weights buy", buys(0.5, lesson.SIGNS), most, "the lightest tail buys it, too", ""),
        ("D1-36", "error with Student-t weights ÷ with Gaussian ones",
         less(over(lesson.STUDENT, lesson.GAUSSIAN)), "a ratio below 0.9",
         "it takes a heavy tail: t₃ of the same variance buys more", ""),
        ("D1-36", f"rate 0.04: {of} Gaussian weights buy, seeds where no run diverged",
         buys(0.5, lesson.GAUSSIAN, twice), most, "… at twice the rate, too", ""),
        ("D1-37", f"{of} isotropic noise of the same trace buys", buys(0.2, lesson.ISOTROPIC), little,
         "noise of the same size in all directions buys part of it", ""),
        ("D1-37", "… noise in each parameter apart, as large as that of batch 1, buys", buys(0.2, lesson.APART), little,
         "… and with the right size in every parameter it does", ""),
        ("D1-37", "error with Gaussian weights ÷ isotropic", less(over(lesson.GAUSSIAN, lesson.ISOTROPIC)), wide,
         "", ""),
        ("D1-39", "the first number of D1-36 again", buys(0.5, lesson.GAUSSIAN), most, "",
         "only the noise is asked for: then any batch can have it, and steps, examples and seconds are another choice"),
        ("E28", f"{of} a penalty η/4 · mean |gᵢ|² buys, without any noise", buys(0.5, lesson.PENALTY),
         most, "a penalty buys more than half of it", ""),
    )  # fmt: skip
    return [
        judge(claim, words, found, change, says=says, condition=condition)
        for claim, words, found, change, says, condition in rows
    ]


def jump_verdicts(records, jumps: Results) -> list[Verdict]:
    """D1-36 where weights are truly α-stable; a run that diverged has lost."""
    judge = partial(verdict, held=f"{HELD}; a diverged run counts as worse than any; nothing is clipped")
    often = partial(above, 0.5, interval=share_interval)
    full = {r.run.seed: r["error"] for r in records if r.run.settings["arm"] == lesson.FULL and r.outcome == "ok"}
    ends = {name: lesson.ends(jumps, name) for name in (lesson.MILD, lesson.WILD, lesson.DOUBLE)}
    shared = set(full).intersection(*ends.values())  # both studies can be stopped half-way
    found = {name: {seed: each[seed] for seed in sorted(shared)} for name, each in ends.items()}
    lost = {name: np.array([float(np.isinf(e)) for e in each.values()]) for name, each in found.items()}
    wins = {name: np.array([float(e < full[seed]) for seed, e in each.items()]) for name, each in found.items()}
    pairs = [(found[lesson.MILD][seed], e) for seed, e in found[lesson.DOUBLE].items()]
    ratios = [a / b for a, b in pairs if np.isfinite(a) and np.isfinite(b)]
    rows = (
        ("share of seeds better than the full batch, α = 1.8 (bound moved from ¾ to ½, chance, after a first run)",
         often(wins[lesson.MILD]), "half or fewer", "α-stable weights help most seeds, too"),
        ("error, α = 1.8 ÷ Gaussian of 2 × the variance, only seeds where both ended",
         below(0.8, ratios, geometric_interval), "a ratio below 0.8", "… more than a Gaussian with more variance does"),
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
    ((lesson.BUY, lesson.TWICE), bought_verdicts),
    ((lesson.BUY, lesson.JUMPS), jump_verdicts),
    ((lesson.PRICE,), price_verdicts),
)
