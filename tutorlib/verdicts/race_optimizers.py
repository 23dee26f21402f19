"""Lesson 07, the race: what equal searches and fresh seeds settle about eight optimizers at three batches.

Every word is said twice, for the settings of one search and for those of another of the same size, and stands only
where both agree: a search has luck as a seed has.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np

from tutorlib.experiments import race_columns as columns
from tutorlib.experiments import race_optimizers as lesson
from tutorlib.records import Verdict
from tutorlib.results import Results, paired
from tutorlib.theory.ranks import rank_intervals
from tutorlib.theory.statistics import Estimate, geometric_interval
from tutorlib.verdicts.rules import INCONCLUSIVE, Finding, above, verdict

SMALL, LARGE = lesson.SMALL, lesson.LARGE
RACE = "two small problems, no weight decay, constant rates; 12 trials of rate and one knob an optimizer and batch"
judge = partial(verdict, held=RACE)
WORTH = 1.25  # a ratio of steps below this is not worth a change of optimizer
NAMES = {"autoencoder": "autoencoder", "language": "language model"}
CONDITION = "it is counted in steps, not in seconds, and on this problem"
NO_RANKING = "no ranking at this budget"


@dataclass(frozen=True)
class Ratio:
    """Ratios of steps (draws, seeds): only ``at_least`` these where runs above the line never arrived, ``at_most``
    where runs below it did not."""

    values: np.ndarray
    at_least: bool
    at_most: bool

    def __truediv__(self, other: "Ratio") -> "Ratio":
        values = self.values / other.values
        return Ratio(values, self.at_least or other.at_most, self.at_most or other.at_least)


def more(bound: float, ratio: Ratio) -> Finding:
    """*holds* above ``bound``, *does not hold* below it: where each search says so by itself, and bounds allow it.

    The estimate is over both.
    """
    words = {above(bound, draw, geometric_interval).verdict for draw in ratio.values}
    overall = above(bound, np.exp(np.log(ratio.values).mean(axis=0)), geometric_interval)
    unsure = {"holds": ratio.at_most, "does not hold": ratio.at_least}.get(overall.verdict, True)
    return Finding(overall.estimate, INCONCLUSIVE if unsure or words != {overall.verdict} else overall.verdict)


def less(bound: float, ratio: Ratio) -> Finding:
    """The opposite of :func:`more`."""
    found = more(bound, ratio)
    opposite = {"holds": "does not hold", "does not hold": "holds"}
    return Finding(found.estimate, opposite.get(found.verdict, INCONCLUSIVE))


def gain(report: Results, name: str, batch: int, over: str = "AdamW") -> Ratio:
    """How many times the steps ``over`` needs that ``name`` needs."""
    values = columns.steps(report, over, batch) / columns.steps(report, name, batch)
    return Ratio(values, *(columns.never(report, each, batch) > 0 for each in (over, name)))


def growth(report: Results, name: str) -> Ratio:
    """By which factor its lead over AdamW grows from the smallest batch to the largest."""
    return gain(report, name, LARGE) / gain(report, name, SMALL)


def rank_verdicts(autoencoder: Results, language: Results) -> list[Verdict]:
    """E16: is there a fastest one, and is there an order of all eight?"""
    rows = []
    for report, problem in zip((autoencoder, language), lesson.PROBLEMS, strict=True):
        for batch in (SMALL, LARGE):
            order = columns.settled(report, batch)
            pairs = len(order) * (len(order) - 1) // 2
            clear = int(np.abs(order).sum()) // 2
            word = "holds" if clear == pairs else "does not hold" if not clear else INCONCLUSIVE
            rows.append(
                judge("E16", f"pairs out of {pairs} whose order both searches settle, {NAMES[problem]}, batch {batch}",
                      Finding(Estimate(clear, clear, clear), word), f"all {pairs} pairs",
                      says=f"the eight can be ranked at batch {batch}")
            )  # fmt: skip
    return rows


def ranking(report: Results, batch: int) -> str:
    """The ranks that both searches settle, best first, or the words that there are none."""
    order = columns.settled(report, batch)
    if not order.any():
        return NO_RANKING
    ranks = sorted(zip(rank_intervals(order), lesson.OPTIMIZERS, strict=True))
    return ", ".join(f"{name} {low}" if low == high else f"{name} {low} to {high}" for (low, high), name in ranks)


def gain_verdicts(autoencoder: Results, language: Results) -> list[Verdict]:
    """D1-28, D1-29, D1-30, D1-43: who is ahead of AdamW at a large batch, and is it because the batch is large?

    Whether Shampoo's lead grows is not asked: at the small batch too few of its runs arrive for an answer.
    """
    rows = []
    for report, problem in zip((autoencoder, language), lesson.PROBLEMS, strict=True):
        where = f", {NAMES[problem]}"
        for claim, name in (("D1-29", "Shampoo"), ("D1-29", "K-FAC"), ("D1-30", "Lion")):
            rows.append(
                judge(claim, f"AdamW's steps ÷ {name}'s, batch {LARGE}{where}", more(WORTH, gain(report, name, LARGE)),
                      f"a ratio below {WORTH}", says=f"{name} needs fewer steps than AdamW at a large batch",
                      condition=CONDITION)
            )  # fmt: skip
            if name != "Shampoo":
                rows.append(
                    judge(claim, f"that ratio at batch {LARGE} ÷ at {SMALL}{where}", more(WORTH, growth(report, name)),
                          f"a ratio below {WORTH}", says=f"… and {name}'s lead over AdamW grows with the batch",
                          condition=CONDITION)
                )  # fmt: skip
        slower = [gain(report, name, LARGE) for name in ("Shampoo", "K-FAC")]
        least = Ratio(np.minimum(*(each.values for each in slower)), slower[0].at_least,
                      any(each.at_most for each in slower))  # fmt: skip
        rows += [
            judge("D1-43", f"AdamW's steps ÷ those of the slower of Shampoo and K-FAC, batch {LARGE}{where}",
                  more(WORTH, least), f"a ratio below {WORTH}", condition=CONDITION),
            judge("D1-28", f"AdamW's steps ÷ Muon's, batch {LARGE}{where}", less(1, gain(report, "Muon", LARGE)),
                  "a ratio below 1: then slopes alone would not do better",
                  says="at a large batch, what sees slopes only can do no better than AdamW"),
        ]  # fmt: skip
    return rows


def layer_verdicts(autoencoder: Results, language: Results) -> list[Verdict]:
    """E17: do the two made for large batches beat the two they were made from, once these are tuned as well?"""
    return [
        judge("E17", f"{base}'s steps ÷ {made}'s, batch {LARGE}, {NAMES[problem]}",
              more(WORTH, gain(report, made, LARGE, over=base)), f"a ratio below {WORTH}",
              says=f"{made} needs fewer steps than {base} tuned as well", condition=CONDITION)
        for report, problem in zip((autoencoder, language), lesson.PROBLEMS, strict=True)
        for made, base in (("LARS", "SGD"), ("LAMB", "AdamW"))
    ]  # fmt: skip


def rate_first_verdicts(carried: Results, autoencoder: Results, language: Results) -> list[Verdict]:
    """D1-31: AdamW at the large batch: what its rate buys, and what another optimizer buys on top."""
    carried, autoencoder, language = paired(carried, autoencoder, language)
    rows = []
    for report, problem in zip((autoencoder, language), lesson.PROBLEMS, strict=True):
        (kept, kept_late), (tuned, tuned_late) = columns.kept_rate(carried, problem)
        bought = Ratio(kept / tuned, kept_late, tuned_late)
        where = f", batch {LARGE}, {NAMES[problem]}"
        rows.append(
            judge("D1-31", f"AdamW's steps with batch {SMALL}'s rate ÷ with the best factor on it{where}",
                  more(WORTH, bought), f"a ratio below {WORTH}", says="the rate is worth a look of its own")
        )  # fmt: skip
        for name in ("Shampoo", "K-FAC", "Lion", "Muon"):
            other = columns.steps(report, name, LARGE)
            on_top = Ratio(tuned / other, tuned_late, columns.never(report, name, LARGE) > 0)
            rows.append(
                judge("D1-31", f"gain of {name} over AdamW with its rate tuned ÷ gain of that rate{where}",
                      more(1, on_top / bought), "a ratio below 1",
                      says=f"look at the optimizer first: {name} buys more than the rate", condition=CONDITION)
            )  # fmt: skip
    return rows


BOTH = (lesson.AUTOENCODER, lesson.LANGUAGE)
VERDICTS = (
    (BOTH, rank_verdicts),
    (BOTH, gain_verdicts),
    (BOTH, layer_verdicts),
    ((lesson.CARRIED, *BOTH), rate_first_verdicts),
)
RECORDED = (*lesson.SEARCHES.values(), *lesson.MIDDLES.values(), lesson.CARRIED, lesson.CLOCK)
