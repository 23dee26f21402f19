"""Lesson 08: what instruments and gradients say about tails; escape and bought noise have files of their own."""

from functools import partial

import numpy as np

from tutorlib.experiments import hunt_heavy_tails as lesson
from tutorlib.records import Verdict
from tutorlib.results import column
from tutorlib.theory.statistics import geometric_interval
from tutorlib.verdicts.bought_noise import PARTS as BOUGHT
from tutorlib.verdicts.escape_times import PARTS as ESCAPES
from tutorlib.verdicts.rules import above, below, equal_to, same_ratio, verdict

LAST = lesson.BATCHES[-1]
LATE = {model: steps[-1] for model, steps in lesson.CHECKPOINTS.items()}


def reading_verdicts(records) -> list[Verdict]:
    """The instruments on known laws: what each gets right, and what fools it."""
    judge = partial(verdict, held=f"{len(lesson.LAWS)} laws, 4,096 draws", would_change="a reading clearly elsewhere")
    rows = []
    read = partial(lesson.law_column, records)
    for law, alpha in lesson.STABLE.items():
        index = lesson.scales_index(read("log_scales", law))
        rows.append((f"index of sums on {law}", equal_to(alpha, index, 0.2), f"on a stable law it reads {alpha:g}"))
    hill = partial(lesson.SHARES.index)
    gaussian, long, student = (np.array(read("hill", law)) for law in (*lesson.LAWS[:2], "student 3"))
    wrong = np.concatenate([read("rejected", law) for law in lesson.STABLE])
    rows += [
        ("Hill index on Student's t₃, top 1 %", equal_to(3, student[:, hill(0.01)], 0.75), "it reads 3 on a tail of 3"),
        ("Hill index on a Gaussian, top 5 %", above(4, gaussian[:, hill(0.05)]), "on a Gaussian it reads a number"),
        ("… on the length of 50 of them", above(15, long[:, hill(0.05)]), "… and on lengths another"),
        ("Hill index at the top 1 % ÷ at 20 %", above(2, gaussian[:, 0] / gaussian[:, -1], geometric_interval),
         "… that grows with the threshold, as no power law's does"),
        ("stability test: share of stable laws rejected", below(0.1, wrong), "it rejects stable laws seldom"),
        ("… of Gaussians of many sizes", above(0.8, read("rejected", lesson.LAWS[-1])), "… and finite variance often"),
        ("index of sums, pooled, Gaussians of many sizes", below(1.5, read("pooled", lesson.LAWS[-1])),
         "Gaussians of many sizes in one pool look heavy-tailed"),
        ("kurtosis of a quarter of the draws ÷ of all, α = 1.5", 
         below(1, read("settles", "stable 1.5"), geometric_interval),
         "infinite variance: kurtosis grows with the draws"),
        ("… of a Gaussian", same_ratio(read("settles", "gaussian"), within=1.1), "… and settles where it is finite"),
    ]  # fmt: skip
    return [judge("E26", words, found, says=says) for words, found, says in rows]


HELD = "MLP on 1,024 digits and a small GPT on 1,024 pieces of text, SGD; draws with replacement from these examples"


def noise_verdicts(records) -> list[Verdict]:
    """D1-32, D1-33, D1-35 and what of D1-34 is about the noise itself."""
    judge, get = partial(verdict, held=HELD), partial(lesson.noise_column, records)
    index = {m: lesson.scales_index(get("log_scales", m, late)) for m, late in LATE.items()}
    bent = [np.diff(get("log_scales", m, late), axis=1) / np.log(lesson.FACTOR) for m, late in LATE.items()]
    late = "late in training"
    directed = {m: get("directed", m, steps) for m, steps in LATE.items()}
    start, hill = get("directed", "mlp", 0), get("hill", "mlp", LATE["mlp"])
    cells = [
        lesson.over_law(records, p["model"], p["steps"], b) for p in lesson.NOISE.points for b in lesson.BATCHES[1:]
    ]
    shrinks = np.exp(np.log(cells).mean(axis=0))
    bends = lesson.kurtosis_slopes(records, "mlp", LATE["mlp"])
    pooled = [column(records, name, model="mlp", steps=LATE["mlp"]) for name in ("pooled", "pooled_gaussian")]
    settles = get("settles", "mlp", LATE["mlp"])
    rows = (
        ("D1-32", "excess kurtosis in a random direction, MLP at the start, batch 1", equal_to(0, start[:, 0], 0.5),
         "beyond ± 0.5", "… at the start, in random directions, as far as kurtosis tells"),
        ("D1-32", f"… {late}, batch 16", equal_to(0, directed["mlp"][:, 2], 0.5), "within ± 0.5",
         f"… {late}, at batch 16"),
        ("D1-35", "excess kurtosis × B ÷ that of one example, coordinates, geometric mean of 20 cells",
         same_ratio(shrinks), "a ratio clearly outside 0.8 … 1.25",
         "the kurtosis of a batch is κ/B (drawn with replacement this is an identity)"),
        ("D1-35", f"slope of log kurtosis against log batch 1 … 64, random directions, MLP, {late}",
         equal_to(-1, bends, 0.1), "a slope clearly off −1", "… a straight line of slope −1"),
        ("D1-35", f"excess kurtosis in a random direction, {late}, batch {LAST}, MLP",
         equal_to(0, directed["mlp"][:, -1], 0.5), "beyond ± 0.5", "", "the batch is large against κ of one example"),
        ("D1-35", "… GPT", equal_to(0, directed["gpt"][:, -1], 0.5), "beyond ± 0.5", "… in a small GPT, too"),
        ("D1-33", f"Hill index at batch 1, {late}, MLP", below(2, hill[:, 0]), "an index above 2",
         "one example's gradients do read like infinite variance"),
        ("D1-33", f"… at batch {LAST}", below(2, hill[:, -1]), "an index below 2", "… and keep to it at a large batch"),
        ("D1-33", f"index of sums, pooled coordinates of one minibatch of {LAST}, MLP", below(1.8, pooled[0]),
         "an index near 2", "pooling coordinates of one minibatch finds a heavy tail"),
        ("D1-33", "… ÷ that of Gaussians of the same sizes", same_ratio(pooled[0] / pooled[1]), "clearly unlike",
         "… which Gaussians of the same sizes have, too"),
        ("D1-33", f"1/α of the last factor of the batch minus of the first, MLP, {late}",
         equal_to(0, bent[0][:, -1] - bent[0][:, 0], 0.1), "no change", "sums keep their shape, as α-stable ones do"),
        ("D1-34", f"index of sums of 64 to 256 across minibatches, MLP, {late}", below(1.8, index["mlp"]),
         "an index near 2", "the noise across minibatches is α-stable with α < 2"),
        ("D1-34", "… GPT", below(1.8, index["gpt"]), "an index near 2", "… in a small GPT"),
        ("D1-34", f"kurtosis from a quarter of the examples ÷ from all, MLP, {late}",
         above(0.4, settles, geometric_interval), "¼, as for infinite variance", "the fourth moment is nearly seen"),
    )  # fmt: skip
    return [
        judge(claim, words, found, change, says=says, condition="".join(condition))
        for claim, words, found, change, says, *condition in rows
    ]


VERDICTS = (((lesson.READINGS,), reading_verdicts), ((lesson.NOISE,), noise_verdicts), *ESCAPES, *BOUGHT)

RECORDED = (lesson.ROWS,)
