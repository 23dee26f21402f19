"""The memory panel of lesson 04: will it fit, in what pieces, and what should change?"""

from dataclasses import dataclass

from tutorlib import store
from tutorlib.experiments.memory_columns import Lines
from tutorlib.experiments.memory_lines import MEMORY_LINES, PICTURES, TEXT
from tutorlib.plots.memory_panel import GIB, Bar, plot_memory
from tutorlib.results import Results
from tutorlib.theory.memory import CARDS
from tutorlib.theory.memory_line import MemoryLine
from tutorlib.theory.reach import plans_for
from tutorlib.theory.recipes import CHANGES, RECIPES, Change, Recipe
from tutorlib.theory.shapes import SHAPES
from tutorlib.widgets.panel import Panel, dropdown, slider

MIB = 2**20
BATCHES = tuple(2**k for k in range(11))
TIMES = (128, 256, 512, 1024, 2048, 4096, 8192)


@dataclass(frozen=True)
class Better:
    """A change that saves memory here: the line it leads to, and the largest micro-batch on it."""

    change: Change
    recipe: Recipe
    line: MemoryLine
    largest: int

    @property
    def holds(self) -> str:
        return f"up to {self.largest:,}" if self.largest else "still none"


class MemoryPanel(Panel):
    """Predicted bytes of a training step as bars against a card, the plan that fits, and what else would make it fit.

    A frame is read off lines through two predictions that ship with the package; no torch is loaded. "bf16" stands for
    fp16 too, which takes as many bytes: some cards, the T4 say, compute fast in fp16 only.
    """

    def __init__(self, results: Results | None = None):
        self.lines = Lines.read(store.recorded(MEMORY_LINES) if results is None else results)
        self.settling = False
        super().__init__(
            "the memory of a training step by kind against a card, the plan that fits, and three changes",
            model=dropdown("model", {name: name for name in (*TEXT, *PICTURES)}, "gpt2"),
            card=dropdown("card", {name: name for name in CARDS}, "L4"),
            batch=slider("batch you want", BATCHES, 64),
            time=slider("tokens an example", times("gpt2"), 1024),
            recipe=dropdown("recipe", self.recipes("gpt2"), Recipe()),
        )

    def recipes(self, model: str) -> dict[str, Recipe]:
        """Those that are recorded for the model: images have neither written-out attention nor checkpoints."""
        return {recipe.name: recipe for recipe in RECIPES if self.lines.line(model, recipe)}

    def update(self, change=None) -> None:
        if self.settling:
            return
        if change and change["owner"] is self.controls["model"]:
            self.settling = True  # one frame, not one for each control whose choice another model changes
            lengths = {f"{time:,}" if time > 1 else "an image": time for time in times(change["new"])}
            self.offer("time", lengths, otherwise=max(lengths.values()))
            self.offer("recipe", self.recipes(change["new"]), otherwise=Recipe())
            self.settling = False
        super().update(change)

    def offer(self, name: str, options: dict, otherwise) -> None:
        """Another choice of values, at the same value if that is among them."""
        control = self.controls[name]
        value = control.value if control.value in options.values() else otherwise
        control.options = tuple(options.items())
        control.value = value

    def better(self, model: str, card: str, batch: int, time: int, recipe: Recipe) -> list[Better]:
        """Changes that let more fit or take less: the cheapest that make the batch fit first, else the largest."""
        room, found = CARDS[card] * MIB, []
        now = self.lines.line(model, recipe)
        most, bytes = now.largest(room, time), now.bytes(batch, time)
        for change in CHANGES:
            changed = change.applied(recipe)
            line = changed and self.lines.line(model, changed)
            if line and (line.largest(room, time) > most or line.bytes(batch, time) < 0.97 * bytes):
                found.append(Better(change, changed, line, line.largest(room, time)))

        def rank(better: Better) -> tuple:
            price = better.change.compute, better.change.digits
            most = -better.largest, better.line.bytes(batch, time)
            return (0, *price, *most) if better.largest >= batch else (1, *most, *price)

        return sorted(found, key=rank)

    def draw(self, model, card, batch, time, recipe):
        line, room = self.lines.line(model, recipe), CARDS[card] * MIB
        plans = {f"batch {batch:,} at once": (line, batch, 1)}
        if pieces := plan(line, room, batch, time):
            plans["as {} × {}".format(*pieces)] = (line, *pieces)
        for better in self.better(model, card, batch, time, recipe)[:3]:
            plans[f"{batch:,}, {better.change.name}"] = (better.line, batch, 1)
        return plot_memory(
            [
                Bar(label, line.parts(micro, time, pieces), line.bytes(micro, time, pieces))
                for label, (line, micro, pieces) in plans.items()
            ],
            card,
            room,
        )

    def say(self, model, card, batch, time, recipe):
        line, room = self.lines.line(model, recipe), CARDS[card] * MIB
        takes, largest = line.bytes(batch, time) / GIB, line.largest(room, time)
        better = self.better(model, card, batch, time, recipe)
        listed = "; ".join(f"<b>{b.change.name}</b> ({b.holds}, {b.change.price})" for b in better[:3])
        asked = f"Batch {batch:,} at once takes {takes:,.1f} GiB where {card} has {room / GIB:,.1f}"
        if largest >= batch:
            return f"{asked}: it fits, as does every micro-batch up to <b>{largest:,}</b>. " + (
                f"More would fit with {listed}." if listed else "No single change lets more fit."
            )
        if not largest:
            words = f"{asked}, and <b>not even one example</b> fits"
        else:
            words = f"{asked}; the largest micro-batch that fits is <b>{largest:,}</b>"
            words += kept(line, room, batch, time)
        if not better:
            return f"{words}. No change takes less: a larger card, or several, is what is left."
        one = better[0].largest >= batch
        return f"{words}. {'To fit it at once' if one else 'No single change is enough; most is won by'}: {listed}." + (
            "" if one or len(better) == 1 else self.together(better, model, card, batch, time, recipe)
        )

    def together(self, better: list[Better], model, card, batch, time, recipe) -> str:
        """What all changes at once would do, one after the other as far as they go together."""
        for each in better:
            changed = each.change.applied(recipe)
            if changed and self.lines.line(model, changed):
                recipe = changed
        largest = self.lines.line(model, recipe).largest(CARDS[card] * MIB, time)
        if largest < 1:
            return " All of them together are not enough either: a larger card, or several, is what is left."
        return f" All together ({recipe.name}): up to {largest:,}."


def times(model: str) -> tuple[int, ...]:
    """Lengths that the model can read; an image is one."""
    return tuple(t for t in TIMES if t <= SHAPES[model].context) if model in SHAPES else (1,)


def plan(line: MemoryLine, room: float, batch: int, time: int) -> tuple[int, int] | None:
    """(micro-batch, accumulation) that keep the batch in the fewest passes; ``None`` where one pass or none does."""
    most = line.largest(room, time, accumulation=2)
    return plans_for(batch, most)[0] if line.largest(room, time) < batch and most else None


def kept(line: MemoryLine, room: float, batch: int, time: int) -> str:
    """How accumulation keeps the batch, and what it takes."""
    pieces = plan(line, room, batch, time)
    if not pieces:
        return ", and none with the gradients that accumulation keeps"
    more = (line.bytes(*(pieces[0], time, 2)) - line.bytes(pieces[0], time)) / GIB
    stay = f", with {more:,.1f} GiB for gradients that stay" if more >= 0.05 else ""
    return f". <b>{pieces[0]:,} × {pieces[1]:,}</b> keeps the batch: the same products in {pieces[1]:,} passes{stay}"


PANELS = (MemoryPanel,)
