"""``python -m tutorlib advise package.module:function``: the adviser's card of a model of one's own."""

import sys
from pathlib import Path

from tutorlib.errors import Refused
from tutorlib.plots.advice import plot_card
from tutorlib.plots.style import png
from tutorlib.theory.card import markdown
from tutorlib.theory.choice import check_wanted, choose_plan
from tutorlib.theory.flags import TRAINERS
from tutorlib.theory.memory import choose


def add(commands) -> None:
    adviser = commands.add_parser("advise", help="which batch, in which pieces, for a model of your own?")
    adviser.add_argument("model", help="package.module:function that returns (model, loss, loader) or (…, optimizer)")
    adviser.add_argument("--memory", type=float, help="MiB that a step may take, for any device")
    adviser.add_argument("--ranks", type=int, default=1, help="data-parallel processes (default 1)")
    adviser.add_argument("--wanted", type=int, help="the batch you have decided on")
    adviser.add_argument("--trainer", default="Hugging Face Trainer", help="whose flags (default Hugging Face Trainer)")
    adviser.add_argument("--budget-s", type=float, default=60, help="seconds it may take, about (default 60)")
    adviser.add_argument("--to", help="folder to write card.md and card.png to")
    adviser.set_defaults(
        run=lambda chosen: show(**{k: v for k, v in vars(chosen).items() if k not in ("command", "run")})
    )


def show(model: str, memory, ranks: int, wanted, trainer: str, to, **how) -> None:
    """The card of a model of one's own, printed, and written to a folder where one is named."""
    from tutorlib.measure.adviser import advise
    from tutorlib.measure.handed_in import handed_in

    choose(TRAINERS, trainer, "trainer")
    check_wanted(wanted, ranks)
    if to and Path(to).is_file():
        raise Refused(f"to is {to}, which is a file; allowed: a folder, or one that is not there yet")
    room = None if memory is None else memory * 2**20
    advice = advise(*handed_in(model), memory=room, say=lambda s: print(f"{s} …", file=sys.stderr), **how)
    choice = choose_plan(advice, ranks, room, wanted)
    page = markdown(advice, choice, trainer, model)
    print(page)
    if to:
        folder = Path(to)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "card.md").write_text(page, encoding="utf-8")
        (folder / "card.png").write_bytes(png(plot_card(advice, choice, model), dpi=150))
