"""An experiment run to its end: skip what is measured, report progress, stop without loss, go on later."""

import importlib
import time
from collections.abc import Callable

import torch

from tutorlib import store
from tutorlib.nn import device as devices
from tutorlib.records import Experiment, Run, RunRecord
from tutorlib.results import Results
from tutorlib.trials import Diverged


def study(
    experiment: Experiment,
    device: str | None = None,
    report: Callable | None = None,
    records: store.Store | None = None,
) -> Results:
    """Every run of ``experiment`` on ``device``, in order; runs already in the store are not repeated.

    ``report(done, total)`` is called before each run. An interrupt (the stop button) ends the study with
    what is measured; the run in flight is lost, and running again goes on from there.
    """
    device = devices.pick(device)
    records = records or store.live(experiment.name)
    trial, source = find_trial(experiment.trial), store.source_hash()
    # A number belongs to its run, its device and its code: a change of any of them measures again.
    known = {r.run.key: r for r in records.load() if r.source == source and r.machine.device == device.type}
    runs, done, stopped = experiment.runs(), [], False
    try:
        with devices.one_thread():
            machine = devices.machine(device)
            for run in runs:
                if report:
                    report(len(done), len(runs))
                if run.key not in known:
                    known[run.key] = measure(run, trial, device, machine, source)
                    records.append(known[run.key])
                done.append(known[run.key])
    except KeyboardInterrupt:
        stopped = True
    return Results(experiment, tuple(done), stopped)


def measure(run: Run, trial: Callable, device: torch.device, machine, source: str) -> RunRecord:
    """One run as a record; divergence and out-of-memory are outcomes."""
    began, values, outcome = time.perf_counter(), {}, "ok"
    try:
        values = trial(run, str(device))
    except Diverged:
        outcome = "diverged"
    except RuntimeError as error:
        if not devices.out_of_memory(error):
            raise
        outcome = "out_of_memory"
    return RunRecord(run, outcome, values, machine, source, round(time.perf_counter() - began, 4))


def find_trial(name: str) -> Callable:
    """``"lesson.function"`` → the function in :mod:`tutorlib.trials`."""
    module, _, function = name.rpartition(".")
    return getattr(importlib.import_module(f"tutorlib.trials.{module}"), function)
