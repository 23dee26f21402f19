"""The quiz of lesson 09: choose a diagnosis, then let the situation be measured."""

import html

import ipywidgets as widgets

from tutorlib.theory.quiz.loops import LOOPS
from tutorlib.theory.quiz.machine import MACHINE
from tutorlib.theory.quiz.noise import NOISE
from tutorlib.theory.quiz.training import TRAINING
from tutorlib.widgets.panel import dropdown
from tutorlib.widgets.show import Shown

SITUATIONS = (*MACHINE, *LOOPS, *TRAINING, *NOISE)


class Quiz(Shown):
    """A situation, one of its cases, a diagnosis, and a button that measures. Nothing knows the answer before that.

    ``tried`` has for every (situation, case) that was measured whether the first diagnosis was right.
    """

    def __init__(self):
        self.tried: dict[tuple[str, int], bool] = {}
        wide = widgets.Layout(width="96%", max_width="760px")
        self.controls = {
            "situation": dropdown(
                "situation", {f"{n}. {s.title}": s for n, s in enumerate(SITUATIONS, 1)}, SITUATIONS[0]
            ),
            "case": dropdown("case", {"first": 0}, 0),
            "diagnosis": widgets.RadioButtons(options=(), layout=wide),
            "measure": widgets.Button(description="Measure it", icon="search"),
        }
        self.question, self.sentence = widgets.HTML(), widgets.HTML()
        self.controls["situation"].observe(self.turn, names="value")
        self.controls["case"].observe(self.ask, names="value")
        self.controls["measure"].on_click(self.measure)
        first, second, *rest = self.controls.values()
        box = widgets.VBox([first, second, self.question, *rest, self.sentence])
        titles = "; ".join(situation.title for situation in SITUATIONS)
        super().__init__(None, f"Quiz of {len(SITUATIONS)} situations, answered by measurement: {titles}", box)
        self.turn()

    @property
    def situation(self):
        return self.controls["situation"].value

    @property
    def score(self) -> str:
        return f"{sum(self.tried.values())} of {len(self.tried)} right at the first try"

    def turn(self, change=None) -> None:
        """Another situation: its cases, the first of them shown."""
        case, many = self.controls["case"], len(self.situation.cases)
        case.unobserve(self.ask, names="value")
        case.options = tuple((f"{n + 1} of {many}", n) for n in range(many))
        case.value = 0
        case.observe(self.ask, names="value")
        self.ask()

    def ask(self, change=None) -> None:
        situation, case = self.situation, self.situation.cases[self.controls["case"].value]
        self.question.value = f"<b>{html.escape(situation.ask(**case))}</b>"
        self.controls["diagnosis"].options = tuple((words, key) for key, words in situation.choices.items())
        self.controls["diagnosis"].value = None
        self.sentence.value = "Choose a diagnosis, then measure."

    def measure(self, button=None) -> None:
        situation, number, chosen = self.situation, self.controls["case"].value, self.controls["diagnosis"].value
        if chosen is None:
            self.sentence.value = "Choose a diagnosis first: a guess that was never made teaches nothing."
            return
        found = situation.measure(**situation.cases[number])
        right = chosen == found.answer
        self.tried.setdefault((situation.title, number), right)
        sign, words = ("✓" if right else "✗"), html.escape(situation.choices[found.answer])
        self.sentence.value = (
            f"{sign} Measured: {html.escape(found.decides)}. So: <b>{words}</b>. In a run of your own: "
            f"{html.escape(situation.look.what)}, <code>{situation.look.function}</code>, "
            f"lesson {situation.look.lesson[:2]}. {self.score}."
        )
