"""The adviser's panel: a card that follows what is wanted, from what was measured on an example or on yours."""

import html

import ipywidgets as widgets

from tutorlib import store
from tutorlib.errors import Refused
from tutorlib.experiments.choose_your_batch import ADVICE
from tutorlib.plots.advice import plot_advice, plot_card
from tutorlib.plots.style import png
from tutorlib.theory.advice import Advice
from tutorlib.theory.card import EPOCHS, card, markdown, trained_by
from tutorlib.theory.choice import Choice, choose_plan
from tutorlib.theory.flags import TRAINERS, flags
from tutorlib.widgets.panel import Panel, dropdown, slider
from tutorlib.widgets.show import Shown

EXAMPLES = {
    "mlp": "an MLP on digits, SGD",
    "cnn": "a CNN with BatchNorm, AdamW",
    "gpt": "a GPT-2-shaped tiny net, AdamW",
}
MIB = 2**20
BEST, FREE = 0, 0.0
BATCHES = {"what it advises": BEST} | {f"{2**k:,}": 2**k for k in range(2, 13)}
BUDGETS = {"no limit": FREE} | {f"{mib:g} MiB": mib for mib in (0.15, 0.25, 0.5, 1, 2, 4, 16)}


class AdviserPanel(Panel):
    """The card of a measured model, while you turn wanted batch, memory, ranks and trainer.

    Three examples are recorded, and the button measures the one that is chosen on this computer (about half a
    minute). Yours: ``AdviserPanel(advise(model, loss, loader))``.
    """

    def __init__(self, yours: Advice | None = None):
        records = [record for record in store.recorded(ADVICE) if record.run.seed == ADVICE.runs()[0].seed]
        self.advice = {EXAMPLES[r["model"]]: Advice.of(r.values, r["optimizer"]) for r in records}
        self.runs = {EXAMPLES[r["model"]]: r.run for r in records}
        self.live = set()
        if yours:
            self.advice = {"your own": yours, **self.advice}
            self.live.add("your own")
        names = {name: name for name in self.advice}
        self.paste = widgets.Textarea(rows=6, layout=widgets.Layout(width="96%", max_width="760px"))
        self.button = widgets.Button(description="Measure it on this computer", layout=widgets.Layout(width="260px"))
        self.button.on_click(self.measure)
        self.heard = widgets.Label()
        super().__init__(
            "seconds an example, noise along a run and time against batch of a model, and the plan that follows",
            model=dropdown("model", names, next(iter(names))),
            wanted=dropdown("batch you want", BATCHES, BEST),
            memory=dropdown("memory for a step", BUDGETS, FREE),
            ranks=slider("ranks", (1, 2, 4, 8), 1),
            trainer=dropdown("who trains", {name: name for name in TRAINERS}, next(iter(TRAINERS))),
        )
        self.widget.children = (*self.widget.children, self.paste, widgets.HBox([self.button, self.heard]))

    def update(self, change=None) -> None:
        try:
            super().update(change)
        except Refused as refused:  # the figure stays as it was
            self.sentence.value, self.paste.value = f"✗ {html.escape(str(refused))}.", ""
            return
        plan, trainer = self.choice(**self.values).plan, self.values["trainer"]
        self.paste.value = flags(plan, trainer, EPOCHS)

    def choice(self, model, wanted, memory, ranks, trainer) -> Choice:
        return trained_by(trainer, choose_plan(self.advice[model], ranks, memory * MIB or None, wanted or None))

    def draw(self, **values):
        return plot_advice(self.advice[values["model"]], self.choice(**values), values["model"] not in self.live)

    def say(self, **values) -> str:
        advice, rows, about = self.advice[values["model"]], [], ""
        for sentence in card(advice, self.choice(**values)):
            head = f"<b>{sentence.about}</b>: " if sentence.about != about else ""
            about = sentence.about
            rows.append(f"{head}{html.escape(sentence.text)} <small><i>{html.escape(sentence.rests_on)}</i></small>")
        where = "measured here" if values["model"] in self.live else "recorded"
        return "<br>".join([*rows, f"<small>{where}</small>"])

    def measure(self, button=None) -> None:
        """The example that is chosen, measured here and now; the card then speaks of this computer."""
        from tutorlib.measure.adviser import advise
        from tutorlib.trials.choose_your_batch import handed_in

        name = self.values["model"]
        if name not in self.runs:
            self.heard.value = "Yours was measured by advise(…): call it again."
            return
        self.button.disabled = True
        try:
            run = self.runs[name]
            parts = handed_in(run, "cpu")
            self.advice[name] = advise(*parts, budget_s=run.settings["budget_s"], say=self.hear)
            self.live.add(name)
            self.heard.value = "done"
        except Refused as refused:
            self.heard.value = f"✗ {refused}"
        finally:
            self.button.disabled = False
        self.update()

    def hear(self, sentence: str) -> None:
        self.heard.value = f"{sentence} …"


def show_card(advice: Advice, choice: Choice | None = None, name: str = "your model") -> Shown:
    """The card as a cell shows it: a page to see, the same in Markdown to read."""
    choice = choice or choose_plan(advice)
    return Shown(png(plot_card(advice, choice, name)), f"Figure: {markdown(advice, choice, name=name)}")


PANELS = (AdviserPanel,)
