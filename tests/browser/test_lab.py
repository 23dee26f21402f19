"""Lessons in a real browser: JupyterLab opens and runs them, controls move them, and nothing leaves the machine."""

import json
from collections.abc import Iterable
from contextlib import contextmanager
from pathlib import Path

import pytest
from in_browser import NEEDS_CHROMIUM, a_page, jupyter, screenshot

ROOT = Path(__file__).resolve().parent.parent.parent
# Read in the page, without awaiting: True once the kernel of the open notebook is connected and idle.
KERNEL_READY = """() => {
  const panel = window.jupyterapp?.shell?.currentWidget;
  const session = panel?.sessionContext?.session;
  return !!session?.kernel && session.kernel.connectionStatus === 'connected' && session.kernel.status === 'idle';
}"""
CELLS_LEFT = """() => window.jupyterapp.shell.currentWidget.content.model.sharedModel.cells
  .filter(cell => cell.cell_type === 'code' && !cell.execution_count).length"""

pytestmark = NEEDS_CHROMIUM


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Name and notebook → its address in one JupyterLab with folders and a cache of its own; a workspace for each."""
    folder = tmp_path_factory.mktemp("lab")
    settings = folder / "settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    quiet = {"fetchNews": "false", "checkForUpdates": False}
    (settings / "notification.jupyterlab-settings").write_text(json.dumps(quiet))
    folders = {f"JUPYTERLAB_{name.upper()}_DIR": str(folder / name) for name in ("settings", "workspaces")}
    options = ["--LabApp.expose_app_in_browser=True", "--LabApp.extension_manager=readonly"]

    def address_of(name: str, notebook: dict) -> str:
        (folder / f"{name}.ipynb").write_text(json.dumps(notebook))
        return address.format(f"lab/workspaces/{name}/tree/{name}.ipynb")

    with jupyter(folder, "jupyterlab", "IdentityProvider.token", *options, **folders) as address:
        yield address_of


def lesson(number: str, cells: Iterable[int] = ()) -> dict:
    """The lesson as its file has it, or these of its code cells alone (0 is Colab's)."""
    (source,) = (ROOT / "lessons").glob(f"{number}_*.ipynb")
    notebook = json.loads(source.read_text())
    if cells:
        code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
        notebook["cells"] = [code[index] for index in cells]
    return notebook


@contextmanager
def executed(address: str, cells: int):
    """The page of a lesson whose ``cells`` or more code cells have all run; nothing may fail, then or later."""
    with a_page() as page:
        page.goto(address)
        page.wait_for_function(KERNEL_READY, timeout=90_000)
        page.evaluate("() => { window.jupyterapp.commands.execute('editmenu:clear-all'); }")
        page.wait_for_function(f"() => ({CELLS_LEFT})() >= {cells}", timeout=10_000)
        page.evaluate("() => { window.jupyterapp.commands.execute('runmenu:run-all'); }")
        page.wait_for_function(f"() => ({CELLS_LEFT})() === 0", timeout=240_000)
        page.wait_for_function(KERNEL_READY, timeout=60_000)
        yield page
        broken = page.evaluate(
            "() => [...document.querySelectorAll('.jp-OutputArea-output')]"
            ".filter(o => /Traceback|Error displaying widget/.test(o.innerText)).length"
        )
        assert broken == 0


def test_the_first_beat_of_lesson_01_runs_in_jupyterlab_to_its_verdict_and_both_panels_move(lab):
    verdict, walk = 7, 14
    with executed(lab("01", lesson("01", (*range(verdict + 1), walk))), cells=9) as page:
        lock_a_prediction(page)
        move_a_panel(page, "minibatch gradients scatter", 4, "Batch 16", "arrows")
        move_a_panel(page, "Along the flat direction", 1, "the rate is 2.56", "walk")
        assert find(page, "td", "holds").is_visible()
        screenshot(page, "verdict")


def test_lesson_00_plans_a_run_says_what_cannot_be_reached_and_its_flags_can_be_copied(lab):
    with executed(lab("00", lesson("00")), cells=13) as page:
        find(page, ".widget-html-content", "Every window is full")
        panel = page.locator(".widget-vbox", has=page.locator("textarea")).first
        preset, trainer = panel.locator("select").all()
        preset.select_option(label="the documents' plan A: 32 × 1")
        find(page, ".widget-html-content", "The last micro-batch has 16 examples, not 32")
        ranks = panel.locator(".noUi-handle").nth(2)
        ranks.focus()
        for _ in range(2):
            ranks.press("ArrowRight")
        find(page, ".widget-html-content", "You wanted 32, no multiple of 3 ranks")
        screenshot(page, "unreachable")
        trainer.select_option(label="DeepSpeed (carried)")
        page.wait_for_function(
            "box => box.value.includes('train_micro_batch_size_per_gpu')",
            arg=panel.locator("textarea").element_handle(),
        )
        panel.locator("textarea").press("Control+a")
        panel.locator("textarea").press("Control+c")
        copied = json.loads(page.evaluate("() => navigator.clipboard.readText()"))
        assert copied["train_batch_size"] == 96 and copied["train_micro_batch_size_per_gpu"] == 32
        lock_a_prediction(page)
        assert find(page, "td", "does not hold").is_visible()


OPENED_BY_A_PANEL = ("02", "03", "04", "05", "06", "07", "08", "09")


@pytest.fixture(scope="module")
def panels(lab):
    """A page with the first cell of each of these lessons, one below the other."""
    notebooks = [lesson(number, (1,)) for number in OPENED_BY_A_PANEL]
    together = {**notebooks[0], "cells": [cell for notebook in notebooks for cell in notebook["cells"]]}
    with executed(lab("panels", together), cells=len(notebooks)) as page:
        yield page


@pytest.mark.parametrize("number", OPENED_BY_A_PANEL)
def test_every_slider_and_menu_of_a_lesson_s_first_panel_moves_its_figure_or_its_sentence(panels, number):
    index = OPENED_BY_A_PANEL.index(number)
    panels.evaluate("index => window.jupyterapp.shell.currentWidget.content.scrollToItem(index, 'start')", index)
    cell = panels.locator(f".jp-CodeCell[data-windowed-list-index='{index}']")
    panel = cell.locator(".widget-vbox", has=panels.locator("img.widget-image")).first
    panel.scroll_into_view_if_needed()
    controls = [*panel.locator(".noUi-handle").all(), *panel.locator("select").all()]
    assert 2 <= len(controls) <= 5
    for control in controls:
        assert moves(panels, panel, control), f"control {controls.index(control) + 1} of {len(controls)} moves nothing"
    screenshot(panels, f"panel-{number}")


def moves(page, panel, control) -> bool:
    """Whether another value of a control, up or down, changes what the panel draws or says."""

    def shown():
        sentences = panel.locator(".widget-html-content").all_inner_texts()
        texts = [area.input_value() for area in panel.locator("textarea").all()]
        return panel.locator("img.widget-image").first.get_attribute("src"), sentences, texts

    chosen, choices = control.evaluate("({selectedIndex, options}) => [selectedIndex, options?.length ?? 0]")
    others = [index for index in range(choices) if index != chosen]
    for step in others or ("ArrowRight", "ArrowLeft", "ArrowLeft"):
        before = shown()
        if others:
            control.select_option(index=step)
        else:
            control.press(step)
        for _ in range(20):
            page.wait_for_timeout(100)
            if shown() != before:
                return True
    return False


def find(page, selector: str, text: str = ""):
    """The first element of this kind, brought into view: Lab draws a cell only when it is near the window."""
    for _ in range(60):
        element = page.locator(selector, has_text=text).first
        if element.count():
            for _ in range(3):  # cells above may still grow and push it away
                element.scroll_into_view_if_needed()
                page.wait_for_timeout(200)
            return element
        page.locator(".jp-WindowedPanel-outer").first.evaluate("panel => { panel.scrollTop += 500; }")
        page.wait_for_timeout(150)
    pytest.fail(f"no {selector} with {text!r} on the page")


def lock_a_prediction(page) -> None:
    find(page, "button", "Lock my prediction").click()
    find(page, ".widget-html-content", "Locked: between")


def move_a_panel(page, says: str, keys: int, then: str, name: str) -> None:
    """Press the right arrow on the first slider of the panel whose sentence says so; the figure has to change."""
    find(page, ".widget-html-content", says)
    box = page.locator(".widget-vbox", has=page.locator("img.widget-image"), has_text=says).first
    image, handle = box.locator("img.widget-image").first, box.locator(".noUi-handle").first
    before = image.get_attribute("src")
    handle.scroll_into_view_if_needed()
    handle.focus()
    for _ in range(keys):
        handle.press("ArrowRight")
    moved = "([image, before]) => image.src !== before"
    page.wait_for_function(moved, arg=[image.element_handle(), before], timeout=15_000)
    find(page, ".widget-html-content", then)
    page.wait_for_timeout(500)
    screenshot(page, name)
