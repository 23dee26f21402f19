"""Which verdicts other seeds settle: what each said when its lesson was measured again with other base seeds.

A verdict must survive other seeds. One that does not say the same at least 19 times in 20 is *inconclusive at this
budget*, whatever a single run says of it.
"""

import functools
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tutorlib.jsonlines import Line, frozen
from tutorlib.records import Verdict
from tutorlib.verdicts.rules import INCONCLUSIVE

PATH = Path(__file__).with_suffix(".jsonl")
OFTEN_ENOUGH = 0.95


@dataclass(frozen=True)
class Repeats(Line):
    """What one verdict said under other base seeds (``words``: verdict → how often), and on which machine."""

    lesson: str
    claim: str
    says: str
    measured: str
    words: Mapping
    machine: str

    def __post_init__(self):
        object.__setattr__(self, "words", frozen(self.words, "words"))

    @property
    def settled(self) -> bool:
        return max(self.words.values()) >= OFTEN_ENOUGH * sum(self.words.values())


def counted(lesson: str, rounds: Iterable[list[Verdict]], machine: str) -> list[Repeats]:
    """Row by row, how often each word was said in ``rounds``: the verdicts of one base seed after another."""
    return [
        Repeats(lesson, row[0].claim, row[0].says, row[0].measured, Counter(v.verdict for v in row), machine)
        for row in zip(*rounds, strict=True)
    ]


def settle(verdicts: list[Verdict], known: Iterable[Repeats] | None = None) -> list[Verdict]:
    """The same verdicts, *inconclusive at this budget* where other seeds did not settle them, with what those said.

    ``known`` is what ships with the package unless it is given; a verdict that was never repeated stays as it is.
    """
    by_row = {(r.claim, r.says, r.measured): r for r in (shipped() if known is None else known)}
    return [_settled(v, by_row.get((v.claim, v.says, v.measured))) for v in verdicts]


def _settled(verdict: Verdict, repeats: Repeats | None) -> Verdict:
    if repeats is None:
        return verdict
    total, counts = sum(repeats.words.values()), sorted(repeats.words.items(), key=lambda item: -item[1])
    told = f"{total} other base seeds said: {', '.join(f'{word} {count}' for word, count in counts)}"
    if repeats.words.get(verdict.verdict) == total:
        told = f"{total} of {total} other base seeds agree"
    if repeats.settled:
        return replace(verdict, other_seeds=told)
    alone = f" (this run alone: {verdict.verdict})" if verdict.verdict != INCONCLUSIVE else ""
    return replace(verdict, verdict=INCONCLUSIVE, condition="", other_seeds=told + alone)


@functools.cache
def shipped() -> tuple[Repeats, ...]:
    """The repeats that ship with the package."""
    return tuple(map(Repeats.from_json, PATH.read_text().splitlines())) if PATH.is_file() else ()
