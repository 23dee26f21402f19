"""Lesson 08: what instruments and gradients say about tails; escape and bought noise have files of their own."""

from functools import partial

import numpy as np

from tutorlib.experiments import hunt_heavy_tails as lesson
from tutorlib.records import Verdict
from tutorlib.results import Results, paired
from tutorlib.theory.statistics import geometric_interval
from tutorlib.verdicts.bought_noise import PARTS as BOUGHT
from tutorlib.verdicts.escape_times import PARTS as ESCAPES
from tutorlib.verdicts.rules import above, below, equal_to, same_ratio, verdict

LAST = lesson.BATCHES[-1]
LATE = lesson.CHECKPOINTS["mlp"][-1]
MARGIN = 0.2  # of an index of sums, and of its bend


def reading_verdicts(records) -> list[Verdict]:
    """The instruments on known laws: what each gets right, and what fools it."""
    judge = partial(verdict, held=f"{len(lesson.LAWS)} laws, 4,096 draws", would_change="a reading clearly elsewhere")
    rows = []
    read = partial(lesson.law_column, records)
    for law, alpha in lesson.STABLE.items():
        index = lesson.scales_index(read("log_scales", law))
        rows.append((f"index of sums on {law}", equal_to(alpha, index, MARGIN), f"on a stable law it reads {alpha:g}"))
    hill = partial(lesson.SHARES.index)
    gaussian, long, student = (np.array(read("hill", law)) for law in (*lesson.LAWS[:2], "student 3"))
    rows += [
        ("Hill index on Student's t₃, top 1 %", equal_to(3, student[:, hill(0.01)], 0.75), "it reads 3 on a tail of 3"),
        ("Hill index on a Gaussian, top 5 %", above(4, gaussian[:, hill(0.05)]), "on a Gaussian it reads a number"),
        ("… on the length of 50 of them", above(15, long[:, hill(0.05)]), "… and on lengths another"),
        ("Hill index at the top 1 % ÷ at 20 %", above(2, gaussian[:, 0] / gaussian[:, -1], geometric_interval),
         "… that grows with the threshold, as no power law's does"),
        ("index of sums, pooled, Gaussians of many sizes", below(1.5, read("pooled", lesson.LAWS[-1])),
         "Gaussians of many sizes in one pool look heavy-tailed"),
        ("kurtosis of a quarter of the draws ÷ of all, α = 1.5 (bound moved from ½ to 1, chance, after a first run)",
         below(1, read("settles", "stable 1.5"), geometric_interval),
         "infinite variance: kurtosis grows with the draws"),
        ("… of a Gaussian", same_ratio(read("settles", "gaussian"), within=1.1), "… and settles where it is finite"),
    ]  # fmt: skip
    return [judge("E26", words, found, says=says) for words, found, says in rows]


def control_verdicts(controls) -> list[Verdict]:
    """The pipeline that reads gradients, on rows of known laws: which of its readings tell them apart."""
    judge = partial(
        verdict,
        held="1,024 rows of one law, drawn again with replacement as examples are",
        would_change="a reading clearly elsewhere",
    )
    read = partial(lesson.law_column, controls)
    bent = {law: lesson.bends(read("log_scales", law)) for law in lesson.ROWS_OF}
    mild, wild, mixed = "stable 1.9", "stable 1.5", lesson.ROWS_OF[-1]
    change = "1/α of the last factor of the batch minus of the first"
    rows = (
        (f"{change}, α = 1.9", equal_to(0, bent[mild], MARGIN), "the bend of α-stable rows is 0"),
        ("… α = 1.5", equal_to(0, bent[wild], MARGIN), "… of wilder ones, too"),
        ("… Gaussians of many sizes, minus that of α = 1.5", below(0, bent[mixed] - bent[wild]),
         "… and finite variance bends further"),
        ("… Student's t₃, minus that of α = 1.5", below(0, bent["student 3"] - bent[wild]), "… even a tail of 3"),
        (f"Hill index at batch {LAST}, α = 1.5", below(2, read("hill", wild)[:, -1]),
         "α-stable rows keep their Hill index at a large batch"),
        (f"excess kurtosis at batch {LAST}, α = 1.9", equal_to(0, read("directed", mild)[:, -1], 0.5),
         "α-stable rows, 1.9, average to a kurtosis near 0 as any finite set does"),
    )  # fmt: skip
    return [judge("E26", words, found, says=says) for words, found, says in rows]


HELD = (
    "16 nets, each on its own draw of 1,024 of the same 1,797 digits (or of one text): the intervals are about "
    "training again, not about new data; SGD; minibatches with replacement from these examples"
)


def noise_verdicts(records: Results, controls: Results) -> list[Verdict]:
    """D1-32, D1-33, D1-35 and what of D1-34 is about the noise itself."""
    records, controls = paired(records, controls)
    rows = (*gaussian_rows(records, controls), *tail_rows(records), *stable_rows(records, controls))
    return [
        verdict(claim, words, found, change, says=says, held=HELD, condition="".join(condition))
        for claim, words, found, change, says, *condition in rows
    ]


def gaussian_rows(records, controls) -> tuple:
    """How Gaussian the noise is, at which batch, in directions and in coordinates."""
    get, late = partial(lesson.noise_column, records, model="mlp"), LATE
    start = {place: get(place, steps=0)[:, 0] for place in ("directed", "kurtosis")}
    directed, coordinates = get("directed", steps=late), get("kurtosis", steps=late)
    cells = [
        lesson.over_law(records, p["model"], p["steps"], b) for p in lesson.NOISE.points for b in lesson.BATCHES[1:]
    ]
    tail = get("hill", steps=late)[:, -1] / lesson.law_column(controls, "hill", "gaussian")[:, -1]
    return (
        ("D1-32", "excess kurtosis in a random direction, MLP at the start, batch 1",
         equal_to(0, start["directed"], 0.5), "beyond ± 0.5",
         "… at the start, in random directions, nearly, by kurtosis"),
        ("D1-32", "… of single coordinates", equal_to(0, start["kurtosis"], 0.5), "within ± 0.5",
         "… at the start, in single coordinates"),
        ("D1-32", "… late in training, random directions, batch 16", equal_to(0, directed[:, 2], 0.5), "within ± 0.5",
         "… late in training, at batch 16"),
        ("D1-35", "excess kurtosis × B ÷ that of one example, coordinates, geometric mean of 20 cells",
         same_ratio(np.exp(np.log(cells).mean(axis=0))), "a ratio clearly outside 0.8 … 1.25",
         "the kurtosis of a batch is κ/B (an identity here: this checks the code)"),
        ("D1-35", f"excess kurtosis late in training, batch {LAST}, MLP, random directions",
         equal_to(0, directed[:, -1], 0.5), "beyond ± 0.5", "",
         "the batch is large against κ, it is read by kurtosis, and in random directions"),
        ("D1-35", "… single coordinates", equal_to(0, coordinates[:, -1], 0.5), "within ± 0.5",
         "… in single coordinates"),
        ("D1-35", "Hill index there, directions ÷ that of Gaussian rows", below(1, tail, geometric_interval),
         "a ratio of 1", "… though its largest are still larger than a Gaussian's"),
    )  # fmt: skip


def tail_rows(records) -> tuple:
    """What the Hill index makes of single examples, and pooling of coordinates."""
    get = partial(lesson.noise_column, records, model="mlp", steps=LATE)
    hill = get("hill_of_examples")
    pooled = [get(name) for name in ("pooled", "pooled_gaussian")]
    five, one = (hill[:, lesson.SHARES.index(share)] for share in (0.05, 0.01))
    return (
        ("D1-33", "Hill index of single examples, late in training, MLP, largest 5 %", below(2, five),
         "an index above 2", "one example's gradients read like infinite variance"),
        ("D1-33", "… largest 1 %", below(2, one), "an index below 2", "… further out, too"),
        ("D1-33", "… largest 1 % ÷ largest 20 %", same_ratio(hill[:, 0] / hill[:, -1]), "a ratio within 0.8 … 1.25",
         "… and the same at every threshold, as on a power law"),
        ("D1-33", f"index of sums, pooled coordinates of one minibatch of {LAST}, MLP", below(1.8, pooled[0]),
         "an index near 2", "pooling coordinates of one minibatch finds a heavy tail"),
        ("D1-33", "… ÷ that of Gaussians of the same sizes", same_ratio(pooled[0] / pooled[1]), "clearly unlike",
         "… which Gaussians of the same sizes have, too"),
    )  # fmt: skip


def stable_rows(records, controls) -> tuple:
    """Whether the noise keeps its shape under sums, beside rows that do."""
    scales = lesson.noise_column(records, "log_scales", "mlp", LATE)
    control = {law: lesson.law_column(controls, "log_scales", law) for law in ("stable 1.9", "stable 1.5")}
    bent = lesson.bends(scales) - lesson.bends(control["stable 1.5"])
    index = lesson.scales_index(scales) - lesson.scales_index(control["stable 1.9"])
    return (
        ("D1-34", "1/α of the last factor of the batch minus of the first, MLP, late in training, minus that of "
         "α-stable rows, 1.5", equal_to(0, bent, MARGIN), f"within ± {MARGIN}",
         "sums keep their shape, as α-stable ones do"),
        ("D1-34", "index of sums of 64 to 256, MLP, late in training, minus that of α-stable rows, 1.9",
         equal_to(0, index, MARGIN), f"beyond ± {MARGIN}", "… though that index alone does not tell it from α = 1.9"),
    )  # fmt: skip


VERDICTS = (
    ((lesson.READINGS,), reading_verdicts),
    ((lesson.CONTROLS,), control_verdicts),
    ((lesson.NOISE, lesson.CONTROLS), noise_verdicts),
    *ESCAPES,
    *BOUGHT,
)

RECORDED = (lesson.ROWS,)
