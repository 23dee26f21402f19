"""Lesson 03: what batch statistics, errors against micro-batch and the ghost ladder say about the claims."""

from functools import partial

import numpy as np
from scipy.special import betaincinv

from tutorlib.experiments import mind_the_batchnorm as lesson
from tutorlib.experiments.two_processes import BATCHNORM
from tutorlib.records import Verdict
from tutorlib.results import column
from tutorlib.theory import batch_statistics as law
from tutorlib.theory.statistics import Estimate, geometric_interval
from tutorlib.verdicts.rules import INCONCLUSIVE, Finding, above, at_most, below, equal_to, same_ratio, verdict
from tutorlib.verdicts.two_processes import batchnorm_verdicts

SAME = 1.0  # points of error: five held-out examples of 512
SIZES = np.array(lesson.SIZES)


def statistics_verdicts(records) -> list[Verdict]:
    """E13, and what D1-19 says about statistics."""
    judge = partial(verdict, held="independent draws; the values of one image are not")
    excess = column(records, "kurtosis", source="activations", n=2)
    variance = np.transpose([law.variance_sd(SIZES, k) for k in excess])
    rows = []
    for source, laws, says in (
        ("gaussian", law.variance_sd(SIZES), "batch mean: σ/√n; batch variance: σ²√(2/(n − 1)) for Gaussian values"),
        ("activations", variance, "… and with their excess kurtosis for activations of a trained net"),
    ):
        found = np.concatenate(
            [
                lesson.over_law(records, source, "mean_sd", law.mean_sd(SIZES)),
                lesson.over_law(records, source, "variance_sd", laws),
            ]
        )
        words = f"sd of batch mean and variance ÷ their laws, n = 2 … 256, {source}"
        rows.append(judge("E13", words, same_ratio(found, within=1.05), "a ratio outside 0.95 … 1.05", says=says))
    gains = column(records, "gain", source="gaussian", n=2) / law.gain(2)
    outputs = [column(records, "largest_output", source=source, n=2) for source in ("gaussian", "activations")]
    sd = column(records, "variance_sd", source="activations", n=2)
    return [
        *rows,
        judge(
            "E13",
            "mean of 1/√(v + ε) at n = 2 ÷ the law (6.9)",
            same_ratio(gains),
            "a ratio clearly outside 0.8 … 1.25",
            says="two values are scaled up sevenfold on average, and without ε without bound",
        ),
        judge(
            "E13",
            "largest |output| of BatchNorm at n = 2",
            at_most(1, outputs),
            "an output beyond ±1",
            says="of two values BatchNorm leaves a sign",
        ),
        judge(
            "D1-19",
            "sd of the batch variance at n = 2, in σ²",
            above(1, sd),
            "an sd below the variance itself",
            says="two examples give jittery statistics",
        ),
    ]


REPAIR = "fresh statistics repair a net that was trained at micro-batch 2"
FREE = "… and at a large micro-batch it costs nothing"
RANKS = "SyncBatchNorm is left out: it joins ranks, not the accumulated parts of one rank"
HELD = "digits, logical batch 32, 100 updates, one rate a normalization for every micro-batch"
FLAT = f"a difference clearly beyond {SAME:g} point"
POINTS = "points of error, micro-batch 2 minus 32"


def gap_verdicts(records) -> list[Verdict]:
    """D1-16 … D1-19 and D1-24: what the micro-batch does to BatchNorm at one logical batch."""
    judge = partial(verdict, held=HELD)
    error, gap = partial(lesson.error, records), partial(lesson.gap, records)
    batch, group = gap("mlp", "batch"), gap("mlp", "group")
    anew = error("mlp", "batch", 2, "recomputed") - error("mlp", "batch", 32, "recomputed")
    fit = error("mlp", "batch", 2) / error("mlp", "group", 2)
    jumps = error("mlp", "batch", 2, "jump") / error("mlp", "batch", 32, "jump")
    clearly = partial(above, 1.25, interval=geometric_interval)
    rows = (
        ("D1-16", f"{POINTS}: MLP with BatchNorm", above(SAME, batch), FLAT, ""),
        ("D1-17", f"{POINTS}, in 1 or 16 accumulated parts: the same", above(SAME, batch), FLAT, ""),
        ("D1-18", "error with BatchNorm ÷ with GroupNorm, both 2 × 16, MLP", clearly(fit), "a ratio below 1.25", ""),
        ("D1-24", f"{POINTS}: MLP with GroupNorm", equal_to(0, group, SAME), FLAT, "accumulation fakes the gradient …"),
        ("D1-24", f"{POINTS}: MLP with BatchNorm", above(SAME, batch), FLAT, "… and not the BatchNorm statistics"),
        ("E12", f"{POINTS}: CNN ÷ MLP", below(0.5, gap("cnn", "batch") / batch), "half the gap", "positions soften it"),
        ("E12", "share of the gap left with statistics taken anew", below(0.5, anew / batch), "half or more", REPAIR),
        ("D1-19", "largest rise of the loss, micro-batch 2 ÷ 32", clearly(jumps), "a ratio below 1.25", "… loss jumps"),
        ("D1-19", "share of BatchNorm runs at micro-batch 2 in NaN", rare(records), "one run in four", "… even NaN"),
    )
    return [judge(claim, words, found, change, says=says) for claim, words, found, change, says in rows]


def cure_verdicts(records) -> list[Verdict]:
    """D1-20, D1-21 and D1-42: what helps at micro-batch 2."""
    judge = partial(verdict, held=HELD)
    error, gap = partial(lesson.error, records), partial(lesson.gap, records)
    frozen = error("mlp", "frozen", 2) - error("mlp", "finetuned", 2)
    scratch = np.maximum(error("mlp", "group", 2), error("mlp", "layer", 2)) - error("mlp", "batch", 2)
    cnn = error("cnn", "group", 2) - error("cnn", "batch", 2)
    large = error("mlp", "group", 32) - error("mlp", "batch", 32)
    more = "no less error"
    rows = (
        ("D1-20", "error at micro-batch 2, frozen minus not", below(0, frozen), more, ""),
        ("D1-20", f"{POINTS}: frozen", equal_to(0, gap("mlp", "frozen"), SAME), FLAT, "… then micro-batches are equal"),
        ("D1-21", "error at micro-batch 2, the worse of both minus BatchNorm, MLP", below(0, scratch), more, ""),
        ("D1-21", "error at micro-batch 2, GroupNorm minus BatchNorm, CNN", below(0, cnn), more, "… in a CNN, too"),
        ("D1-21", "error at micro-batch 32, GroupNorm minus BatchNorm, MLP", equal_to(0, large, SAME), FLAT, FREE),
    )
    worst = below(0, np.maximum(scratch, frozen))
    words = "error at micro-batch 2, the worst of three cures minus BatchNorm, MLP"
    return [
        *(judge(claim, words, found, change, says=says) for claim, words, found, change, says in rows),
        judge("D1-42", words, worst, more, condition=RANKS),
    ]


def rare(records) -> Finding:
    """The share of runs without a number, with its exact 95 % interval; *holds* above a quarter.

    Source: Clopper and Pearson 1934; the bounds are quantiles of beta distributions.
    """
    ends = [r.outcome for r in records if r.run.settings["norm"] == "batch" and r.run.settings["micro_batch"] == 2]
    lost, runs = sum(end == "diverged" for end in ends), len(ends)
    if not runs:
        return Finding(None, INCONCLUSIVE)
    low = float(betaincinv(lost, runs - lost + 1, 0.025)) if lost else 0.0
    high = float(betaincinv(lost + 1, runs - lost, 0.975)) if lost < runs else 1.0
    word = "holds" if low > 0.25 else "does not hold" if high < 0.25 else INCONCLUSIVE
    return Finding(Estimate(lost / runs, low, high), word)


def ghost_verdicts(records) -> list[Verdict]:
    """E11: the ladder from a large batch back to the small one's error."""
    judge = partial(
        verdict, held="MLP with BatchNorm on digits, batch 128 against 16, one rate a rung chosen elsewhere"
    )
    rungs = [lesson.rung(records, number) for number in range(len(lesson.RUNGS))]
    anew = [lesson.rung(records, number, "recomputed") for number in (2, 3)]
    small, large, tuned, ghosts, equal = rungs
    rows = (
        ("error at batch 128 minus at 16, same rate and examples", above(0, large - small), "a large batch is worse"),
        ("… tuned minus not", below(0, tuned - large), "tuning its rate helps"),
        ("… tuned at 128 minus 16", above(0, tuned - small), "… and is not enough"),
        ("error with ghost batches of 16 minus without", below(0, ghosts - tuned), "statistics of small parts help"),
        ("… both with statistics taken anew", below(0, anew[1] - anew[0]), "… by noise, not by fresher averages"),
        ("error at 128 minus at 16, as many updates", below(0, equal - small), "with as many updates it is no worse"),
    )
    return [
        judge("E11", words, found, "a difference of the other sign, or none", says=says) for words, found, says in rows
    ]


VERDICTS = (
    ((lesson.STATISTICS,), statistics_verdicts),
    ((lesson.ERRORS,), gap_verdicts),
    ((lesson.ERRORS,), cure_verdicts),
    ((BATCHNORM,), batchnorm_verdicts),
    ((lesson.GHOST,), ghost_verdicts),
)

RECORDED = ()
