"""The plan panel of lesson 00: micro-batches, steps and leftovers of a plan, drawn, counted and ready to paste."""

import html
from dataclasses import dataclass, replace

import ipywidgets as widgets

from tutorlib.errors import Refused
from tutorlib.plots.plan_panel import plot_plan
from tutorlib.theory.flags import TRAINERS, flags
from tutorlib.theory.plan import DOCUMENTS, Plan
from tutorlib.theory.reach import nearest_plans
from tutorlib.widgets.panel import Panel, dropdown, slider

MICRO_BATCHES, RANKS = (1, 2, 4, 8, 16, 32, 64), (1, 2, 3, 4, 5, 8)
ACCUMULATIONS = (1, 2, 3, 4, 5, 8, 16, 32, 64, 128)


@dataclass(frozen=True)
class Preset:
    """A plan to begin with, the batch that is wanted, and the tokens of an example (0: none are counted)."""

    plan: Plan
    wanted: int
    tokens: int = 0


PRESETS = {
    **{
        f"the documents' plan {name}: {plan.micro_batch} × {plan.accumulation}": Preset(replace(plan, epochs=2), 32)
        for name, plan in DOCUMENTS.items()
    },
    "plan A with drop_last": Preset(Plan(10_000, 32, epochs=2, drop_last=True), 32),
    "the documents' five devices: 4 × 4 × 5": Preset(Plan(10_000, 4, 4, ranks=5, epochs=3), 80),
    "fine-tuning: 52,000 examples, 128 wanted": Preset(Plan(52_000, 4, 16, ranks=2, epochs=3), 128, tokens=512),
    "200 examples, 32 wanted": Preset(Plan(200, 4, 8, epochs=10), 32),
}


FIRST = "the documents' five devices: 4 × 4 × 5"  # nothing is left over here: the first bet is about what is


class PlanPanel(Panel):
    """A plan's timeline, numbers and text to paste, while you turn micro-batch, accumulation, ranks and trainer.

    A preset sets all of these and the data. ``yours`` is one of your own:
    ``PlanPanel(Preset(Plan(1_000, micro_batch=4), wanted=32))``; examples, epochs and drop_last are its plan's.
    """

    def __init__(self, yours: Preset | None = None):
        self.presets = {"your own": yours, **PRESETS} if yours else PRESETS
        first = "your own" if yours else FIRST
        plan = self.presets[first].plan
        self.turned = {"micro_batch": MICRO_BATCHES, "accumulation": ACCUMULATIONS, "ranks": RANKS}
        self.turned = {name: sorted({*given, getattr(plan, name)}) for name, given in self.turned.items()}
        self.settling, self.numbers = False, widgets.HTML()
        self.paste = widgets.Textarea(rows=10, layout=widgets.Layout(width="96%", max_width="760px"))
        super().__init__(
            "a batch plan as micro-batches, optimizer steps and leftovers, and as flags for four trainers",
            preset=dropdown("preset", {name: name for name in self.presets}, first),
            micro_batch=slider("micro-batch", self.turned["micro_batch"], plan.micro_batch),
            accumulation=slider("accumulation", self.turned["accumulation"], plan.accumulation),
            ranks=slider("ranks", self.turned["ranks"], plan.ranks),
            trainer=dropdown(
                "who trains", {f"{name} ({t.window})": name for name, t in TRAINERS.items()}, next(iter(TRAINERS))
            ),
        )
        self.widget.children = (*self.widget.children, self.numbers, self.paste)

    def update(self, change=None) -> None:
        if self.settling:
            return
        if change and change["owner"] is self.controls["preset"]:
            self.settling = True  # one frame, not one for each control that a preset sets
            for name in self.turned:
                self.controls[name].value = getattr(self.presets[change["new"]].plan, name)
            self.settling = False
        try:
            super().update(change)
        except Refused as refused:  # the figure stays as it was
            self.sentence.value, self.numbers.value, self.paste.value = f"✗ {html.escape(str(refused))}.", "", ""
            return
        plan, preset = self.plan(**self.values), self.presets[self.values["preset"]]
        self.numbers.value = table(plan, preset.tokens)
        self.paste.value = flags(plan, self.values["trainer"])

    def plan(self, preset, trainer, **turned) -> Plan:
        return replace(self.presets[preset].plan, window=TRAINERS[trainer].window, **turned)

    def draw(self, **values):
        return plot_plan(self.plan(**values))

    def say(self, **values) -> str:
        plan, wanted = self.plan(**values), self.presets[values["preset"]].wanted
        left, says = plan.leftover_micro_batches, TRAINERS[values["trainer"]].says
        whole = f"{plan.examples:,} ÷ {plan.batch:,} is {plan.examples / plan.batch:,.4g}"
        rest = f"The last window has {left} of its {plan.accumulation} micro-batches: {values['trainer']} {says}."
        updates = f"<b>{plan.updates_per_epoch:,}</b> update{'s' * (plan.updates_per_epoch != 1)}"
        return f"{reached(plan, wanted)} {whole}; the first epoch has {updates}. {rest if left else full(plan)}"


def full(plan: Plan) -> str:
    """What is uneven where every window has all its micro-batches: the last of them, or nothing."""
    if plan.unseen:
        return f"drop_last keeps {plan.unseen:,} examples out of each epoch."
    if plan.last_micro_batch < plan.micro_batch:
        last = f"The last micro-batch has {plan.last_micro_batch} examples, not {plan.micro_batch}"
        return f"{last}: each of them counts {plan.last_weight:.3g} times."
    return "Every window is full."


def reached(plan: Plan, wanted: int) -> str:
    """Is it the wanted batch and, if not, which plans or which batches come nearest?"""
    if plan.batch == wanted:
        return f"Batch {wanted:,}, as wanted."
    near = nearest_plans(wanted, plan.micro_batch, plan.ranks)
    made = {batch: f"{m} × {k}" + f" × {plan.ranks}" * (plan.ranks > 1) for batch, ((m, k), *_) in near.items()}
    if wanted in near:
        return f"Batch {plan.batch:,}. You wanted {wanted:,}, which is {made[wanted]}."
    nearest = " and ".join(f"{batch:,} ({how})" for batch, how in made.items())
    return f"Batch {plan.batch:,}. You wanted {wanted:,}, no multiple of {plan.ranks} ranks; nearest are {nearest}."


def table(plan: Plan, tokens: int) -> str:
    rows = {
        "batch": f"{plan.batch:,}" + (f" = {plan.tokens(tokens):,.0f} tokens" if tokens else ""),
        "passes an epoch, in all": f"{plan.micro_batches_per_epoch:,}, {plan.micro_batches:,}",
        "updates in epoch 1, in all": f"{plan.updates_per_epoch:,}, {plan.updates:,}",
        "samples seen, used by an update": f"{plan.samples_seen:,}, {plan.samples_used:,}",
        "an epoch repeats, never shows": f"{plan.repeated:,}, {plan.unseen:,}",
        "left over an epoch": f"{plan.leftover_micro_batches:,} micro-batches, {plan.leftover_examples:,} examples",
        "last micro-batch": f"{plan.last_micro_batch:,} examples, each counts {plan.last_weight:.3g} ×",
    }
    cells = "".join(f"<tr><th style='text-align:left'>{name}</th><td>{value}</td></tr>" for name, value in rows.items())
    return f"<table>{cells}</table>"


PANELS = (PlanPanel,)
