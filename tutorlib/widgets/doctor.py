"""The doctor: what this computer can do for the course, what is missing, and what to do about it."""

import html
import importlib.metadata
import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from tutorlib.store import cache_folder
from tutorlib.widgets.show import Shown

SIGNS = {"fine": "✓", "note": "·", "wrong": "✗"}
COLOURS = {"fine": "#d5f0e3", "note": "#fdf3d8", "wrong": "#f9d9d0"}
LEAST_FREE = 200_000_000  # bytes of disk: what a learner measures fits many times


@dataclass(frozen=True)
class Symptom:
    """One line of the check: what was looked at, what was found, how it is, and what to do if it is not fine."""

    what: str
    found: str
    state: str = "fine"
    advice: str = ""


def doctor() -> Shown:
    """The whole check as a table; ``python -m tutorlib doctor`` prints the same lines."""
    rows = list(checkup())
    cells = "".join(
        f"<tr style='background:{COLOURS[row.state]};color:#222'>"
        + "".join(
            f"<td style='text-align:left'>{html.escape(cell)}</td>"
            for cell in (SIGNS[row.state], row.what, row.found, row.advice)
        )
        + "</tr>"
        for row in rows
    )
    return Shown(None, "\n".join(map(line, rows)), html=f"<table>{cells}</table>")


def line(row: Symptom) -> str:
    return f"{SIGNS[row.state]} {row.what:<10} {row.found}" + (f". {row.advice}." if row.advice else "")


def checkup() -> Iterator[Symptom]:
    """Every symptom, cheapest first. Nothing raises: what fails is a line of its own."""
    yield python()
    broken = list(packages())
    yield from broken or [Symptom("packages", "all there, none too old")]
    if not any(row.found.startswith("torch") for row in broken):
        yield from computer()
    yield cache()


def python() -> Symptom:
    found = f"Python {platform.python_version()}"
    if (3, 11) <= sys.version_info < (3, 14):
        return Symptom("Python", found)
    return Symptom(
        "Python", found, "wrong", "The course needs Python 3.11, 3.12 or 3.13: make its environment with one"
    )


def packages() -> Iterator[Symptom]:
    """What tutorlib needs and this Python lacks, or has too old."""
    for needed in importlib.metadata.requires("tutorlib") or ():
        if "extra ==" in needed:
            continue
        name, least = re.match(r"([\w.-]+)[^>]*(?:>=([\d.]+))?", needed).groups()
        try:
            installed = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            yield Symptom("packages", f"{name} is missing", "wrong", f"pip install '{needed}', then restart the kernel")
        else:
            if numbers(installed) < numbers(least or "0"):
                advice = f"The course needs {least} or newer: pip install '{needed}', then restart the kernel"
                yield Symptom("packages", f"{name} {installed} is too old", "wrong", advice)


def numbers(version: str) -> tuple[int, ...]:
    """The leading numbers of a version: "2.13.0+cpu" → (2, 13, 0)."""
    return tuple(int(part) for part in re.match(r"\d+(?:\.\d+)*", version)[0].split("."))


def computer() -> Iterator[Symptom]:
    """The device that will compute, its memory, and which budget that means."""
    import torch

    from tutorlib.errors import Refused
    from tutorlib.nn import device as devices

    try:
        device = devices.pick()
    except Refused as refused:
        yield Symptom("device", str(refused), "wrong")
        return
    name = devices.machine(device).name
    how = missing_gpu(device.type, devices.available(), devices.knows_gpus())
    yield Symptom("device", f"{device.type}: {name}, torch {torch.__version__}", *how)
    yield Symptom("memory", devices.memory_words(device))
    if device.type == "cpu":
        cores = devices.cores()
        yield Symptom("budget", f"quick: small models, seconds to a minute a run, {cores} core{'s' * (cores > 1)}")
    else:
        yield Symptom("budget", "full: larger models and more seeds; run(…, budget='quick') takes the small one")


def missing_gpu(chosen: str, there: tuple[str, ...], able: bool) -> tuple[str, str]:
    """State and advice where the processor computes although a GPU is ``there``, or might be: is torch ``able``?"""
    if chosen != "cpu":
        return "fine", ""
    if len(there) > 1:
        return "note", "TUTORLIB_DEVICE asks for the processor: unset it to use a GPU"
    if "google.colab" in sys.modules:
        return "note", "No GPU is on. In Colab's menu: Runtime, Change runtime type, a GPU; then run this cell again"
    if shutil.which("nvidia-smi") and not able:
        return "wrong", "There is an NVIDIA GPU, but this torch was built without GPUs: see pytorch.org for one with"
    if shutil.which("nvidia-smi"):
        return "note", "torch does not see the NVIDIA GPU: look at its driver with nvidia-smi"
    return "note", "No GPU, and none is needed"


def cache() -> Symptom:
    """Where measured runs are kept: a folder that can be written to, on a disk with room."""
    folder = cache_folder()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not (existing.is_dir() and os.access(existing, os.W_OK)):
        return Symptom("cache", f"{folder} cannot be written to", "wrong", "Set TUTORLIB_CACHE to a folder that can")
    free = shutil.disk_usage(existing).free
    if free < LEAST_FREE:
        advice = "Free some space, or set TUTORLIB_CACHE to another disk: runs would not be kept"
        return Symptom("cache", f"{folder}, {free / 1e6:.0f} MB free", "wrong", advice)
    chosen = [name for name in ("TUTORLIB_CACHE", "XDG_CACHE_HOME") if os.environ.get(name)]
    where = f"${chosen[0]}" if chosen else "~/.cache/tutorlib"  # a screenshot tells no name
    return Symptom("cache", f"{where}, {free / 1e9:.0f} GB free")
