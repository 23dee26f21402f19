"""How `make handout` calls nbconvert: the questions stay, and every answer waits for the run."""

import re

from nbconvert.preprocessors import ClearOutputPreprocessor, Preprocessor

GONE = {"hint", "solution", "colab"}
OUTCOME = {"see", "explain", "verdict"}
NEXT = re.compile(r"#|\*\*Exercise")  # what an outcome goes on to
CONCLUSION = re.compile(r"^## What (?:you now know|may be said)$", re.M)


class Handout(Preprocessor):
    """From a figure to the next question the text goes and the code stays, the explaining cell folded."""

    def preprocess(self, notebook, resources):
        cells, outcome = [], False
        for cell in notebook.cells:
            tags = set(cell.metadata.get("tags", []))
            if cell.cell_type == "code":
                outcome = outcome or bool(OUTCOME & tags)
                if "explain" in tags:
                    cell.metadata["jupyter"] = {"source_hidden": True}
                given = True
            else:
                cell.source = CONCLUSION.split(cell.source)[0].rstrip()
                outcome = outcome and not NEXT.match(cell.source)
                given = cell.source.startswith("**Play.") or (cell.source and not outcome)
            if given and not GONE & tags:
                cells.append(cell)
        notebook.cells = cells
        return notebook, resources


c = get_config()  # noqa: F821 - nbconvert gives it
c.NbConvertApp.export_format = "notebook"
c.Exporter.preprocessors = [Handout, ClearOutputPreprocessor]
