"""``python -m tutorlib advise package.module:function``: the adviser's card of a model of one's own."""

import dataclasses
import json
import math
import sys
from contextlib import contextmanager
from pathlib import Path

from tutorlib.errors import Refused, first_line
from tutorlib.plots.advice import plot_card
from tutorlib.plots.style import png
from tutorlib.theory.advice import MIB, Advice
from tutorlib.theory.card import markdown, trained_by
from tutorlib.theory.choice import Choice, check_wanted, choose_plan
from tutorlib.theory.flags import TRAINERS, trainer_named

FUNCTION = (
    "package.module:function that returns (model, loss, loader) or (model, loss, loader, optimizer), where the "
    "optimizer is a function parameters → optimizer: lambda parameters: AdamW(parameters, lr=1e-3) say"
)


def add(commands) -> None:
    adviser = commands.add_parser("advise", help="which batch, in which pieces, for a model of your own?")
    adviser.add_argument("model", help=FUNCTION)
    adviser.add_argument("--memory", type=float, help="MiB that a step may take, for any device")
    adviser.add_argument("--ranks", type=int, default=1, help="data-parallel processes (default 1)")
    adviser.add_argument("--wanted", type=int, help="the batch you have decided on")
    names = ", ".join(TRAINERS)
    adviser.add_argument(
        "--trainer",
        default="Hugging Face Trainer",
        help=f"whose flags, or how its name begins: {names} (default first)",
    )
    adviser.add_argument("--budget-s", type=float, default=60, help="seconds it may take, about (default 60)")
    adviser.add_argument("--to", help="folder to write card.md and card.png to")
    adviser.add_argument(
        "--json", action="store_true", dest="as_json", help="print what was measured and the plan as JSON, no card"
    )
    adviser.set_defaults(
        run=lambda chosen: show(**{k: v for k, v in vars(chosen).items() if k not in ("command", "run", "parser")}),
        parser=adviser,
    )


def show(model: str, memory, ranks: int, wanted, trainer: str, to, as_json: bool, **how) -> None:
    """The card of a model of one's own, printed, and written to a folder where one is named."""
    from tutorlib.measure.adviser import advise
    from tutorlib.measure.handed_in import handed_in

    trainer = trainer_named(trainer)
    check_wanted(wanted, ranks)
    if memory is not None and not 0 < memory < math.inf:
        raise Refused(f"memory is {memory:g} MiB; allowed: a number above 0")
    with writing(to):
        if to:
            Path(to).mkdir(parents=True, exist_ok=True)
    room = None if memory is None else memory * MIB
    advice = advise(*handed_in(model), memory=room, say=lambda s: print(f"{s} …", file=sys.stderr), **how)
    choice = choose_plan(advice, ranks, room, wanted)
    page = markdown(advice, choice, trainer, model)
    print(numbers(advice, trained_by(trainer, choice)) if as_json else page)
    with writing(to):
        if to:
            (Path(to) / "card.md").write_text(page, encoding="utf-8")
            (Path(to) / "card.png").write_bytes(png(plot_card(advice, choice, model), dpi=150))


@contextmanager
def writing(to):
    """A disk's own words, in one sentence."""
    try:
        yield
    except OSError as error:
        raise Refused(f"to is {to} ({first_line(error)}); allowed: a folder, or one that can be made") from error


def numbers(advice: Advice, choice: Choice) -> str:
    """Everything measured and chosen, as JSON; seconds and bytes."""
    p = choice.plan
    updates = p.updates_per_epoch if advice.examples else None  # of a loader without a length
    plan = {"batch": p.batch, "micro_batch": p.micro_batch, "accumulation": p.accumulation, "ranks": p.ranks}
    plan["updates_per_epoch"] = updates
    low, high = choice.as_good
    chosen = {"fastest": choice.chosen, "time": choice.time, "as_good": [low, high], "times": choice.times}
    chosen["times_with_loader"] = choice.loaded
    return json.dumps({"advice": dataclasses.asdict(advice), "plan": plan, "choice": chosen}, indent=2)
