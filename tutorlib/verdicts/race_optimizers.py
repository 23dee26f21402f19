"""Lesson 07, the race: what searches of as many trials and fresh seeds settle about eight optimizers.

Every word is said twice, for the settings of one search and for those of another of the same size, and stands only
where both agree: a search has luck as a seed has. Where a run never arrived its steps are a lower bound, and where
settings won at an edge of their box their steps are an upper one of what a wider box would give: a word that a bound
does not carry is not said.
"""

import sys
from dataclasses import dataclass
from functools import partial

import numpy as np

from tutorlib.experiments import race_columns as columns
from tutorlib.experiments import race_optimizers as lesson
from tutorlib.records import Verdict
from tutorlib.results import Results, paired
from tutorlib.theory.statistics import Estimate, geometric_interval
from tutorlib.verdicts.claims import CLAIMS
from tutorlib.verdicts.rules import INCONCLUSIVE, Finding, above, other_side, verdict

SMALL, LARGE = lesson.SMALL, lesson.LARGE
RACE = (
    "two small problems, no weight decay, constant rates; 12 trials of rate and one knob an optimizer and batch, in a "
    "box of its own; ≤ or ≥ where runs never arrived or the slower won at an edge of its box"
)
judge = partial(verdict, held=RACE)
WORTH = 1.25  # a ratio of steps below this is not worth a change of optimizer
NAMES = {"autoencoder": "autoencoder", "language": "language model"}
CONDITION = "it is counted in steps, not in seconds, and on this problem"
CURVED = ("Shampoo", "K-FAC")
RIVALS = (*CURVED, "Lion", "Muon")


@dataclass(frozen=True)
class Ratio:
    """Steps, or a ratio of them (draws, seeds): bounds, if the truth is ``at_least`` or ``at_most`` these."""

    values: np.ndarray
    at_least: bool
    at_most: bool

    def __truediv__(self, other: "Ratio") -> "Ratio":
        values = self.values / other.values
        return Ratio(values, self.at_least or other.at_most, self.at_most or other.at_least)


def more(bound: float, ratio: Ratio) -> Finding:
    """*holds* above ``bound``, *does not hold* below it: where each search says so by itself, and bounds allow it.

    The estimate is over both searches; of a ratio that is a bound, the outer end of its interval is all that counts.
    """
    words = {above(bound, draw, geometric_interval).verdict for draw in ratio.values}
    overall = above(bound, np.exp(np.log(ratio.values).mean(axis=0)), geometric_interval)
    unsure = {"holds": ratio.at_most, "does not hold": ratio.at_least}.get(overall.verdict, True)
    word = INCONCLUSIVE if unsure or words != {overall.verdict} else overall.verdict
    return Finding(as_bound(overall.estimate, ratio), word)


def as_bound(estimate: Estimate | None, ratio: Ratio) -> Estimate | None:
    """The estimate of a bound as a bound: from nothing up to it, or from it up to the largest number there is."""
    if estimate is None or (ratio.at_least and ratio.at_most):
        return None
    if ratio.at_least:
        return Estimate(estimate.low, estimate.low, sys.float_info.max)
    return Estimate(estimate.high, 0.0, estimate.high) if ratio.at_most else estimate


def row(claim: str, measured: str, bound: float, ratio: Ratio, says: str, condition: str = CONDITION) -> Verdict:
    """Judged by :func:`more`; what would have changed it lies on the other side of ``bound``, in both searches."""
    finding = more(bound, ratio)
    change = f"a ratio {other_side(finding)} {bound}, in both searches"
    change += ", that is no bound on the wrong side" if finding.verdict == INCONCLUSIVE else ""
    return judge(claim, measured, finding, change, says=says, condition=condition)


def taken(report: Results, names: tuple[str, ...], batch: int) -> Ratio:
    """Steps of the fastest of ``names``, chosen on the other seeds, and which way they may be wrong."""
    values, chosen = columns.fastest(report, names, batch)
    waiting = any(columns.late(report, name, batch).any() for name in chosen)
    edge = any(columns.on_the_edge(report.experiment.held["problem"], name, batch) for name in chosen)
    return Ratio(values, waiting, edge)


def gain(report: Results, name: str, batch: int, over: str = "AdamW") -> Ratio:
    """How many times the steps ``over`` needs that ``name`` needs."""
    return taken(report, (over,), batch) / taken(report, (name,), batch)


def growth(report: Results, name: str) -> Ratio:
    """By which factor its lead over AdamW grows from the smallest batch to the largest."""
    return gain(report, name, LARGE) / gain(report, name, SMALL)


def rank_verdicts(autoencoder: Results, language: Results) -> list[Verdict]:
    """E16: is there an order of all? One pair that is open, and there is not."""
    rows = []
    for report, problem in zip((autoencoder, language), lesson.PROBLEMS, strict=True):
        for batch in (SMALL, LARGE):
            order = columns.settled(report, batch)
            everyone, pairs = len(order), len(order) * (len(order) - 1) // 2
            whole = np.abs(order).sum() == 2 * pairs
            says = f"all {everyone} whose searches found settings can be ranked at batch {batch}"
            change = "a pair that is open" if whole else f"all {pairs} pairs settled, one way or the other"
            rows.append(
                judge("E16", f"an order of every pair, in both searches, {NAMES[problem]}, batch {batch}",
                      Finding(None, "holds" if whole else "does not hold"), change, says=says)
            )  # fmt: skip
    return rows


def gain_verdicts(autoencoder: Results, language: Results) -> list[Verdict]:
    """D1-29, D1-30, D1-43: who is ahead of AdamW at a large batch, and is it because the batch is large?

    Whether Shampoo's lead grows is not asked: at the small batch its searches failed on text, and of the other two
    only one trial in twelve arrived.
    """
    rows = []
    for report, problem in zip((autoencoder, language), lesson.PROBLEMS, strict=True):
        where = f", {NAMES[problem]}"
        for claim, name in (("D1-29", "Shampoo"), ("D1-29", "K-FAC"), ("D1-29", "Muon"), ("D1-30", "Lion")):
            kin = ", a matrix method as Shampoo is," if name == "Muon" else ""
            rows.append(
                row(claim, f"AdamW's steps ÷ {name}'s, batch {LARGE}{where}", WORTH, gain(report, name, LARGE),
                    f"{name}{kin} needs fewer steps than AdamW at a large batch")
            )  # fmt: skip
            if name != "Shampoo":
                rows.append(
                    row(claim, f"that ratio at batch {LARGE} ÷ at {SMALL}{where}", WORTH, growth(report, name),
                        f"… and {name}'s lead over AdamW grows with the batch")
                )  # fmt: skip
        best = taken(report, ("AdamW",), LARGE) / taken(report, CURVED, LARGE)
        rows.append(
            row("D1-43", f"AdamW's steps ÷ those of the faster of Shampoo and K-FAC on the other seeds, batch {LARGE}"
                + where, WORTH, best, CLAIMS["D1-43"])
        )  # fmt: skip
    return rows


def layer_verdicts(autoencoder: Results, language: Results) -> list[Verdict]:
    """E17: do the two made for large batches beat the two they were made from, once these are tuned as well?"""
    return [
        row("E17", f"{base}'s steps ÷ {made}'s, batch {LARGE}, {NAMES[problem]}", WORTH,
            gain(report, made, LARGE, over=base), f"{made} needs fewer steps than {base} tuned as well")
        for report, problem in zip((autoencoder, language), lesson.PROBLEMS, strict=True)
        for made, base in (("LARS", "SGD"), ("LAMB", "AdamW"))
    ]  # fmt: skip


def rate_first_verdicts(carried: Results, autoencoder: Results, language: Results) -> list[Verdict]:
    """D1-31: AdamW at the large batch: what its rate buys, and what the best other optimizer buys on top."""
    carried, autoencoder, language = paired(carried, autoencoder, language)
    rows = []
    for report, problem in zip((autoencoder, language), lesson.PROBLEMS, strict=True):
        (kept, kept_late), (tuned, tuned_late) = columns.kept_rate(carried, problem)
        tuned = Ratio(tuned, tuned_late, False)
        bought, on_top = Ratio(kept, kept_late, False) / tuned, tuned / taken(report, RIVALS, LARGE)
        where = f", batch {LARGE}, {NAMES[problem]}"
        rows += [
            row("D1-31", f"AdamW's steps with batch {SMALL}'s rate ÷ with the best factor on it{where}", WORTH, bought,
                "the rate is worth a look of its own", condition=""),
            row("D1-31", f"gain of the fastest of {', '.join(RIVALS)} on the other seeds over AdamW with its rate "
                f"tuned ÷ gain of that rate{where}", 1, on_top / bought,
                "look at the optimizer first: the best other one buys more than the rate"),
        ]  # fmt: skip
    return rows


BOTH = (lesson.AUTOENCODER, lesson.LANGUAGE)
VERDICTS = (
    (BOTH, rank_verdicts),
    (BOTH, gain_verdicts),
    (BOTH, layer_verdicts),
    ((lesson.CARRIED, *BOTH), rate_first_verdicts),
)
RECORDED = (*lesson.SEARCHES.values(), *lesson.MIDDLES.values(), lesson.CARRIED, lesson.CLOCK)
