"""Build site/: the course to read in a browser, from the executed notebooks and the pages beside them.

    python course/pages.py [FOLDER]        FOLDER is site/ unless another is named

Nothing is executed but panels: each is drawn at three settings. Every picture has words, and no page loads
anything from elsewhere.
"""

import base64
import html
import re
import shutil
import sys
import tempfile
from pathlib import Path

import nbformat
from sphinx.cmd.build import main as sphinx

from tutorlib.widgets.gallery import frames, panels

COURSE = Path(__file__).resolve().parent
ROOT = COURSE.parent


def described(notebook: nbformat.NotebookNode) -> None:
    """Give every picture its words: the section it stands in, and the text that its cell says beside it."""
    section = ""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            headings = re.findall(r"^#+ (.+)$", cell.source, re.M)
            section = headings[-1] if headings else section
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                cell.metadata["mystnb"] = {"image": {"alt": f"{section}. {output.data['text/plain']}"}}


def with_pictures(notebook: nbformat.NotebookNode, gallery: dict[str, str]) -> None:
    """After the first showing of each panel, what it shows at other settings."""
    shown, cells = set(), []
    for cell in notebook.cells:
        cells.append(cell)
        for output in cell.get("outputs", []):
            title = output.get("data", {}).get("text/plain", "")
            if title in gallery and title not in shown:
                shown.add(title)
                cells.append(nbformat.v4.new_markdown_cell(gallery[title]))
    notebook.cells = cells


def gallery() -> dict[str, str]:
    """A panel's title → its pictures as HTML; a picture's words are its setting and the panel's sentence."""
    return {panel.text: pictures(panel) for panel in (make() for make in panels())}


def pictures(panel) -> str:
    figures = "".join(
        f'<figure><img src="data:image/png;base64,{base64.b64encode(frame.picture).decode()}" '
        f'alt="{html.escape(f"{panel.text}. {frame.setting}. {frame.says}")}">'
        f"<figcaption><b>{html.escape(frame.setting)}.</b> {html.escape(frame.says)}</figcaption></figure>"
        for frame in frames(panel)
    )
    return f'<div class="panel">{figures}</div>'


def front(lessons: list[Path]) -> str:
    """The first page: what this is, and every lesson with its question and its minutes."""
    rows, about = [], (ROOT / "README.md").read_text(encoding="utf-8").split("\n\n")[1]
    for lesson in lessons:
        text = nbformat.read(lesson, as_version=4).cells[0].source
        title, question = re.search(r"^# (.+?): (.+)$", text, re.M).groups()
        minutes = re.search(r"About (\d+) minutes", text)[1]
        rows.append(f"| [{title}](lessons/{lesson.name}) | {question[0].upper()}{question[1:]} | {minutes} |")
    pages = [path.stem for path in sorted(COURSE.glob("[A-Za-z]*.md"))]
    trees = {"Lessons": [f"lessons/{lesson.stem}" for lesson in lessons], "Beside them": [f"course/{p}" for p in pages]}
    trees["Decisions"] = [f"course/decisions/{path.stem}" for path in sorted((COURSE / "decisions").glob("*.md"))]
    toctrees = "".join(
        f"```{{toctree}}\n:hidden:\n:caption: {caption}\n" + "\n".join(pages) + "\n```\n"
        for caption, pages in trees.items()
    )
    says = "To read, as it was run; panels are pictures here, and move in the notebooks."
    head = f"# Batch Size, Measured\n\n{about}\n\n{says}"
    return "\n".join([head, "", "| lesson | question | minutes |", "|---|---|---|", *rows, "", toctrees])


def write_sources(folder: Path) -> None:
    """What Sphinx reads: the lessons with words and pictures, the pages beside them, and the front page."""
    shutil.copytree(COURSE, folder / "course", ignore=shutil.ignore_patterns("[0-9][0-9]_*.md", "*.py", "slides"))
    (folder / "lessons").mkdir()
    lessons, drawn = sorted((ROOT / "lessons").glob("*.ipynb")), gallery()
    for lesson in lessons:
        notebook = nbformat.read(lesson, as_version=4)
        notebook.cells = [cell for cell in notebook.cells if "colab" not in cell.metadata.get("tags", [])]
        described(notebook)
        with_pictures(notebook, drawn)
        nbformat.write(notebook, folder / "lessons" / lesson.name)
    (folder / "index.md").write_text(front(lessons), encoding="utf-8")


def replace(target: Path, built: Path) -> None:
    """Put the site where an older one may stand; a folder that holds anything else is left alone."""
    if target.exists() and not (target / ".buildinfo").exists() and (target.is_file() or any(target.iterdir())):
        sys.exit(f"{target} holds something else than a site; name a folder that is empty or not there yet.")
    shutil.rmtree(target, ignore_errors=True)
    shutil.move(built, target)


def main(target: str = str(ROOT / "site")) -> None:
    with tempfile.TemporaryDirectory() as work:
        sources = Path(work) / "sources"
        sources.mkdir()
        write_sources(sources)
        built = Path(work) / "site"
        if sphinx(["-q", "-c", str(COURSE), "-d", str(Path(work) / "doctrees"), str(sources), str(built)]):
            sys.exit("Sphinx stopped: its own words are above.")
        replace(Path(target), built)
    print(f"{target}/index.html")


if __name__ == "__main__":
    main(*sys.argv[1:2])
