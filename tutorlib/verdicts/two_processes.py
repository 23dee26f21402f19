"""Lesson 02, two real processes: what their records say about the claims."""

from functools import partial

import numpy as np

from tutorlib.experiments import two_processes as lesson
from tutorlib.records import Verdict
from tutorlib.results import column
from tutorlib.theory.statistics import geometric_interval
from tutorlib.verdicts.rules import Finding, at_most, below, counted, verdict

ROUNDING = 1e-12  # fp64
RANKS = lesson.PARALLEL.held["ranks"]
EQUAL, APART = "a relative distance above 1e-12", "a relative distance below 1e-12"
DISTANCE = "relative distance of the gradient from the whole batch in one piece"
HELD = "two ranks of one machine, one update in fp64, a mean loss, equal micro-batches, no dropout"


def rounding(distances) -> Finding:
    """For distances that are zero or far from it: *holds* if they are rounding, *does not hold* if clearly not."""
    largest = at_most(ROUNDING, distances)
    return largest if largest.verdict == "holds" else below(ROUNDING, distances, geometric_interval)


def batch_verdicts(parallel) -> list[Verdict]:
    """D1-10, D1-12, D3-01, D3-08: which examples one update averages."""
    judge = partial(verdict, held=HELD)
    ways = [lesson.gradients(parallel, name) for name in ("accumulated", "by_hand", "ddp")]
    product = "distinct examples in one update ÷ (micro-batch × accumulation × ranks)"
    own, same, layers = (lesson.examples_share(parallel, split, RANKS) for split in lesson.SPLITS)
    alone = [column(parallel, "alone", split=split) for split in ("nothing", "layers")]
    every = "every accumulated micro-batch of every data-parallel rank is counted, not the per-device setting"
    return [
        judge("D1-10", f"{DISTANCE}: accumulated, two ranks by hand, DDP", rounding(np.concatenate(ways)), EQUAL),
        judge(
            "D1-12",
            "distinct examples in one update ÷ (micro-batch × accumulation), two ranks",
            counted(1, own * RANKS),
            "a ratio of 1",
        ),
        judge("D1-12", product, counted(1, own), "any other ratio", says="… times the data-parallel ranks"),
        judge("D3-01", product, counted(1, own), "any other ratio", condition=every),
        judge("D3-08", product, counted(1, own), "any other ratio", condition="each rank has examples of its own"),
        judge(
            "D3-08",
            f"{product}, no sampler divides the examples",
            counted(1, same),
            "a ratio of 1",
            says="… also where every rank draws the same examples (a control)",
        ),
        judge(
            "D3-08",
            f"{product}, each rank has half of the hidden units",
            counted(1, layers),
            "a ratio of 1",
            says="… also where the ranks divide the model (tensor parallelism)",
        ),
        judge(
            "E30",
            "relative distance of the update from that of one rank's examples alone",
            rounding(np.concatenate(alone)),
            EQUAL,
            says="in both of these the second rank changes nothing in the update",
        ),
    ]


def traffic_verdicts(parallel) -> list[Verdict]:
    """E30: what one update sends, and what it makes of unequal token counts."""
    judge = partial(verdict, held=HELD + "; DDP with buckets of 25 MB: this model fills one")
    often, once = (lesson.sent(parallel, "all_reduces", no_sync) for no_sync in (False, True))
    cut = [lesson.sent(parallel, name, False, lesson.SMALL)[lesson.MANY] for name in ("all_reduces", "rounds")]
    tokens = {name: column(parallel, name, measure="unequal_tokens") for name in ("means", "weighted", "summed")}
    same = [column(parallel, "distance", measure="sent", no_sync=no_sync) for no_sync in (False, True)]
    per_part = np.concatenate([counts / k for k, counts in often.items()])
    rows = [
        ("all-reduces per update ÷ K", counted(1, per_part), "DDP sends the gradient once a micro-batch"),
        ("all-reduces per update", counted(1, [*once.values()]), "… and with no_sync once an update"),
        (DISTANCE, rounding(np.concatenate(same)), "… and both make the same update"),
        ("all-reduces ÷ rounds, buckets of 0.02 MB", counted(1, cut[0] / cut[1]), "one round is one all-reduce"),
        (f"{DISTANCE}: 16 and 4 tokens an example", rounding(tokens["means"]), "ranks' mean losses may be averaged"),
        ("the same, each loss × its share of the tokens", rounding(tokens["weighted"]), "… or weighted by tokens"),
        ("the same, sum of ranks not divided", rounding(tokens["summed"]), "an all-reduced sum needs no division"),
    ]
    return [
        judge("E30", words, finding, "another count, or a distance on the other side of 1e-12", says=says)
        for words, finding, says in rows
    ]


def batchnorm_verdicts(parallel) -> list[Verdict]:
    """D1-22: what synchronised BatchNorm spans."""
    judge = partial(verdict, held=HELD + "; a loss that counts each rank by its examples")
    own, shared, unequal, accumulated = (lesson.normalized(parallel, *kind) for kind in lesson.STATISTICS)
    running = [lesson.normalized(parallel, "shared", name=name) for name in ("mean", "variance")]
    together = np.concatenate([shared, unequal, *running])
    within = "the micro-batches of one forward pass over all ranks are meant, not those of an accumulation"
    return [
        judge("D1-22", f"{DISTANCE}, BatchNorm over two ranks", rounding(together), EQUAL, condition=within),
        judge("D1-22", f"{DISTANCE}, each rank's own", rounding(own), APART, says="… or leave each rank its own"),
        judge("D1-22", f"{DISTANCE}, K = 4", rounding(accumulated), APART, says="… also across accumulation"),
    ]


VERDICTS = (((lesson.PARALLEL,), batch_verdicts), ((lesson.PARALLEL,), traffic_verdicts))
