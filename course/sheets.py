"""Sheets to print: a page of bets for every lesson, and one page of words.

python course/sheets.py FOLDER        writes FOLDER/sheets.html, from the stored notebooks and course/words.md
"""

import ast
import html
import re
import sys
from pathlib import Path

import nbformat

from tutorlib.verdicts.claims import CLAIMS

ROOT = Path(__file__).resolve().parent.parent
LOOK = """
@page { size: A4; margin: 12mm }
body { font: 10pt/1.3 "Liberation Sans", Arial, Helvetica, "DejaVu Sans Condensed", sans-serif }
body { max-width: 186mm; margin: auto }
section { break-after: page }
section:last-child { break-after: auto }
h1 { font-size: 15pt } h2 { font-size: 11pt; margin: 0 0 1mm } p { margin: 0 0 1mm }
.bet { break-inside: avoid; margin-bottom: 4mm } .small { font-size: 8.5pt; color: #444 }
.write { margin-top: 3mm } .write b { display: inline-block; border-bottom: 1px solid; min-width: 24mm }
.write b:last-child { min-width: 36mm }
.words { columns: 2; font-size: 7.1pt; line-height: 1.25 } .words p { break-inside: avoid; margin: 0 0 0.6mm }
"""


def bets(notebook: nbformat.NotebookNode) -> list[tuple[str, str, str, str]]:
    """Of every prediction: its section, its question, what may be chosen, and the claim it is about."""
    found, heading, claim = [], "", ""
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and cell.source.startswith("## "):
            heading = cell.source.splitlines()[0].removeprefix("## ")
            claim = next((key for key in re.findall(r"`([DE]\d+-\d+)`", cell.source) if key in CLAIMS), "")
        elif "predict" in cell.metadata.get("tags", []):
            found.append((heading, *asked(cell.source), claim))
    return found


def asked(source: str) -> tuple[str, str]:
    """The question of a cell that makes a ``Prediction``, and its choices in words."""
    call = next(node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    given = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords}
    choices = ", ".join(f"{option:,.12g}" for option in given["options"]) + given.get("unit", "")
    return ast.literal_eval(call.args[0]), choices


def bet(heading: str, question: str, choices: str, claim: str) -> str:
    said = f"<p>A claim of this section ({claim}): “{html.escape(CLAIMS[claim])}”</p>" if claim else ""
    return (
        f'<div class="bet"><h2>{html.escape(heading)}</h2><p>{html.escape(question)}</p>'
        f'<p class="small">Choose from: {html.escape(choices)}</p>{said}'
        '<p class="write">I say: from <b></b> to <b></b> &emsp; It came out: <b></b> &emsp; Because: <b></b></p></div>'
    )


def sheet(lesson: Path) -> str:
    notebook = nbformat.read(lesson, as_version=4)
    title = re.search(r"^# (.+)$", notebook.cells[0].source, re.M)[1]
    return f"<section><h1>{html.escape(title)}</h1>{''.join(bet(*found) for found in bets(notebook))}</section>"


def words() -> str:
    """The table of course/words.md, in two columns on one page."""
    entries = []
    for line in (ROOT / "course" / "words.md").read_text(encoding="utf-8").splitlines()[6:]:
        word, meaning, unit = (cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:4])
        says = f"<b>{html.escape(word)}</b> {html.escape(meaning)}{f' ({html.escape(unit)})' if unit else ''}"
        entries.append("<p>" + re.sub(r"`(.+?)`", r"<code>\1</code>", says) + "</p>")
    return f'<section><h1>Words</h1><div class="words">{"".join(entries)}</div></section>'


def main(folder: str) -> None:
    pages = [sheet(lesson) for lesson in sorted((ROOT / "lessons").glob("*.ipynb"))] + [words()]
    page = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Batch Size, Measured: sheets</title>'
        f"<style>{LOOK}</style><body>{''.join(pages)}</body></html>\n"
    )
    path = Path(folder) / "sheets.html"
    path.write_text(page, encoding="utf-8")
    print(f"{path}: {len(pages)} pages to print")


if __name__ == "__main__":
    main(sys.argv[1])
