"""The site that `make site` builds: whole, worded, searchable, and asking nobody outside this machine."""

import functools
import html
import http.server
import re
import sys
import threading
from pathlib import Path
from urllib.parse import unquote

import nbformat
import pytest
from in_browser import NEEDS_CHROMIUM, a_page

pytest.importorskip("furo", reason="needs the extra: pip install tutorlib[site]")
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "course"))
import pages  # noqa: E402

LESSONS = sorted((ROOT / "lessons").glob("*.ipynb"))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("built") / "site"
    pages.main(str(folder))
    return folder


def page_of(site: Path, lesson: Path) -> str:
    return (site / "lessons" / f"{lesson.stem}.html").read_text(encoding="utf-8")


def article(text: str) -> str:
    return text[text.index("<article") : text.index("</article>")]


def test_the_front_page_leads_to_every_lesson_with_its_question_and_minutes(site):
    front = article((site / "index.html").read_text(encoding="utf-8"))
    for lesson in LESSONS:
        text = nbformat.read(lesson, as_version=4).cells[0].source
        assert f'href="lessons/{lesson.stem}.html"' in front
        assert re.search(r"About (\d+) minutes", text)[1] in re.findall(r"<p>(\d+)</p>", front)


def test_no_page_loads_anything_from_elsewhere(site):
    for page in [*site.rglob("*.html"), *site.rglob("*.css")]:
        text = page.read_text(encoding="utf-8")
        loaded = re.findall(r"<(?:script|img|iframe|source)\b[^>]*?\bsrc=\"([^\"]+)", text)
        loaded += re.findall(r"<link\b(?=[^>]*rel=\"(?:stylesheet|preload|icon)\")[^>]*?href=\"([^\"]+)", text)
        loaded += re.findall(r"@import [^;]+|url\(([^)]+)\)", text)
        assert not [address for address in loaded if re.match(r"[\"']?(https?:)?//", address)], page


def test_links_within_the_site_lead_somewhere(site):
    for page in site.rglob("*.html"):
        for address in re.findall(r"<a\b[^>]*?href=\"([^\"#?]+)", page.read_text(encoding="utf-8")):
            if not re.match(r"[a-z]+:", address):
                assert (page.parent / unquote(address)).exists(), f"{page.name} leads to {address}"


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.stem)
def test_every_picture_of_a_lesson_is_there_with_its_words(site, lesson):
    words = [html.unescape(alt) for alt in re.findall(r"<img\b[^>]*?alt=\"([^\"]*)", article(page_of(site, lesson)))]
    pictures = [
        out.data["text/plain"]
        for cell in nbformat.read(lesson, as_version=4).cells
        for out in cell.get("outputs", [])
        if "image/png" in out.get("data", {})
    ]
    for said in pictures:
        assert any(" ".join(said.split()) in " ".join(alt.split()) for alt in words), said
    assert len(words) >= len(pictures) and all(len(alt) > 20 for alt in words)
    assert len(words) == len(re.findall(r"<img\b", article(page_of(site, lesson))))


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.stem)
def test_a_panel_stands_there_as_three_pictures_the_first_time_it_is_shown(site, lesson):
    cells = nbformat.read(lesson, as_version=4).cells
    shown = {out.get("data", {}).get("text/plain", "") for cell in cells for out in cell.get("outputs", [])}
    panels = {text for text in shown if text.startswith("Panel: ")}
    galleries = re.findall(r'<div class="panel">(.*?)</div>', page_of(site, lesson), re.S)
    assert len(galleries) == len(panels) > 0
    for found in galleries:
        assert len(set(re.findall(r'src="(data:image/png[^"]+)', found))) == 3


def test_formulas_need_no_script_and_solutions_stay_folded(site):
    text = "".join(page_of(site, lesson) for lesson in LESSONS)
    assert "<math" in text and "MathJax" not in text and not re.search(r"<p>[^<]*\$[^$<]*\\[a-z]", text)
    sources = [cell.source for lesson in LESSONS for cell in nbformat.read(lesson, as_version=4).cells]
    assert text.count("<details") >= sum(source.count("<details>") for source in sources) > 0


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path):
    built, mine = tmp_path / "built", tmp_path / "mine"
    for folder in (built, mine):
        folder.mkdir()
    (mine / "thesis.tex").touch()
    with pytest.raises(SystemExit, match="holds something else than a site"):
        pages.replace(mine, built)
    assert (mine / "thesis.tex").exists()
    (built / ".buildinfo").touch()
    pages.replace(tmp_path / "site", built)
    built.mkdir()
    pages.replace(tmp_path / "site", built)
    assert not built.exists() and not list((tmp_path / "site").iterdir())


@NEEDS_CHROMIUM
def test_in_a_browser_every_page_opens_search_finds_and_nothing_leaves_the_machine(site):
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server, a_page() as page:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        here = f"http://127.0.0.1:{server.server_port}/"
        for path in sorted(site.rglob("*.html")):
            page.goto(here + path.relative_to(site).as_posix())
        page.goto(here)
        page.get_by_role("textbox", name="Search").first.fill("drunkard")
        page.keyboard.press("Enter")
        page.get_by_text("Search finished").wait_for(timeout=15_000)  # the links of the side bar were there before
        found = page.locator("#search-results li a").all_inner_texts()
        server.shutdown()
    assert any("Measure the noise" in title for title in found) and len(found) < len(LESSONS)
