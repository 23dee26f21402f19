"""The workshop kit keeps to the lessons: minutes add up, beats exist, handouts and slides give no answer away."""

import builtins
import html
import re
import shutil
import subprocess
import symtable
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "course"))
import sheets as sheets_of  # noqa: E402

LESSONS = {path.name[:2]: path for path in sorted((ROOT / "course").glob("[0-9]*_*.md"))}
TEACHING = (ROOT / "course" / "teaching.md").read_text(encoding="utf-8")


def sections(level: str) -> dict[str, str]:
    """Heading → text, for every heading of this level."""
    parts = re.split(rf"^{level} (.+)$", TEACHING, flags=re.M)[1:]
    return {
        heading: re.split(r"^#{1,3} ", text, flags=re.M)[0] for heading, text in zip(*[iter(parts)] * 2, strict=True)
    }


def changes(text: str) -> tuple[int, list[str], int, list[str]]:
    """Minutes late and what is left out then, minutes more and what is added: lessons and their beats."""
    said = r"^(\d+) minutes late, leave out: (.+?)\. (\d+) minutes more, add: (.+?)\. Print: "
    late, out, more, added = re.search(said, text, re.M).groups()
    return int(late), out.split("; "), int(more), added.split("; ")


def rows(text: str) -> list[list[str]]:
    table = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in row] for row in table]


PLANS = {name: rows(text) for name, text in sections("##").items() if name.startswith("Plan")}
CHANGES = {name: changes(text) for name, text in sections("##").items() if name.startswith("Plan")}
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
    assert all(len(row) == 5 and all(row) for row in BEATS[number].values()), "a question, answer or pitfall is missing"
    minutes = {name: int(row[1]) for name, row in BEATS[number].items()}
    assert sum(minutes.values()) == int(re.search(r"About (\d+) minutes", text)[1])
    assert minutes["Try it"] == sum(map(int, re.findall(r"^\*\*Exercise.*?\((\d+) minutes\)", text, re.M)))


NUMBER = re.compile(r"(?<![\w.,])\d[\d,]*(?:\.\d+)?(?![\w.,]*\d)")


def said(lesson: Path) -> set[str]:
    """Every number that a stored notebook says, in its text or in what its cells put out."""
    texts = []
    for cell in nbformat.read(lesson, as_version=4).cells:
        texts += [cell.source] if cell.cell_type == "markdown" else []
        for out in cell.get("outputs", []):
            shown = out.get("data", {})
            texts += [out.get("text", ""), shown.get("text/plain", "")]
            texts.append(html.unescape(re.sub("<[^>]+>", " ", shown.get("text/html", ""))))
    return {number.replace(",", "") for text in texts for number in NUMBER.findall(text)}


def rounds_to(told: str, numbers: set[str]) -> bool:
    digits = len(told.partition(".")[2])
    return any(abs(float(number) - float(told)) <= 0.5 * 10**-digits for number in numbers)


@pytest.mark.parametrize("number", BEATS)
def test_every_number_that_a_teacher_is_told_comes_out_of_the_stored_lesson(number):
    told = {found.replace(",", "") for row in BEATS[number].values() for found in NUMBER.findall(row[3])}
    (lesson,) = (ROOT / "lessons").glob(f"{number}_*.ipynb")
    numbers = said(lesson)
    missing = sorted(found for found in told if not rounds_to(found, numbers))
    assert not missing, f"{lesson.name} does not say {missing}"


@pytest.mark.parametrize("name", PLANS)
def test_a_plan_lasts_as_long_as_it_says_and_gives_a_room_more_time_than_a_reader(name):
    assert sum(int(row[0]) for row in PLANS[name]) == int(re.search(r"(\d+) minutes", name)[1])
    for minutes, where, _ in PLANS[name]:
        if where:
            number, chosen = where.split(" · ", 1)
            alone = sum(int(BEATS[number][beat][1]) for beat in chosen.split(", "))
            assert int(minutes) > alone, f"{where} takes a reader {alone} minutes"


def chosen(beats_of_lessons: list[str]) -> dict[str, list[str]]:
    """Lesson → its beats, from the words of a plan."""
    found: dict[str, list[str]] = {}
    for where in beats_of_lessons:
        number, names = where.split(" · ", 1)
        found.setdefault(number, []).extend(names.split(", "))
    return found


def code_of(number: str, names: list[str]) -> list[str]:
    """The code of these beats of a built lesson, cell by cell, in the lesson's order."""
    (lesson,) = (ROOT / "lessons").glob(f"{number}_*.ipynb")
    order, beat, found = iter(beats(LESSONS[number])), "", []
    beat = next(order)
    for cell in nbformat.read(lesson, as_version=4).cells:
        if cell.cell_type == "markdown" and cell.source.startswith("## "):
            beat = next(order, "What you now know")
        elif cell.cell_type == "code" and beat in names and "colab" not in cell.metadata.get("tags", []):
            found.append(cell.source)
    return found


def unknown_names(cells: list[str]) -> set[str]:
    """Names that the cells use before any of them, or Python, has made them."""
    known, unknown = set(dir(builtins)), set()
    for source in cells:
        tables = [symtable.symtable(source, "cell", "exec")]
        for table in tables:
            tables += table.get_children()
        made = {s.get_name() for s in tables[0].get_symbols() if s.is_assigned() or s.is_imported()}
        used = {s.get_name() for table in tables for s in table.get_symbols() if s.is_global() and s.is_referenced()}
        used |= {s.get_name() for s in tables[0].get_symbols() if s.is_referenced()}
        unknown |= used - known - made
        known |= made
    return unknown


def test_a_beat_that_is_cut_out_misses_what_an_earlier_one_brought():
    assert unknown_names(code_of("03", ["opening", "2"])) >= {"Prediction", "run", "show", "judge"}
    assert unknown_names(["def f(x):\n    return [y + z for y in x]"]) == {"z"}


@pytest.mark.parametrize("change", ["as it is", "late", "with more time"])
@pytest.mark.parametrize("name", PLANS)
def test_every_beat_of_a_plan_finds_the_names_it_needs_also_when_it_is_late_or_has_more_time(name, change):
    _, late, _, more = CHANGES[name]
    lessons = chosen([where for _, where, _ in PLANS[name] if where] + (more if change == "with more time" else []))
    for number, left_out in chosen(late if change == "late" else []).items():
        assert set(left_out) <= set(lessons[number]), f"{number} has no {left_out} to leave out"
        lessons[number] = [beat for beat in lessons[number] if beat not in left_out]
    for number, names in lessons.items():
        assert set(names) <= set(BEATS[number]) and len(set(names)) == len(names)
        missing = unknown_names(code_of(number, names))
        assert not missing, f"lesson {number} without {set(BEATS[number]) - set(names)} misses {missing}"


@pytest.mark.parametrize("name", PLANS)
def test_what_a_late_plan_leaves_out_and_an_early_one_adds_takes_the_minutes_it_says(name):
    late, out, more, added = CHANGES[name]
    out, saved, taken = chosen(out), 0.0, 0.0
    for minutes, number, names in ((int(row[0]), *(*chosen([row[1]]).items(),)[0]) for row in PLANS[name] if row[1]):
        alone = {beat: int(BEATS[number][beat][1]) for beat in names}
        saved += minutes * sum(alone[beat] for beat in alone if beat in out.get(number, [])) / sum(alone.values())
    for number, names in chosen(added).items():
        taken += sum(int(BEATS[number][beat][1]) * (1.25 if beat == "Try it" else 1.5) for beat in names)
    assert saved >= late and more / 1.25 <= taken <= 1.25 * more


def test_there_are_four_plans_and_every_lesson_but_heavy_tails_has_its_place_in_one():
    assert [int(re.search(r"(\d+) minutes", name)[1]) for name in PLANS] == [90, 180, 180, 420]
    assert {where[:2] for plan in PLANS.values() for _, where, _ in plan if where} == set(LESSONS) - {"08"}


def nbconvert(config: str, folder: Path, lessons: list[Path]) -> None:
    """What `make handout` and `make slides` call, on these lessons."""
    call = [sys.executable, "-m", "nbconvert", "--config", str(ROOT / "course" / config), "--output-dir", str(folder)]
    done = subprocess.run([*call, *map(str, lessons)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


NOTEBOOKS = sorted((ROOT / "lessons").glob("*.ipynb"))


@pytest.fixture(scope="module")
def handout(tmp_path_factory):
    folder = tmp_path_factory.mktemp("handout")
    nbconvert("handout.py", folder, NOTEBOOKS)
    return folder


@pytest.mark.parametrize("lesson", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_handout_has_every_question_cell_and_exercise_and_gives_no_answer_away(handout, lesson):
    whole, given = (nbformat.read(folder / lesson.name, as_version=4).cells for folder in (lesson.parent, handout))
    code = [cell.source for cell in whole if cell.cell_type == "code" and "colab" not in cell.metadata.get("tags", [])]
    assert [cell.source for cell in given if cell.cell_type == "code"] == code, "later cells need the names of earlier"
    text = "\n".join(cell.source for cell in given if cell.cell_type == "markdown")
    for kept in (r"\*\*Ask\.", r"^## \d", r"\*\*Exercise", r"\*\*Play\.", r"\*\*Run\."):
        markdown = "\n".join(cell.source for cell in whole if cell.cell_type == "markdown")
        assert len(re.findall(kept, text, re.M)) == len(re.findall(kept, markdown, re.M)), kept
    assert not re.search(r"\*\*(Explain|Verdict)\.|What you now know|What may be said|<details>|On Colab", text)
    assert not [cell for cell in given if cell.get("outputs")]
    explaining = [cell for cell in given if "explain" in cell.metadata.get("tags", [])]
    assert explaining == [] or all(cell.metadata["jupyter"]["source_hidden"] for cell in explaining)


def test_a_handout_keeps_what_a_teacher_is_told_for_the_run(handout):
    first = (handout / "00_start_here.ipynb").read_text(encoding="utf-8")
    assert "2,497" not in first and "no half update" not in first
    third = (handout / "03_mind_the_batchnorm.ipynb").read_text(encoding="utf-8")
    assert "fifteen points" not in third  # said after a cell that has no tag


@pytest.fixture(scope="module")
def sheets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sheets")
    call = [sys.executable, str(ROOT / "course" / "sheets.py"), str(folder)]
    done = subprocess.run(call, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / "sheets.html"


def test_the_sheets_ask_every_bet_of_every_lesson_and_load_nothing(sheets):
    text = sheets.read_text(encoding="utf-8")
    pages = text.split("<section>")[1:]
    assert len(pages) == len(NOTEBOOKS) + 1 and "src=" not in text and "href=" not in text and "url(" not in text
    for lesson, page in zip(NOTEBOOKS, pages, strict=False):
        cells = nbformat.read(lesson, as_version=4).cells
        questions = [
            re.search(r'Prediction\("(.+?)"', c.source)[1] for c in cells if "predict" in c.metadata.get("tags", [])
        ]
        assert page.count('class="bet"') == len(questions) > 0
        assert all(html.escape(question) in page for question in questions)
    words = (ROOT / "course" / "words.md").read_text(encoding="utf-8")
    assert pages[-1].count("<p>") == sum(line.startswith("|") for line in words.splitlines()) - 2


CHROMIUM = next((p for name in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(name))), None)


@pytest.mark.skipif(not CHROMIUM, reason="no Chromium on this machine (Debian: apt-get install chromium)")
@pytest.mark.parametrize("font", ["the font of this machine", "DejaVu Sans"])
def test_a_sheet_is_one_page_a_lesson_and_one_of_words(sheets, font):
    """DejaVu Sans, the default of many Linux desktops, is a sixth wider than Arial."""
    page, pdf = sheets.with_name(f"{font}.html"), sheets.with_name(f"{font}.pdf")
    page.write_text(sheets.read_text(encoding="utf-8").replace('"Liberation Sans"', f'"{font}"'), encoding="utf-8")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-pdf-header-footer"]
    subprocess.run([CHROMIUM, *flags, f"--print-to-pdf={pdf}", page.as_uri()], capture_output=True, timeout=60)
    assert len(re.findall(rb"/Type\s*/Page\b(?!s)", pdf.read_bytes())) == len(NOTEBOOKS) + 1


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


def test_slides_ask_a_bet_in_words_and_show_figures_and_verdicts_without_their_code(slides):
    text = html.unescape(re.sub("<[^>]+>", "", (slides / f"{NOTEBOOKS[-1].stem}.slides.html").read_text("utf-8")))
    cells = nbformat.read(NOTEBOOKS[-1], as_version=4).cells
    asked = [sheets_of.asked(cell.source) for cell in cells if "predict" in cell.metadata.get("tags", [])]
    assert len(asked) > 1 and all(question in text and choices in text for question, choices in asked)
    assert "Prediction(" not in text and "show_verdicts(" not in text and "import torch" in text


def test_slides_have_a_section_for_every_heading_words_for_every_picture_and_formulas_without_a_script(slides):
    text = (slides / f"{NOTEBOOKS[-1].stem}.slides.html").read_text(encoding="utf-8")
    cells = nbformat.read(NOTEBOOKS[-1], as_version=4).cells
    headings = sum(cell.cell_type == "markdown" and cell.source.startswith("#") for cell in cells)
    assert len(re.findall(r"<section\s*>\s*<section\s*>", text)) == headings > 4
    figures = re.findall(r"<img[^>]*\balt=\"(Figure|Panel): ", text)
    assert len(figures) == sum("image/png" in out.get("data", {}) for c in cells for out in c.get("outputs", []))
    assert "<math" in text and not re.search(r"<p>[^<]*\$[^$<]*\\[a-z]", text)
