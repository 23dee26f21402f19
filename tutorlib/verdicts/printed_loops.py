"""Lesson 00: do the loops that the documents print do what is said of them?"""

from functools import partial

from tutorlib.experiments.start_here import count
from tutorlib.records import Verdict
from tutorlib.results import Results
from tutorlib.verdicts.rules import counted, verdict


def listing_verdicts(records: Results) -> list[Verdict]:
    """D3-19 … D3-21: a loader of batches of 4 with drop_last, and the plain loop over it."""
    judge = partial(verdict, held="the listing as it is printed, on 1,002 examples; nothing is trained")
    plain = partial(count, records, loop="D3-21", plan=(4, 1))
    sizes = [plain("smallest_micro_batch"), plain("largest_micro_batch")]
    return [
        judge("D3-19", "examples of 1,002 in no batch of 4", counted(2, [plain("unused")]), "another count than 2"),
        judge(
            "D3-20",
            "rows of the smallest and the largest batch",
            counted(4, sizes),
            "a batch of another size",
            condition="drop_last is on, and every example has the same length",
        ),
        judge(
            "D3-21",
            "micro-batches in an update, and each gradient over the right one",
            counted(1, [plain("forwards") / plain("updates"), plain("gradient_least"), plain("gradient_most")]),
            "a ratio other than 1",
        ),
    ]


def accumulation_verdicts(records: Results) -> list[Verdict]:
    """D1-11, D3-22 and D4-20: three loops that accumulate."""
    judge = partial(verdict, held="the listing as it is printed, on 10,000 examples; nothing is trained")
    adding = partial(count, records, loop="D1-11", plan=(8, 4))
    dividing = partial(count, records, loop="D3-22", plan=(8, 4))
    early = partial(count, records, loop="D4-20", plan=(4, 8))
    mean = [dividing("gradient_least"), dividing("gradient_most")]
    return [
        judge(
            "D1-11",
            "weight of what is applied over that of a right update, K = 4",
            counted(1, [adding("gradient_least"), adding("gradient_most")]),
            "a ratio of 1: it is the sum of 4 means, not their mean",
        ),
        judge(
            "D3-22",
            "weight of what is applied over that of a right update, first epoch",
            counted(1, mean),
            "a ratio other than 1",
            condition="K divides the micro-batches of an epoch, or there is one epoch only",
        ),
        judge(
            "D3-22",
            "the same, first update of the second epoch (1,250 micro-batches, K = 4)",
            counted(1, [dividing("gradient_next_epoch")]),
            "a ratio of 1: the two micro-batches left over are still in it",
            says="… in every epoch, under its one zero_grad",
        ),
        judge("D4-20", "micro-batches in the first update", counted(8, [early("first_step")]), "8 micro-batches"),
        judge(
            "D4-20",
            "weight of what is applied over that of a right update, most in an epoch",
            counted(1, [early("gradient_most")]),
            "a ratio of 1",
            says="… each with its own 8 only",
        ),
        judge(
            "D4-20",
            "micro-batches after the last update of an epoch",
            counted(0, [early("orphans")]),
            "none",
            says="… and no micro-batch is left over",
        ),
    ]
