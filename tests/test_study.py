"""An experiment run to its end: nothing is repeated, an interrupt loses nothing, failures are outcomes."""

import math
from dataclasses import replace

import pytest

from tutorlib import store
from tutorlib.records import Experiment, grid
from tutorlib.store import Store
from tutorlib.study import find_trial, study
from tutorlib.trials import Diverged
from tutorlib.verdicts.measure_the_noise import RECORDED, VERDICTS

TINY = Experiment("tiny", "?", "made.up", grid(batch=(1, 2)), "", held={"examples": 8}, seeds=3)


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


SMALL = {"examples": 1024, "draws": 2, "walk_examples": 128, "destination_steps": 2}


@pytest.mark.parametrize("experiment", [*(e for e, _ in VERDICTS), *RECORDED], ids=lambda e: e.name)
def test_every_experiment_of_the_course_can_be_run(tmp_path, experiment):
    held = {name: SMALL.get(name, value) for name, value in experiment.held.items()}
    done = study(replace(experiment, held=held, seeds=1), "cpu", records=Store(tmp_path / "small.jsonl"))
    assert len(done.records) == len(experiment.points)
    assert all(r.outcome == "ok" and r.values for r in done.records)
    assert len({tuple(r.values) for r in done.records}) == 1
    assert callable(find_trial(experiment.trial))
