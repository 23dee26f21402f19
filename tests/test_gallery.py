"""Panels as pictures: all of them, at three settings, without a trace."""

import re
from pathlib import Path

import pytest

from tutorlib import widgets
from tutorlib.widgets.gallery import frames, panels, words


def test_every_panel_class_of_the_package_is_found():
    source = "\n".join(path.read_text(encoding="utf-8") for path in Path(widgets.__path__[0]).glob("*.py"))
    assert {panel.__name__ for panel in panels()} == set(re.findall(r"^class (\w+)\(Panel\)", source, re.M))


@pytest.mark.parametrize("make", panels(), ids=lambda panel: panel.__name__)
def test_a_panel_gives_three_pictures_with_words_and_is_left_as_it_was(make):
    panel = make()
    values, picture, sentence = panel.values, panel.picture, panel.sentence.value
    first = next(iter(panel.controls.values()))
    labels = [label for label, _ in first.options]
    taken = frames(panel)
    assert [frame.setting for frame in taken] == [
        f"{first.description}: {label}" for label in (labels[0], labels[len(labels) // 2], labels[-1])
    ]
    assert len({frame.picture for frame in taken}) == 3 and all(f.picture.startswith(b"\x89PNG") for f in taken)
    assert len({frame.says for frame in taken}) == 3 and not any("<" in frame.says for frame in taken)
    assert (panel.values, panel.picture, panel.sentence.value) == (values, picture, sentence)


def test_a_frame_shows_and_says_what_the_panel_does_at_that_setting():
    panel = panels()[0]()
    taken = frames(panel)
    name, first = next(iter(panel.controls.items()))
    first.value = first.options[-1][1]
    assert (taken[-1].picture, taken[-1].says) == (panel.picture, words(panel.say(**panel.values)))
    assert panel.values[name] == first.options[-1][1]


def test_words_lose_their_markup_and_nothing_else():
    assert words("<b>3 × 4</b> is 12, and 3 < 4") == "3 × 4 is 12, and 3 < 4"
