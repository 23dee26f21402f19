"""The command line: ``python -m tutorlib`` doctor, advise, memory, verdicts, record, ledger, progress."""

import argparse
import sys

from tutorlib.commands import advise, ledger, memory
from tutorlib.commands import progress as learner
from tutorlib.errors import Refused
from tutorlib.experiments import memory_grid
from tutorlib.store import PACKAGE, Store, source_hash
from tutorlib.theory.memory import choose
from tutorlib.verdicts import (
    accumulate_gradients,
    choose_your_batch,
    fit_the_memory,
    hunt_heavy_tails,
    measure_the_noise,
    mind_the_batchnorm,
    question_generalization,
    race_two_speeds,
    repeats,
    scale_the_optimizer,
    start_here,
)
from tutorlib.verdicts import memory_grid as grid_verdicts
from tutorlib.widgets import doctor
from tutorlib.widgets.show import number

LESSONS = {
    "00": start_here,
    "01": measure_the_noise,
    "02": accumulate_gradients,
    "03": mind_the_batchnorm,
    "04": fit_the_memory,
    "05": race_two_speeds,
    "06": question_generalization,
    "07": scale_the_optimizer,
    "08": hunt_heavy_tails,
    "09": choose_your_batch,
}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tutorlib", description="Batch Size, Measured")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("doctor", help="what can this computer do, and what is missing?")
    verdicts = commands.add_parser("verdicts", help="do the verdicts survive other base seeds?")
    verdicts.add_argument("--seeds", type=int, default=20, help="how many base seeds (default 20)")
    verdicts.add_argument("--lesson", choices=LESSONS, default="01")
    verdicts.add_argument("--keep", action="store_true", help="write the counts to tutorlib/verdicts/repeats.jsonl")
    again = commands.add_parser("record", help="measure again what ships in tutorlib/recorded/")
    again.add_argument("--only", help="one experiment by name, memory_grid say")
    again.add_argument("--part", nargs=2, type=int, default=(1, 1), metavar=("K", "N"), help="the K-th of N parts")
    advise.add(commands)
    memory.add(commands)
    ledger.add(commands, LESSONS)
    learner.add(commands)
    chosen = parser.parse_args(arguments)
    if "run" in chosen:  # a command of tutorlib.commands
        try:
            chosen.run(chosen)
        except Refused as refused:
            getattr(chosen, "parser", parser).error(str(refused))
    elif chosen.command == "doctor":
        symptoms = list(doctor.checkup())
        print("\n".join(map(doctor.line, symptoms)))
        sys.exit(any(symptom.state == "wrong" for symptom in symptoms))
    elif chosen.command == "verdicts":
        if chosen.seeds < 1:
            parser.error(f"--seeds is {chosen.seeds}; allowed: at least 1")
        found = verdicts_under_other_seeds(chosen.lesson, chosen.seeds)
        if chosen.keep:
            keep(chosen.lesson, found)
    else:
        try:
            record(chosen.only, *chosen.part)
        except Refused as refused:
            parser.error(str(refused))


def verdicts_under_other_seeds(name: str, count: int) -> list[repeats.Repeats]:
    """Run a lesson with ``count`` other base seeds and print how often each verdict is the stored one."""
    from tutorlib.nn import device
    from tutorlib.study import study

    lesson, rounds = LESSONS[name], []
    recorded = ledger.replayed(lesson)  # too long to be repeated twenty times
    judged = [each for each in lesson.VERDICTS if not any(experiment in recorded for experiment in each[0])]
    for base_seed in range(count + 1):
        measured = {
            experiment.name: study(experiment.at(base_seed=base_seed), report=progress(experiment, base_seed))
            for experiment in {e.name: e for experiments, _ in judged for e in experiments}.values()
        }
        rounds.append([v for experiments, judge in judged for v in judge(*(measured[e.name] for e in experiments))])
    print(file=sys.stderr)
    print(f"{'claim':<7} {'stored verdict':<28} {'same':>7}  {'estimate: stored, least … most':<32} measured")
    for stored, *others in zip(*rounds, strict=True):
        same = sum(other.verdict == stored.verdict for other in others)
        values = [other.estimate for other in others if other.estimate is not None]
        was = "no number" if stored.estimate is None else number(stored.estimate)
        span = f"{number(min(values))} … {number(max(values))}" if values else "no number"
        print(f"{stored.claim:<7} {stored.verdict:<28} {same:>3}/{count:<3}  {was}, {span:<24} {stored.measured}")
    return repeats.counted(name, rounds[1:], device.machine(device.pick()).name)


def keep(lesson: str, found: list[repeats.Repeats]) -> None:
    """Replace the lesson's lines in what ships."""
    others = [row for row in repeats.shipped() if row.lesson != lesson]
    repeats.PATH.write_text("".join(row.to_json() + "\n" for row in sorted(others + found, key=lambda r: r.lesson)))


def progress(experiment, base_seed: int):
    def report(done: int, total: int) -> None:
        print(f"\rbase seed {base_seed}: {experiment.name} {done}/{total}      ", end="", file=sys.stderr, flush=True)

    return report


def record(only: str | None = None, which: int = 1, of: int = 1) -> None:
    """Measure the shipped records again, on this machine: of every lesson, and of the memory grid where there is a GPU.

    A part adds to what other parts have found with the same code; what ships is replaced when the record is whole.
    """
    from tutorlib.nn import device
    from tutorlib.study import study

    grids = {grid.name: grid for grid in (memory_grid.MEMORY_GRID, memory_grid.EIGHT_BIT_GRID)}
    known = {e.name: e for lesson in LESSONS.values() for e in lesson.RECORDED} | grids
    for experiment in known.values() if only is None else [choose(known, only, "only")]:
        if experiment.name in grids and device.free_memory(device.pick()) is None:
            print(f"{experiment.name}: left as it is, only a GPU's allocator tells its peaks")
            continue
        path = PACKAGE / "recorded" / f"{experiment.name}.jsonl"
        fresh = path.with_suffix(".new")
        if of == 1:
            fresh.unlink(missing_ok=True)
        results = study(memory_grid.part(experiment, which, of), records=Store(fresh))
        if results.stopped:
            sys.exit(f"Stopped: {path.name} is left as it was.")
        whole = [record for record in Store(fresh).load() if record.source == source_hash()]
        if len({record.run.key for record in whole}) < len(experiment.runs()):
            print(f"{path.name}: part {which} of {of} is in {fresh.name}; it is replaced when all parts are")
            continue
        fresh.write_text("".join(record.to_json() + "\n" for record in whole), encoding="utf-8")
        fresh.replace(path)  # the old record stays until the new one is whole
        print(f"{path.name}: {results.provenance}")
        if experiment.name in grids:
            print("\n".join([*map(str, grid_verdicts.summary(whole)), *grid_verdicts.wrongly_told(whole)]))


if __name__ == "__main__":
    main()
