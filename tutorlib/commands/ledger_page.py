"""The ledger as a page: how many claims hold, each claim in one line, then every row with its interval and caveat."""

import json
from types import ModuleType

from tutorlib.verdicts.documents import DOCUMENTS, NOT_JUDGED, claims, gloss
from tutorlib.verdicts.ledger import Entry, counts, states, verdicts
from tutorlib.widgets.verdicts import SIGNS, interval

HEAD = """\
# Ledger

Every claim of the five documents, in our words, and what came out when it was measured. `python -m tutorlib ledger`
measures what is not in the cache yet, and writes this page and the same for programs: `ledger.jsonl` has every row,
`ledger.json` every claim. The lessons print the same rows.
"""
NOTE = """\
A claim may have several rows, in several lessons. Its word is that of the rows that say the claim itself, not of those
that vary it (“…”): where these agree but for a condition, the weaker word; where they contradict each other, *rows
differ*, and the rows say on what it depends. A row that 20 other base seeds do not settle is *inconclusive at this
budget*, whatever this run says.
"""


def page(rows: list[Entry], lessons: dict[str, ModuleType]) -> str:
    """The whole page; ``lessons`` are those of the command line, number → module of verdicts."""
    found = judged(rows, lessons)
    parts = [HEAD, head(rows, lessons), NOTE, places(rows, lessons)]
    for name, (title, count) in DOCUMENTS.items():
        parts += [f"## {name} · {title}, {count} claims\n", overview(name, found)]
    parts.append("## Row by row\n")
    for name, (title, _) in DOCUMENTS.items():
        parts += [f"### {name} · {title}\n", details(rows, lessons, name)]
    parts += ["### E · questions of our own\n", details(rows, lessons, "E")]
    return "\n".join(parts)


def table(head: tuple[str, ...], lines: list[tuple]) -> str:
    def line(cells) -> str:
        return "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in cells) + " |\n"

    return line(head) + line("---" for _ in head) + "".join(map(line, lines))


def head(rows: list[Entry], lessons: dict) -> str:
    number = counts(states(rows))
    missing = [name for name in lessons if name not in {row.lesson for row in rows}]
    told = f"\nNot measured for this ledger: lesson {', '.join(missing)}.\n" if missing else ""
    lines = [(f"{SIGNS.get(state, '·')} {state}", count) for state, count in number.items()]
    return table(("of the claims", len(claims())), lines) + told


def places(rows: list[Entry], lessons: dict) -> str:
    """Where each lesson was measured; a lesson is measured on one machine."""
    lines = []
    for name in lessons:
        own = [row for row in rows if row.lesson == name]
        if own:
            machine, seeds = own[0].machine, sorted({count for row in own for count in row.seeds})
            code = f"torch {machine.torch}, Python {machine.python}, instruments {own[0].source[:8]}"
            told = f"{seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else seeds[0]
            lines.append(
                (
                    link(name, lessons),
                    len(own),
                    told,
                    f"{machine.name} ({machine.device})",
                    ", ".join(sorted({row.budget for row in own})),
                    code,
                )
            )
    return "## Measured where\n\n" + table(("lesson", "rows", "seeds", "machine", "budget", "with"), lines)


def link(name: str, lessons: dict) -> str:
    stem = f"{name}_{lessons[name].__name__.rpartition('.')[2]}"
    return f"[{name}](../lessons/{stem}.ipynb)"


def judged(rows: list[Entry], lessons: dict) -> dict[str, dict]:
    """Every claim: in our words, its one word, and the lessons that judge it or the reason why none does."""
    where: dict[str, set[str]] = {claim: set() for claim in claims()}
    for row in rows:
        where.setdefault(row.verdict.claim, set()).add(row.lesson)
    no_row = "in no lesson" if set(lessons) == {row.lesson for row in rows} else "in no lesson measured here"
    return {
        claim: {
            "says": gloss(claim),
            "word": state,
            "lessons": sorted(where[claim]),
            "reason": "" if where[claim] else NOT_JUDGED.get(claim, ("", no_row))[1],
        }
        for claim, state in states(rows).items()
    }


def summary(rows: list[Entry], lessons: dict) -> str:
    """The counts and every claim as JSON."""
    return json.dumps({"counts": counts(states(rows)), "claims": judged(rows, lessons)}, ensure_ascii=False, indent=1)


def overview(document: str, found: dict[str, dict]) -> str:
    """One line a claim: its word, and where it was judged or why it was not."""
    lines = []
    for claim in claims(document):
        told = found[claim]
        place = told["reason"] or "lesson " + ", ".join(told["lessons"])
        lines.append((f"`{claim}`", told["says"], f"{SIGNS.get(told['word'], '·')} {told['word']}", place))
    return table(("claim", "in our words", "word", "judged in"), lines)


def details(rows: list[Entry], lessons: dict, document: str) -> str:
    """Every row of a document's claims in the order of the claims, and of the lessons within a claim."""
    chosen = [pair for pair in zip(rows, verdicts(rows), strict=True) if pair[0].verdict.claim.startswith(document)]
    lines = []
    for row, said in sorted(chosen, key=lambda pair: pair[0].verdict.claim):
        word = f"{SIGNS[said.verdict]} **{said.verdict}**" + (f" {said.condition}" if said.condition else "")
        small = f"held: {said.held}; would have changed it: {said.would_change}"
        lines.append(
            (
                f"`{said.claim}`",
                f"“{said.says}”",
                word,
                said.measured,
                interval(said),
                link(row.lesson, lessons),
                min(row.seeds),
                said.other_seeds or "not repeated",
                small,
            )
        )
    return table(
        ("claim", "it says", "verdict", "measured", "estimate [95 %]", "lesson", "seeds", "other seeds", "small print"),
        lines,
    )
