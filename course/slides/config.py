"""How `make slides` calls nbconvert: a slide for every heading, one below it for every move, nothing from elsewhere."""

import re
from pathlib import Path

from latex2mathml.converter import convert
from nbconvert.preprocessors import Preprocessor

MATH = re.compile(r"(?<!\\)\$\$(?P<block>.+?)\$\$|(?<![\\$])\$(?P<inline>[^$\s](?:[^$\n]*[^$\s])?)\$", re.S)
CODE = re.compile(r"(```.*?```|`[^`\n]+`)", re.S)


def without_dollars(text: str) -> str:
    """Formulas as MathML, which browsers draw without a script; code keeps its dollars."""

    def mathml(found: re.Match) -> str:
        return convert(found["block"] or found["inline"], display="block" if found["block"] else "inline")

    return "".join(part if CODE.fullmatch(part) else MATH.sub(mathml, part) for part in CODE.split(text))


class Deck(Preprocessor):
    """Headings go to the right, the moves of a beat down; hints and solutions stay in the notebooks."""

    def preprocess_cell(self, cell, resources, index):
        folded = {"hint", "solution", "colab"} & set(cell.metadata.get("tags", []))
        if cell.cell_type == "markdown":
            cell.source = without_dollars(cell.source)
            kind = "slide" if cell.source.startswith("#") else "subslide"
        else:
            kind = "-" if "run" in cell.metadata.get("tags", []) else "subslide"
        cell.metadata["slideshow"] = {"slide_type": "skip" if folded else kind}
        return cell, resources


c = get_config()  # noqa: F821 - nbconvert gives it
c.NbConvertApp.export_format = "slides"
c.Exporter.preprocessors = [Deck]
c.SlidesExporter.template_name = "slides"
c.SlidesExporter.extra_template_basedirs = [str(Path(__file__).resolve().parent.parent)]
c.SlidesExporter.reveal_url_prefix = "reveal"
c.SlidesExporter.reveal_theme = "white"  # its fonts are beside it
