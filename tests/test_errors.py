"""What a learner sees when something is refused: one sentence in a notebook, and never a lost record."""

import dataclasses

import numpy as np
import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell

from tutorlib import __main__ as command_line
from tutorlib import store
from tutorlib.errors import Refused
from tutorlib.nn.data import Data, digits, mnist1d
from tutorlib.results import Results
from tutorlib.verdicts.rules import above, equal_to, same_quotient, same_ratio, verdict
from tutorlib.widgets.verdicts import show_verdicts


def test_a_notebook_shows_the_sentence_and_no_traceback(capsys):
    shell = InteractiveShell.instance()
    shell.run_cell("from tutorlib.theory.noise import check_batch\ncheck_batch(0, 64)")
    said = capsys.readouterr()
    assert (said.out + said.err).strip() == (
        "✗ batch is 0; allowed: a whole number from 1 to 64 (the number of examples): take at least one"
    )
    shell.run_cell("1 / 0")
    said = capsys.readouterr()
    assert "Traceback" in said.out + said.err, "an error that is not ours keeps its traceback"


def test_a_refusal_is_a_value_error():
    with pytest.raises(ValueError, match="examples is 0"):
        digits(0)


@pytest.mark.parametrize(
    "finding",
    [equal_to(1, [1.0], 0.1), same_ratio([1.0, -1.0, 2.0]), same_quotient([1.0, 2.0], [-1.0, 1.0]), above(0, [1.0])],
)
def test_numbers_without_a_bounded_interval_are_inconclusive_and_shown_so(finding):
    said = verdict("E15", "measured", finding, "other", held="held", says="says")
    assert said.verdict == "inconclusive at this budget" and said.estimate is None
    assert "no bounded interval" in show_verdicts([said]).text


def test_data_refuses_targets_that_do_not_fit():
    with pytest.raises(Refused, match="3 examples and y has 5"):
        Data(torch.zeros(3, 2), torch.zeros(5))
    with pytest.raises(Refused, match="y has NaN or infinity, first in example 1"):
        Data(torch.zeros(2, 2), torch.tensor([0.0, float("nan")]))


def test_making_mnist1d_leaves_the_global_random_stream_alone():
    before = np.random.get_state()[1].copy()
    mnist1d(10, seed=987)
    assert (np.random.get_state()[1] == before).all()


def test_a_cache_that_cannot_be_written_still_answers_for_the_rest_of_the_session(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("TUTORLIB_CACHE", str(tmp_path / "file" / "cache"))
    record = store.Store(store.PACKAGE / "recorded" / "arrows.jsonl").load()[0]
    with pytest.warns(UserWarning, match="TUTORLIB_CACHE"):
        store.live("arrows").append(record)
    assert store.live("arrows").load() == [record]


def test_a_part_that_older_code_recorded_does_not_make_a_record_whole(tmp_path, monkeypatch, capsys):
    (tmp_path / "recorded").mkdir()
    shipped = store.Store(store.PACKAGE / "recorded" / "gradient_rows.jsonl").load()
    stale = [dataclasses.replace(record, source="0" * 16).to_json() + "\n" for record in shipped]
    (tmp_path / "recorded" / "gradient_rows.new").write_text("".join(stale))
    monkeypatch.setattr(command_line, "PACKAGE", tmp_path)
    monkeypatch.setattr("tutorlib.study.study", lambda experiment, records: Results(experiment, ()))
    command_line.main(["record", "--only", "gradient_rows", "--part", "1", "2"])
    assert "it is replaced when all parts are" in capsys.readouterr().out
    assert not (tmp_path / "recorded" / "gradient_rows.jsonl").exists()


def test_recording_that_is_stopped_leaves_the_old_record(tmp_path, monkeypatch):
    (tmp_path / "recorded").mkdir()
    old = (store.PACKAGE / "recorded" / "arrows.jsonl").read_bytes()
    (tmp_path / "recorded" / "arrows.jsonl").write_bytes(old)
    monkeypatch.setattr(command_line, "PACKAGE", tmp_path)
    monkeypatch.setattr("tutorlib.study.study", lambda experiment, records: Results(experiment, (), stopped=True))
    with pytest.raises(SystemExit, match="left as it was"):
        command_line.main(["record"])
    assert (tmp_path / "recorded" / "arrows.jsonl").read_bytes() == old
