"""A panel: at most five controls, one figure that moves with them, one sentence that changes with it."""

import ipywidgets as widgets

from tutorlib.plots.style import png
from tutorlib.widgets.show import Shown


class Panel(Shown):
    """A figure drawn anew whenever a control moves.

    A panel says what it is in three parts: ``controls`` (name → ipywidget), :meth:`draw` (values → axes) and
    :meth:`say` (values → one sentence). Nothing is measured here: a frame is a closed form or recorded data.
    """

    def __init__(self, title: str, **controls: widgets.Widget):
        self.controls = controls
        self.image = widgets.Image(format="png", layout=widgets.Layout(width="100%", max_width="760px"))
        self.sentence = widgets.HTML()
        for control in controls.values():
            control.observe(self.update, names="value")
        box = widgets.VBox([*controls.values(), self.image, self.sentence])
        super().__init__(None, f"Panel: {title}", box)
        self.update()

    @property
    def values(self) -> dict:
        return {name: control.value for name, control in self.controls.items()}

    def update(self, change=None) -> None:
        self.axes = self.draw(**self.values)
        self.picture = self.image.value = png(self.axes)
        self.sentence.value = self.say(**self.values)

    def draw(self, **values):
        raise TypeError(f"{type(self).__name__} must say how to draw")

    def say(self, **values) -> str:
        raise TypeError(f"{type(self).__name__} must say what is seen")


def slider(label: str, options, value, help: str = "") -> widgets.SelectionSlider:
    """A slider over a short list of values, moved with the arrow keys too."""

    def named(option) -> str:
        return option if isinstance(option, str) else f"{option:,}" if isinstance(option, int) else f"{option:g}"

    pairs = tuple((named(option), option) for option in options)
    return widgets.SelectionSlider(
        options=pairs,
        value=value,
        description=label,
        continuous_update=True,
        style={"description_width": "150px"},
        layout=widgets.Layout(width="96%", max_width="560px"),
    )


def dropdown(label: str, options: dict, value) -> widgets.Dropdown:
    return widgets.Dropdown(
        options=tuple(options.items()),
        value=value,
        description=label,
        style={"description_width": "150px"},
        layout=widgets.Layout(width="96%", max_width="560px"),
    )
