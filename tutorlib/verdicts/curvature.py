"""Lesson 06: what sharpness against batch and rate, and a rescaled net, say about the claims."""

from functools import partial

import numpy as np

from tutorlib.experiments import curvature as lesson
from tutorlib.records import Verdict
from tutorlib.results import column
from tutorlib.theory.statistics import geometric_interval
from tutorlib.verdicts.rules import above, at_most, below, equal_to, same_ratio, verdict

POINT = 1.0  # of held-out error, in per cent
HELD = (
    "a tanh MLP on 256 digits, squared error, SGD without momentum, stopped at one training loss (0.1), short of a "
    "minimum; rates at which every batch arrives, not the best ones"
)


# Rows of the table that fold up while they say this word: twins and controls, which the text agrees with.
FOLDED = {
    *(("E09", "holds", says) for says in (
        "control: the nets that are compared have the same training loss", "… and the small batch stays below it",
    )),
    *(("E10", "holds", says) for says in (
        "control: one layer alone does change the outputs", "… its sharpness does change",
        "… and ε-sharpness grows, too",
    )),
    ("D1-08", "does not hold", "a large batch, as good in training, is worse on new data by a point or more"),
    ("D2-07", "holds",
     "control: a net made 5 times as sharp or more by rescaling keeps its error, by construction"),
}  # fmt: skip


def sharpness_verdicts(records) -> list[Verdict]:
    """E09: which of the two moves λ, and by how much, where the training loss is the same."""
    judge = partial(verdict, "E09", held=HELD)
    loss, sharp, adaptive = (lesson.table(records, name) for name in ("loss", "sharpness", "adaptive"))
    by_batch, by_rate = lesson.log_slopes(records)
    full = sharp[:, -1] * lesson.RATES / 2
    geometric = {"interval": geometric_interval}
    largest, smallest = f"batch {lesson.BATCHES[-1]}", f"batch {lesson.BATCHES[0]}"
    rows = (
        (f"training loss at the end, {largest} ÷ {smallest}", same_ratio(large_over_small(loss), within=1.1),
         "a ratio clearly outside 0.91 … 1.1", "control: the nets that are compared have the same training loss"),
        ("slope of log λ against log batch", above(0, by_batch), "a slope of 0 or less", "a larger batch ends sharper"),
        ("slope of log λ against log rate", below(0, by_rate), "a slope of 0 or more", "a larger rate ends flatter"),
        ("slope in batch + slope in rate", below(0, by_batch + by_rate), "a sum of 0, as η/B would have it",
         "… and doubling the rate does more than halving the batch"),
        (f"λ at {largest}, highest rate ÷ {smallest}, lowest", below(1, sharp[:, -1, -1] / sharp[:, 0, 0], **geometric),
         "a ratio of 1 or more", "the full batch at the high rate is flatter than the small batch at the low one"),
        ("λη/2 at the full batch, two higher rates", same_ratio(full[:, 1:].mean(axis=1)),
         "a ratio clearly outside 0.8 … 1.25",
         "at 0.2 and 0.3 the full batch sits where the rate becomes unstable, λ = 2/η"),
        (f"λη/2 at {smallest}, two higher rates", below(0.9, (sharp[:, 0] * lesson.RATES / 2)[:, 1:].mean(axis=1)),
         "a ratio of 0.9 or more", "… and the small batch stays below it"),
        *((f"adaptive sharpness, {largest} ÷ {smallest}, rate {rate:g}", same_ratio(ratio),
           "a ratio clearly outside 0.8 … 1.25",
           f"at {rate:g}, in each weight's own size, the batches differ by less than a quarter")
          for rate, ratio in zip(lesson.RATES, (adaptive[:, -1] / adaptive[:, 0]).T, strict=True)),
    )  # fmt: skip
    return [judge(words, found, change, says=says) for words, found, change, says in rows]


def large_over_small(values: np.ndarray) -> np.ndarray:
    """The largest batch over the smallest, geometric mean over the rates: one ratio a seed."""
    return np.exp(np.log(values[:, -1] / values[:, 0]).mean(axis=1))


def claim_verdicts(records) -> list[Verdict]:
    """D1-07, D1-08, D2-06, D2-07 as far as these nets can speak: at one training loss, on one small problem."""
    judge = partial(verdict, held=HELD)
    ratio, error = large_over_small(lesson.table(records, "sharpness")), lesson.table(records, "error")
    gap = (error[:, -1] - error[:, 0]).mean(axis=1)
    larger, same = above(1, ratio, geometric_interval), "the rate stays as it is; a higher rate flattens more"
    doubling, adaptive = (lesson.cost_of_doubling(records, name) for name in ("sharpness", "adaptive"))
    words = f"batch {lesson.BATCHES[-1]} {{}} batch {lesson.BATCHES[0]}, same rates and training loss"
    return [
        judge("D2-06", f"λ, {words.format('÷')}", larger, "a ratio of 1 or less", 
              says="a large batch ends sharper", condition=same),
        judge("D1-07", f"λ, {words.format('÷')}", larger, "a ratio of 1 or less", 
              says="the noise of small batches avoids sharp minima", condition=same),
        judge("D1-07", f"held-out error in points, {words.format('−')}", above(POINT, gap),
              "a gap of more than a point", says="… and so generalizes better, by a point or more"),
        judge("D1-08", f"held-out error in points, {words.format('−')}", above(POINT, gap),
              "a gap of more than a point",
              says="a large batch, as good in training, is worse on new data by a point or more"),
        judge("D2-07", "points of held-out error for a doubling of λ", above(POINT / 2, doubling),
              "half a point or more", says="a sharper minimum generalizes worse: half a point for a doubling"),
        judge("D2-07", "… of adaptive sharpness", above(POINT / 2, adaptive),
              "half a point or more", says="… as measured in each weight's own size"),
    ]  # fmt: skip


def rescaling_verdicts(records) -> list[Verdict]:
    """E10: sharpness belongs to the weights, not to the function."""
    judge = partial(verdict, held="one hidden ReLU layer, float64; a rescaling that training would not make by itself")
    get, factor = partial(lesson.rescaled, records), 10
    outputs = [column(records, "outputs", factor=c, undone=True) for c in lesson.FACTORS]
    ratio = {name: get(name, factor) / get(name, 1) for name in ("sharpness", "box", "adaptive")}
    changes = [np.abs(get("adaptive", c) / get("adaptive", 1) - 1) for c in lesson.FACTORS]
    squares = np.sqrt(get("sharpness", 100) / get("sharpness", 10)) / 10
    added = get("error", factor) - get("error", 1)
    control = get("outputs", factor, undone=False)
    rows = (
        ("E10", "largest change of an output, c = 1 … 100", at_most(1e-6, outputs), "a change above 1e-6",
         "a ReLU net whose layers are rescaled computes the same"),
        ("E10", "the same where only the first layer grows, c = 10", above(0.1, control), "a change below 0.1",
         "control: one layer alone does change the outputs"),
        ("E10", "λ at c = 10 ÷ at c = 1", above(5, ratio["sharpness"], geometric_interval), "a ratio below 5",
         "… its sharpness does change"),
        ("E10", "√(λ at c = 100 ÷ at c = 10) ÷ 10", same_ratio(squares, within=1.1),
         "a ratio clearly outside 0.91 … 1.1", "… as c², once c is large"),
        ("E10", "ε-sharpness in a box, c = 10 ÷ c = 1", above(1.5, ratio["box"], geometric_interval),
         "a ratio below 1.5", "… and ε-sharpness grows, too"),
        ("E10", "largest change of adaptive sharpness, c = 1 … 100", at_most(1e-6, changes), "a change above 1e-6",
         "adaptive sharpness does not"),
        ("D2-07", "points of held-out error added by a tenfold rescaling", equal_to(0, added, 0.1),
         "any change of the error",
         "control: a net made 5 times as sharp or more by rescaling keeps its error, by construction"),
    )  # fmt: skip
    return [judge(claim, words, found, change, says=says) for claim, words, found, change, says in rows]


VERDICTS = (
    ((lesson.SHARPNESS,), sharpness_verdicts),
    ((lesson.SHARPNESS,), claim_verdicts),
    ((lesson.RESCALED,), rescaling_verdicts),
)

RECORDED = (lesson.LANDSCAPE,)
