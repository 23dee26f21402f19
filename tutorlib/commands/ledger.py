"""``python -m tutorlib ledger``: measure what the lessons judge, or read it from the cache, and write the ledger.

The facts are in ``ledger.jsonl``, one row of a lesson's verdicts a line. ``ledger.json`` (every claim and its word) and
``ledger.md`` (all of it, for people) are made of them.
"""

import sys
from pathlib import Path

from tutorlib.commands.ledger_page import page, summary
from tutorlib.errors import Refused
from tutorlib.store import PACKAGE, recorded
from tutorlib.verdicts.ledger import Entry, entries

COURSE = PACKAGE.parent / "course"  # there in a checkout; a wheel has no course and writes where one stands
BAR = 24


def add(commands, lessons: dict) -> None:
    parser = commands.add_parser("ledger", help="every claim and what was measured of it, as course/ledger.md and JSON")
    parser.add_argument("--lesson", nargs="+", choices=lessons, help="measure these lessons only; others stay")
    parser.add_argument(
        "--page", action="store_true", help="measure nothing: write page and JSON again from ledger.jsonl"
    )
    parser.add_argument("--into", type=Path, default=COURSE if COURSE.is_dir() else Path(), help="the folder")
    parser.set_defaults(run=lambda chosen: write(lessons, chosen.lesson, chosen.page, chosen.into))


def write(lessons: dict, chosen: list[str] | None = None, page_only: bool = False, into: Path = COURSE) -> None:
    """Lesson by lesson, so that a stop keeps the lessons that are done; the one in work goes on from its cache."""
    if not into.is_dir():
        raise Refused(f"--into is {into}; allowed: a folder that exists")
    facts = into / "ledger.jsonl"
    names = [] if page_only else [name for name in lessons if chosen is None or name in chosen]
    bar = Bar({name: live(lessons[name]) for name in names})
    for name in names:
        fresh = measure(name, lessons[name], bar)
        # What another lesson's run wrote in the meantime stays; lessons that are no more do not.
        kept = [row for row in load(facts) if row.lesson in lessons and row.lesson != name]
        rows = sorted(kept + fresh, key=lambda row: row.lesson)
        replace(facts, "".join(row.to_json() + "\n" for row in rows))
        publish(rows, lessons, into)
    if page_only:
        publish(load(facts), lessons, into)
    print(f"{into / 'ledger.md'}, ledger.json and {facts.name} are written", file=sys.stderr)


def publish(rows: list[Entry], lessons: dict, into: Path) -> None:
    replace(into / "ledger.md", page(rows, lessons))
    replace(into / "ledger.json", summary(rows, lessons) + "\n")


def load(facts: Path) -> list[Entry]:
    return [Entry.from_json(line) for line in facts.read_text("utf-8").splitlines()] if facts.is_file() else []


def replace(path: Path, text: str) -> None:
    """Whole or not at all."""
    fresh = path.with_suffix(path.suffix + ".new")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)


def measure(name: str, lesson, bar: "Bar") -> list[Entry]:
    """The rows of one lesson, at the budget that its notebook takes here, or from the record that it shows."""
    from tutorlib.nn.device import pick
    from tutorlib.study import study

    measured, budgets = {experiment.name: recorded(experiment) for experiment in replayed(lesson)}, set()
    for experiment in bar.experiments[name].values():
        device = pick(experiment.device)
        budgets.add(budget := "quick" if device.type == "cpu" else "full")
        results = study(experiment.at(budget), str(device), bar.report(name, experiment.name))
        if results.stopped:
            sys.exit(f"\nStopped in lesson {name}: what is measured is kept. Run the same again to go on.")
        measured[experiment.name] = results
    return entries(name, lesson.VERDICTS, measured, " and ".join(sorted(budgets)))


def replayed(lesson) -> tuple:
    """Experiments that a lesson never runs live: its verdicts are those of the record that ships."""
    return getattr(lesson, "REPLAYED", ())


def live(lesson) -> dict:
    """The experiments that a lesson's verdicts are made of and that it runs, by name."""
    judged = {e.name: e for experiments, _ in lesson.VERDICTS for e in experiments}
    return {name: experiment for name, experiment in judged.items() if experiment not in replayed(lesson)}


class Bar:
    """One bar over every run of every lesson, what the cache holds counted as done."""

    def __init__(self, experiments: dict[str, dict]):
        self.experiments, self.done = experiments, {}
        self.total = sum(len(e.runs()) for lesson in experiments.values() for e in lesson.values())

    def report(self, lesson: str, experiment: str):
        def report(done: int, total: int) -> None:
            self.done[lesson, experiment] = done
            share = sum(self.done.values()) / self.total
            drawn = f"[{'#' * int(BAR * share):<{BAR}}] {share:4.0%}  lesson {lesson}: {experiment} {done}/{total}"
            print(f"\r{drawn:<100}", end="\n" if share == 1 else "", file=sys.stderr, flush=True)

        return report
