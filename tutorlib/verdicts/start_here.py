"""Lesson 00: all its verdicts, and what counted updates say about batches and epochs."""

from functools import partial

from tutorlib.experiments import start_here as lesson
from tutorlib.records import Verdict
from tutorlib.results import Results
from tutorlib.verdicts.printed_loops import accumulation_verdicts, listing_verdicts
from tutorlib.verdicts.rules import counted, verdict


def batch_verdicts(records: Results) -> list[Verdict]:
    """D3-01, D1-12, D3-08, D3-09, D3-27, D4-23: what an update is made of, in examples."""
    judge = partial(verdict, held="full windows of a right loop; examples counted, not tokens")
    examples = partial(lesson.count, records, "examples_an_update", "right")
    one_rank = [examples(plan, ranks=1, drop_last=False) for plan in lesson.PLANS.values()]
    five, wider = examples((4, 4), ranks=5), examples((8, 2), ranks=5)
    return [
        judge(
            "D3-01",
            "examples in an update, plans A to D",
            counted(32, one_rank),
            "a plan with another count than 32",
            condition="the logical batch is meant; the flag of that name is the micro-batch on one device",
        ),
        judge(
            "D1-12",
            "examples in an update ÷ (micro-batch × accumulation), plans A to D",
            counted(1, [n / 32 for n in one_rank]),
            "a ratio other than 1",
            condition="there is one rank",
        ),
        judge(
            "D1-12",
            "examples in an update ÷ (4 × 4), 5 ranks",
            counted(1, [five / 16]),
            "a ratio of 1",
            says="… and with 5 data-parallel ranks",
        ),
        judge(
            "D3-08",
            "examples in an update, 4 × 4 and 8 × 2 on 5 ranks",
            counted(80, [five, wider]),
            "another count than 80",
            condition="every device is a data-parallel rank: those that share one model do not multiply",
        ),
        judge("D3-09", "examples in an update", counted(80, [five]), "another count than 80"),
        judge(
            "D3-27",
            "examples in an update, 8 × 2 ÷ 4 × 4, 5 ranks",
            counted(2, [wider / five]),
            "a ratio of 2: the batch is what it was, and nothing else here asks for another rate",
        ),
        judge("D4-23", "examples in an update", counted(32, [examples((8, 4), ranks=1)]), "another count than 32"),
    ]


def epoch_verdicts(records: Results) -> list[Verdict]:
    """D4-01 … D4-05: where the half of 312.5 updates goes."""
    judge = partial(verdict, held="10,000 examples, one epoch")
    plans, dropped = lesson.PLANS, {"ranks": 1, "drop_last": True}
    whole = {"ranks": 1, "drop_last": False}

    def of(name: str, which: str, loop: str = "right") -> float:
        return lesson.count(records, name, loop, plans[which], **whole)

    kept = {name: of("updates", name) for name in plans}
    cut = {"A": lesson.count(records, "updates", "right", plans["A"], **dropped)}
    cut |= {name: of("updates", name, "dropping") for name in "BCD"}
    passes = [lesson.count(records, "forwards", "right", plans["A"], **dropped), of("forwards", "A")]
    rows = [
        judge(
            "D4-01",
            "examples left over by updates of exactly 32",
            counted(0, [of("unused", "D", "dropping")]),
            "no example left over",
            says="10,000 examples are a whole number of batches of 32",
        ),
        judge(
            "D4-02",
            "passes and updates, drop_last=True",
            counted(312, [passes[0], cut["A"]]),
            "another count than 312",
            condition="drop_last keeps the 16 examples beyond 312 × 32 from the model",
        ),
        judge(
            "D4-02",
            "passes and updates, as DataLoader does it unasked",
            counted(312, [passes[1], kept["A"]]),
            "312 of each",
            says="… and without drop_last",
        ),
    ]
    for claim, name, forwards in (("D4-03", "B", 625), ("D4-04", "C", 1250), ("D4-05", "D", 2500)):
        off = [of("forwards", name, "dropping") - forwards, cut[name] - 312]
        condition = "the last, incomplete window is dropped; stepped, it is update 313"
        rows.append(
            judge(claim, "passes and updates, minus those said", counted(0, off), "a difference", condition=condition)
        )
    return rows


def same_update_verdicts(records: Results) -> list[Verdict]:
    """D4-07: do the plans make the same updates, of the last 16 examples too?"""
    judge = partial(verdict, held="10,000 examples, one epoch")

    def over_a(name: str, which: str, loop: str = "right") -> float:
        a, other = (lesson.PLANS[plan] for plan in ("A", which))
        whole = {"ranks": 1, "drop_last": False}
        return lesson.count(records, name, loop, other, **whole) / lesson.count(records, name, "right", a, **whole)

    return [
        judge(
            "D4-07",
            "updates, and what an example counts at most, each plan ÷ plan A, last window stepped with its own mean",
            counted(1, [over_a(name, which) for name in ("updates", "heaviest") for which in lesson.PLANS]),
            "a ratio other than 1",
            condition="all four treat the 16 examples beyond 312 × 32 alike, and a loss is a mean over examples",
        ),
        judge(
            "D4-07",
            "what an example counts at most, plan B ÷ plan A, last window divided by 2 all the same",
            counted(1, [over_a("heaviest", "B", "shrinking")]),
            "a ratio of 1",
            says="… in Accelerate and Lightning too, which divide a short window by the full accumulation",
        ),
    ]


JUDGES = (batch_verdicts, epoch_verdicts, same_update_verdicts, listing_verdicts, accumulation_verdicts)

VERDICTS = tuple(((lesson.LOOPS,), judge) for judge in JUDGES)

RECORDED = ()
