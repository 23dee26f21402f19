"""How `make slides` calls nbconvert: a slide for every heading, one below it for every move, nothing from elsewhere."""

import re
import sys
from pathlib import Path

from latex2mathml.converter import convert
from nbconvert.preprocessors import Preprocessor
from nbformat.v4 import new_markdown_cell

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from sheets import asked

MATH = re.compile(r"(?<!\\)\$\$(?P<block>.+?)\$\$|(?<![\\$])\$(?P<inline>[^$\s](?:[^$\n]*[^$\s])?)\$", re.S)
CODE = re.compile(r"(```.*?```|`[^`\n]+`)", re.S)
FEW = 300  # characters of a text that leaves room for a figure


def without_dollars(text: str) -> str:
    """Formulas as MathML, which browsers draw without a script; code keeps its dollars."""

    def mathml(found: re.Match) -> str:
        return convert(found["block"] or found["inline"], display="block" if found["block"] else "inline")

    return "".join(part if CODE.fullmatch(part) else MATH.sub(mathml, part) for part in CODE.split(text))


def shows(cell) -> bool:
    """Whether a cell puts out a figure or a table, which is then all that its slide has room for."""
    return any({"image/png", "text/html"} & set(output.get("data", {})) for output in cell.get("outputs", []))


class Deck(Preprocessor):
    """Headings go to the right, the moves of a beat down; hints and solutions stay in the notebooks.

    A bet is its question in large letters, a figure or a table stands without the code that made it, and a few words
    before a figure share its slide.
    """

    def preprocess(self, notebook, resources):
        short = False
        for index, cell in enumerate(notebook.cells):
            tags = set(cell.metadata.get("tags", []))
            if "predict" in tags:
                question, choices = asked(cell.source)
                cell = notebook.cells[index] = new_markdown_cell(f"### {question}\n\nChoose a range: {choices}")
            if cell.cell_type == "markdown":
                cell.source = without_dollars(cell.source)
                kind = "slide" if re.match("##? ", cell.source) else "subslide"
                short = kind == "subslide" and len(cell.source) < FEW
            else:
                kind = "-" if "run" in tags or (short and shows(cell)) else "subslide"
                short = False
                if "explain" not in tags and shows(cell):
                    cell.metadata["transient"] = {"remove_source": True}
                for output in cell.outputs if "verdict" in tags else ():
                    output.data["text/html"] = output.data["text/html"].replace("<table>", "<table class='verdict'>")
            folded = {"hint", "solution", "colab"} & tags
            cell.metadata["slideshow"] = {"slide_type": "skip" if folded else kind}
        return notebook, resources


c = get_config()  # noqa: F821 - nbconvert gives it
c.NbConvertApp.export_format = "slides"
c.Exporter.preprocessors = [Deck]
c.SlidesExporter.template_name = "slides"
c.SlidesExporter.extra_template_basedirs = [str(Path(__file__).resolve().parent.parent)]
c.SlidesExporter.reveal_url_prefix = "reveal"
c.SlidesExporter.reveal_theme = "white"  # its fonts are beside it
