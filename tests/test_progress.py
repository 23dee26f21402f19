"""The learner's progress: nothing is lost, nothing leaks into an output, and a bet is settled by one's own runs."""

import importlib
import inspect
import json
import multiprocessing
import re
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from IPython.core.formatters import PlainTextFormatter

from tutorlib import progress
from tutorlib.__main__ import main
from tutorlib.checks import Check
from tutorlib.errors import Refused
from tutorlib.experiments.course import LESSONS
from tutorlib.experiments.documents_table import ALIVE
from tutorlib.progress import Done, exercise, keep, load, path, prediction
from tutorlib.records import Machine, RunRecord
from tutorlib.results import Results
from tutorlib.store import live, source_hash
from tutorlib.widgets import progress as shown
from tutorlib.widgets.predict import Prediction
from tutorlib.widgets.show import WIDGET_VIEW

ROOT = Path(__file__).resolve().parent.parent
BET = prediction("How many?", 311, 313, " updates", "a half is no update")
UPDATES = next(iter(LESSONS["00"].answers))  # plan A's updates: 313


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TUTORLIB_CACHE", str(tmp_path / "cache"))


def lines() -> list[str]:
    return path().read_text("utf-8").splitlines()


# ---- the file


def test_what_is_kept_comes_back_the_latest_wins_and_lines_are_only_added():
    assert load() == {} and not path().exists()
    keep(BET, exercise("mend the loop"))
    first = path().read_bytes()
    other = prediction("How many?", 312, 314)
    keep(other)
    assert path().read_bytes().startswith(first) and len(lines()) == 3
    assert load() == {("prediction", "How many?"): other, ("exercise", "mend the loop"): exercise("mend the loop")}
    keep(BET)  # back to the first range: said again, it is the latest again
    assert load()["prediction", "How many?"] == BET and len(lines()) == 4


def test_what_is_known_adds_no_line():
    for _ in range(3):
        keep(BET, exercise("mend the loop"))
    assert len(lines()) == 2


def test_a_question_and_an_exercise_of_one_name_are_two_things():
    keep(prediction("accumulate", 1, 2), exercise("accumulate"))
    assert {kind for kind, _ in load()} == {"prediction", "exercise"}


GOOD = BET.to_json()
BROKEN = {
    "no JSON": "{",
    "half a line": GOOD[:40],
    "no object": "[1]",
    "not text": b"\xff\xfe",
    "NaN": GOOD.replace("311.0", "NaN"),
    "an unknown field": GOOD.replace('"kind"', '"sort":1,"kind"'),
    "a missing field": GOOD.replace('"version":1,', ""),
    "another version": GOOD.replace('"version":1', '"version":2'),
    "an unknown kind": GOOD.replace('"prediction"', '"wish"'),
    "text for a number": GOOD.replace("311.0", '"many"'),
    "a number for text": GOOD.replace('" updates"', "1.0"),
    "true for a number": GOOD.replace("311.0", "true"),
    "a fact too few": GOOD.replace('"unit":" updates"', '"because":""'),
    "a fact too many": GOOD.replace('"unit"', '"score":1.0,"unit"'),
    "no name": GOOD.replace('"How many?"', "7"),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_set_aside_whole_in_one_sentence_and_what_can_be_read_goes_on(broken):
    keep(exercise("before"))
    written = path().read_bytes() + (broken if isinstance(broken, bytes) else broken.encode()) + b"\n"
    written += exercise("after").to_json().encode() + b"\n"
    path().write_bytes(written)
    with pytest.warns(UserWarning, match=r"line 2 cannot be read \(.*kept as progress-set-aside-1.jsonl") as said:
        keep(exercise("now"))
    assert len(said) == 1
    assert path().with_name("progress-set-aside-1.jsonl").read_bytes() == written
    assert [name for _, name in load()] == ["before", "after", "now"]  # and without a warning: they are errors here


def test_a_second_broken_file_gets_a_name_of_its_own():
    for number in (1, 2):
        keep(exercise(f"number {number}"))
        path().write_bytes(path().read_bytes() + b"{\n")
        with pytest.warns(UserWarning, match=f"set-aside-{number}"):
            load()
    assert len(load()) == 2


def test_a_last_line_that_only_lacks_its_end_is_whole():
    keep(exercise("first"))
    path().write_bytes(path().read_bytes().rstrip(b"\n"))
    keep(exercise("second"))
    assert [name for _, name in load()] == ["first", "second"] and len(lines()) == 2


def write_many(who: int) -> None:
    warnings.simplefilter("ignore")
    for number in range(25):
        keep(exercise(f"{who} did {number}"))


@pytest.mark.parametrize("begin", [b"", b"{ a broken line\n"], ids=["a sound file", "one to be set aside"])
def test_notebooks_that_write_at_once_lose_nothing(begin, monkeypatch):
    set_aside = progress._set_aside

    def slowly(*what):  # time enough for the others to come in between, if they could
        time.sleep(0.3)
        set_aside(*what)

    monkeypatch.setattr(progress, "_set_aside", slowly)
    path().parent.mkdir()
    path().write_bytes(begin)
    writers = [multiprocessing.get_context("fork").Process(target=write_many, args=(who,)) for who in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert {name for _, name in load()} == {f"{who} did {number}" for who in range(4) for number in range(25)}
    assert len(lines()) == 100 and len(list(path().parent.glob("*set-aside*"))) == bool(begin)


def test_a_folder_that_cannot_be_written_costs_a_sentence_and_not_the_lesson(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("TUTORLIB_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.warns(UserWarning, match="is not kept.*TUTORLIB_CACHE"):
        keep(BET)
    assert load() == {}


def test_what_cannot_be_read_back_is_not_written():
    with pytest.raises(Refused, match="finite"):
        prediction("How many?", float("nan"), 1)
    with pytest.raises(Refused, match="version is 2; this tutorlib reads 1"):
        Done(2, "exercise", "x", {})
    with pytest.raises(Refused, match=r"a prediction has a name and tells .*'low': 'float'"):
        Done(1, "prediction", "x", {})


# ---- what feeds it


def test_a_prediction_is_kept_when_it_is_locked_and_not_before():
    made = Prediction("How many?", options=(311, 312, 313, 314), unit=" updates")
    made.range.value, made.reason.value = (312, 313), "a <guess>"
    assert load() == {}
    made.button.click()
    assert load() == {("prediction", "How many?"): prediction("How many?", 312, 313, " updates", "a <guess>")}


def test_a_prediction_is_locked_where_it_cannot_be_kept(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("TUTORLIB_CACHE", str(tmp_path / "file"))
    made = Prediction("How many?", options=(1, 2))
    with pytest.warns(UserWarning, match="is not kept"):
        made.lock()
    assert made.guess == (1, 2) and made.button.disabled


@pytest.mark.parametrize("passed", [True, False])
def test_an_exercise_is_kept_when_a_cell_shows_it_solved(passed):
    check = Check("mend the loop")
    check.add("it runs", passed, "it does not")
    repr(check)
    assert load() == {}, "a test that reads a check is no learner"
    assert PlainTextFormatter()(check) == repr(check)
    assert set(load()) == ({("exercise", "mend the loop")} if passed else set())


# ---- the course as data


def source(name: str) -> str:
    (text,) = (ROOT / "course").glob(f"{name}_*.md")
    return text.read_text("utf-8")


def test_every_lesson_of_the_course_is_on_the_map():
    assert sorted(LESSONS) == sorted(p.name[:2] for p in (ROOT / "course").glob("[0-9][0-9]_*.md"))


@pytest.mark.parametrize("name", LESSONS)
def test_the_map_has_the_title_the_question_the_predictions_and_the_exercises_of_its_lesson(name):
    lesson, text = LESSONS[name], source(name)
    head = re.search(r"^# (.*)", text, re.M)[1].lower()
    assert head == f"{name} · {lesson.title}: {lesson.question}".lower()
    asked = re.findall(r'Prediction\("(.*?)"', text)
    assert list(lesson.answers) == asked, "experiments/bets_on_*.py answers every prediction of a lesson, in its order"
    named = re.findall(r"^from (tutorlib\.checks\S*) import (check_\w+)", text, re.M)
    functions = [getattr(importlib.import_module(module), function) for module, function in named]
    assert list(lesson.exercises) == [re.search(r'Check\("(.*?)"', inspect.getsource(f))[1] for f in functions]


BF16 = {"model": "llama-3-8b", "precision": "bf16", "attention": "fused", "checkpointing": False, "micro_batch": 1}


class Made:
    """A record of a run that was not made: ``values`` turns its settings into what it measured."""

    def __init__(self, run, values):
        self.run, self.values = run, values(run.settings)
        self.outcome = self.values.get("outcome", "ok")

    def __getitem__(self, name):
        return self.values[name] if name in self.values else self.run.settings[name]


def answer(name: str, number: int, values) -> float:
    *experiments, value = list(LESSONS[name].answers.values())[number]
    return float(value(*(Results(e, tuple(Made(run, values) for run in e.runs())) for e in experiments)))


# lesson, number of the prediction, what its experiment would have measured, the answer
ANSWERED = [
    ("00", 0, lambda s: {"updates": 313 if (s["loop"], s["micro_batch"]) == ("right", 32) else 1}, 313),
    ("00", 1, lambda s: {"gradient_most": 2497 if s["loop"] == "D4-20" else 1}, 2497),
    ("01", 0, lambda s: {"variance": 9 / s["batch"]}, np.sqrt(128)),
    ("01", 1, lambda s: {"variance": s["accumulation"]}, np.sqrt(32)),
    ("01", 2, lambda s: {"loss_drop": 10.0 * s["rate_factor"] if s["batch"] == 128 else 40.0}, 4),
    ("01", 3, lambda s: {"trace_draws": np.array((1.0, 2.0, 9.0)), "grad_sq_draws": np.full(3, s["big"])}, 0.25),
    ("02", 0, lambda s: {"distance": 0.2 if s["rung"] == "mean of means" else 1e-9}, 0.2),
    ("02", 1, lambda s: {"short": 4.5 / s["micro_batch"]}, 4.5),
    ("02", 2, lambda s: {"all_reduces": 1 if s.get("no_sync") else s.get("accumulation")}, 8),
    ("02", 3, lambda s: {"step": s["width"] / s["micro_batch"]}, 32),
    ("03", 0, lambda s: {"variance_sd": 2.8 / s["n"]}, 1.4),
    ("03", 1, lambda s: {"error": 8 / s["micro_batch"] if s["norm"] == "batch" else 1.0}, 4),
    ("03", 2, lambda s: {"error": float(s["rung"].endswith("updates, ghosts"))}, 1),
    ("04", 1, lambda s: {"real": s.get("time", 1) ** 2}, 4),
    ("04", 2, lambda s: {"predicted": 66 if s["model"] == "CNN" else 100, "measured": 100}, 66),
    ("04", 0, lambda s: {"starts": (0, 1), **dict.fromkeys(ALIVE, (1e9, 3e9, 2e9))}, 3 * len(ALIVE)),
    ("04", 3, lambda s: {"activations": 1e9 * (26 if BF16.items() <= s.items() else 1)}, 26),
    ("04", 5, lambda s: {"outcome": "ok" if s["micro_batch"] <= 144 / s["steps"] else "out_of_memory"}, 72),
    ("04", 4, lambda s: {"peak": 12 * s["micro_batch"]}, 50),
    ("05", 0, lambda s: {"reached": True, "steps": 900 / s["batch"]}, 8),
    ("05", 1, lambda s: {"step": 3 + s["batch"]}, 67 / 4),
    ("05", 2, lambda s: {"reached": True, "steps": np.exp(np.log(s["rate"] / s["batch"] / 0.03) ** 2)}, 16),
    ("05", 3, lambda s: {"predicted": 32 if s["optimizer"] == "SGD" else 500}, 32),
    ("05", 4, lambda s: {"loss": {"none": 8, "gradual": 2, "constant": 4}[s["warm_up"]] * s["rate"]}, 4),
    ("06", 0, lambda s: {"error": s["batch"] / 100 + s["steps"] / 1000}, 5.5),
    ("06", 1, lambda s: {"error": s["wrong"] + s["batch"] / 100}, 31),
    ("06", 2, lambda s: {"error": s["rate"] * s["batch"]}, 1 / 40),
    ("06", 3, lambda s: {"loss": 0.3 * s["batch"], "train": 0.2 * s["batch"]}, 1.5),
    ("06", 4, lambda s: {"error": s["batch"] / 100 + s["width"]}, 4.9),
    ("06", 5, lambda s: {"error": s["batch"] + s["steps"] / 1000}, 240.09),
    ("06", 6, lambda s: {"sharpness": s["batch"] / s["rate"]}, 2560),
    ("07", 0, lambda s: {"steps": 80 if s["method"] == "SGD" else s["batch"] / 1024}, 5),
    ("07", 1, lambda s: {"failed": float(s["kind"] == "gradual" and s["rate"] > 0.3)}, 100),
    ("07", 2, lambda s: {"loss": s["beta2"] * s["batch"]}, 0.95 - 0.95 ** (1 / 256)),
    ("07", 3, lambda s: {"error": {"left": 9, "lower": 2, "raise": 3}[s["plan"]] * s["batch"] / 8}, 1),
    ("07", 4, lambda s: {"reached": 1, "steps": {"AdamW": 300, "Muon": 60}.get(s["optimizer"], 900)}, 5),
    ("08", 0, lambda s: {"hill": np.arange(5) + (6 if s["law"] == "gaussian" else 20)}, 8),
    ("08", 1, lambda s: {"directed": np.arange(5) * (1 if s["steps"] == 600 else 100)}, 4),
    ("08", 2, lambda s: {"time": s["height"] * (1 if s["noise"] == "levy" else 100)}, 1.2 / 0.5),
    ("08", 3, lambda s: {"error": {"full batch": 2, "Gaussian weights": 1.3}.get(s["arm"], 9)}, 0.65),
    ("09", 0, lambda s: {"signals": np.array((9, 0.01 if s["model"] == "mlp" else 7))}, 100),
    ("09", 1, lambda s: {"reached": 1, "steps": 1 + 100 / s["batch"], "step": 1 + s["batch"] / 41}, 64),
]


@pytest.mark.parametrize("name, number, values, expected", ANSWERED)
def test_an_answer_is_the_number_that_its_question_asks_for(name, number, values, expected):
    assert answer(name, number, values) == pytest.approx(expected)


def test_no_answer_is_left_untested():
    assert {row[:2] for row in ANSWERED} == {(n, i) for n in LESSONS for i in range(len(LESSONS[n].answers))}


# ---- what is shown


MACHINE = Machine("cpu", "a CPU", 1, "3.11", "2.6", "0.1.0")


def measured(of: str = "", leave_out: int = 0) -> None:
    """Lesson 00's loops as if they had been run here, or all but some."""
    experiment, _ = LESSONS["00"].answers[UPDATES]
    values = {"updates": 313, "gradient_most": 2497}
    runs = experiment.runs()[leave_out:]
    live("loops").append(*(RunRecord(run, "ok", values, MACHINE, of or source_hash()) for run in runs))


def test_a_lesson_is_not_begun_begun_or_done():
    def states():
        return {place.number: place.state for place in shown.places()}

    assert set(states().values()) == {"not yet"}
    keep(exercise("mend the loop"))
    assert states()["00"] == "begun"
    keep(exercise("updates per epoch"), *(prediction(question, 1, 2) for question in LESSONS["00"].answers))
    assert states()["00"] == "done" and list(states().values()).count("not yet") == len(LESSONS) - 1
    keep(exercise("of no lesson"), prediction("of no lesson", 1, 2))
    assert states()["00"] == "done" and len(shown.bets()) == 2


@pytest.mark.parametrize("low, high, word", [(312, 314, "inside"), (313, 313, "inside"), (311, 312, "outside")])
def test_a_bet_is_settled_by_the_learner_s_own_runs(low, high, word):
    keep(prediction(UPDATES, low, high))
    (bet,) = shown.bets()
    assert (bet.measured, bet.word, bet.shown) == (None, "not measured here yet", "")
    measured(leave_out=1)
    assert shown.bets()[0].measured is None, "a study that was stopped settles nothing"
    measured()
    (bet,) = shown.bets()
    assert (bet.lesson, bet.measured, bet.word, bet.shown) == ("00", 313.0, word, "313")


def test_numbers_of_older_code_settle_nothing():
    keep(prediction(UPDATES, 312, 314))
    measured(of="0" * 16)
    assert shown.bets()[0].measured is None


def test_a_number_that_is_drawn_as_the_end_of_the_range_is_inside():
    made = prediction("?", 0.5, 0.7)
    assert shown.Bet("01", made, 0.7049).word == "inside" and shown.Bet("01", made, 0.7051).word == "outside"


def test_the_last_sentence_counts():
    questions = list(LESSONS["00"].answers)
    assert "No prediction is locked yet" in shown.sentence(shown.bets())
    keep(prediction(questions[0], 312, 314), prediction(questions[1], 1, 2))
    assert shown.sentence(shown.bets()).startswith("0 of 0 measured numbers are inside your range; 2 not measured")
    measured()
    assert shown.sentence(shown.bets()) == "1 of 2 measured numbers are inside your range."


def outputs() -> list[dict]:
    bundles = [widget()._repr_mimebundle_() for widget in (shown.Map, shown.Bets)]
    return [{kind: text for kind, text in bundle.items() if kind != WIDGET_VIEW} for bundle in bundles]


def test_what_a_notebook_stores_is_the_same_whatever_is_done():
    before = outputs()
    keep(exercise("mend the loop"), prediction(UPDATES, 312, 314, "", "<b>bold</b>"))
    measured()
    assert outputs() == before and all(set(bundle) == {"text/plain"} for bundle in before)
    drawn = shown.Map().drawn.value + shown.Bets().drawn.value
    assert "◐ 00 start here" in drawn and "inside" in drawn and "&lt;b&gt;bold" in drawn and "<b>bold" not in drawn


def test_a_build_neither_reads_nor_writes_what_a_learner_has_done(tmp_path, monkeypatch):
    sys.path.insert(0, str(ROOT / "course"))
    import build

    text = tmp_path / "96_small.md"
    text.write_text(
        "---\nkernelspec:\n  display_name: Python 3\n  name: python3\n---\n\n# Small\n\n"
        "```{code-cell}\nfrom tutorlib.checks import Check\ncheck = Check('mend the loop')\n"
        "check.add('it runs', True, '')\ncheck\n```\n\n"
        "```{code-cell}\nfrom tutorlib import progress\nfrom tutorlib.widgets.progress import Bets, Map\n"
        "print(sorted(progress.load()))\nMap()\n```\n\n```{code-cell}\nBets()\n```\n",
        encoding="utf-8",
    )
    monkeypatch.setattr(build, "LESSONS", tmp_path)
    keep(BET, exercise("of a learner"))
    before = path().read_bytes()
    build.build(text)
    built = (tmp_path / "96_small.ipynb").read_text("utf-8")
    assert "[('exercise', 'mend the loop')]" in built and "of a learner" not in built
    assert path().read_bytes() == before


def test_the_command_line_says_the_same_as_text_and_as_json(capsys):
    keep(prediction(UPDATES, 312, 314, " of them"), exercise("mend the loop"))
    measured()
    main(["progress"])
    said = capsys.readouterr().out
    assert "◐ 00 start here" in said and "1 of 2 predictions locked, 1 of 2 exercises solved" in said
    assert "312 of them … 314 of them; measured: 313 inside" in said and str(path()) in said
    main(["progress", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert told["lessons"]["00"] == {"state": "begun", "predictions": 1, "exercises": 1}
    (bet,) = told["predictions"]
    assert (bet["question"], bet["low"], bet["measured"], bet["word"]) == (UPDATES, 312.0, 313.0, "inside")
