"""Lesson 06: where every example is seen once there is nothing to generalize over."""

from functools import partial

from tutorlib.experiments import stream as lesson
from tutorlib.records import Verdict
from tutorlib.theory.statistics import geometric_interval
from tutorlib.verdicts.rules import above, below, same_ratio, verdict


def stream_verdicts(records) -> list[Verdict]:
    """E32: the loss on fresh examples over the loss on those seen, once or often, at three batches."""
    judge = partial(
        verdict, held="a teacher's classes of Gaussian inputs, 16,384 examples in all, MLP; no language model"
    )
    loss = partial(lesson.loss, records)

    def ratio(batch, examples=lesson.SEEN):
        return loss(batch, examples) / loss(batch, examples, "train")

    behind = loss(lesson.LARGE) / loss(lesson.SMALL)
    behind_seen = loss(lesson.LARGE, name="train") / loss(lesson.SMALL, name="train")
    clearly = partial(above, 1.1, interval=geometric_interval)
    over = "loss on fresh examples ÷ on seen ones, "
    rows = (
        ("D2-01", over + "batch 4,096 over batch 16, each example once", above(1, ratio(lesson.LARGE) / ratio(lesson.SMALL), geometric_interval),
         "a ratio that rises with the batch", ""),
        ("E32", over + "batch 16, each example once", same_ratio(ratio(lesson.SMALL), within=1.1), "a ratio beyond 1.1",
         "seen once: fresh and seen examples cost the same"),
        ("E32", over + "batch 4,096, each example once", same_ratio(ratio(lesson.LARGE), within=1.1), "a ratio beyond 1.1",
         "… at a large batch too"),
        ("E32", over + "batch 16, 512 examples 32 times (control)", clearly(ratio(lesson.SMALL, lesson.FEW)), "a ratio below 1.1",
         "seen often, they do not"),
        ("E32", over + "batch 256 over batch 16, 512 examples 32 times", below(1.25, ratio(lesson.MIDDLE, lesson.FEW) / ratio(lesson.SMALL, lesson.FEW), geometric_interval),
         "a ratio above 1.25", "… and the larger batch does not widen that gap"),
        ("E32", "loss on fresh examples, batch 4,096 ÷ 16, as many examples once", clearly(behind), "a ratio below 1.1",
         "what a large batch costs in a stream: it is behind"),
        ("E32", "… and on examples seen", clearly(behind_seen), "a ratio below 1.1", "… on what it has seen, as much"),
        ("E32", "loss on fresh examples, batch 256 ÷ 16", same_ratio(loss(lesson.MIDDLE) / loss(lesson.SMALL), within=1.05),
         "a ratio beyond 1.05", "… and below some size it costs nothing"),
    )  # fmt: skip
    return [judge(claim, words, finding, change, says=says) for claim, words, finding, change, says in rows]
