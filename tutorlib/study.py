"""An experiment run to its end: skip what is measured, report progress, stop without loss, go on later."""

import importlib
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor, as_completed, wait
from contextlib import nullcontext

from tutorlib import store
from tutorlib.errors import Refused
from tutorlib.nn import device as devices
from tutorlib.records import Experiment, Run, RunRecord
from tutorlib.results import Results
from tutorlib.trials import Diverged


def study(
    experiment: Experiment,
    device: str | None = None,
    report: Callable | None = None,
    records: store.Store | None = None,
    executor: Executor | None = None,
) -> Results:
    """Every run of ``experiment`` on ``device``; runs already in the store are not repeated.

    ``report(done, total)`` is called at the start and after each group of runs. An interrupt (the stop button),
    a crash or a lost worker costs the groups in flight and nothing else; running again goes on from there.
    ``executor`` is any :class:`concurrent.futures.Executor`, a Dask cluster's ``client.get_executor()`` say: it
    computes the groups, this process stores them. The values are the same whoever computes. Without one, an experiment
    whose groups may run side by side gets a thread for each core of the processor.
    """
    device, source = devices.pick(device or experiment.device).type, store.source_hash()
    records = records or store.live(experiment.name)
    # A number belongs to its run, its device and its code: a change of any of them measures again.
    known = {r.run.key: r for r in records.load() if r.source == source and r.machine.device == device}
    runs, futures, stopped = experiment.runs(), [], False
    missing = [group for group in experiment.groups() if not all(run.key in known for run in group)]

    def keep(fresh: list[RunRecord]) -> None:
        if fresh[0].source != source:
            raise Refused("a worker runs another version of tutorlib than this process; install the same on both")
        records.append(*fresh)
        known.update({record.run.key: record for record in fresh})

    threads = executor is None and experiment.side_by_side and device == "cpu"
    with ThreadPoolExecutor(devices.cores()) if threads else nullcontext(executor) as executor:
        try:
            say_progress(report, known, runs)
            for fresh in measured(missing, experiment, device, executor, futures):
                keep(fresh)
                say_progress(report, known, runs)
        except KeyboardInterrupt:
            stopped = True
        finally:  # what came back while something else failed is kept too
            left = [future for future in futures if not future.cancel()]
            if threads:  # nothing can interrupt a thread: it is waited for, so what it finds is kept
                wait(left)
            for fresh in [future.result() for future in left if succeeded(future)]:
                if fresh[0].run.key not in known:
                    keep(fresh)
    return Results(experiment, tuple(known[run.key] for run in runs if run.key in known), stopped)


def say_progress(report: Callable | None, known: dict, runs: list[Run]) -> None:
    if report:
        report(sum(run.key in known for run in runs), len(runs))


def succeeded(future: Future) -> bool:
    return future.done() and not future.cancelled() and future.exception() is None


def measured(
    groups: list, experiment: Experiment, device: str, executor: Executor | None, futures: list[Future]
) -> Iterator[list[RunRecord]]:
    """The records of one group after another: in order here, as they come from an executor (``futures`` fills up)."""
    arguments = (experiment.trial, bool(experiment.together), device)
    if executor is None:
        yield from (measure(group, *arguments) for group in groups)
        return
    try:
        for group in groups:
            futures.append(executor.submit(measure, group, *arguments, uuid.uuid4().hex))
        for future in as_completed(futures):
            yield future.result()
    except Exception as error:
        if isinstance(error, BrokenExecutor) or type(error).__name__ == "KilledWorker":
            raise Refused(f"a worker was lost ({error}); what is measured is kept. Run again to go on") from error
        raise


def measure(runs: list[Run], trial: str, together: bool, device: str, call: str = "") -> list[RunRecord]:
    """One group as records; divergence and out-of-memory are outcomes.

    ``call`` makes every call its own: some executors answer an equal one from memory, errors too.
    """
    began, measure = time.perf_counter(), find_trial(trial)
    with devices.one_thread():
        machine = devices.machine(devices.pick(device))
        try:
            answers = measure(runs, device) if together else [measure(runs[0], device)]
        except Diverged as diverged:
            answers = [diverged] * len(runs)
        except RuntimeError as error:
            if not devices.out_of_memory(error):
                raise
            answers = [error] * len(runs)
    seconds = round((time.perf_counter() - began) / len(runs), 4)
    return [
        RunRecord(
            run,
            outcome(answer),
            answer if isinstance(answer, dict) else getattr(answer, "values", {}),
            machine,
            store.source_hash(),
            seconds,
        )
        for run, answer in zip(runs, answers, strict=True)
    ]


def outcome(answer) -> str:
    if isinstance(answer, dict):
        return "ok"
    if isinstance(answer, Diverged):
        return "diverged"
    if isinstance(answer, RuntimeError) and devices.out_of_memory(answer):
        return "out_of_memory"
    raise TypeError(f"a trial answered {answer!r}; allowed: a dict of values, or a Diverged")


def find_trial(name: str) -> Callable:
    """``"lesson.function"`` → the function in :mod:`tutorlib.trials`."""
    module, _, function = name.rpartition(".")
    return getattr(importlib.import_module(f"tutorlib.trials.{module}"), function)
