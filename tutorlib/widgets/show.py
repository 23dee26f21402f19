"""What a notebook shows: a picture with words, or a widget with a picture for readers without a kernel."""

import base64

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


def show(axes, points: bool = True) -> Shown:
    """A figure as the last line of a cell; its text says what is drawn and lists every measured point.

    Timings differ on every machine: ``points=False`` leaves them to the eye.
    """
    drawn = f"Figure: {axes.get_ylabel() or 'rows'} against {axes.get_xlabel()}".replace("\n", " ")
    lines = [first for first, *_ in axes.containers if hasattr(first, "get_xydata")]  # a bar is no measured point
    listed = [f"({number(x)}, {number(y)})" for line in lines for x, y in line.get_xydata()]
    return Shown(png(axes), f"{drawn}. Points: {' '.join(listed)}" if points and listed else drawn)


def number(value: float) -> str:
    """Few enough digits to be the same on any processor."""
    if 0 < abs(value) < 0.005:
        return f"{value:.0e}"
    return f"{value:.{2 if abs(value) < 10 else 1 if abs(value) < 100 else 0}f}"
