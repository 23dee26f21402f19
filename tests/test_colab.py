"""The cell for Colab: idle elsewhere, one wheel or one address there, and that address in one place."""

import re
import shutil
import subprocess
import sys
import types
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "course"))
import address  # noqa: E402
import build  # noqa: E402

URL = "https://github.com/somebody/something"


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """The sources, the notebooks and pyproject.toml where they may be written to."""
    for folder in ("course", "lessons"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__", "pictures"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for name, path in (("ROOT", tmp_path), ("COURSE", tmp_path / "course"), ("LESSONS", tmp_path / "lessons")):
        monkeypatch.setattr(build, name, path)
    monkeypatch.setattr(address, "PYPROJECT", tmp_path / "pyproject.toml")
    return tmp_path


def run_cell(monkeypatch, where: Path, colab: bool) -> list[list[str]]:
    """Run the cell of the first lesson in a folder; what it would have had pip do."""
    calls = []
    monkeypatch.chdir(where)
    monkeypatch.setattr(subprocess, "run", lambda call, check: calls.append(call))
    monkeypatch.delitem(sys.modules, "google.colab", raising=False)
    if colab:
        monkeypatch.setitem(sys.modules, "google.colab", types.ModuleType("google.colab"))
    exec(build.for_colab(build.sources()[0])[1].source, {})
    return calls


def test_outside_colab_the_cell_does_nothing(monkeypatch, tmp_path):
    assert run_cell(monkeypatch, tmp_path, colab=False) == []


def test_on_colab_it_asks_for_the_wheel_in_one_sentence_while_there_is_no_address(copy, monkeypatch, tmp_path):
    monkeypatch.setattr(build, "address", lambda: None)
    with pytest.raises(SystemExit, match=r"^Upload the wheel, .*beside this notebook\.$"):
        run_cell(monkeypatch, tmp_path, colab=True)


@pytest.mark.parametrize("url, course", [(None, "tutorlib-0.1.0-py3-none-any.whl"), (URL, f"git+{URL}")])
def test_on_colab_it_installs_the_course_and_leaves_everything_else_as_it_is(url, course, monkeypatch, tmp_path):
    monkeypatch.setattr(build, "address", lambda: url)
    (tmp_path / "tutorlib-0.1.0-py3-none-any.whl").touch()
    (call,) = run_cell(monkeypatch, tmp_path, colab=True)
    assert call[1:4] == ["-m", "pip", "install"] and "--no-deps" in call and course in call
    assert not [word for word in call if "==" in word or "torch" in word or "ipywidgets" in word]
    (mnist1d,) = [line for line in re.findall(r'"(mnist1d[^"]*)"', (ROOT / "pyproject.toml").read_text())]
    assert mnist1d in call


def test_every_notebook_begins_with_the_cell_before_its_first_code():
    for path in sorted((ROOT / "lessons").glob("*.ipynb")):
        cells = nbformat.read(path, as_version=4).cells
        words, code = (cell for cell in cells if "colab" in cell.metadata.get("tags", []))
        first = next(cell for cell in cells if cell.cell_type == "code")
        assert code.id == first.id and code.execution_count == 1 and code.outputs == []
        assert cells.index(words) == cells.index(code) - 1


def test_one_command_sets_the_address_everywhere_and_again(copy):
    before = build.stale()
    for url in ("https://github.com/old/place", URL):
        address.main(url)
        assert build.address() == url and build.stale() == before
    for path in [*(copy / "lessons").glob("*.ipynb"), copy / "pyproject.toml"]:
        text = path.read_text(encoding="utf-8")
        assert "old/place" not in text and "somebody/something" in text
    assert URL in build.for_colab(build.sources()[0])[1].source
    shown = build.for_colab(build.sources()[0])[0].source
    assert "https://colab.research.google.com/github/somebody/something/blob/main/lessons/00_start_here.ipynb" in shown


@pytest.mark.parametrize(
    "url", ["", "github.com/a/b", "https://github.com/a", "https://example.org/a/b", f"{URL}/", f"{URL}.git"]
)
def test_an_address_that_colab_cannot_open_is_refused(copy, url):
    with pytest.raises(SystemExit, match=r"allowed: https://github\.com/OWNER/REPOSITORY"):
        address.main(url)


def test_no_file_names_another_address_than_the_one():
    """Left-overs: an address of the course that `make address` has not set."""
    known = build.address()
    for path in [*ROOT.glob("*.md"), *ROOT.glob("course/**/*.md"), *ROOT.glob("lessons/*.ipynb")]:
        text = path.read_text(encoding="utf-8")
        named = re.findall(
            r"colab\.research\.google\.com/github/([\w.-]+/[\w.-]+)|git\+https://github\.com/([\w./-]+)", text
        )
        assert all(known and (one or other) in known for one, other in named), f"{path.name}: {named}"
        assert not re.search(r"OWNER/|YOUR[-_ ]?(NAME|ORG)|TODO", text.replace("OWNER/REPOSITORY", "")), path.name
