"""The memo as a table: one row a symptom, and folded up under it the functions that measure it."""

import html

from tutorlib.theory.memo import MEMO, Row
from tutorlib.widgets.show import Shown

HEADS = ("you see", "measure first", "likely cause", "cure", "the documents said")


def memo_table() -> Shown:
    """The whole table, for the eye as HTML and as text for everybody else. Nothing is measured here."""
    head = "".join(f"<th style='text-align:left'>{name}</th>" for name in HEADS)
    body = "".join(f"<tr style='vertical-align:top'>{''.join(map(cell, cells(row)))}</tr>" for row in MEMO)
    page = f"<table><tr>{head}</tr>{body}</table>{fold()}"
    return Shown(None, "\n\n".join([*map(text, MEMO), "\n".join(functions())]), html=page)


def cells(row: Row) -> tuple[tuple[str, ...], ...]:
    """The lines of every cell of a row, under :data:`HEADS`."""
    looks = [f"{n}. {look.what} (lesson {look.lesson[:2]})" for n, look in enumerate(row.looks, 1)]
    return (row.symptom,), tuple(looks), (row.cause,), (row.cure,), (row.said, f"{', '.join(row.claims)}: {row.kept}")


def functions() -> list[str]:
    """Every measurement once, with the function that makes it."""
    return list(dict.fromkeys(f"{look.what}: tutorlib.{look.function}" for row in MEMO for look in row.looks))


def fold() -> str:
    listed = "".join(f"<li>{html.escape(line)}</li>" for line in functions())
    return f"<details><summary>The function for each measurement</summary><ul>{listed}</ul></details>"


def cell(lines: tuple[str, ...]) -> str:
    return f"<td style='text-align:left'>{'<br>'.join(map(html.escape, lines))}</td>"


def text(row: Row) -> str:
    named = zip(HEADS, cells(row), strict=True)
    return "\n".join(f"{name}: {line}" for name, lines in named for line in lines)
