"""The ledger: every claim in one state, what the lessons' tables say, and no run lost to a stop."""

import dataclasses
import json
import random
import re
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest

from tutorlib.__main__ import LESSONS, main
from tutorlib.commands import ledger
from tutorlib.commands.ledger_page import page, summary, table
from tutorlib.errors import Refused
from tutorlib.records import Experiment, Machine, Verdict, grid
from tutorlib.results import Results
from tutorlib.store import Store
from tutorlib.verdicts.claims import CLAIMS
from tutorlib.verdicts.documents import DOCUMENTS, NOT_JUDGED, claims, gloss
from tutorlib.verdicts.ledger import DIFFER, NOT_COVERED, STATES, Entry, counts, states, verdicts, word
from tutorlib.verdicts.repeats import Repeats
from tutorlib.verdicts.rules import above, verdict
from tutorlib.widgets.verdicts import lines

ROOT = Path(__file__).resolve().parent.parent
FACTS, PAGE = ROOT / "course" / "ledger.jsonl", ROOT / "course" / "ledger.md"
MACHINE = Machine("cpu", "a CPU", 1, "3.11", "2.6", "0.1.0")
NUMBERS = r" (exactly [\d,.e+-]+|≤ \S+|-?[\d.,e+-]+ \[[^\]]*\]|no bounded interval)$"


def row(claim: str, said: str, says: str = "", lesson: str = "01") -> Entry:
    condition = "it is fair" if said == "holds if" else ""
    made = Verdict(claim, says or CLAIMS[claim], said, "a | slope", 1.0, 0.5, 2.0, "one net", "another", condition)
    return Entry(lesson, made, ("made_up",), (3,), MACHINE, "quick", "0123456789abcdef")


# ---- the claims


def test_the_documents_make_148_claims_and_each_is_in_our_words_once():
    assert len(claims()) == len(set(claims())) == 148
    assert {name: len(claims(name)) for name in DOCUMENTS} == {"D0": 27, "D1": 44, "D2": 24, "D3": 29, "D4": 24}
    twice = set(CLAIMS) & set(NOT_JUDGED)
    assert not twice, f"{sorted(twice)} are judged now: take them out of NOT_JUDGED"
    assert set(CLAIMS) | set(NOT_JUDGED) == set(claims())
    words = [gloss(claim) for claim in claims()]
    assert all(words) and len(set(words)) == 148


@pytest.mark.parametrize("seed", range(20))
def test_every_claim_is_in_exactly_one_state_whatever_was_measured(seed):
    rng = random.Random(seed)
    rows = [row(rng.choice(list(CLAIMS)), rng.choice(STATES[:4])) for _ in range(rng.randrange(60))]
    rows.append(row("E15", "holds", "a question of our own"))
    found = states(rows)
    assert list(found) == claims() and set(found.values()) <= set(STATES)
    assert sum(counts(found).values()) == 148 and list(counts(found)) == list(STATES)
    judged = {r.verdict.claim for r in rows} - {"E15"}
    assert {claim for claim, state in found.items() if state != NOT_COVERED} == judged


@pytest.mark.parametrize(
    "said, state",
    [
        ([], NOT_COVERED),
        ([("holds", "")], "holds"),
        ([("holds", ""), ("holds if", "")], "holds if"),
        ([("holds", ""), ("does not hold", "")], DIFFER),
        ([("holds", ""), ("inconclusive at this budget", "")], DIFFER),
        ([("holds", ""), ("does not hold", "… a variation")], "holds"),
        ([("does not hold", "control: backwards"), ("holds", "told anew")], "holds"),
        ([("does not hold", "told anew"), ("holds", CLAIMS["D0-06"] + ", narrowed down")], "holds"),
        ([("does not hold", "… one way"), ("holds", "… another")], DIFFER),
    ],
)
def test_the_word_of_a_claim_is_that_of_the_rows_that_say_it(said, state):
    assert word([row("D0-06", how, says).verdict for how, says in said]) == state


def test_a_gloss_that_begins_with_dots_is_its_claim_and_no_variation():
    rows = [row("D0-16", "holds"), row("D0-16", "does not hold", "… elsewhere")]
    assert CLAIMS["D0-16"].startswith("…") and states(rows)["D0-16"] == "holds"


# ---- what is committed


def test_the_page_is_the_one_that_its_facts_make():
    rows, told = ledger.load(FACTS), "run python -m tutorlib ledger --page"
    assert PAGE.read_text("utf-8") == page(rows, LESSONS), told
    assert PAGE.with_suffix(".json").read_text("utf-8") == summary(rows, LESSONS) + "\n", told


def test_the_ledger_has_every_lesson_of_the_command_line_and_no_other():
    assert {r.lesson for r in ledger.load(FACTS)} == set(LESSONS), "run python -m tutorlib ledger"


def test_the_page_lists_every_claim_once_and_judges_none_that_has_no_words():
    overview = PAGE.read_text("utf-8").split("## Row by row")[0]
    assert re.findall(r"^\| `(D\d-\d\d)` \|", overview, re.M) == claims()
    known = {claim for claim in CLAIMS} | {f"E{n:02d}" for n in range(1, 33)}
    assert {r.verdict.claim for r in ledger.load(FACTS)} <= known


def test_the_json_has_every_claim_with_its_lessons_or_the_reason_why_none_judges_it():
    told = json.loads(summary([row("D0-06", "holds", lesson=name) for name in ("01", "00")], {"00": 0, "01": 0}))
    assert list(told["claims"]) == claims() and told["counts"] == {
        **dict.fromkeys(STATES, 0),
        "holds": 1,
        NOT_COVERED: 147,
    }
    assert told["claims"]["D0-06"] == {"says": CLAIMS["D0-06"], "word": "holds", "lessons": ["00", "01"], "reason": ""}
    assert (
        told["claims"]["D0-13"]["reason"] == NOT_JUDGED["D0-13"][1]
        and told["claims"]["D0-07"]["reason"] == "in no lesson"
    )
    assert all(bool(claim["reason"]) != bool(claim["lessons"]) for claim in told["claims"].values())


def differences(rows: list[Entry], told: list[str], clocked: list[str] = ()) -> list[str]:
    """Rows of the ledger that a lesson's tables do not have, word by word, and the other way round.

    ``clocked`` are rows on seconds: what they say is another on another machine, and only that they are there counts.
    """
    ours, theirs = lines(verdicts(rows), numbers=False).splitlines(), [re.sub(NUMBERS, "", line) for line in told]
    loose = {re.sub(NUMBERS, "", line).partition(" — ")[2] for line in clocked}
    theirs += [re.sub(NUMBERS, "", line) for line in clocked]
    ours, theirs = (
        Counter(tail if (tail := line.partition(" — ")[2]) in loose else line for line in each)
        for each in (ours, theirs)
    )
    return [
        *(f"only in the ledger: {line}" for line in ours - theirs),
        *(f"not in it: {line}" for line in theirs - ours),
    ]


def tables(name: str) -> tuple[list[str], list[str]]:
    """The lines of every verdict table of a stored notebook: those that are compared, and those on seconds."""
    (path,) = (ROOT / "lessons").glob(f"{name}_*.ipynb")
    found: dict[bool, list[str]] = {True: [], False: []}
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code" and "show_verdicts(" in cell.source:
            tags = cell.metadata.get("tags", [])
            texts = [out.get("data", {}).get("text/plain", "") for out in cell.outputs]
            found["nbval-ignore-output" in tags] += [line for text in texts for line in text.splitlines()]
    return found[False], found[True]


@pytest.mark.parametrize("name", LESSONS)
def test_the_ledger_says_of_a_lesson_what_its_stored_tables_say(name):
    rows = [r for r in ledger.load(FACTS) if r.lesson == name]
    if rows:  # a missing lesson is another test's to tell
        assert not differences(rows, *tables(name)), f"python -m tutorlib ledger --lesson {name} writes it again"


@pytest.mark.parametrize("name, value", [("verdict", "holds"), ("measured", "x"), ("condition", "y"), ("says", "z")])
def test_one_word_that_is_older_than_the_lesson_is_noticed(name, value):
    rows = [r for r in ledger.load(FACTS) if r.lesson == "00"]
    assert not differences(rows, *tables("00")) and rows[0].verdict.verdict == "holds if"
    changed = {"condition": ""} if name == "verdict" else {}
    rows[0] = dataclasses.replace(rows[0], verdict=dataclasses.replace(rows[0].verdict, **{name: value, **changed}))
    assert len(differences(rows, *tables("00"))) == 2
    assert len(differences(rows[1:], *tables("00"))) == 1


def test_rows_on_seconds_may_say_another_word_and_must_be_there():
    one, other = row("D0-06", "holds"), row("D0-06", "does not hold")
    told = lines(verdicts([one])).splitlines()
    assert not differences([other], [], told) and differences([other], told) and differences([], [], told)


# ---- running it


def test_lesson_00_measured_now_is_the_lesson_00_of_the_ledger(tmp_path, monkeypatch):
    monkeypatch.setenv("TUTORLIB_CACHE", str(tmp_path / "cache"))
    main(["ledger", "--lesson", "00", "--into", str(tmp_path)])
    fresh = ledger.load(tmp_path / "ledger.jsonl")
    assert [r.verdict for r in fresh] == [r.verdict for r in ledger.load(FACTS) if r.lesson == "00"]
    assert {r.experiments for r in fresh} == {("loops",)} and {r.seeds for r in fresh} == {(1,)}
    assert (tmp_path / "ledger.md").read_text("utf-8") == page(fresh, LESSONS)


FIRST, SECOND = (Experiment(name, "?", "made.up", grid(batch=(1, 2)), "", seeds=4) for name in ("first", "second"))


def judge(results) -> list[Verdict]:
    values = [r["value"] for r in results]
    return [verdict("D0-06", "values", above(0, values), "less", held="all")]


@pytest.fixture
def lessons(tmp_path, monkeypatch):
    """Two made-up lessons; the runs that were measured, and how many may be before the stop button."""
    monkeypatch.setenv("TUTORLIB_CACHE", str(tmp_path / "cache"))
    state = SimpleNamespace(calls=[], stop=None)

    def trial(run, device):
        if len(state.calls) == state.stop:
            raise KeyboardInterrupt
        state.calls.append(run)
        return {"value": 10.0 + run.seed + run.settings["batch"]}

    monkeypatch.setattr("tutorlib.study.find_trial", lambda name: trial)
    state.known = {
        "00": SimpleNamespace(__name__="made.start_here", VERDICTS=(((FIRST,), judge),)),
        "01": SimpleNamespace(__name__="made.other", VERDICTS=(((FIRST,), judge), ((SECOND,), judge))),
    }
    return state


def test_a_stop_keeps_whole_lessons_and_their_runs_and_the_next_run_goes_on(lessons, tmp_path, capsys):
    lessons.stop = 11  # all eight runs of the first experiment, three of the second
    with pytest.raises(SystemExit, match=r"Stopped in lesson 01.*Run the same again"):
        ledger.write(lessons.known, into=tmp_path)
    assert [r.lesson for r in ledger.load(tmp_path / "ledger.jsonl")] == ["00"]
    assert "Not measured for this ledger: lesson 01" in (tmp_path / "ledger.md").read_text("utf-8")
    lessons.stop = None
    ledger.write(lessons.known, into=tmp_path)
    assert [r.lesson for r in ledger.load(tmp_path / "ledger.jsonl")] == ["00", "01", "01"]
    assert len(lessons.calls) == len(set(lessons.calls)) == 16, "a run was measured twice or not at all"
    assert "100%" in capsys.readouterr().err and "Not measured" not in (tmp_path / "ledger.md").read_text("utf-8")
    before = [(tmp_path / name).read_bytes() for name in ("ledger.jsonl", "ledger.md")]
    ledger.write(lessons.known, into=tmp_path)
    assert before == [(tmp_path / name).read_bytes() for name in ("ledger.jsonl", "ledger.md")]
    assert len(lessons.calls) == 16


def test_one_lesson_replaces_its_own_rows_and_those_of_lessons_that_are_gone(lessons, tmp_path):
    ledger.write(lessons.known, into=tmp_path)
    facts = tmp_path / "ledger.jsonl"
    stale, gone = row("D0-07", "holds", lesson="01"), row("D0-07", "holds", lesson="99")
    facts.write_text("".join(r.to_json() + "\n" for r in (*ledger.load(facts)[:1], stale, gone)), encoding="utf-8")
    ledger.write(lessons.known, ["01"], into=tmp_path)
    assert [(r.lesson, r.verdict.claim) for r in ledger.load(facts)] == [
        ("00", "D0-06"),
        ("01", "D0-06"),
        ("01", "D0-06"),
    ]


def test_the_bar_counts_what_the_cache_holds(lessons, capsys):
    bar = ledger.Bar({"00": {"first": FIRST}, "01": {"first": FIRST, "second": SECOND}})
    bar.report("00", "first")(8, 8)
    assert " 33%" in capsys.readouterr().err
    bar.report("01", "first")(8, 8)
    bar.report("01", "second")(8, 8)
    drawn = capsys.readouterr().err
    assert "100%  lesson 01: second 8/8" in drawn and drawn.endswith("\n")


def test_rows_name_experiments_seeds_machine_and_code(lessons, tmp_path):
    ledger.write(lessons.known, into=tmp_path)
    last = ledger.load(tmp_path / "ledger.jsonl")[-1]
    record = Store(tmp_path / "cache" / "second.jsonl").load()[0]
    assert (last.experiments, last.seeds, last.budget) == (("second",), (4,), "quick")
    assert (last.machine, last.source) == (record.machine, record.source)


def test_a_folder_that_is_not_there_is_refused_in_one_sentence(lessons, tmp_path, capsys):
    with pytest.raises(Refused, match=r"--into is .*allowed: a folder that exists"):
        ledger.write(lessons.known, into=tmp_path / "nowhere")
    with pytest.raises(SystemExit):
        main(["ledger", "--page", "--into", str(tmp_path / "nowhere")])
    assert "allowed: a folder that exists" in capsys.readouterr().err


def test_a_field_that_is_unknown_or_missing_is_refused():
    line = row("D0-06", "holds if").to_json()
    assert Entry.from_json(line) == row("D0-06", "holds if")
    for broken in (line.replace('"budget"', '"money"'), line.replace('"budget":"quick",', "")):
        with pytest.raises(Refused):
            Entry.from_json(broken)


# ---- the page


def test_what_other_seeds_do_not_settle_is_inconclusive_in_the_ledger_too(monkeypatch):
    one = row("D0-06", "holds", lesson="00")
    told = Repeats("00", "D0-06", one.verdict.says, one.verdict.measured, {"holds": 11, "does not hold": 9}, "a CPU")
    monkeypatch.setattr("tutorlib.verdicts.repeats.shipped", lambda: (told,))
    assert states([one])["D0-06"] == "inconclusive at this budget"
    other = row("D0-08", "holds", lesson="00")
    told_of_one, told_of_other = (line for line in page([one, other], LESSONS).splitlines() if r"a \| slope" in line)
    assert "| 20 other base seeds said: holds 11, does not hold 9 (this run alone: holds) |" in told_of_one
    assert "| not repeated |" in told_of_other


def test_no_table_of_the_page_is_torn_by_what_a_row_says():
    assert table(("a", "b"), [("x | y", "line\nbreak")]).splitlines()[2] == "| x \\| y | line break |"
    for block in page([*ledger.load(FACTS), row("D0-06", "holds if")], LESSONS).split("\n\n"):
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines() if line.startswith("|")}
        assert len(widths) <= 1, block


def test_the_head_counts_what_the_overview_says():
    text = page(ledger.load(FACTS), LESSONS)
    told = dict(re.findall(r"^\| [✓✗?·] ([a-z ]+) \| (\d+) \|$", text, re.M))
    overview = text.split("## Row by row")[0]
    for state in STATES:
        assert int(told[state]) == len(re.findall(rf"^\| `D\d-\d\d` \|.*\| [✓✗?·] {state} \|", overview, re.M))


def test_what_a_lesson_only_replays_is_read_from_the_record_and_said(lessons, tmp_path, monkeypatch):
    ledger.write(lessons.known, ["00"], into=tmp_path)
    shown = Results(FIRST, tuple(Store(tmp_path / "cache" / "first.jsonl").load()), recorded=True)
    lessons.calls.clear()
    monkeypatch.setattr(ledger, "recorded", lambda experiment: shown)
    lessons.known["00"].REPLAYED = (FIRST,)
    (tmp_path / "cache" / "first.jsonl").unlink()
    ledger.write(lessons.known, ["00"], into=tmp_path)
    assert lessons.calls == []
    assert {row.budget for row in ledger.load(tmp_path / "ledger.jsonl")} == {"recorded"}
