"""Verdicts under other seeds: counted row by row, and inconclusive where they do not settle."""

import dataclasses

import pytest

from tutorlib import __main__ as command_line
from tutorlib.records import Verdict
from tutorlib.verdicts import repeats
from tutorlib.verdicts.repeats import Repeats, counted, settle
from tutorlib.verdicts.rules import INCONCLUSIVE
from tutorlib.widgets.verdicts import show_verdicts

ROW = Verdict("D0-06", "it shrinks", "holds if", "a slope", -1.0, -1.1, -0.9, "one net", "a flat line", "it is fair")


def repeated(**words) -> Repeats:
    return Repeats("01", ROW.claim, ROW.says, ROW.measured, {w.replace("_", " "): n for w, n in words.items()}, "a CPU")


def said(word: str) -> Verdict:
    return dataclasses.replace(ROW, verdict=word, condition="it is fair" if word == "holds if" else "")


@pytest.mark.parametrize("same, settled", [(20, True), (19, True), (18, False), (10, False)])
def test_nineteen_of_twenty_settle_a_verdict_and_eighteen_do_not(same, settled):
    known = repeated(holds_if=same, does_not_hold=20 - same)
    assert known.settled is settled
    (after,) = settle([ROW], [known])
    assert after.verdict == ("holds if" if settled else INCONCLUSIVE)
    assert after.condition == (ROW.condition if settled else "")
    assert (after.estimate, after.low, after.high) == (ROW.estimate, ROW.low, ROW.high)
    assert after.held == "one net"
    said = "20 of 20 other base seeds agree" if same == 20 else f"holds if {same}"
    assert said in after.other_seeds and ("this run alone: holds if" in after.other_seeds) is not settled


def test_a_settled_row_keeps_what_this_run_says_even_where_the_others_said_something_else():
    (after,) = settle([said("does not hold")], [repeated(holds_if=20)])
    assert after.verdict == "does not hold" and after.other_seeds == "20 other base seeds said: holds if 20"


def test_a_row_that_was_never_repeated_or_is_worded_differently_stays_as_it_is():
    assert settle([ROW], []) == [ROW]
    other = dataclasses.replace(ROW, measured="another slope")
    assert settle([other], [repeated(holds=10, does_not_hold=10)]) == [other]


def test_words_are_counted_row_by_row():
    other = dataclasses.replace(ROW, claim="D0-07")
    rounds = [[said("holds"), other], [said("holds"), other], [said("does not hold"), other]]
    first, second = counted("01", rounds, "a CPU")
    assert dict(first.words) == {"holds": 2, "does not hold": 1} and dict(second.words) == {"holds if": 3}
    assert (first.claim, second.claim, first.lesson) == ("D0-06", "D0-07", "01")


def test_the_table_of_a_lesson_says_inconclusive_where_seeds_do_not_settle(monkeypatch):
    monkeypatch.setattr(repeats, "shipped", lambda: (repeated(holds_if=11, does_not_hold=9),))
    bundle = show_verdicts([ROW])._repr_mimebundle_()
    assert INCONCLUSIVE in bundle["text/plain"] and "holds if 11, does not hold 9" in bundle["text/html"]


def test_keeping_replaces_the_lesson_s_lines_and_no_others(tmp_path, monkeypatch):
    monkeypatch.setattr(repeats, "PATH", tmp_path / "repeats.jsonl")
    old, elsewhere = repeated(holds=20), dataclasses.replace(repeated(holds=20), lesson="05")
    monkeypatch.setattr(repeats, "shipped", lambda: (old, elsewhere))
    command_line.keep("01", [repeated(holds=19, does_not_hold=1)])
    kept = [Repeats.from_json(line) for line in (tmp_path / "repeats.jsonl").read_text().splitlines()]
    assert [(r.lesson, dict(r.words)) for r in kept] == [
        ("01", {"holds": 19, "does not hold": 1}),
        ("05", {"holds": 20}),
    ]


def test_what_ships_names_rows_that_the_lessons_judge():
    lessons = {row.lesson for row in repeats.shipped()}
    assert lessons <= set(command_line.LESSONS)
    assert all(sum(row.words.values()) >= 20 and row.machine for row in repeats.shipped())
