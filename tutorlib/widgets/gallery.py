"""Panels as pictures: each one at three settings, for readers who have no kernel to move it with."""

import importlib
import pkgutil
import re
from dataclasses import dataclass

from tutorlib import widgets
from tutorlib.widgets.panel import Panel


@dataclass(frozen=True)
class Frame:
    """One picture of a panel: which control stands where, what is drawn (PNG), and the panel's sentence about it."""

    setting: str
    picture: bytes
    says: str


def panels() -> list[type[Panel]]:
    """Every panel of the package: what the modules of this folder name in ``PANELS``."""
    found = sorted(module.name for module in pkgutil.iter_modules(widgets.__path__, f"{widgets.__name__}."))
    return [panel for name in found for panel in getattr(importlib.import_module(name), "PANELS", ())]


def frames(panel: Panel) -> list[Frame]:
    """A panel with its first control at the first, the middle and the last of its values; it is left as it was found.

    The first control is the one that a panel is about. The others stay where they are.
    """
    first = next(iter(panel.controls.values()))
    options, before, taken = first.options, panel.values, []
    for label, value in (options[0], options[len(options) // 2], options[-1]):
        first.value = value
        taken.append(Frame(f"{first.description}: {label}", panel.picture, words(panel.sentence.value)))
    for name, value in before.items():
        panel.controls[name].value = value
    return taken


def words(sentence: str) -> str:
    """A panel's sentence without its markup."""
    return re.sub(r"<[^>]+>", "", sentence)
