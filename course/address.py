"""Set the course's public address everywhere: `make address URL=https://github.com/somebody/something`.

The address stands in pyproject.toml ([project.urls], Repository). From there it goes into each built notebook's cell
for Colab, without executing anything: the cell does nothing elsewhere.
"""

import re
import sys

import nbformat

import build

PYPROJECT = build.ROOT / "pyproject.toml"
ALLOWED = re.compile(r"https://github\.com/[\w.-]+/[\w.-]+(?<!\.git)")


def write(url: str) -> None:
    text = re.sub(r"\[project\.urls\]\n.*\n\n", "", PYPROJECT.read_text(encoding="utf-8"))
    table = f'[project.urls]\nRepository = "{url}"\n\n'
    stamped = text.replace("[project.optional-dependencies]", f"{table}[project.optional-dependencies]")
    PYPROJECT.write_text(stamped, encoding="utf-8")


def stamp(path, fresh: list[nbformat.NotebookNode]) -> None:
    """Put today's cells for Colab in the place of a notebook's own; one built before there were such cells has none."""
    notebook = nbformat.read(path, as_version=4)
    olds = [k for k, cell in enumerate(notebook.cells) if "colab" in cell.metadata.get("tags", [])]
    for k, cell in zip(olds, fresh, strict=False):
        cell = nbformat.from_dict({**cell, "id": cell.id})
        if cell.cell_type == "code":
            cell.execution_count = notebook.cells[k].execution_count
        notebook.cells[k] = cell
    path.write_text(nbformat.writes(notebook, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def main(url: str) -> None:
    if not ALLOWED.fullmatch(url):
        sys.exit(f"URL is {url!r}; allowed: https://github.com/OWNER/REPOSITORY, which is what Colab can open")
    write(url)
    for source in build.sources():
        path = build.notebook_of(source)
        if path.is_file():
            stamp(path, [cell for cell in build.read(source).cells if "colab" in cell.metadata.get("tags", [])])
    print(f"{url} stands in pyproject.toml and in {len(build.sources())} notebooks; commit them.")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "")
