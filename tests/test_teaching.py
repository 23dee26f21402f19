"""The workshop kit keeps to the lessons: minutes add up, beats exist, handouts and slides give no answer away."""

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parent.parent
LESSONS = {path.name[:2]: path for path in sorted((ROOT / "course").glob("[0-9]*_*.md"))}
TEACHING = (ROOT / "course" / "teaching.md").read_text(encoding="utf-8")


def sections(level: str) -> dict[str, str]:
    """Heading → text, for every heading of this level."""
    parts = re.split(rf"^{level} (.+)$", TEACHING, flags=re.M)[1:]
    return {
        heading: re.split(r"^#{1,3} ", text, flags=re.M)[0] for heading, text in zip(*[iter(parts)] * 2, strict=True)
    }


def rows(text: str) -> list[list[str]]:
    table = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in row] for row in table]


PLANS = {name: rows(text) for name, text in sections("##").items() if name.startswith("Plan")}
BEATS = {name[1:3]: {row[0]: row for row in rows(text)} for name, text in sections("###").items()}


def beats(lesson: Path) -> list[str]:
    """A lesson's sections as the tables name them: by number, or by the words before a colon."""
    headings = re.findall(r"^## (.+)$", lesson.read_text(encoding="utf-8"), re.M)
    assert headings[-1] == "What you now know"
    return ["opening"] + [re.split(r" · |: ", heading)[0] for heading in headings[:-1]]


def test_every_lesson_has_a_table_and_every_table_a_lesson():
    assert list(BEATS) == list(LESSONS), "course/teaching.md needs a table of beats for every lesson, in their order"


@pytest.mark.parametrize("number", BEATS)
def test_the_beats_of_a_table_are_the_lesson_s_and_add_up_to_its_minutes(number):
    text = LESSONS[number].read_text(encoding="utf-8")
    assert list(BEATS[number]) == beats(LESSONS[number])
    assert all(len(row) == 4 and all(row) for row in BEATS[number].values()), "a question or a pitfall is missing"
    minutes = {name: int(row[1]) for name, row in BEATS[number].items()}
    assert sum(minutes.values()) == int(re.search(r"About (\d+) minutes", text)[1])
    assert minutes["Try it"] == sum(map(int, re.findall(r"^\*\*Exercise.*?\((\d+) minutes\)", text, re.M)))


@pytest.mark.parametrize("name", PLANS)
def test_a_plan_lasts_as_long_as_it_says_and_gives_a_room_more_time_than_a_reader(name):
    assert sum(int(row[0]) for row in PLANS[name]) == int(re.search(r"(\d+) minutes", name)[1])
    for minutes, where, _ in PLANS[name]:
        if where:
            number, chosen = where.split(" · ")
            alone = sum(int(BEATS[number][beat][1]) for beat in chosen.split(", "))
            assert int(minutes) > alone, f"{where} takes a reader {alone} minutes"


def test_there_are_three_plans():
    assert [int(re.search(r"\d+ minutes", name)[0].split()[0]) for name in PLANS] == [90, 180, 420]


def nbconvert(config: str, folder: Path, lessons: list[Path]) -> None:
    """What `make handout` and `make slides` call, on these lessons."""
    call = [sys.executable, "-m", "nbconvert", "--config", str(ROOT / "course" / config), "--output-dir", str(folder)]
    done = subprocess.run([*call, *map(str, lessons)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


NOTEBOOKS = sorted((ROOT / "lessons").glob("*.ipynb"))


@pytest.fixture(scope="module")
def handout(tmp_path_factory):
    folder = tmp_path_factory.mktemp("handout")
    nbconvert("handout.json", folder, NOTEBOOKS)
    return folder


@pytest.mark.parametrize("lesson", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_handout_has_every_exercise_and_no_hint_no_solution_and_no_outcome(handout, lesson):
    whole, given = (nbformat.read(folder / lesson.name, as_version=4).cells for folder in (lesson.parent, handout))
    kept = [cell.source for cell in whole if not {"hint", "solution"} & set(cell.metadata.get("tags", []))]
    assert [cell.source for cell in given] == kept and len(kept) < len(whole)
    assert sum("exercise" in cell.metadata.get("tags", []) for cell in given) > 0
    assert not [cell for cell in given if cell.get("outputs") or "Solution</summary>" in cell.source]


@pytest.fixture(scope="module")
def slides(tmp_path_factory):
    pytest.importorskip("sphinx_revealjs", reason="needs the extra: pip install tutorlib[site]")
    folder = tmp_path_factory.mktemp("slides")
    nbconvert("slides/config.py", folder, NOTEBOOKS[-1:])
    return folder


def test_slides_load_nothing_from_elsewhere_and_give_no_answer_away(slides):
    (page,) = slides.glob("*.slides.html")
    text = page.read_text(encoding="utf-8")
    loaded = re.findall(r"<(?:script|img|iframe)[^>]*?\bsrc=\"?([^\s\">]+)|<link[^>]*?href=\"?([^\s\">]+)", text)
    addresses = {first or second for first, second in loaded}
    assert not [address for address in addresses if not address.startswith(("reveal/", "data:"))]
    assert {"reveal/dist/reveal.js", "reveal/dist/theme/white.css"} <= addresses
    assert "@import" not in text and "Solution</summary>" not in text


def test_slides_have_a_section_for_every_heading_words_for_every_picture_and_formulas_without_a_script(slides):
    text = (slides / f"{NOTEBOOKS[-1].stem}.slides.html").read_text(encoding="utf-8")
    cells = nbformat.read(NOTEBOOKS[-1], as_version=4).cells
    headings = sum(cell.cell_type == "markdown" and cell.source.startswith("#") for cell in cells)
    assert len(re.findall(r"<section\s*>\s*<section\s*>", text)) == headings > 4
    figures = re.findall(r"<img[^>]*\balt=\"(Figure|Panel): ", text)
    assert len(figures) == sum("image/png" in out.get("data", {}) for c in cells for out in c.get("outputs", []))
    assert "<math" in text and not re.search(r"<p>[^<]*\$[^$<]*\\[a-z]", text)
