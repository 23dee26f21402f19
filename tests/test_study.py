"""An experiment run to its end: nothing is repeated, an interrupt loses nothing, failures are outcomes."""

import functools
import itertools
import logging
import math
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import threading
import time
import warnings
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from dataclasses import replace

import pytest
import torch

from tutorlib import store, trials
from tutorlib.experiments.measure_the_noise import VARIANCE
from tutorlib.nn import models
from tutorlib.records import Experiment, RunRecord, grid
from tutorlib.store import Store
from tutorlib.study import find_trial, study
from tutorlib.trials import Diverged
from tutorlib.verdicts.measure_the_noise import RECORDED, VERDICTS

TINY = Experiment("tiny", "?", "made.up", grid(batch=(1, 2)), "", held={"examples": 8}, seeds=3)
MANY = TINY.at(points=grid(batch=(1, 2), rate=(0.1, 0.2)), together=("seed", "rate"), seeds=18)
REAL = VARIANCE.at(held={"examples": 1024, "draws": 2}, seeds=2)
LOST = r"^a worker was lost.*what is measured is kept.*[Rr]un again"


@pytest.fixture(autouse=True)
def no_test_hangs():
    def late(*_):
        raise TimeoutError("still waiting after 30 seconds")

    signal.signal(signal.SIGALRM, late)
    signal.alarm(30)
    yield
    signal.alarm(0)


class Trial:
    """A stand-in for a trial: counts its calls and raises ``errors[call number]`` where there is one."""

    def __init__(self, monkeypatch, **errors):
        self.calls, self.errors = [], {int(name[1:]): error for name, error in errors.items()}
        monkeypatch.setattr("tutorlib.study.find_trial", lambda name: self)

    def __call__(self, run, device):
        self.calls.append(run)
        if error := self.errors.get(len(self.calls)):
            raise error
        return {"value": 10.0 * run.seed + run.settings["batch"]}


def said(records):
    return [(r.run, r.outcome, dict(r.values)) for r in records]


def undisturbed(tmp_path, monkeypatch):
    Trial(monkeypatch)
    return said(study(TINY, "cpu", records=Store(tmp_path / "undisturbed.jsonl")).records)


def test_every_run_is_measured_once_and_in_order(tmp_path, monkeypatch):
    trial, into = Trial(monkeypatch), Store(tmp_path / "tiny.jsonl")
    done = study(TINY, "cpu", records=into)
    assert trial.calls == TINY.runs() == [r.run for r in done.records]
    assert [r["value"] for r in done.records] == [1.0, 2.0, 11.0, 12.0, 21.0, 22.0]
    assert not done.stopped and done.seeds == 3 and done.experiment == TINY
    assert into.load() == list(done.records)


def test_what_is_stored_is_not_measured_again(tmp_path, monkeypatch):
    trial, into = Trial(monkeypatch), Store(tmp_path / "tiny.jsonl")
    first = study(TINY.at(seeds=1), "cpu", records=into)
    assert len(trial.calls) == 2
    second = study(TINY, "cpu", records=into)
    assert len(trial.calls) == 6 and second.records[:2] == first.records
    third = study(TINY, "cpu", records=Store(into.path))
    assert len(trial.calls) == 6 and third.records == second.records and len(into.load()) == 6


def test_a_change_of_what_is_held_is_measured_anew(tmp_path, monkeypatch):
    trial, into = Trial(monkeypatch), Store(tmp_path / "tiny.jsonl")
    study(TINY, "cpu", records=into)
    study(replace(TINY, held={"examples": 9}), "cpu", records=into)
    assert len(trial.calls) == 12


def test_the_learner_s_own_cache_is_used_when_no_store_is_given(tmp_path, monkeypatch):
    monkeypatch.setenv("TUTORLIB_CACHE", str(tmp_path))
    Trial(monkeypatch)
    done = study(TINY, "cpu")
    assert Store(tmp_path / "tiny.jsonl").load() == list(done.records)


def test_progress_is_reported_at_the_start_and_after_every_run(tmp_path, monkeypatch):
    Trial(monkeypatch)
    seen = []
    study(TINY, "cpu", lambda *progress: seen.append(progress), Store(tmp_path / "tiny.jsonl"))
    assert seen == [(done, 6) for done in range(7)]


@pytest.mark.parametrize("finished", range(6))
@pytest.mark.parametrize("where", ["trial", "report"])
def test_an_interrupt_loses_nothing_and_the_next_call_finishes(tmp_path, monkeypatch, where, finished):
    def report(done, total):
        if where == "report" and done == finished:
            raise KeyboardInterrupt

    wanted = undisturbed(tmp_path, monkeypatch)
    into = Store(tmp_path / "tiny.jsonl")
    trial = Trial(monkeypatch, **({f"n{finished + 1}": KeyboardInterrupt()} if where == "trial" else {}))
    stopped = study(TINY, "cpu", report, into)
    assert stopped.stopped and stopped.seeds == finished // 2
    assert said(stopped.records) == said(Store(into.path).load()) == wanted[:finished]
    again = study(TINY, "cpu", records=Store(into.path))
    assert not again.stopped and said(again.records) == wanted
    assert len(trial.calls) == (7 if where == "trial" else 6) and len(Store(into.path).load()) == 6


@pytest.mark.parametrize(
    "error, outcome",
    [
        (Diverged(), "diverged"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"), "out_of_memory"),
        (RuntimeError("MPS backend out of memory (MPS allocated: 9.0 GB)"), "out_of_memory"),
    ],
)
def test_divergence_and_lack_of_memory_are_outcomes(tmp_path, monkeypatch, error, outcome):
    trial, into = Trial(monkeypatch, n3=error), Store(tmp_path / "tiny.jsonl")
    done = study(TINY, "cpu", records=into)
    assert [r.outcome for r in done.records] == ["ok", "ok", outcome, "ok", "ok", "ok"]
    assert not done.records[2].values and not done.stopped
    assert said(into.load()) == said(done.records)
    assert len(trial.calls) == 6


@pytest.mark.parametrize("error", [RuntimeError("wrong shape"), ZeroDivisionError("x"), ValueError("x")])
def test_any_other_error_is_raised_and_what_was_measured_is_kept(tmp_path, monkeypatch, error):
    Trial(monkeypatch, n3=error)
    into = Store(tmp_path / "tiny.jsonl")
    with pytest.raises(type(error), match=str(error)):
        study(TINY, "cpu", records=into)
    assert len(into.load()) == 2


def test_a_value_that_is_not_finite_is_refused_rather_than_stored(tmp_path, monkeypatch):
    Trial(monkeypatch)
    monkeypatch.setattr(Trial, "__call__", lambda self, run, device: {"value": math.nan})
    into = Store(tmp_path / "tiny.jsonl")
    with pytest.raises(ValueError, match="value"):
        study(TINY, "cpu", records=into)
    assert into.load() == []


def test_other_code_measures_again(tmp_path, monkeypatch):
    trial, into = Trial(monkeypatch), Store(tmp_path / "tiny.jsonl")
    study(TINY, "cpu", records=into)
    monkeypatch.setattr(store, "source_hash", lambda: "0" * 16)
    done = study(TINY, "cpu", records=into)
    assert len(trial.calls) == 12 and {r.source for r in done.records} == {"0" * 16}
    assert len(into.load()) == 12


def test_a_record_of_another_device_is_not_taken_for_this_one(tmp_path, monkeypatch):
    trial, into = Trial(monkeypatch), Store(tmp_path / "tiny.jsonl")
    study(TINY, "cpu", records=into)
    elsewhere = Store(tmp_path / "elsewhere.jsonl")
    elsewhere.path.write_text(into.path.read_text().replace('"device":"cpu"', '"device":"other"'))
    assert {r.machine.device for r in elsewhere.load()} == {"other"}
    done = study(TINY, "cpu", records=elsewhere)
    assert len(trial.calls) == 12 and {r.machine.device for r in done.records} == {"cpu"}


def test_records_say_where_and_with_what_they_were_made(tmp_path, monkeypatch):
    Trial(monkeypatch)
    (r, *_) = study(TINY, "cpu", records=Store(tmp_path / "tiny.jsonl")).records
    assert r.machine.device == "cpu" and r.source == store.source_hash() and r.seconds >= 0


class Together(Trial):
    """A stand-in for a trial of many runs: its numbers show which runs shared the call."""

    def __call__(self, runs, device):
        self.calls.append(list(runs))
        if isinstance(error := self.errors.get(len(self.calls)), BaseException):
            raise error
        answers = [{"value": 10.0 * run.seed + run.settings["rate"], "shared": len(runs)} for run in runs]
        return error(answers) if error else answers


def undisturbed_many(tmp_path, monkeypatch):
    Together(monkeypatch)
    return said(study(MANY, "cpu", records=Store(tmp_path / "undisturbed.jsonl")).records)


def test_a_trial_of_many_gets_one_group_a_call_and_answers_run_by_run(tmp_path, monkeypatch):
    trial, into, seen = Together(monkeypatch), Store(tmp_path / "many.jsonl"), []
    done = study(MANY, "cpu", lambda *progress: seen.append(progress), into)
    assert trial.calls == MANY.groups() and [len(call) for call in trial.calls] == [32, 32, 4, 4]
    assert [r.run for r in done.records] == MANY.runs()
    assert all(r["value"] == 10.0 * r.run.seed + r["rate"] for r in done.records)
    assert [r["shared"] for r in done.records] == [32] * 64 + [4] * 8
    assert [r.run for r in into.load()] == [run for group in MANY.groups() for run in group]
    assert seen == [(0, 72), (32, 72), (64, 72), (68, 72), (72, 72)]


def test_one_run_of_a_group_can_diverge_alone(tmp_path, monkeypatch):
    Together(monkeypatch, n2=lambda answers: [answers[0], Diverged(), *answers[2:]])
    into = Store(tmp_path / "many.jsonl")
    done = study(MANY, "cpu", records=into)
    bad = [r for r in done.records if r.outcome != "ok"]
    assert [(r.run, r.outcome, dict(r.values)) for r in bad] == [(MANY.groups()[1][1], "diverged", {})]
    assert {r.run: r for r in into.load()} == {r.run: r for r in done.records}


@pytest.mark.parametrize(
    "error, outcome", [(Diverged(), "diverged"), (RuntimeError("CUDA out of memory."), "out_of_memory")]
)
def test_what_ends_a_whole_group_is_the_outcome_of_each_of_its_runs(tmp_path, monkeypatch, error, outcome):
    Together(monkeypatch, n2=error)
    done = study(MANY, "cpu", records=Store(tmp_path / "many.jsonl"))
    assert len(done.records) == 72 and not done.stopped
    for r in done.records:
        assert (r.outcome, bool(r.values)) == ((outcome, False) if r.run in MANY.groups()[1] else ("ok", True))


@pytest.mark.parametrize("error", [RuntimeError("wrong shape"), ZeroDivisionError("x")])
def test_any_other_error_of_a_group_is_raised_and_earlier_groups_are_kept(tmp_path, monkeypatch, error):
    Together(monkeypatch, n3=error)
    into = Store(tmp_path / "many.jsonl")
    with pytest.raises(type(error), match=str(error)):
        study(MANY, "cpu", records=into)
    assert len(into.load()) == 64


@pytest.mark.parametrize("change", [lambda answers: answers[:-1], lambda answers: [*answers, answers[0]]])
def test_a_trial_of_many_that_answers_for_too_few_or_too_many_is_refused(tmp_path, monkeypatch, change):
    Together(monkeypatch, n2=change)
    into = Store(tmp_path / "many.jsonl")
    with pytest.raises(ValueError):
        study(MANY, "cpu", records=into)
    assert len(into.load()) == 32


@pytest.mark.parametrize("answer", [None, 1.5, Diverged], ids=str)
def test_an_answer_that_is_no_answer_is_never_taken_for_lack_of_memory(tmp_path, monkeypatch, answer):
    into = Store(tmp_path / "tiny.jsonl")
    monkeypatch.setattr("tutorlib.study.find_trial", lambda name: lambda run, device: answer)
    with pytest.raises((TypeError, ValueError)):
        study(TINY, "cpu", records=into)
    assert into.load() == []


@pytest.mark.parametrize("lost", [0, 31, 32, 65, 71])
def test_a_group_with_a_run_missing_is_measured_whole_again_and_no_other(tmp_path, monkeypatch, lost):
    wanted = undisturbed_many(tmp_path, monkeypatch)
    into = Store(tmp_path / "many.jsonl")
    lines = (tmp_path / "undisturbed.jsonl").read_text().splitlines(keepends=True)
    into.path.write_text("".join(lines[:lost] + lines[lost + 1 :]))
    trial, seen = Together(monkeypatch), []
    done = study(MANY, "cpu", lambda *progress: seen.append(progress), into)
    gone = RunRecord.from_json(lines[lost]).run
    assert trial.calls == [group for group in MANY.groups() if gone in group]
    assert said(done.records) == wanted and seen == [(71, 72), (72, 72)]


@pytest.mark.parametrize("whole", [0, 5, 32, 70])
def test_a_file_cut_inside_a_line_is_finished_as_if_nothing_had_happened(tmp_path, monkeypatch, whole):
    wanted, into = undisturbed_many(tmp_path, monkeypatch), Store(tmp_path / "many.jsonl")
    lines = (tmp_path / "undisturbed.jsonl").read_text().splitlines(keepends=True)
    into.path.write_text("".join(lines[:whole]) + lines[whole][:100])
    with pytest.warns(UserWarning, match="unreadable"):
        assert said(study(MANY, "cpu", records=into).records) == wanted
    trial = Together(monkeypatch)
    with pytest.warns(UserWarning, match="unreadable"):
        assert said(study(MANY, "cpu", records=Store(into.path)).records) == wanted and not trial.calls


@pytest.mark.parametrize("finished", range(4))
@pytest.mark.parametrize("where", ["trial", "report"])
def test_an_interrupt_between_groups_loses_no_group(tmp_path, monkeypatch, where, finished):
    def report(done, total):
        if where == "report" and done == sizes[finished]:
            raise KeyboardInterrupt

    sizes = [0, 32, 64, 68]
    wanted = undisturbed_many(tmp_path, monkeypatch)
    into = Store(tmp_path / "many.jsonl")
    Together(monkeypatch, **({f"n{finished + 1}": KeyboardInterrupt()} if where == "trial" else {}))
    stopped = study(MANY, "cpu", report, into)
    assert stopped.stopped and len(into.load()) == len(stopped.records) == sizes[finished]
    assert said(study(MANY, "cpu", records=Store(into.path)).records) == wanted


@pytest.mark.parametrize("room", [0, 2000, 12000])
def test_a_disk_that_is_full_is_told_once_and_the_study_returns_everything(tmp_path, monkeypatch, room):
    wanted = undisturbed_many(tmp_path, monkeypatch)
    into, before = Store(tmp_path / "many.jsonl"), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        with pytest.warns(UserWarning, match="TUTORLIB_CACHE") as told:
            done = study(MANY, "cpu", records=into)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert len(told) == 1 and said(done.records) == wanted
    trial = Together(monkeypatch)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a torn line is reported
        assert said(study(MANY, "cpu", records=into).records) == wanted and not trial.calls


class Inline(Executor):
    """An executor that has done everything at once: every group came back before the first is looked at."""

    def __init__(self):
        self.futures = []

    def submit(self, function, *args):
        self.futures.append(future := Future())
        try:
            future.set_result(function(*args))
        except BaseException as error:
            future.set_exception(error)
        return future


def steps(trial, gate):
    """The trial, one run for every ``gate.release()``."""

    def stepwise(*args):
        gate.acquire()
        return trial(*args)

    return stepwise


def test_an_executor_s_groups_come_back_in_the_order_of_the_experiment(tmp_path, monkeypatch):
    for experiment, stand_in in ((TINY, Trial), (MANY, Together)):
        stand_in(monkeypatch)
        wanted = said(study(experiment, "cpu", records=Store(tmp_path / f"{stand_in.__name__}.jsonl")).records)
        for pool in (Inline(), ThreadPoolExecutor(3)):
            trial, seen = stand_in(monkeypatch), []
            into = Store(tmp_path / f"{stand_in.__name__} {type(pool).__name__}.jsonl")
            with pool:
                done = study(experiment, "cpu", lambda *at, seen=seen: seen.append(at), into, pool)
            assert said(done.records) == wanted and sorted(r.run.key for r in into.load()) == sorted(
                run.key for run, *_ in wanted
            )
            assert len(seen) == len(experiment.groups()) + 1 and seen[0] == (0, len(wanted)) and seen == sorted(seen)
            assert seen[-1] == (len(wanted), len(wanted)) and len(trial.calls) == len(experiment.groups())


@pytest.mark.parametrize("side_by_side", [False, True])
def test_only_groups_that_may_run_side_by_side_get_threads(tmp_path, monkeypatch, side_by_side):
    wanted = undisturbed(tmp_path, monkeypatch)
    trial, threads = Trial(monkeypatch), set()

    def noting(*args):
        threads.add(threading.current_thread())
        return trial(*args)

    monkeypatch.setattr("tutorlib.study.find_trial", lambda name: noting)
    done = study(TINY.at(side_by_side=side_by_side), "cpu", records=Store(tmp_path / "again.jsonl"))
    assert said(done.records) == wanted and len(trial.calls) == len(wanted)
    assert (threading.main_thread() in threads) is not side_by_side


def test_a_stop_waits_for_the_groups_in_threads_keeps_them_and_starts_no_other(tmp_path, monkeypatch):
    def report(done, total):
        if done:
            raise KeyboardInterrupt

    wanted = undisturbed(tmp_path, monkeypatch)
    trial, lock, arrived = Trial(monkeypatch), threading.Lock(), itertools.count(1)
    both, waited_for = threading.Barrier(2), threading.Event()

    def pairwise(*args):  # two groups are in flight together; whoever starts a later one is still at it at the stop
        with lock:
            number = next(arrived)
        assert both.wait(timeout=10) >= 0 if number <= 2 else waited_for.wait(timeout=10)
        with lock:
            return trial(*args)

    def wait_for(futures):
        waited_for.set()
        return wait(futures)

    monkeypatch.setattr("tutorlib.study.wait", wait_for)
    monkeypatch.setattr("tutorlib.study.find_trial", lambda name: pairwise)
    monkeypatch.setattr("tutorlib.study.devices.cores", lambda: 2)
    into = Store(tmp_path / "again.jsonl")
    stopped = study(TINY.at(side_by_side=True), "cpu", report, into)
    assert waited_for.is_set() and stopped.stopped and 2 <= len(stopped.records) <= 4 < len(wanted)
    assert len(into.load()) == len(trial.calls) == len(stopped.records)
    monkeypatch.setattr("tutorlib.study.find_trial", lambda name: trial)
    assert said(study(TINY, "cpu", records=Store(into.path)).records) == wanted


def test_nothing_is_given_to_an_executor_when_all_is_measured(tmp_path, monkeypatch):
    Trial(monkeypatch)
    first = study(TINY, "cpu", records=Store(tmp_path / "tiny.jsonl"))
    seen, pool = [], Inline()
    again = study(TINY, "cpu", lambda *at: seen.append(at), Store(tmp_path / "tiny.jsonl"), pool)
    assert again.records == first.records and not pool.futures and seen == [(6, 6)]


@pytest.mark.parametrize("finished", range(5))
def test_an_interrupt_with_an_executor_keeps_what_came_back_and_cancels_the_rest(tmp_path, monkeypatch, finished):
    def report(done, total):
        if done == finished:
            raise KeyboardInterrupt
        gate.release()

    wanted = undisturbed(tmp_path, monkeypatch)
    trial, gate, into = Trial(monkeypatch), threading.Semaphore(0), Store(tmp_path / "tiny.jsonl")
    monkeypatch.setattr("tutorlib.study.find_trial", lambda name: steps(trial, gate))
    with ThreadPoolExecutor(1) as pool:
        stopped = study(TINY, "cpu", report, into, pool)
        gate.release(9)
    assert stopped.stopped and said(stopped.records) == said(into.load()) == wanted[:finished]
    assert len(trial.calls) <= finished + 1
    monkeypatch.setattr("tutorlib.study.find_trial", lambda name: trial)
    with ThreadPoolExecutor(1) as pool:
        assert said(study(TINY, "cpu", records=Store(into.path), executor=pool).records) == wanted


def test_an_interrupt_while_groups_are_handed_out_cancels_those_handed_out(tmp_path, monkeypatch):
    class Impatient(Executor):
        def submit(self, *args):
            if len(futures) == 3:
                raise KeyboardInterrupt
            futures.append(Future())
            return futures[-1]

    futures = []
    Trial(monkeypatch)
    assert study(TINY, "cpu", records=Store(tmp_path / "tiny.jsonl"), executor=Impatient()).stopped
    assert all(future.cancelled() for future in futures)


def test_an_error_in_one_group_costs_no_group_that_came_back(tmp_path, monkeypatch):
    Trial(monkeypatch, n3=ZeroDivisionError("x"))
    into = Store(tmp_path / "tiny.jsonl")
    with pytest.raises(ZeroDivisionError):
        study(TINY, "cpu", records=into, executor=Inline())
    assert len(into.load()) == 5


def test_an_interrupt_costs_no_group_that_came_back(tmp_path, monkeypatch):
    def report(done, total):
        if done == 2:
            raise KeyboardInterrupt

    Trial(monkeypatch)
    into = Store(tmp_path / "tiny.jsonl")
    assert study(TINY, "cpu", report, into, Inline()).stopped
    assert len(into.load()) == 6


def test_a_worker_with_another_version_of_the_code_is_refused(tmp_path, monkeypatch):
    Trial(monkeypatch)
    into, here = Store(tmp_path / "tiny.jsonl"), threading.current_thread()
    monkeypatch.setattr(store, "source_hash", lambda: ("b" if threading.current_thread() is here else "a") * 16)
    with ThreadPoolExecutor(1) as pool, pytest.raises(ValueError, match="a worker runs another version of tutorlib"):
        study(TINY, "cpu", records=into, executor=pool)
    assert into.load() == []


def test_threads_leave_the_thread_count_of_the_caller_alone(tmp_path, monkeypatch):
    def find(name):  # the second comes while the first is at work, and goes after it
        mine = started.pop(0)
        mine.wait(5)
        return lambda run, device: trial(mine is second)

    def trial(late):
        second.set()
        time.sleep(0.3 if late else 0.1)
        return {"value": 1.0}

    monkeypatch.setattr("tutorlib.study.find_trial", find)
    first, second = threading.Event(), threading.Event()
    before, started = torch.get_num_threads(), [first, second]
    first.set()
    torch.set_num_threads(before + 1)
    try:
        with ThreadPoolExecutor(2) as pool:
            study(TINY.at(points=({},), seeds=2), "cpu", records=Store(tmp_path / "tiny.jsonl"), executor=pool)
        with ThreadPoolExecutor(1) as later:  # a thread that has not asked yet takes the count of the process
            assert later.submit(torch.get_num_threads).result() == before + 1
    finally:
        torch.set_num_threads(before)


MADE_UP = """
import os, signal, time
from pathlib import Path


def slow(runs, device):
    time.sleep(0.02)
    return [{"value": 10.0 * run.seed + run.settings["rate"], "shared": len(runs)} for run in runs]


def deadly(runs, device):
    kill_once(runs[0], 16, 64)
    return slow(runs, device)


def deadly_alone(run, device):
    kill_once(run, 1, 2)
    return {"value": 10.0 * run.seed + run.settings["batch"]}


def kill_once(run, seed, stored):
    mine, died = Path(run.settings["file"]), Path(run.settings["file"] + ".died")
    if run.seed == seed and run.settings["batch"] == 1 and not died.exists():
        while not mine.exists() or mine.read_bytes().count(b"\\n") < stored:
            time.sleep(0.005)
        died.touch()
        os.kill(os.getpid(), signal.SIGKILL)
"""


def add_trials(folder):
    """Let this process find the trials of ``folder`` too."""
    if folder not in trials.__path__:
        trials.__path__.append(folder)


@pytest.fixture(scope="module")
def made_up(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trials")
    (folder / "made_up.py").write_text(MADE_UP)
    add_trials(str(folder))
    yield str(folder)
    trials.__path__.remove(str(folder))


def processes(count, folder):
    spawn = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(count, spawn, initializer=add_trials, initargs=(folder,))


@pytest.fixture(scope="module")
def two_processes(made_up):
    with processes(2, made_up) as pool:
        yield pool


@pytest.fixture(scope="module")
def cluster(made_up, tmp_path_factory):
    """Two Dask workers on this machine; a worker that dies is not given its group again."""
    from dask.distributed import Client, LocalCluster  # not above: the other child processes import this file too

    quiet = {
        "dashboard_address": None,
        "silence_logs": logging.CRITICAL,
        "local_directory": tmp_path_factory.mktemp("d"),
    }
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, **quiet) as workers, Client(workers) as client:
        client.register_worker_callbacks(functools.partial(add_trials, made_up))
        workers.scheduler.allowed_failures = 0
        yield client


def assert_same(records, wanted):
    """The same runs and outcomes, and values to rounding: two processes may round the last digit differently."""
    assert [(r.run, r.outcome) for r in records] == [(r.run, r.outcome) for r in wanted]
    for one, other in zip(records, wanted, strict=True):
        assert dict(one.values) == pytest.approx(dict(other.values), rel=1e-4, abs=1e-6)


def check_same(experiment, tmp_path, executor):
    wanted = study(experiment, "cpu", records=Store(tmp_path / "alone.jsonl")).records
    into = Store(tmp_path / "workers.jsonl")
    done = study(experiment, "cpu", records=into, executor=executor)
    assert_same(done.records, wanted)
    assert not done.stopped
    assert {r.run: r for r in into.load()} == {r.run: r for r in done.records}


def test_processes_give_the_same_values(tmp_path, two_processes):
    check_same(REAL, tmp_path, two_processes)


def test_a_dask_cluster_gives_the_same_values(tmp_path, cluster):
    check_same(REAL, tmp_path, cluster.get_executor())


def test_threads_give_the_same_values(tmp_path, monkeypatch):
    def slowly():  # so that two threads do make weights at the same time
        time.sleep(0.02)
        return mlp()

    mlp = models.mlp
    monkeypatch.setattr(models, "mlp", slowly)
    one_point = REAL.at(points=REAL.points[:1], seeds=6)
    with ThreadPoolExecutor(4) as pool:
        check_same(one_point, tmp_path, pool)


@pytest.mark.parametrize("trial", ["deadly", "deadly_alone"])
def test_a_lost_dask_worker_is_told_and_the_next_call_finishes(tmp_path, cluster, trial):
    mine = tmp_path / "mine.jsonl"
    experiment = (MANY if trial == "deadly" else TINY).at(trial=f"made_up.{trial}", held={"file": str(mine)})
    with pytest.raises(ValueError, match=LOST):
        study(experiment, "cpu", records=Store(mine), executor=cluster.get_executor())
    kept = said(Store(mine).load())
    done = study(experiment, "cpu", records=Store(mine), executor=cluster.get_executor())
    wanted = said(study(experiment, "cpu", records=Store(tmp_path / "undisturbed.jsonl")).records)
    assert said(done.records) == wanted and len(kept) >= len(experiment.groups()[0])
    assert all(one in wanted for one in kept)


def test_a_study_stopped_on_dask_goes_on_at_once(tmp_path, cluster):
    def stop(done, total):
        if done >= 4:
            raise KeyboardInterrupt

    experiment, mine = MANY.at(trial="made_up.slow", seeds=160), tmp_path / "mine.jsonl"
    assert study(experiment, "cpu", stop, Store(mine), cluster.get_executor()).stopped
    again = study(experiment, "cpu", records=Store(mine), executor=cluster.get_executor())
    assert len(again) == 640 and not again.stopped


def test_a_lost_process_is_told_and_the_next_call_finishes(tmp_path, made_up, two_processes):
    mine = tmp_path / "mine.jsonl"
    experiment = MANY.at(trial="made_up.deadly", held={"file": str(mine)})
    with processes(1, made_up) as pool:
        with pytest.raises(ValueError, match=LOST):
            study(experiment, "cpu", records=Store(mine), executor=pool)
        kept = said(Store(mine).load())
    done = study(experiment, "cpu", records=Store(mine), executor=two_processes)
    wanted = said(study(experiment, "cpu", records=Store(tmp_path / "undisturbed.jsonl")).records)
    assert said(done.records) == wanted and len(kept) == 64 and all(one in wanted for one in kept)


def test_a_pool_that_broke_before_is_a_lost_worker_too(tmp_path, monkeypatch):
    Trial(monkeypatch)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(os._exit, 1).exception()
        with pytest.raises(ValueError, match=LOST):
            study(TINY, "cpu", records=Store(tmp_path / "tiny.jsonl"), executor=pool)


CHILD = """
import sys
from tutorlib import trials
from tutorlib.records import Experiment
from tutorlib.store import Store
from tutorlib.study import study

folder, path, experiment = sys.argv[1:]
trials.__path__.append(folder)
study(Experiment.from_json(experiment), "cpu", records=Store(path))
"""


@pytest.mark.parametrize(
    "experiment",
    [VARIANCE.at(held={"examples": 1024, "draws": 4}, seeds=4), MANY.at(trial="made_up.slow", seeds=160)],
    ids=["a real experiment", "many runs at once"],
)
def test_a_study_killed_in_the_middle_is_finished_as_if_nothing_had_happened(tmp_path, made_up, experiment):
    mine = tmp_path / "mine.jsonl"
    with subprocess.Popen([sys.executable, "-c", CHILD, made_up, str(mine), experiment.to_json()]) as child:
        while not mine.exists() or mine.read_bytes().count(b"\n") < 5:
            assert child.poll() is None
            time.sleep(0.002)
        os.kill(child.pid, signal.SIGKILL)
    assert child.returncode == -signal.SIGKILL
    killed = mine.read_bytes().count(b"\n")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a torn line is reported
        done = study(experiment, "cpu", records=Store(mine))
    assert 5 <= killed < len(experiment.runs()) == len(done)
    assert_same(done.records, study(experiment, "cpu", records=Store(tmp_path / "undisturbed.jsonl")).records)


SMALL = {"examples": 1024, "draws": 2, "walk_examples": 128, "destination_steps": 2}


@pytest.mark.parametrize("experiment", [*(e for es, _ in VERDICTS for e in es), *RECORDED], ids=lambda e: e.name)
def test_every_experiment_of_the_course_can_be_run(tmp_path, experiment):
    held = {name: SMALL.get(name, value) for name, value in experiment.held.items()}
    done = study(replace(experiment, held=held, seeds=1), "cpu", records=Store(tmp_path / "small.jsonl"))
    assert len(done.records) == len(experiment.points)
    assert all(r.outcome == "ok" and r.values for r in done.records)
    assert len({tuple(r.values) for r in done.records}) == 1
    assert callable(find_trial(experiment.trial))
