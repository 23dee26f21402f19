"""Lesson 03: what batch statistics, errors against micro-batch and the ghost ladder say about the claims."""

from functools import partial

import numpy as np

from tutorlib.experiments import mind_the_batchnorm as lesson
from tutorlib.experiments.two_processes import BATCHNORM
from tutorlib.records import Verdict
from tutorlib.results import column
from tutorlib.theory import batch_statistics as law
from tutorlib.theory.statistics import geometric_interval, share_interval
from tutorlib.verdicts.rules import INCONCLUSIVE, Finding, above, below, equal_to, same_ratio, verdict
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
        ratios = [
            lesson.over_law(records, source, "mean_sd", law.mean_sd(SIZES)),
            lesson.over_law(records, source, "variance_sd", laws),
        ]
        words = f"sd of batch mean and variance ÷ their laws, worst of n = 2 … 256, {source}"
        found = worst([same_ratio(column, within=1.1) for ratio in ratios for column in ratio.T])
        rows.append(judge("E13", words, found, "a ratio clearly outside 0.91 … 1.1", says=says))
    gains = column(records, "gain", source="gaussian", n=2) / law.gain(2)
    signs = np.concatenate([column(records, "signs", source=source, n=2) for source in ("gaussian", "activations")])
    few, many = (column(records, "variance_sd", source="activations", n=n) for n in (2, 32))
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
            "share of outputs beyond ±0.99 at n = 2",
            above(0.9, signs),
            "a share below 0.9",
            says="of two values BatchNorm leaves little but a sign",
        ),
        judge(
            "D1-19",
            "sd of the batch variance at n = 2 ÷ at 32 (law: 5.6)",
            above(4, few / many, geometric_interval),
            "a ratio below 4",
            says="two examples give jittery statistics",
        ),
    ]


def worst(findings: list[Finding]) -> Finding:
    """*holds* only if every one holds; the estimate farthest from 1."""
    farthest = max(findings, key=lambda found: abs(np.log(found.estimate.value)) if found.estimate else np.inf)
    words = {found.verdict for found in findings}
    word = words.pop() if len(words) == 1 else "does not hold" if "does not hold" in words else INCONCLUSIVE
    return Finding(farthest.estimate, word)


HELD = "digits, logical batch 32, 100 updates, one rate a normalization for every micro-batch, 512 digits held out"
FLAT = f"a difference clearly beyond {SAME:g} point"
POINTS = "points of error, micro-batch 2 minus 32"
FEW = "a statistic has very few values, as at micro-batch 2"


def gap_verdicts(records) -> list[Verdict]:
    """D1-16 … D1-19 and D1-24: what the micro-batch does to BatchNorm at one logical batch."""
    judge = partial(verdict, held=HELD)
    error, gap = partial(lesson.error, records), partial(lesson.gap, records)
    batch, group = gap("mlp", "batch"), gap("mlp", "group")
    four = error("mlp", "batch", 4) - error("mlp", "batch", 32)
    anew = error("mlp", "batch", 2, "recomputed") - error("mlp", "batch", 32, "recomputed")
    fit = error("mlp", "batch", 2) / error("mlp", "group", 2)
    alone = error("mlp", "batch", 2) - error("mlp", "batch", 2, tuned="alone")
    jumps = error("mlp", "batch", 2, "jump") / error("mlp", "batch", 32, "jump")
    clearly = partial(above, 1.25, interval=geometric_interval)
    less = below(0, gap("cnn", "batch") - 0.5 * batch)
    left = below(0, anew - 0.5 * batch)
    of_two, often = "… because the batch is larger than what a statistic sees", "… to NaN, in one run in four"
    rows = (
        ("D1-16", f"{POINTS}: MLP with BatchNorm", above(SAME, batch), FLAT, ""),
        ("D1-17", f"{POINTS}, in 1 or 16 accumulated parts: the same", above(SAME, batch), FLAT, ""),
        ("D1-18", "error with BatchNorm ÷ with GroupNorm, both 2 × 16, MLP", clearly(fit), "a ratio below 1.25", ""),
        ("D1-18", "error at 2 × 16 minus at 2 × 1, as many examples", above(0, alone), "no larger an error", of_two),
        ("D1-24", f"{POINTS}: MLP with GroupNorm (control)", equal_to(0, group, SAME), FLAT, "… the gradient it fakes"),
        ("D1-24", f"{POINTS}: MLP with BatchNorm", above(SAME, batch), FLAT, ""),
        ("E12", "points of error, micro-batch 4 minus 32: MLP with BatchNorm", above(0, four), "no larger an error",
         "at 4, too, it costs something"),
        ("E12", f"{POINTS}: CNN − ½ MLP", less, "half the gap or more", "in this CNN the gap is less than half"),
        ("E12", "gap with statistics taken anew − ½ gap", left, "half or more", "fresh statistics mend half of it"),
        ("D1-19", "largest relative rise of the loss, 2 ÷ 32", clearly(jumps), "a ratio below 1.25", "… loss jumps"),
        ("D1-19", "share of BatchNorm runs at micro-batch 2 in NaN", rare(records), "more than a quarter", often),
    )  # fmt: skip
    return [judge(claim, words, found, change, says=says) for claim, words, found, change, says in rows]


def mnist1d_verdicts(records) -> list[Verdict]:
    """The gaps of E12 on a task where the nets are far more often wrong."""
    judge = partial(verdict, held="mnist1d, logical batch 32, 1,000 updates, one rate a normalization")
    rows = []
    for model in ("mlp", "cnn"):
        error = partial(lesson.error, records, model, "batch")
        for micro_batch in (2, 4):
            words = f"points of error, micro-batch {micro_batch} minus 32: {model.upper()} with BatchNorm"
            lost, says = error(micro_batch) - error(32), f"on mnist1d, too, the {model.upper()} pays at {micro_batch}"
            rows.append(judge("E12", words, above(0, lost), "no larger an error", says=says))
        words, flat = f"{POINTS}: {model.upper()} with GroupNorm (control)", lesson.gap(records, model, "group")
        rows.append(judge("E12", words, equal_to(0, flat, SAME), FLAT, says="… and GroupNorm does not"))
    return rows


def cure_verdicts(records) -> list[Verdict]:
    """D1-20, D1-21 and D1-42: what helps at micro-batch 2, and what it costs where nothing is wrong."""
    judge = partial(verdict, held=HELD)
    error = partial(lesson.error, records)
    frozen, tuning = error("mlp", "frozen", 2), {m: error("mlp", "finetuned", m) for m in (2, 8, 32)}
    scratch = np.maximum(error("mlp", "group", 2), error("mlp", "layer", 2)) - error("mlp", "batch", 2)
    cnn = error("cnn", "group", 2) - error("cnn", "batch", 2)
    large = error("mlp", "group", 32, tuned="at 32") - error("mlp", "batch", 32, tuned="at 32")
    before = frozen - error("mlp", "frozen", 2, "before")
    both = np.maximum(scratch, frozen - tuning[2])
    more, at_2 = "no less error", "error at micro-batch 2, "
    rows = (
        ("D1-20", at_2 + "frozen statistics minus live", below(0, frozen - tuning[2]), more, "", FEW),
        ("D1-20", "… at micro-batch 8", equal_to(0, frozen - tuning[8], SAME), FLAT, "… and at 8 it changes nothing"),
        ("D1-20", at_2 + "frozen minus before training on", below(0, before), more, "… and training on pays"),
        ("D1-21", at_2 + "the worse of both minus BatchNorm, MLP", below(0, scratch), more, "", FEW),
        ("D1-21", at_2 + "GroupNorm minus BatchNorm, CNN", below(0, cnn), more, "… and in this CNN, with positions"),
        ("D1-21", "error at 32, GroupNorm minus BatchNorm, rates tuned there", equal_to(0, large, SAME), FLAT,
         "… and at a large micro-batch it costs less than a point"),
        ("D1-42", at_2 + "the worst of three cures minus BatchNorm, MLP", below(0, both), more, "",
         f"{FEW}; SyncBatchNorm is another matter: it joins ranks, not the accumulated parts of one"),
    )  # fmt: skip
    return [
        judge(claim, words, found, change, says=says, condition="".join(condition))
        for claim, words, found, change, says, *condition in rows
    ]


def rare(records) -> Finding:
    """The share of BatchNorm runs at micro-batch 2 that ended without a number; *holds* above a quarter."""
    chosen = [r for r in records if r.run.settings["norm"] == "batch" and r.run.settings["micro_batch"] == 2]
    return above(0.25, [r.outcome == "diverged" for r in chosen], share_interval)


def ghost_verdicts(records) -> list[Verdict]:
    """E11: what a large batch lacks, and whether small statistics are good for anything."""
    judge = partial(verdict, held="MLP with BatchNorm on digits, batch 128 against 16, each rate chosen on other seeds")
    rungs = [lesson.rung(records, number) for number in range(len(lesson.RUNGS))]
    anew = [lesson.rung(records, number, "recomputed") for number in range(len(lesson.RUNGS))]
    small, large, tuned, ghosts, long, long_ghosts, small_long = rungs
    helped = below(0, anew[lesson.GHOSTS] - anew[lesson.TUNED])
    rows = (
        ("error at batch 128 minus at 16, same rate and examples", above(0, large - small), "a large batch is worse"),
        ("… tuned minus not", below(0, tuned - large), "tuning its rate helps"),
        ("… tuned at 128 minus 16", above(0, tuned - small), "… and is not enough"),
        ("ghosts minus none, statistics taken anew", helped, "the noise of small statistics helps"),
        ("ghosts minus none, running statistics", below(0, ghosts - tuned), "… or their fresher averages do"),
        ("128 with 8 × the updates minus 16", below(0, long - small), "8 × the updates (and examples) make up for it"),
        ("… minus 16 with as many examples", equal_to(0, long - small_long, SAME), "… as they do for the small batch"),
        ("… with ghosts minus without", below(0, long_ghosts - long), "… and ghosts add to that"),
    )
    change = "a difference of the other sign, or none"
    return [judge("E11", words, found, change, says=says) for words, found, says in rows]


VERDICTS = (
    ((lesson.STATISTICS,), statistics_verdicts),
    ((lesson.ERRORS,), gap_verdicts),
    ((lesson.ERRORS,), cure_verdicts),
    ((BATCHNORM,), batchnorm_verdicts),
    ((lesson.GHOST,), ghost_verdicts),
    ((lesson.ON_MNIST1D,), mnist1d_verdicts),
)

RECORDED = REPLAYED = (lesson.ON_MNIST1D,)
