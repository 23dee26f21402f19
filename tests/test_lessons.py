"""What nbval does not check: stored counts, missing figures, stale builds, and that exercises have an answer."""

import ast
import contextlib
import re
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "course"))
import build  # noqa: E402

NOTEBOOKS = sorted((ROOT / "lessons").glob("*.ipynb"))
# (notebook, cell id): timings and machine names only
IGNORED_OUTPUTS = {
    ("00_start_here", "f46c6392"),  # this computer
    ("02_accumulate_gradients", "6781db09"),  # verdicts on seconds
    ("05_race_two_speeds", "3dfefdd6"),  # verdicts on seconds
    ("09_choose_your_batch", "65c83ae6"),  # the card of a model measured here
}
TAGS = {
    "colab",
    "nbval-ignore-output",
    "predict",
    "play",
    "run",
    "see",
    "explain",
    "verdict",
    "exercise",
    "hint",
    "solution",
}
MOVES = ["predict", "run", "see", "explain", "verdict"]


def code_cells(path):
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request):
    return request.param


def test_there_is_a_lesson_for_every_source():
    assert NOTEBOOKS and build.stale() == []


def test_a_changed_source_or_builder_makes_the_notebook_stale(tmp_path, monkeypatch):
    for folder in ("course", "lessons"):
        (tmp_path / folder).mkdir()
    for source in build.sources():
        text = source.read_text().replace("lesson", "chapter", 1)
        (tmp_path / "course" / source.name).write_text(text)
    for path in NOTEBOOKS:
        (tmp_path / "lessons" / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(build, "COURSE", tmp_path / "course")
    monkeypatch.setattr(build, "LESSONS", tmp_path / "lessons")
    assert len(build.stale()) == len(NOTEBOOKS)
    (tmp_path / "lessons" / "99_orphan.ipynb").write_text("{}")
    assert any("no source" in sentence for sentence in build.stale())


def test_a_failing_cell_stops_the_build_with_lesson_cell_and_message(tmp_path, monkeypatch):
    source = tmp_path / "98_fails.md"
    source.write_text(
        "---\nkernelspec:\n  display_name: Python 3\n  name: python3\n---\n\n# Fails\n\n```{code-cell}\n1 / 0\n```\n"
    )
    monkeypatch.setattr(build, "LESSONS", tmp_path)
    with pytest.raises(SystemExit, match=r"98_fails.md: cell 4 \('1 / 0'\) raised ZeroDivisionError"):
        build.build(source)
    assert not (tmp_path / "98_fails.ipynb").exists()


def test_two_builds_of_a_small_lesson_are_the_same_bytes(tmp_path, monkeypatch):
    source = tmp_path / "97_small.md"
    source.write_text(
        "---\nkernelspec:\n  display_name: Python 3\n  name: python3\n---\n\n# Small\n\n"
        '+++ {"lang": "zh"}\n\n小\n\n+++\n\n'
        "```{code-cell}\nfrom tutorlib.widgets.measure_the_noise import ArrowsPanel\nArrowsPanel()\n```\n"
    )
    monkeypatch.setattr(build, "LESSONS", tmp_path)
    written = []
    for _ in range(2):
        build.build(source)
        written.append((tmp_path / "97_small.ipynb").read_bytes())
    assert written[0] == written[1]
    assert (
        b"image/png" in written[0] and build.WIDGET_VIEW.encode() not in written[0] and "小".encode() not in written[0]
    )


def test_cells_were_executed_in_order_without_errors(notebook):
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert not [
        out for cell in cells for out in cell.outputs if out.output_type == "error" or out.get("name") == "stderr"
    ]


def test_every_see_cell_has_its_figure_and_every_verdict_cell_its_table(notebook):
    for cell in code_cells(notebook):
        tags = cell.metadata.get("tags", [])
        shown = {kind for out in cell.outputs for kind in out.get("data", {})}
        assert "see" not in tags or "image/png" in shown, cell.source
        assert "verdict" not in tags or "text/html" in shown, cell.source
        assert tags in ([], ["colab"]) or cell.outputs, f"no output stored: {cell.source}"


def test_ignored_outputs_are_on_the_allow_list(notebook):
    ignored = {
        (notebook.stem, cell.id)
        for cell in code_cells(notebook)
        if any(tag.startswith("nbval") for tag in cell.metadata.get("tags", [])) or "NBVAL" in cell.source
    }
    assert ignored <= IGNORED_OUTPUTS


def test_cells_are_short_and_every_beat_has_its_moves(notebook):
    cells = nbformat.read(notebook, as_version=4).cells
    for cell in cells:
        assert cell.cell_type == "markdown" or cell.source.count("\n") < 15, cell.source
        assert set(cell.metadata.get("tags", [])) <= TAGS
    moves = [tag for cell in cells for tag in cell.metadata.get("tags", []) if tag in MOVES]
    assert moves == MOVES * (len(moves) // len(MOVES)), "a beat misses a move or has them out of order"


def test_every_claim_a_lesson_names_has_a_verdict_and_the_other_way_round(notebook):
    cells = nbformat.read(notebook, as_version=4).cells
    named = {
        claim for cell in cells if cell.cell_type == "markdown" for claim in re.findall(r"`(D\d-\d\d)`", cell.source)
    }
    judged = {
        claim
        for cell in cells
        if "verdict" in cell.metadata.get("tags", [])
        for out in cell.outputs
        for claim in re.findall(r"^(D\d-\d\d)", out.get("data", {}).get("text/plain", ""), re.M)
    }
    assert named == judged


def exercises(path):
    """(stub cell, solution) pairs: the solution is the python fence of the next folded solution."""
    cells = nbformat.read(path, as_version=4).cells
    stubs = [cell.source for cell in cells if "exercise" in cell.metadata.get("tags", [])]
    solutions = [
        re.search(r"```python\n(.*?)```", cell.source, re.S).group(1)
        for cell in cells
        if "solution" in cell.metadata.get("tags", [])
    ]
    return list(zip(stubs, solutions, strict=True))


def test_every_exercise_stub_fails_its_check_and_every_solution_passes(notebook):
    setting = {}
    for cell in code_cells(notebook):
        tags = cell.metadata.get("tags", [])
        if not {"predict", "play", "run", "see", "verdict", "exercise"} & set(tags) and tags:
            with contextlib.suppress(NameError):  # a cell about what a run measured: no exercise needs that
                exec(cell.source, setting)
    for stub, solution in exercises(notebook):
        body = ast.parse(stub).body
        check = ast.unparse(body[-1])
        exec(ast.unparse(ast.Module(body[:-1], [])), setting)
        assert not eval(check, setting).solved, f"the stub passes: {check}"
        exec(solution, setting)
        assert eval(check, setting).solved, f"the solution fails: {eval(check, setting)}"
