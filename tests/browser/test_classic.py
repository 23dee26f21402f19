"""Two lessons in the classic notebook front end, whose widgets (ipywidgets 7) are those of Colab: `make test-colab`."""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="needs the extra: pip install tutorlib[browser]")
notebook = pytest.importorskip("notebook", reason="the classic front end is in the environment of make test-colab")
CHROMIUM = next((p for name in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(name))), None)
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
    pytest.mark.skipif(not CHROMIUM, reason="no Chromium on this machine (Debian: apt-get install chromium)"),
    pytest.mark.skipif(notebook.__version__ >= "7", reason="notebook 7 is JupyterLab: the classic one is version 6"),
]


@pytest.fixture
def classic(tmp_path):
    """Lesson → its address in a classic notebook server, on a copy without outputs."""
    for name in ("lessons", "config", "runtime", "data"):
        (tmp_path / name).mkdir()
    for lesson in LESSONS:
        content = json.loads(lesson.read_text(encoding="utf-8"))
        for cell in content["cells"]:
            if cell["cell_type"] == "code":
                cell.update(outputs=[], execution_count=None)
        (tmp_path / "lessons" / lesson.name).write_text(json.dumps(content), encoding="utf-8")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    token = secrets.token_hex(16)
    env = {**os.environ, "TUTORLIB_CACHE": str(tmp_path / "cache"), "TUTORLIB_DEVICE": "cpu"}
    env |= {f"JUPYTER_{name.upper()}_DIR": str(tmp_path / name) for name in ("config", "runtime", "data")}
    options = ["--no-browser", "--allow-root", f"--port={port}", "--port-retries=0", f"--NotebookApp.token={token}"]
    with open(tmp_path / "server.log", "w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "notebook", *options, f"--notebook-dir={tmp_path}"],
            cwd=tmp_path,
            env=env,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_for(f"http://127.0.0.1:{port}/api?token={token}", server, tmp_path / "server.log")
        yield lambda lesson: f"http://127.0.0.1:{port}/notebooks/lessons/{lesson.name}?token={token}"
    finally:
        server.terminate()
        server.wait(20)


def wait_for(address: str, server, log: Path) -> None:
    for _ in range(120):
        assert server.poll() is None, log.read_text()
        try:
            urllib.request.urlopen(address, timeout=2).close()
            return
        except OSError:
            time.sleep(0.5)
    pytest.fail(log.read_text())


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.stem)
def test_a_lesson_runs_in_the_classic_front_end_and_keys_move_its_panel(classic, lesson):
    outside, errors = [], []

    def check_local(route):
        if "127.0.0.1" in route.request.url or route.request.url.startswith(("data:", "blob:")):
            return route.continue_()
        outside.append(route.request.url)
        return route.abort()

    with playwright.sync_playwright() as p:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"]
        browser = p.chromium.launch(executable_path=CHROMIUM, args=flags)
        page = browser.new_page(viewport={"width": 1200, "height": 1000})
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.route("**/*", check_local)
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
        if folder := os.environ.get("SCREENSHOTS"):
            page.screenshot(path=Path(folder) / f"classic-{lesson.stem}.png")
        broken = page.locator(".output_error, .output_stderr").all_inner_texts()
        browser.close()
    assert outside == [] and errors == [] and broken == []
