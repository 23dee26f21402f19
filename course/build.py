"""Build lessons/*.ipynb from course/NN_*.md: execute, clean, write; the same source gives the same bytes.

    python course/build.py                 every lesson
    python course/build.py 01              the lessons whose name starts so
    python course/build.py --check         say which notebooks are older than their text, without executing

A cell that raises stops the build with the lesson, the cell and the message, and the old notebook stays.
"""

import argparse
import hashlib
import os
import sys
import tempfile
import tomllib
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

COURSE = Path(__file__).resolve().parent
ROOT = COURSE.parent
LESSONS = ROOT / "lessons"
LANGUAGE = "en"  # prose in another language carries {"lang": "…"}; code is shared
CELL_SECONDS = 300
# Outside Colab this cell does nothing. --no-deps: Colab's own torch and widgets are new enough, and stay as they are.
COLAB = """\
import sys
if "google.colab" in sys.modules:
    from glob import glob
    from subprocess import run
    course = {course}
    run([sys.executable, "-m", "pip", "install", "-q", "--no-deps", *course, "mnist1d>=0.0.2.post1"], check=True)"""
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


def sources(prefix: str = "") -> list[Path]:
    return sorted(COURSE.glob(f"{prefix}[0-9]*_*.md" if not prefix else f"{prefix}*.md"))


def notebook_of(source: Path) -> Path:
    return LESSONS / f"{source.stem}.ipynb"


def address() -> str | None:
    """Where the course is public, from the one place that says it; `make address URL=…` writes it there."""
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"].get("urls", {})
    return urls.get("Repository")


def for_colab(source: Path) -> list[nbformat.NotebookNode]:
    """What stands before a lesson: how it gets to Colab, and the cell that installs the course there."""
    if url := address():
        path = f"{url.removeprefix('https://github.com/')}/blob/main/lessons/{notebook_of(source).name}"
        says = f"[Open in Colab](https://colab.research.google.com/github/{path}). There, run the next cell first."
        course = repr([f"git+{url}"])
    else:
        says = "On Colab, upload the course's wheel (README) beside this notebook and run the next cell first."
        course = 'glob("tutorlib-*.whl") or sys.exit("Upload the wheel, tutorlib-….whl, beside this notebook.")'
    cells = [nbformat.v4.new_markdown_cell(says), nbformat.v4.new_code_cell(COLAB.format(course=course))]
    for cell in cells:
        cell.metadata = {"tags": ["colab"], "jupyter": {"source_hidden": True}}
    return cells


def read(source: Path) -> nbformat.NotebookNode:
    """The lesson as a notebook without outputs; each cell's id is a hash of what it says."""
    text = source.read_text(encoding="utf-8")
    notebook = jupytext.reads(text, fmt="md:myst")
    notebook.cells = [cell for cell in notebook.cells if cell.metadata.get("lang", LANGUAGE) == LANGUAGE]
    first = next((k for k, cell in enumerate(notebook.cells) if cell.cell_type == "code"), 0)
    notebook.cells[first:first] = for_colab(source)
    seen: dict[str, int] = {}
    for cell in notebook.cells:
        said = f"{cell.cell_type}\n{cell.source}"
        seen[said] = seen.get(said, 0) + 1
        cell.id = hashlib.sha256(f"{said}\n{seen[said]}".encode()).hexdigest()[:8]
        cell.metadata = {key: cell.metadata[key] for key in ("tags", "jupyter") if key in cell.metadata}
    fingerprint = hashlib.sha256(text.encode() + Path(__file__).read_bytes()).hexdigest()
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
        "built": {"from": f"course/{source.name}", "sha256": fingerprint},
    }
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return notebook


def execute(notebook: nbformat.NotebookNode) -> None:
    """Run every cell in place, on the CPU and with an empty cache, so that nothing old answers."""
    with tempfile.TemporaryDirectory() as cache:
        env = {**os.environ, "TUTORLIB_CACHE": cache, "TUTORLIB_DEVICE": "cpu"}
        client = NotebookClient(
            notebook,
            timeout=CELL_SECONDS,
            kernel_name="python3",
            record_timing=False,
            resources={"metadata": {"path": str(LESSONS)}},
        )
        client.execute(env=env)


def clean(notebook: nbformat.NotebookNode) -> None:
    """Keep what a reader sees: no widget state, no timing, no kernel's own metadata."""
    notebook.metadata.pop("widgets", None)
    notebook.metadata["language_info"] = {"name": "python"}
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", []):
            output.get("data", {}).pop(WIDGET_VIEW, None)
            if "metadata" in output:
                output.metadata = {}


def build(source: Path) -> None:
    notebook = read(source)
    try:
        execute(notebook)
    except CellExecutionError as error:
        failed = next(
            i
            for i, cell in enumerate(notebook.cells, 1)
            if any(out.output_type == "error" for out in cell.get("outputs", []))
        )
        first = notebook.cells[failed - 1].source.splitlines()[0]
        sys.exit(f"{source.name}: cell {failed} ({first!r}) raised {error.ename}: {error.evalue}. Nothing was written.")
    clean(notebook)
    nbformat.validate(notebook)
    LESSONS.mkdir(exist_ok=True)
    notebook_of(source).write_text(nbformat.writes(notebook, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    print(f"{notebook_of(source).name}: {len(notebook.cells)} cells")


def stale() -> list[str]:
    """One sentence for every notebook that does not say what its source says."""
    wrong = []
    for source in sources():
        target = notebook_of(source)
        if not target.is_file():
            wrong.append(f"lessons/{target.name} is missing: run make lessons")
            continue
        stored, fresh = nbformat.read(target, as_version=4), read(source)
        same_text = [[(c.id, c.source) for c in cells] for cells in (stored.cells, fresh.cells)]
        if same_text[0] != same_text[1] or stored.metadata.get("built") != fresh.metadata["built"]:
            wrong.append(
                f"lessons/{target.name} is older than course/{source.name} or course/build.py: run make lessons"
            )
    known = {notebook_of(source) for source in sources()}
    wrong += [
        f"lessons/{path.name} has no source in course/" for path in sorted(LESSONS.glob("*.ipynb")) if path not in known
    ]
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("prefix", nargs="?", default="", help="build only the lessons whose name starts so")
    parser.add_argument("--check", action="store_true", help="find stale notebooks without executing")
    arguments = parser.parse_args()
    if arguments.check:
        sys.exit("\n".join(stale()) or None)
    chosen = sources(arguments.prefix)
    if not chosen:
        sys.exit(
            f"no lesson in course/ starts with {arguments.prefix!r}; there are: {', '.join(s.stem for s in sources())}"
        )
    for source in chosen:
        build(source)


if __name__ == "__main__":
    main()
