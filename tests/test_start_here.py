"""Lesson 00: counted loops are those of the plan, and verdicts follow the counts, whichever they are."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch

from tutorlib.experiments.start_here import LOOPS, PLANS, count, point
from tutorlib.measure.updates import count_updates
from tutorlib.records import Machine, Run, RunRecord
from tutorlib.results import Results
from tutorlib.study import find_trial
from tutorlib.theory.plan import DOCUMENTS, Plan
from tutorlib.trials import start_here as trials
from tutorlib.verdicts.claims import CLAIMS
from tutorlib.verdicts.rules import counted
from tutorlib.verdicts.start_here import VERDICTS

HOLDS, IF, NOT = "holds", "holds if", "does not hold"
FOLLOWS = {"right": "stepped", "dropping": "dropped", "shrinking": "shrunk", "D3-22": "leaked"}
SMALL = [Plan(*sizes, epochs=epochs) for sizes in ((16, 4, 2), (22, 4, 4), (23, 5, 3), (9, 3, 1)) for epochs in (1, 3)]


@pytest.mark.parametrize("plan", SMALL, ids=str)
@pytest.mark.parametrize("loop", FOLLOWS)
def test_a_counted_loop_makes_the_updates_of_the_plan_with_its_window(loop, plan):
    plan = dataclasses.replace(plan, window=FOLLOWS[loop])
    done = count_updates(trials.LOOPS[loop], plan)
    told, passes = list(plan.timeline()), plan.micro_batches_per_epoch
    assert list(done.after) == [u.epoch * passes + u.after for u in told]
    assert done.sums == pytest.approx([u.micro_batches / u.divisor for u in told])
    assert len(done.sizes) == plan.micro_batches and done.sizes[-1] == plan.last_micro_batch
    assert plan.batch * float(done.weights.sum()) == pytest.approx(plan.batch * sum(done.sums), rel=1e-5)
    if plan.window != "leaked":  # whose updates may meet an example twice
        assert int(done.times.sum()) == plan.samples_used


def test_the_loop_of_d4_20_steps_too_soon_and_never_forgets():
    done = count_updates(trials.LOOPS["D4-20"], Plan(100, 4, 8))
    assert done.after == (1, 9, 17, 25) and done.sums == pytest.approx((1, 9, 17, 25)) and done.orphans == 0
    assert done.examples == (4, 36, 68, 100)
    assert count_updates(trials.LOOPS["D4-20"], Plan(108, 4, 8)).orphans == 2


def test_the_loop_of_d1_11_takes_the_sum():
    done = count_updates(trials.LOOPS["D1-11"], Plan(100, 4, 8))
    assert done.sums == pytest.approx((8, 8, 8)) and int((done.times == 0).sum()) == 4


def test_ranks_share_the_examples_and_add_up_to_the_batch():
    plan = Plan(160, 4, 4, ranks=5)
    parts = [count_updates(trials.LOOPS["right"], plan, rank=rank) for rank in range(5)]
    assert sum(part.examples[0] for part in parts) == plan.batch == 80
    assert (sum(part.times for part in parts) == 1).all()


def test_the_order_is_the_seeds_own_and_the_same_at_every_micro_batch():
    def first(micro_batch, accumulation, seed):
        done = count_updates(trials.LOOPS["dropping"], Plan(48, micro_batch, accumulation), seed)
        return (done.times == 0).nonzero().flatten().tolist()

    assert first(16, 2, 0) == first(4, 8, 0) != first(16, 2, 1)


def test_a_loop_that_never_steps_is_counted_as_such():
    done = count_updates(lambda loader, model, *rest: [model(batch) for batch in loader], Plan(10, 4))
    assert done.after == () and done.orphans == 3 and done.sizes == (4, 4, 2)


@pytest.fixture(scope="module")
def measured():
    """The whole experiment, run."""
    trial, machine = find_trial(LOOPS.trial), Machine("cpu", "made up", 1, "3.12.1", "2.6.0", "0.1.0")
    return Results(LOOPS, tuple(RunRecord(run, "ok", trial(run, "cpu"), machine, "made up") for run in LOOPS.runs()))


def test_the_documents_epoch_is_313_updates_or_312_and_16_examples(measured):
    for name, plan in DOCUMENTS.items():
        assert PLANS[name] == (plan.micro_batch, plan.accumulation)
        kept = {"loop": "right", "plan": PLANS[name], "ranks": 1, "drop_last": False}
        assert count(measured, "updates", **kept) == 313 and count(measured, "unused", **kept) == 0
        assert count(measured, "forwards", **kept) == plan.micro_batches_per_epoch
    for name in "BCD":
        dropped = {"loop": "dropping", "plan": PLANS[name]}
        assert count(measured, "updates", **dropped) == 312 and count(measured, "unused", **dropped) == 16


def test_the_printed_loop_of_plan_d_makes_313_updates_of_the_wrong_things(measured):
    of = {
        name: count(measured, name, "D4-20", (4, 8)) for name in ("updates", "first_step", "gradient_most", "orphans")
    }
    assert of == {"updates": 313, "first_step": 1, "gradient_most": 2497, "orphans": 3}
    assert count(measured, "unused", "D4-20", (4, 8)) == 12 and count(measured, "again", "D4-20", (4, 8)) == 9956


WORDS = {
    "D3-01": [IF],
    "D1-12": [IF, NOT],
    "D3-08": [IF],
    "D3-09": [HOLDS],
    "D3-27": [NOT],
    "D4-23": [HOLDS],
    "D4-01": [NOT],
    "D4-02": [IF, NOT],
    "D4-03": [IF],
    "D4-04": [IF],
    "D4-05": [IF],
    "D4-07": [IF, NOT],
    "D3-19": [HOLDS],
    "D3-20": [IF],
    "D3-21": [HOLDS],
    "D1-11": [NOT],
    "D3-22": [IF, NOT],
    "D4-20": [NOT, NOT, NOT],
}


def judged(results):
    said = {}
    for verdict in itertools.chain.from_iterable(judge(results) for _, judge in VERDICTS):
        said.setdefault(verdict.claim, []).append(verdict.verdict)
    return said


def test_the_counts_decide_every_claim(measured):
    assert judged(measured) == WORDS and set(WORDS) <= set(CLAIMS)


def altered(results, change):
    """The same records with each run's values passed through ``change(settings, values)``."""
    records = [
        RunRecord(r.run, r.outcome, change(dict(r.run.settings), dict(r.values)), r.machine, r.source) for r in results
    ]
    return Results(LOOPS, tuple(records))


def as_the_documents_say(s, v):
    """Loops that would do all that is said of them."""
    ones = {name: 1.0 for name in v if name.startswith("gradient")}
    told = {"first_step": s["accumulation"], "updates": 312, "orphans": 0, "heaviest": 1.0, **ones}
    passes = {"forwards": 10_000 // s["micro_batch"]}
    if s["micro_batch"] == 4 and s["accumulation"] == 1:
        return v
    examples = {(8, 2): 160, (4, 4): 80}.get((s["micro_batch"], s["accumulation"]), 32)
    return {**v, **told, **passes, "unused": 0, "examples_an_update": examples}


def test_loops_that_did_what_is_said_of_them_would_be_told_so(measured):
    said = judged(altered(measured, as_the_documents_say))
    assert said["D4-20"] == [HOLDS] * 3 and said["D3-22"] == [IF, HOLDS] and said["D1-11"] == [HOLDS]
    assert said["D4-02"] == [IF, HOLDS] and said["D4-07"] == [IF, HOLDS] and said["D4-01"] == [HOLDS]
    assert said["D3-27"] == [HOLDS] and said["D3-08"] == [NOT]


def test_counts_that_are_one_off_hold_nothing(measured):
    said = judged(
        altered(measured, lambda s, v: {name: value + 1 + s["micro_batch"] / 64 for name, value in v.items()})
    )
    assert {word for words in said.values() for word in words} == {NOT}, said


@pytest.mark.parametrize("name", ["updates", "forwards"])
def test_passes_and_updates_of_an_epoch_must_both_be_those_said(measured, name):
    said = judged(altered(measured, lambda s, v: {**v, name: v[name] + 1}))
    assert said["D4-02"] == [NOT, NOT] and said["D4-03"] == said["D4-04"] == said["D4-05"] == [NOT]


@pytest.mark.parametrize(
    "expected, values, word, worst",
    [
        (312, [312, 312], HOLDS, 312),
        (312, [312, 313], NOT, 313),
        (1, [1.0, 0.5, 1.25], NOT, 0.5),
        (0, [0.0], HOLDS, 0),
        (8, [1], NOT, 1),
    ],
)
def test_counted_is_exact_and_shows_the_value_farthest_off(expected, values, word, worst):
    found = counted(expected, np.array(values))
    assert found.verdict == word and found.estimate.value == worst
    assert (found.estimate.low, found.estimate.high) == (min(values), max(values))


def test_every_seed_counts_the_same():
    small = {**point("D4-20", 4, 8), "examples": 300}
    one, other = (trials.loops(Run("loops", small, seed), "cpu") for seed in (0, 7))
    assert one == other and all(isinstance(value, int | float) for value in one.values())
    assert not torch.equal(*(count_updates(trials.LOOPS["D4-20"], Plan(300, 4, 8), s).times for s in (0, 7)))
