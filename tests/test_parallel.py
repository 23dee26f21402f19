"""Real processes: ranks add up to one big batch where they should, and however they end nothing is left behind."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import on_every_rank as asked
import pytest
import torch
import torch.distributed as dist

from tutorlib.errors import Refused
from tutorlib.experiments import two_processes as lesson
from tutorlib.experiments.two_processes import PARALLEL
from tutorlib.measure import parallel
from tutorlib.measure.parallel import on_ranks
from tutorlib.measure.ranks import CONTEXT, problem
from tutorlib.plots.two_processes import plot_parallel
from tutorlib.records import Machine, RunRecord
from tutorlib.results import Results, column
from tutorlib.trials import two_processes as trials
from tutorlib.verdicts.rules import counted
from tutorlib.verdicts.two_processes import VERDICTS, batchnorm_verdicts, rounding
from tutorlib.widgets.show import show

SMALL = PARALLEL.at(seeds=2)
WITNESSED = [(k, no_sync) for k in (1, 3) for no_sync in (False, True)]
BATCHNORMS = [
    {"shape": [5], "ends": [0, 4, 8]},
    {"shape": [5], "ends": [0, 7, 8]},
    {"shape": [5], "ends": [0, 8, 8]},
    {"shape": [3, 6], "ends": [0, 1, 5], "momentum": None},
    {"shape": [3, 2, 4], "ends": [0, 2, 3], "affine": False},
]


@pytest.fixture(scope="module")
def answers():
    """One start for everything that ends well: the lesson's records, and what the tests ask beside them."""
    calls = {run.key: trials.call(run) for run in SMALL.runs()}
    calls |= {
        ("witness", *w): (asked.witness, dict(zip(("accumulation", "no_sync"), w, strict=True))) for w in WITNESSED
    }
    calls |= {("batchnorm", n): (asked.batchnorm_errors, case) for n, case in enumerate(BATCHNORMS)}
    calls |= {"around": (asked.surroundings, {"word": "π"}), "one value": (asked.one_value_a_channel, {})}
    taken = {"MASTER_PORT": "1", "RANK": "7", "WORLD_SIZE": "9", "PET_NNODES": "3"}  # as under somebody's torchrun
    before = dict(os.environ)
    os.environ.update(taken)
    try:
        return dict(zip(calls, on_ranks(list(calls.values()), seconds=300), strict=True))
    finally:
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture(scope="module")
def results(answers):
    machine = Machine("cpu", "made up", 1, "3", "2", "0")
    return Results(SMALL, tuple(RunRecord(run, "ok", answers[run.key][0], machine, "0" * 16) for run in SMALL.runs()))


@pytest.fixture
def groups(monkeypatch):
    """The process groups that ranks were started in."""
    found, start = [], subprocess.Popen

    def remember(*arguments, **named):
        found.append((process := start(*arguments, **named)).pid)
        return process

    monkeypatch.setattr(parallel.subprocess, "Popen", remember)
    return found


def left_behind(groups, patience=60.0):
    """Processes of these groups that are still in the process table after ``patience``, zombies aside."""
    end = time.monotonic() + patience
    while True:
        table = subprocess.run(["ps", "-eo", "pgid=,pid=,stat="], capture_output=True, text=True, check=True).stdout
        rows = [line.split() for line in table.splitlines()]
        alive = [int(pid) for group, pid, state in rows if int(group) in groups and not state.startswith("Z")]
        if not alive or time.monotonic() > end:
            return alive
        time.sleep(0.1)


# Update and traffic -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["accumulated", "by_hand", "ddp"])
def test_accumulating_and_two_ranks_make_the_gradient_of_one_big_batch(results, way):
    assert len(lesson.gradients(results, way)) == 4 and lesson.gradients(results, way).max() < 1e-14


@pytest.mark.parametrize("k", lesson.ACCUMULATIONS)
def test_ddp_all_reduces_once_a_micro_batch_and_with_no_sync_once_an_update(results, k):
    assert (lesson.sent(results, "all_reduces", no_sync=False)[k] == k).all()
    assert (lesson.sent(results, "all_reduces", no_sync=True)[k] == 1).all()
    assert column(results, "distance", measure="sent", accumulation=k).max() < 1e-14


@pytest.mark.parametrize(("k", "no_sync"), WITNESSED)
def test_the_profiler_sees_as_many_all_reduces_as_we_count(answers, k, no_sync):
    assert answers["witness", k, no_sync] == [1 if no_sync else k] * 2


def test_a_round_is_as_many_all_reduces_as_there_are_buckets_and_the_same_bytes(results):
    for no_sync, rounds in ((False, 4), (True, 1)):
        cut = {
            name: lesson.sent(results, name, no_sync, lesson.SMALL)[4] for name in ("all_reduces", "rounds", "bytes")
        }
        assert (cut["rounds"] == rounds).all() and (cut["all_reduces"] == 4 * rounds).all()
        assert (cut["bytes"] == lesson.sent(results, "bytes", no_sync)[4]).all()


def test_every_round_sends_every_parameter_once(results):
    embedding, block, norm = (128 + 16) * 32, 12 * 32**2 + 9 * 32 + 4 * 32, 2 * 32
    assert (lesson.sent(results, "bytes", no_sync=True)[8] == 8 * (embedding + block + norm)).all()


# Whose examples, whose tokens, whose statistics ----------------------------------------------------------------------


def test_only_ranks_with_examples_of_their_own_multiply_the_batch(results):
    examples = {
        split: [column(results, "examples", split=split, accumulation=k)[0] for k in (1, 4)] for split in lesson.SPLITS
    }
    assert examples == {"examples": [8, 32], "nothing": [4, 16], "layers": [4, 16]}
    assert column(results, "alone", split="examples").min() > 0.1
    assert (column(results, "alone", split="nothing") == 0).all()
    assert 0 < column(results, "alone", split="layers").max() < 1e-14


def test_unequal_token_counts_need_weights_and_a_sum_needs_a_division(results):
    assert column(results, "means", measure="unequal_tokens").min() > 0.1
    assert column(results, "weighted", measure="unequal_tokens").max() < 1e-14
    np.testing.assert_allclose(column(results, "summed", measure="unequal_tokens"), 1)


@pytest.mark.parametrize("case", range(len(BATCHNORMS)), ids=str)
def test_batchnorm_over_ranks_is_torchs_on_the_whole_batch_forward_backward_and_running(answers, case):
    for errors in answers["batchnorm", case]:
        assert {"output", "input gradient", "running_mean", "running_var", "evaluation"} <= set(errors)
        assert max(errors.values()) < 1e-12, errors


def test_a_single_value_a_channel_is_refused_on_every_rank(answers):
    assert len(set(answers["one value"])) == 1 and "at least 2" in answers["one value"][0]


def test_shared_statistics_equal_the_big_batch_within_a_pass_and_not_across_accumulation(results):
    for name in ("gradient", "mean", "variance"):
        assert lesson.normalized(results, "shared", name=name).max() < 1e-14
        assert lesson.normalized(results, "shared, unequal", name=name).max() < 1e-14
    assert lesson.normalized(results, "own").min() > 0.1 and lesson.normalized(results, "shared", 4).min() > 0.1


# The lesson ----------------------------------------------------------------------------------------------------------


def test_the_verdicts_say_what_was_counted(results):
    said = [
        [row.verdict for row in judge(results)] for judge in (*(judge for _, judge in VERDICTS), batchnorm_verdicts)
    ]
    yes, no, if_ = "holds", "does not hold", "holds if"
    assert said == [[yes, no, yes, if_, if_, no, no, yes], [yes, yes, yes, no, no, yes, no], [if_, no, no]]


def test_a_count_that_is_off_once_does_not_hold_and_a_gap_above_rounding_is_no_rounding():
    assert counted(2, [2, 2]).verdict == "holds" and counted(2, [2, 3]).verdict == "does not hold"
    assert rounding([1e-16, 9e-13]).verdict == "holds" and rounding([0.0, 0.0]).verdict == "holds"
    assert rounding([1e-16, 2e-12]).verdict == "inconclusive at this budget"
    assert rounding([0.4, 0.5]).verdict == "does not hold"


def test_the_figure_shows_the_counted_all_reduces(results):
    axes = plot_parallel(results, guess=(4, 10))
    points = [tuple(line.get_xydata()[0]) for line, *_ in axes.containers]
    assert points == [(k, k) for k in lesson.ACCUMULATIONS] + [(k, 1) for k in lesson.ACCUMULATIONS]
    assert "(8.00, 8.00)" in show(axes).text and "guess" in str(axes.get_legend_handles_labels())
    marks = [line.get_marker() for line in axes.figure.axes[1].lines if line.get_marker() in ("o", "x")]
    assert marks == ["x", "o", "x", "o", "x", "x", "o", "o", "o"]  # from the bottom row


def test_the_trial_starts_the_ranks_once_and_says_where_they_computed(monkeypatch):
    starts = []
    monkeypatch.setattr(
        trials, "on_ranks", lambda calls, **named: starts.append(named) or [[{"x": 1}, {}] for _ in calls]
    )
    (group,) = PARALLEL.groups()
    assert len(trials.parallel(group, "cpu")) == len(PARALLEL.points) * PARALLEL.seeds
    assert starts == [{"ranks": 2, "device": "cpu"}]
    assert trials.parallel(group, "cpu")[0] == {"x": 1, "computed_on": "cpu"}


# Starting and ending -------------------------------------------------------------------------------------------------


def test_ranks_meet_whatever_the_environment_says_and_their_children_end_with_them(answers):
    for rank, (word, number, backend, ranks, total, group) in enumerate(answers["around"]):
        assert (word, number, backend, ranks, total) == ("π", str(rank), "gloo", "2", 3.0)
        assert not left_behind([group])


def test_a_rank_that_raises_is_one_sentence_with_the_place(groups):
    with pytest.raises(
        Refused, match=r"^rank 1 raised ZeroDivisionError: three apples for nobody \(on_every_rank.py, line"
    ):
        on_ranks([(asked.last_raises, {})])
    assert len(groups) == 2 and not left_behind(groups)


def test_a_rank_that_is_killed_is_one_sentence_and_its_children_end_too(groups):
    with pytest.raises(Refused, match=r"^rank 1 was ended by SIGKILL before it answered"):
        on_ranks([(asked.last_is_killed, {})])
    assert len(groups) == 2 and not left_behind(groups)


def test_a_rank_that_is_killed_is_told_also_where_its_echo_on_another_comes_first(tmp_path):
    store, said = dist.HashStore(), open(tmp_path / "said", "wb+")
    store.set("fault", json.dumps({"sentence": "rank 0 raised RuntimeError", "out_of_memory": False}))
    echo, killed = (subprocess.Popen(["sleep", seconds]) for seconds in ("0", "600"))
    echo.wait()
    threading.Timer(0.2, killed.kill).start()
    told = parallel.reason([parallel.Rank(echo, said), parallel.Rank(killed, said)], store)
    assert str(told).startswith("rank 1 was ended by SIGKILL before it answered")


def test_ranks_that_do_not_answer_in_time_are_one_sentence(groups):
    with pytest.raises(Refused, match=r"^after 0\.5 s there is no answer from rank 0 and 1; all ranks were stopped"):
        on_ranks([(asked.last_raises, {})], seconds=0.5)
    assert len(groups) == 2 and not left_behind(groups)


def test_the_stop_button_ends_the_ranks(groups):
    """Pressed again after ten seconds: in one run of many the first press was not heard, and why is not known."""
    presses = [threading.Timer(after, os.kill, (os.getpid(), signal.SIGINT)) for after in (0.5, 10)]
    for press in presses:
        press.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            on_ranks([(asked.nobody_answers, {})])
    finally:
        for press in presses:
            press.cancel()
    assert len(groups) == 2 and not left_behind(groups)


def test_ranks_end_and_tidy_up_when_the_process_that_started_them_is_killed(tmp_path):
    code = (
        "import subprocess, on_every_rank; from tutorlib.measure import parallel; start = subprocess.Popen\n"
        "def told(*a, **k): p = start(*a, **k); print(p.pid, flush=True); return p\n"
        "parallel.subprocess.Popen = told; parallel.on_ranks([(on_every_rank.last_raises, {})], ranks=1)"
    )
    where = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(tmp_path)}
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=where)
    rank = int(parent.stdout.readline())
    parent.kill()
    parent.communicate()
    assert not left_behind([rank]) and not list(tmp_path.iterdir())


def test_a_rank_that_starts_after_another_one_has_tidied_up_ends_too(tmp_path):
    where = parallel.environment(0, 1) | {"TMPDIR": str(tmp_path)}
    late = subprocess.Popen([sys.executable, "-c", parallel.SERVE, str(tmp_path / "gone" / "store")], env=where)
    try:
        assert late.wait(60) < 0 and not list(tmp_path.iterdir())
    finally:
        late.kill()


def test_processes_that_cannot_be_started_are_one_sentence(monkeypatch):
    def none_left(*arguments, **named):
        raise BlockingIOError("Resource temporarily unavailable")

    monkeypatch.setattr(parallel.subprocess, "Popen", none_left)
    with pytest.raises(Refused, match=r"^2 ranks could not be started on this machine \(Resource temporarily"):
        on_ranks([(asked.last_raises, {})])


def test_a_rank_that_leaves_without_a_word_is_told_by_its_code_and_last_line(tmp_path):
    said = open(tmp_path / "said", "wb+")
    process = subprocess.Popen([sys.executable, "-c", "import sys; sys.exit('no room\\n')"], stderr=said)
    process.wait()
    told = parallel.reason([parallel.Rank(process, said)], dist.HashStore())
    assert str(told) == "rank 0 ended with exit code 1 and without an answer: no room; the other ranks were stopped"


def test_out_of_memory_on_a_rank_stays_an_outcome_and_a_refusal_keeps_its_words(tmp_path):
    store, process = dist.HashStore(), subprocess.Popen([sys.executable, "-c", "raise SystemExit(1)"])
    process.wait()
    for error, kind, words in (
        (RuntimeError("CUDA out of memory."), RuntimeError, "rank 0 raised RuntimeError: CUDA out of memory."),
        (Refused("batch is 0; allowed: more"), Refused, "batch is 0; allowed: more"),
    ):
        try:
            raise error
        except Exception as raised:
            store.set("fault", parallel.fault(0, raised))
        told = parallel.reason([parallel.Rank(process, None)], store)
        assert type(told) is kind and str(told).startswith(words)


def test_a_function_that_another_process_cannot_find_is_refused(monkeypatch):
    monkeypatch.setattr(asked.last_raises, "__module__", "__main__")  # as if written in a notebook's cell
    for function in (lambda device: 1, asked.last_raises):
        with pytest.raises(Refused, match="allowed: a function at the top of a module"):
            on_ranks([(function, {})])


@pytest.mark.parametrize("ranks", [0, 1.5, "two"])
def test_a_number_of_ranks_that_is_none_is_refused(ranks):
    with pytest.raises(Refused, match="ranks is"):
        on_ranks([], ranks=ranks)


@pytest.mark.parametrize("seed", [0, 7, 20_015, 10**6])
def test_every_seed_has_text_of_its_own(seed):
    net, _, data = problem("gpt", seed, 32, torch.device("cpu"))
    assert data.x.shape == (32, CONTEXT) and next(net.parameters()).dtype == torch.float64
