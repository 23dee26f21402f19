"""Two lessons in the classic notebook front end, whose widgets (ipywidgets 7) are those of Colab: `make test-colab`."""

import json
from pathlib import Path

import pytest
from in_browser import NEEDS_CHROMIUM, a_page, jupyter, screenshot

notebook = pytest.importorskip("notebook", reason="the classic front end is in the environment of make test-colab")
ROOT = Path(__file__).resolve().parent.parent.parent
LESSONS = sorted((ROOT / "lessons").glob("*.ipynb"))[:2]
# The kernel is there, and so is who answers when it opens a widget: one opened before would be closed unseen.
READY = """() => {
  const notebook = window.Jupyter?.notebook;
  return !!notebook?._fully_loaded && !!notebook.kernel?.is_connected()
    && !!notebook.kernel.comm_manager?.targets?.['jupyter.widget'];
}"""
# Every code cell has been run and none is running; read in the page, without awaiting.
DONE = """() => Jupyter.notebook.get_cells().every(
  cell => cell.cell_type !== 'code' || (Number(cell.input_prompt_number) > 0 && !cell.element.hasClass('running')))"""

pytestmark = [
    NEEDS_CHROMIUM,
    pytest.mark.skipif(notebook.__version__ >= "7", reason="notebook 7 is JupyterLab: the classic one is version 6"),
]


@pytest.fixture
def classic(tmp_path):
    """Lesson → its address in a classic notebook server, on a copy without outputs."""
    (tmp_path / "lessons").mkdir()
    for lesson in LESSONS:
        content = json.loads(lesson.read_text(encoding="utf-8"))
        for cell in content["cells"]:
            if cell["cell_type"] == "code":
                cell.update(outputs=[], execution_count=None)
        (tmp_path / "lessons" / lesson.name).write_text(json.dumps(content), encoding="utf-8")
    with jupyter(tmp_path, "notebook", "NotebookApp.token") as address:
        yield lambda lesson: address.format(f"notebooks/lessons/{lesson.name}")


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.stem)
def test_a_lesson_runs_in_the_classic_front_end_and_keys_move_its_panel(classic, lesson):
    with a_page() as page:
        page.goto(classic(lesson))
        page.wait_for_function(READY, timeout=90_000)
        page.wait_for_timeout(3_000)  # it first asks the kernel for old widgets; no sign says when it is done
        page.evaluate("() => { Jupyter.notebook.execute_all_cells(); }")
        page.wait_for_function(DONE, timeout=240_000)
        panel = page.locator(".widget-vbox", has=page.locator("img.widget-image")).first
        image, handle = panel.locator("img.widget-image").first, panel.locator(".ui-slider-handle").first
        handle.scroll_into_view_if_needed()
        before = image.get_attribute("src")
        handle.focus()
        handle.press("ArrowRight")
        moved = "([image, before]) => image.src !== before"
        page.wait_for_function(moved, arg=[image.element_handle(), before], timeout=15_000)
        button = page.locator("button", has_text="Lock my prediction").first
        button.click()
        page.locator(".widget-html-content", has_text="Locked: between").first.wait_for(timeout=15_000)
        screenshot(page, f"classic-{lesson.stem}")
        assert page.locator(".output_error, .output_stderr").all_inner_texts() == []
