"""The runs of lesson 01 on a small scale, and the command line that repeats them."""

import dataclasses

import pytest

from tutorlib import __main__ as command_line
from tutorlib.experiments.measure_the_noise import WALK
from tutorlib.records import Run
from tutorlib.study import find_trial
from tutorlib.trials import measure_the_noise as trials
from tutorlib.verdicts import measure_the_noise as lesson


def test_every_experiment_names_a_trial_that_exists():
    for (experiment,), _ in lesson.VERDICTS:
        assert callable(find_trial(experiment.trial))


def test_the_whole_data_set_without_replacement_has_no_noise():
    run = Run("x", {"examples": 64, "batch": 64, "replacement": False, "draws": 2}, 0)
    assert trials.variance(run, "cpu")["variance"] < 1e-10


def test_an_update_in_parts_is_the_update_in_one_piece():
    run = Run("x", {"examples": 64, "micro_batch": 5, "accumulation": 3, "draws": 1}, 0)
    values = trials.plan(run, "cpu")
    assert values["distance"] < 1e-5 and values["rule_error"] < 1e-5


def test_at_a_vanishing_rate_small_steps_go_as_far_as_one_step_at_the_scaled_rate():
    held = {"examples": 128, "walk_examples": 32, "rate": 1e-4, "destination_steps": 1}
    small = trials.walk(Run("x", {**held, "batch": 1, "rate_factor": 1.0}, 0), "cpu")
    scaled = trials.walk(Run("x", {**held, "batch": 32, "rate_factor": 32.0}, 0), "cpu")
    assert small["drift"] == pytest.approx(scaled["drift"], rel=0.01)


def test_the_verdict_table_counts_how_often_each_verdict_survives(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("TUTORLIB_CACHE", str(tmp_path))
    small = WALK.at(seeds=2, held={**WALK.held, "examples": 128, "destination_steps": 2})
    monkeypatch.setattr(lesson, "VERDICTS", (((small,), lesson.walk_verdicts),))
    command_line.main(["verdicts", "--seeds", "2"])
    out = capsys.readouterr().out
    assert out.count("\n") == 7 and "D0-08" in out and "/2" in out


def test_a_row_without_a_number_is_counted_like_the_others(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("TUTORLIB_CACHE", str(tmp_path))
    small = WALK.at(seeds=2, held={**WALK.held, "examples": 128, "destination_steps": 2})

    def judge(records):
        (first, *_) = lesson.walk_verdicts(records)
        return [dataclasses.replace(first, estimate=None, low=None, high=None)]

    monkeypatch.setattr(lesson, "VERDICTS", (((small,), judge),))
    command_line.main(["verdicts", "--seeds", "2"])
    assert "2/2    no number, no number" in capsys.readouterr().out


def test_zero_seeds_are_refused_in_one_sentence(capsys):
    with pytest.raises(SystemExit):
        command_line.main(["verdicts", "--seeds", "0"])
    assert "allowed: at least 1" in capsys.readouterr().err
