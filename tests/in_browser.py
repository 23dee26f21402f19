"""What every test in a real browser needs: a server of its own, and a page that asks nobody outside this machine."""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

CHROMIUM = next((p for name in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(name))), None)
NEEDS_CHROMIUM = pytest.mark.skipif(
    not CHROMIUM, reason="no Chromium on this machine (Debian: apt-get install chromium)"
)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]


@contextmanager
def jupyter(folder: Path, command: str, token: str, *options: str, **environment: str) -> Iterator[str]:
    """``python -m command`` with folders and a cache of its own under ``folder``: its address, with {} for a path.

    ``token`` is the name of the option that sets one.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    key = secrets.token_hex(16)
    folders = {f"JUPYTER_{name}_DIR": str(folder / name.lower()) for name in ("CONFIG", "RUNTIME", "DATA")}
    own = {"TUTORLIB_CACHE": str(folder / "cache"), "TUTORLIB_DEVICE": "cpu", **folders, **environment}
    always = ["--no-browser", "--allow-root", f"--port={port}", "--port-retries=0", f"--notebook-dir={folder}"]
    address = f"http://127.0.0.1:{port}/{{}}?token={key}"
    with open(folder / "server.log", "w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", command, *always, f"--{token}={key}", *options],
            cwd=folder,
            env={**os.environ, **own},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_for(address.format("api"), server, folder / "server.log")
        yield address
    finally:
        server.terminate()
        server.wait(timeout=30)


def wait_for(address: str, server: subprocess.Popen, log: Path, seconds: float = 90) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and server.poll() is None:
        try:
            urllib.request.urlopen(address, timeout=2).close()
            return
        except OSError:
            time.sleep(0.3)
    pytest.fail(f"the server did not start:\n{log.read_text()[-2000:]}")


@contextmanager
def a_page() -> Iterator:
    """A fresh page in Chromium. Any script error, and any request to another machine, fails the test."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the extra: pip install tutorlib[browser]")
    errors, outside = [], []

    def check_local(route):
        if route.request.url.startswith(("http://127.0.0.1:", "data:", "blob:")):
            return route.continue_()
        outside.append(route.request.url)
        return route.abort()

    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        context = browser.new_context(viewport={"width": 1200, "height": 1000})
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.route("**/*", check_local)
        yield page
        browser.close()
    assert errors == [] and outside == []


def screenshot(page, name: str) -> None:
    """Kept only where someone asks to look: SCREENSHOTS=folder."""
    if folder := os.environ.get("SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png")
