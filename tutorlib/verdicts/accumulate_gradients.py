"""Lesson 02: what the ladder and the ragged tokens say about the claims."""

from functools import partial

import numpy as np

from tutorlib.experiments import accumulate_gradients as lesson
from tutorlib.experiments.accumulation_clock import ACCUMULATION_CLOCK
from tutorlib.records import Verdict
from tutorlib.results import Results, column
from tutorlib.theory.equality import IN_DISTRIBUTION, NOT_SETTLED, TO_ROUNDING, classify
from tutorlib.theory.statistics import Estimate, geometric_interval
from tutorlib.verdicts import two_processes
from tutorlib.verdicts.accumulation_clock import seconds_verdicts
from tutorlib.verdicts.rules import INCONCLUSIVE, Finding, above, at_most, below, equal_to, verdict

SAME = "targets weigh alike, no example looks at another, nothing is drawn at random, clipping comes last; to rounding"
BROKEN = "a distance within the tolerance"
BREAKERS = {
    "BatchNorm": "… with BatchNorm in the model",
    "mean of means": "… with unequal numbers of targets, each part averaged by itself",
    "clip every part": "… clipping every part",
    "last window by full K": "… with a last window of fewer parts, divided by the full K",
    "in-batch negatives": "… with a loss that compares examples (in-batch negatives)",
    "load balancing": "… with a load-balancing loss",
}
CURES = {
    "targets counted": "… with unequal numbers of targets, all of them counted",
    "clip once": "… clipping once",
    "last window by its own": "… with a last window of fewer parts, weighted by its own targets",
    "float32": "… in float32",
}


def classed(results: Results, rungs, wanted: str = TO_ROUNDING, optimizers=lesson.OPTIMIZERS) -> Finding:
    """*holds* if every model's update is of the ``wanted`` class, *does not hold* if none is.

    The largest distance, or where they are not equal the median with the least and the most.
    """
    points = [(m, o, rung) for m in lesson.MODELS for o in optimizers for rung in rungs]
    distances = [column(lesson.rung_of(results, *point), "distance") for point in points]
    return named({lesson.class_of(results, *point) for point in points}, wanted, distances)


def planned(plans: Results, *cut: tuple[int, int]) -> Finding:
    """*holds* if updates cut into (micro-batch, accumulation) are all equal to rounding."""
    at = [{"micro_batch": m, "batch": m * k, "optimizer": o} for m, k in cut for o in lesson.OPTIMIZERS]
    distances = [column(plans, "distance", **point) for point in at]
    tolerances = [column(plans, "tolerance", **point) for point in at]
    return named({classify(d, t) for d, t in zip(distances, tolerances, strict=True)}, TO_ROUNDING, distances)


def named(classes: set, wanted: str, distances: list) -> Finding:
    settled_otherwise = not classes & {wanted, NOT_SETTLED}
    word = "holds" if classes == {wanted} else "does not hold" if settled_otherwise else INCONCLUSIVE
    every = np.concatenate(distances)
    if word == "holds":
        return Finding(at_most(np.inf, every).estimate, word)
    return Finding(Estimate(float(np.median(every)), float(every.min()), float(every.max())), word)


def ladder_verdicts(ladder: Results) -> list[Verdict]:
    """D0-03 rung by rung, D1-11, D3-22, D4-07."""
    judge = partial(verdict, held="one update; MLP, CNN and GPT; SGD and AdamW; 32 = 8 × 4")
    far, beyond = "relative distance between the two updates", "a distance beyond the tolerance"
    equal = classed(ladder, ("float64",))
    rows = [
        judge("D0-03", f"{far}, float64", equal, beyond, says="8 × 4, three models: equal to batch 32", condition=SAME),
        *(judge("D0-03", far, classed(ladder, (rung,)), beyond, says=says) for rung, says in CURES.items()),
        judge(
            "D0-03",
            f"{far}, SGD (AdamW's tolerance is too wide to say much)",
            classed(ladder, ("bfloat16 accumulator", "float16 accumulator"), optimizers=("SGD",)),
            beyond,
            says="… summed in half precision, to its coarse rounding",
        ),
        judge(
            "D0-03",
            f"{far}; means and spreads over draws decide",
            classed(ladder, ("dropout",), IN_DISTRIBUTION),
            "a mean 15 % or a spread 25 % off",
            says="… with dropout, in distribution",
        ),
        judge(
            "D0-03",
            f"{far}; means and spreads over draws decide",
            classed(ladder, ("another dropout rate",), IN_DISTRIBUTION),
            "a mean within 15 % and a spread within 25 %",
            says="… with another dropout rate on one side",
        ),
        *(judge("D0-03", far, classed(ladder, (rung,)), BROKEN, says=says) for rung, says in BREAKERS.items()),
        judge("D1-11", f"{far}, SGD", classed(ladder, ("no division",), optimizers=("SGD",)), BROKEN),
        judge(
            "D1-11",
            f"{far}, AdamW's first step",
            at_most(0.05, column(ladder, "distance", rung="no division", optimizer="AdamW")),
            "a distance above 0.05",
            says="… and AdamW hides that it is not",
        ),
        judge(
            "D3-22",
            far,
            classed(ladder, ("division by K",)),
            beyond,
            condition="equal numbers of targets, and every window full",
        ),
        judge("D4-07", f"{far}, float64", equal, beyond, condition=f"the same examples; {SAME}; the end by algebra"),
    ]  # fmt: skip
    return rows


def plan_verdicts(plans: Results) -> list[Verdict]:
    """D0-20, D0-23, D1-12, D1-13, D1-14, D3-11, D3-23: the same batch, cut otherwise."""
    judge = partial(verdict, held="one update; MLP; SGD and AdamW; float64; one rank")
    far, change = "relative distance from the update in one part", "a distance beyond the tolerance"
    follows = f"{SAME}; the end by algebra, from one update"
    rows = []
    for claim, cut, condition in (
        ("D0-03", ((1, 128),), SAME),
        ("D0-11", ((1, 128),), "no layer and no loss looks at the micro-batch"),
        ("D0-20", ((1, 32),), follows),
        ("D0-23", ((1, 32),), follows),
        ("D1-12", lesson.PLANS, "one rank; on several, times the ranks"),
        ("D1-13", lesson.PLANS, "no layer and no loss looks at the micro-batch"),
        ("D1-14", ((1, 128),), SAME),
        ("D3-11", ((4, 2),), SAME),
        ("D3-23", ((4, 2),), f"{SAME}; what it saves is lesson 04"),
    ):
        names = ", ".join(f"{m} × {k}" for m, k in cut)
        rows.append(judge(claim, f"{far}: {names}", planned(plans, *cut), change, condition=condition))
    return rows


def token_verdicts(tokens: Results) -> list[Verdict]:
    """D3-20, and what a mean of means does to ragged text (E03), with the batch in one part as its control."""
    judge = partial(
        verdict, held="log-normal lengths, median 120, σ 1, at most 512; batch 32; one young character model"
    )

    def at(name: str, micro_batch: int) -> np.ndarray:
        return column(tokens, name, micro_batch=micro_batch)

    cured = np.concatenate([at("cured", m) for m in lesson.MICRO_BATCHES])
    rows = (
        ("a mean of means gives a token of a short text more than twice its weight", "weight of a token at the 10th "
         "percentile of length, micro-batch 1", above(2, at("short", 1)), "a weight below 2"),
        ("… and a token of a long text less than three quarters", "… at the 90th percentile",
         below(0.75, at("long", 1)), "a weight above 0.75"),
        ("… and all tokens the same when the batch is one part", "weight at the 10th percentile, micro-batch 32",
         equal_to(1, at("short", 32), 0.01), "a weight other than 1"),
        ("larger micro-batches help", "largest ÷ smallest weight, micro-batch 1 over micro-batch 8",
         above(2, at("ratio", 1) / at("ratio", 8), geometric_interval), "a quotient below 2"),
        ("the gradient points elsewhere", "cosine with the true gradient, micro-batch 1", below(0.95, at("cosine", 1)),
         "a cosine above 0.95"),
        ("the printed loss is right on average, within 5 %", "reported ÷ true loss − 1, micro-batch 1",
         equal_to(0, at("reported", 1) / at("loss", 1) - 1, 0.05), "an average clearly more than 5 % off"),
        ("counting targets cures it", "largest relative distance of the cured gradient, any micro-batch",
         at_most(1e-4, cured), "a distance above 1e-4"),
        ("not counting them leaves the gradient within 1 %",
         "smallest relative distance of the naive gradient, micro-batch 1 to 8",
         below(0.01, np.min([at("naive", m) for m in (1, 4, 8)], axis=0)), "a distance below 1 %"),
    )  # fmt: skip
    return [
        judge(
            "D3-20",
            "share of padding in blocks of 4 texts",
            above(0.1, at("padding", 4)),
            "less than a tenth of padding",
            condition="the texts are padded to one length, and the mean leaves the padding out",
        ),
        *(judge("E03", measured, finding, change, says=says) for says, measured, finding, change in rows),
    ]


VERDICTS = (
    ((lesson.LADDER,), ladder_verdicts),
    ((lesson.OTHER_PLANS,), plan_verdicts),
    ((lesson.TOKENS,), token_verdicts),
    *two_processes.VERDICTS,
    ((ACCUMULATION_CLOCK,), seconds_verdicts),
)

RECORDED = ()
