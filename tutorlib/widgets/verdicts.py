"""Verdicts as a table: claim, what was measured, the interval, the word, and what would have changed it."""

import html
import sys
from itertools import groupby

from tutorlib.records import Verdict
from tutorlib.verdicts.repeats import settle
from tutorlib.widgets.show import Shown, number

CELL = "style='text-align:left;vertical-align:top;border-top:1px solid #8886'"
SIGNS = {"holds": "✓", "holds if": "✓", "does not hold": "✗", "inconclusive at this budget": "?"}


def interval(verdict: Verdict) -> str:
    if verdict.estimate is None:
        return "no bounded interval"
    if verdict.low == verdict.high:  # a count
        return f"exactly {verdict.estimate:,g}"
    if verdict.low == 0 and verdict.estimate == verdict.high:  # a bound, not an interval
        return f"≤ {number(verdict.high)}"
    if verdict.high == sys.float_info.max:
        return f"≥ {number(verdict.low)}"
    return f"{number(verdict.estimate)} [{number(verdict.low)}, {number(verdict.high)}]"


def lines(verdicts: list[Verdict], numbers: bool = True) -> str:
    return "\n".join(
        f"{v.claim:<6} {v.verdict}{f' {v.condition}' if v.condition else ''} — “{v.says}”: {v.measured}"
        + (f" {interval(v)}" if numbers else "")
        for v in verdicts
    )


def show_verdicts(
    verdicts: list[Verdict], numbers: bool = True, measured: str = "measured [95 %]", fold: frozenset = frozenset()
) -> Shown:
    """The table, as HTML for the eye and as lines of text for everything else.

    Where the last digits depend on the processor (a loss that first dips under a line, seconds), ``numbers=False``
    leaves them out of the text; the table has them. A row that other seeds do not settle says so.
    ``measured`` heads the column of numbers, where these are not estimates with intervals. ``fold`` holds rows as
    (claim, verdict, sentence) that the table folds up under the others. The verdict is part of it: a row that says
    another word than its lesson expects stays open. The text has every row, in order.
    """
    verdicts = settle(verdicts)
    folded = [v for v in verdicts if (v.claim, v.verdict, v.says) in fold]
    page = table([v for v in verdicts if v not in folded], measured)
    if folded:
        claims = ", ".join(sorted({v.claim for v in folded}))
        more = f"… and {len(folded)} more row{'s' * (len(folded) > 1)}: {claims}"
        page += f"<details><summary>{more}</summary>{table(folded, measured)}</details>"
    return Shown(None, lines(verdicts, numbers), html=page)


def table(verdicts: list[Verdict], measured: str) -> str:
    """Rows under a line that says what was held; what would have changed them is said once for rows that share it."""
    titles = ("claim", "it says", measured, "verdict", "would have changed it")
    body = ""
    for held, rows in groupby(verdicts, key=lambda v: v.held):
        body += f"<tr><td {CELL} colspan='{len(titles)}'><small>Held: {html.escape(held)}</small></td></tr>"
        for change, alike in groupby(rows, key=lambda v: v.would_change):
            first, *others = map(cells, alike)
            change = f"<td {CELL} rowspan='{1 + len(others)}'><small>{html.escape(change)}</small></td>"
            body += "".join(f"<tr>{row}</tr>" for row in (first + change, *others))
    head = "".join(f"<th style='text-align:left'>{title}</th>" for title in titles)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def cells(verdict: Verdict) -> str:
    word = f"<b>{SIGNS[verdict.verdict]}</b>&nbsp;{verdict.verdict} {html.escape(verdict.condition)}".rstrip()
    told = (
        f"<code style='white-space:nowrap'>{verdict.claim}</code>",
        f"“{html.escape(verdict.says)}”<br><small>{html.escape(verdict.measured)}</small>",
        interval(verdict),
        word + f"<br><small>{verdict.other_seeds}</small>" * bool(verdict.other_seeds),
    )
    return "".join(f"<td {CELL}>{cell}</td>" for cell in told)
