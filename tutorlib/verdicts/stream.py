"""Lesson 06: where every example is seen once there is next to no gap to widen."""

from functools import partial

from tutorlib.experiments import stream as lesson
from tutorlib.experiments.stream import FEW, LARGE, MIDDLE, SMALL
from tutorlib.records import Verdict
from tutorlib.theory.statistics import geometric_interval
from tutorlib.verdicts.rules import above, below, same_ratio, verdict

CLOSE = 1.1  # a ratio of losses


# Rows of the table that fold up while they say this word: twins and controls, which the text agrees with.
FOLDED = {
    ("E32", "holds", says)
    for says in ("… at a large batch, too", "… and has fitted less", "… on what it has seen, too")
}


def stream_verdicts(records) -> list[Verdict]:
    """E32: the loss on fresh examples over the loss on those seen, once or often, at three batches."""
    judge = partial(
        verdict,
        held="a teacher's classes of Gaussian inputs, 16,384 in all, MLP; no language model; what is seen once is "
        "fresh by construction, up to what is remembered",
    )
    loss = partial(lesson.loss, records)

    def ratio(batch, examples=lesson.SEEN):
        return loss(batch, examples) / loss(batch, examples, "train")

    behind = loss(LARGE) / loss(SMALL)
    behind_seen = loss(LARGE, name="train") / loss(SMALL, name="train")
    more, less = (partial(rule, 1, interval=geometric_interval) for rule in (above, below))
    clearly = partial(above, CLOSE, interval=geometric_interval)
    alike = partial(same_ratio, within=CLOSE)
    over, few, beyond, under = "fresh ÷ seen, ", "512 examples 32 times", "a ratio beyond 1.1", "a ratio below 1.1"
    rows = (
        ("D2-01", over + "batch 4,096 over batch 16, each example once", more(ratio(LARGE) / ratio(SMALL)),
         "a ratio that rises with the batch", "one pass over fresh data: too large a batch hurts generalization"),
        ("E32", over + "batch 16, each example once", alike(ratio(SMALL)), beyond,
         "seen once, an example is as good as fresh, within a tenth"),
        ("E32", over + "batch 4,096, each example once", alike(ratio(LARGE)), beyond, "… at a large batch, too"),
        ("E32", over + f"batch 16, {few} (control)", clearly(ratio(SMALL, FEW)), under, "seen often, it is not"),
        ("E32", over + f"batch 256 over batch 16, {few}", less(ratio(MIDDLE, FEW) / ratio(SMALL, FEW)),
         "a gap that widens", "… and there the larger batch has the smaller gap"),
        ("E32", f"seen, batch 256 ÷ 16, {few}", clearly(loss(MIDDLE, FEW, "train") / loss(SMALL, FEW, "train")), under,
         "… and has fitted less"),
        ("E32", "fresh, batch 4,096 ÷ 16, each example once", clearly(behind), under,
         "what a large batch costs in one pass: it stays behind"),
        ("E32", "seen, batch 4,096 ÷ 16, each example once", clearly(behind_seen), under, "… on what it has seen, too"),
        ("E32", "fresh, batch 256 ÷ 16, each example once", alike(loss(MIDDLE) / loss(SMALL)), beyond,
         "… and a moderate one costs nothing"),
    )  # fmt: skip
    return [judge(claim, words, finding, change, says=says) for claim, words, finding, change, says in rows]
