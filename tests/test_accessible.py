"""Figures and panels for every eye and without a mouse: colours that stay apart, words beside pictures, keys."""

import importlib
import itertools
import pkgutil
from pathlib import Path

import ipywidgets
import nbformat
import numpy as np
import pytest
from matplotlib.colors import is_color_like, to_rgb

from tutorlib import plots
from tutorlib.plots import style
from tutorlib.plots.memory_panel import LOOKS
from tutorlib.widgets.gallery import panels
from tutorlib.widgets.predict import Prediction

# What is left of linear RGB without one kind of cone: Machado, Oliveira and Fernandes 2009, table 1, severity 1.
WITHOUT = {
    "red cones": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "green cones": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
}
GREY = [[0.2126, 0.7152, 0.0722]] * 3  # luminance, thrice
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
WHITE = np.array([0.9505, 1, 1.089])
APART = 15  # ΔE of CIE 1976: some six times what is just seen side by side


def linear(colour) -> np.ndarray:
    """Amounts of light, without the gamma of a screen."""
    rgb = np.array(to_rgb(colour))
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def seen(colour, left) -> np.ndarray:
    """CIE L*a*b* of a colour after a linear loss: lightness first, 0 to 100."""
    ratio = TO_XYZ @ np.clip(np.array(left) @ linear(colour), 0, 1) / WHITE
    x, y, z = np.where(ratio > 0.008856, np.cbrt(ratio), 7.787 * ratio + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def lightness(colour) -> float:
    return seen(colour, GREY)[0]


def series() -> dict[str, list[tuple[str, str]]]:
    """Of every figure that names its series in one table: marker and colour of each."""
    found = {}
    for name in sorted(module.name for module in pkgutil.iter_modules(plots.__path__, f"{plots.__name__}.")):
        for table, rows in vars(importlib.import_module(name)).items():
            if isinstance(rows, dict) and all(isinstance(row, tuple) and len(row) == 3 for row in rows.values()):
                markers = [part for row in rows.values() for part in row if len(part) == 1]
                colours = [part for row in rows.values() for part in row if len(part) > 1 and is_color_like(part)]
                if len(markers) == len(colours) == len(rows) > 0:
                    found[f"{name}.{table}"] = list(zip(markers, colours, strict=True))
    return found


SERIES = series()


def test_the_tables_of_series_are_found():
    assert {"curvature", "hunt_heavy_tails", "mind_the_batchnorm"} <= {name.split(".")[2] for name in SERIES}


@pytest.mark.parametrize("table", SERIES)
def test_no_two_series_of_a_figure_share_a_shape(table):
    markers = [marker for marker, _ in SERIES[table]]
    assert len(set(markers)) == len(markers), "in grey only the shape tells series apart"


@pytest.mark.parametrize("cones", WITHOUT)
@pytest.mark.parametrize("table", SERIES)
def test_series_keep_their_colours_apart_for_colour_blind_readers(table, cones):
    colours = {colour for _, colour in SERIES[table]}
    for one, other in itertools.combinations(sorted(colours), 2):
        distance = np.linalg.norm(seen(one, WITHOUT[cones]) - seen(other, WITHOUT[cones]))
        assert distance > APART, f"{one} and {other} are {distance:.0f} apart without {cones}"


def test_the_batch_ramp_falls_in_lightness_by_steps_that_grey_shows():
    shades = [lightness(style.batch_colour(4.0**k)) for k in range(6)]
    assert all(a - b > 8 for a, b in itertools.pairwise(shades)), shades


def test_neighbours_in_a_stacked_bar_differ_in_lightness():
    for one, other in itertools.pairwise(LOOKS.values()):
        assert abs(lightness(one) - lightness(other)) > 20, (one, other)


def test_what_is_drawn_for_text_is_dark_enough_on_white():
    for colour in (style.INK, style.THEORY["color"], "0.35"):  # 0.35: the small print
        assert 1.05 / (linear(colour) @ GREY[0] + 0.05) > 4.5, colour


NOTEBOOKS = sorted((Path(__file__).resolve().parent.parent / "lessons").glob("*.ipynb"))


@pytest.mark.parametrize("lesson", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_picture_in_a_lesson_has_words_beside_it(lesson):
    outputs = [out for cell in nbformat.read(lesson, as_version=4).cells for out in cell.get("outputs", [])]
    pictures = [out.data for out in outputs if "image/png" in out.get("data", {})]
    assert pictures and all(data["text/plain"].startswith(("Figure: ", "Panel: ")) for data in pictures)
    markdown = [cell.source for cell in nbformat.read(lesson, as_version=4).cells if cell.cell_type == "markdown"]
    assert not [text for text in markdown if "![](" in text]


# Core ipywidgets that take the focus by Tab and are moved by keys in every front end.
BY_KEYS = (
    *(ipywidgets.SelectionSlider, ipywidgets.SelectionRangeSlider, ipywidgets.Dropdown),
    *(ipywidgets.Text, ipywidgets.Textarea, ipywidgets.Button, ipywidgets.Checkbox),
)
SHOWN_ONLY = (ipywidgets.HTML, ipywidgets.Label, ipywidgets.Image)


def parts(widget):
    return [found for child in widget.children for found in parts(child)] if hasattr(widget, "children") else [widget]


MAKERS = {panel.__name__: panel for panel in panels()} | {"Prediction": lambda: Prediction("How many?", (1, 2))}


@pytest.mark.parametrize("name", MAKERS)
def test_every_control_is_reached_and_moved_by_keys_and_says_what_it_is(name):
    for part in parts(MAKERS[name]().widget):
        assert isinstance(part, BY_KEYS + SHOWN_ONLY), f"{type(part).__name__} is not known to work with keys"
        if isinstance(part, BY_KEYS) and not isinstance(part, ipywidgets.Textarea):
            assert part.description
