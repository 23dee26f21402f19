"""A prediction: a range and a reason, locked before the experiment is run."""

import html

import ipywidgets as widgets

from tutorlib import progress
from tutorlib.errors import Refused
from tutorlib.widgets.show import Shown


class Prediction(Shown):
    """Choose a range, say why, lock it; :attr:`guess` is ``None`` until then and drawn on the figure after.

    ``options`` are the values the range can be made of, in rising order.
    """

    def __init__(self, question: str, options, unit: str = ""):
        options = tuple(options)
        if len(options) < 2 or list(options) != sorted(set(options)):
            raise Refused(f"options is {options}; allowed: at least two values in rising order")
        self.question, self.unit, self.guess = question, unit, None
        self.range = widgets.SelectionRangeSlider(
            options=tuple((f"{option:g}{unit}", option) for option in options),
            index=(0, len(options) - 1),
            description="your range",
            style={"description_width": "80px"},
            layout=widgets.Layout(width="96%", max_width="560px"),
        )
        self.reason = widgets.Text(
            description="because",
            placeholder="one short sentence",
            style={"description_width": "80px"},
            layout=widgets.Layout(width="96%", max_width="560px"),
        )
        self.button = widgets.Button(description="Lock my prediction", icon="lock")
        self.answer = widgets.HTML("A range you would bet on. It is drawn on the figure once it is locked.")
        self.button.on_click(self.lock)
        text = widgets.HTML(f"<b>Predict.</b> {html.escape(question)}")
        box = widgets.VBox([text, self.range, self.reason, self.button, self.answer])
        super().__init__(None, f"Prediction: {question}", box)

    def lock(self, button=None) -> None:
        """Fix the range and the reason; they cannot be moved afterwards."""
        self.guess = tuple(self.range.value)
        for control in (self.range, self.reason, self.button):
            control.disabled = True
        low, high = (f"{value:g}{self.unit}" for value in self.guess)
        because = f", because {html.escape(self.reason.value)}" if self.reason.value else ""
        self.answer.value = f"Locked: between {low} and {high}{because}. Now run the next cells."
        progress.keep(progress.prediction(self.question, *self.guess, self.unit, self.reason.value))
