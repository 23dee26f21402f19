"""The ledger: every row of every lesson's verdicts as it was measured, and one word for each claim.

A claim may have many rows, in several lessons. Its word is read off its *leading* rows: those that say the claim
itself and not a variation of it. Nothing is left out: what has no row is "not covered".
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from tutorlib.jsonlines import Line
from tutorlib.records import VERDICTS, Machine, Verdict
from tutorlib.results import Results
from tutorlib.verdicts.claims import CLAIMS
from tutorlib.verdicts.documents import claims
from tutorlib.verdicts.repeats import settle

DIFFER, NOT_COVERED = "rows differ", "not covered"
STATES = (*VERDICTS, DIFFER, NOT_COVERED)


@dataclass(frozen=True)
class Entry(Line):
    """One row of a lesson's verdicts as one run of the lesson said it, before other seeds have settled it.

    ``seeds`` are the complete ones of each of the ``experiments``; ``source`` is the hash of the measuring code.
    """

    lesson: str
    verdict: Verdict
    experiments: tuple
    seeds: tuple
    machine: Machine
    budget: str
    source: str


def entries(lesson: str, judged: Iterable[tuple], measured: dict[str, Results], budget: str) -> list[Entry]:
    """What the judges of a lesson (its ``VERDICTS``) say of what was measured live at ``budget``, or recorded."""
    rows = []
    for experiments, judge in judged:
        results = [measured[experiment.name] for experiment in experiments]
        first = results[0].records[0]
        budgets = " and ".join(sorted({"recorded" if r.recorded else budget for r in results}))
        rest = (tuple(e.name for e in experiments), tuple(r.seeds for r in results), first.machine, budgets)
        rows += [Entry(lesson, verdict, *rest, first.source) for verdict in judge(*results)]
    return rows


def verdicts(rows: Iterable[Entry]) -> list[Verdict]:
    """What a lesson's table says of these rows: where other seeds do not settle one, it is inconclusive."""
    return settle([row.verdict for row in rows])


def leading(said: list[Verdict]) -> list[Verdict]:
    """Of the rows of one claim, those that say the claim or narrow it down; failing that, those that begin anew."""
    own = [v for v in said if v.says.startswith(CLAIMS[v.claim])]
    return own or [v for v in said if not v.says.startswith(("…", "control"))] or said


def word(said: list[Verdict]) -> str:
    """One word for a claim: of two that hold the weaker, and no average of words that contradict each other."""
    words = {v.verdict for v in leading(said)}
    if words == {"holds", "holds if"}:
        return "holds if"
    return words.pop() if len(words) == 1 else DIFFER if words else NOT_COVERED


def states(rows: Iterable[Entry]) -> dict[str, str]:
    """Every claim of the documents and its one state."""
    said: dict[str, list[Verdict]] = {claim: [] for claim in claims()}
    for verdict in verdicts(rows):
        if verdict.claim in said:  # rows named E… are questions of our own
            said[verdict.claim].append(verdict)
    return {claim: word(rows_of) for claim, rows_of in said.items()}


def counts(found: dict[str, str]) -> dict[str, int]:
    """How many claims are in each state, in the order of :data:`STATES`."""
    number = Counter(found.values())
    return {state: number[state] for state in STATES}
