"""What a notebook shows: a picture with words, or a widget with a picture for readers without a kernel."""

import base64

from matplotlib.axes import Axes

from tutorlib.plots.style import png

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


class Shown:
    """Something a cell can end with: PNG for the eye, fixed text for screen readers and for comparison."""

    def __init__(self, picture: bytes | None, text: str, widget=None, html: str | None = None):
        self.picture, self.text, self.widget, self.html = picture, text, widget, html

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict:
        bundle = {"text/plain": self.text}
        if self.picture:
            bundle["image/png"] = base64.b64encode(self.picture).decode()
        if self.html:
            bundle["text/html"] = self.html
        if self.widget is not None:
            bundle[WIDGET_VIEW] = {"version_major": 2, "version_minor": 0, "model_id": self.widget.model_id}
        return bundle


def show(axes: Axes, text: str = "") -> Shown:
    """A figure as the last line of a cell; ``text`` is its description in words."""
    return Shown(png(axes), text or f"Figure: {axes.get_ylabel()} against {axes.get_xlabel()}".replace("\n", " "))
