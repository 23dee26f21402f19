"""The batch plan against a real loop over torch's loaders, in thousands of cases; the inverse against every product."""

import collections
import math
import random

import numpy as np
import pytest
from naive import naive_plan
from torch.utils.data import DataLoader, DistributedSampler

from tutorlib.errors import Refused
from tutorlib.theory.plan import DOCUMENTS, WINDOWS, Plan, Update
from tutorlib.theory.reach import nearest_plans, plans_for


def some_plans(count, seed):
    """Small plans of every kind: windows longer than an epoch, ranks that do not divide, micro-batches too large."""
    rng, plans = random.Random(seed), []
    while len(plans) < count:
        plan = {
            "examples": rng.randint(1, 40),
            "micro_batch": rng.choice((1, 1, 2, 3, 4, 5, 8, 50)),
            "accumulation": rng.choice((1, 2, 3, 4, 7, 30)),
            "ranks": rng.choice((1, 1, 2, 3, 5)),
            "epochs": rng.randint(1, 4),
            "drop_last": rng.random() < 0.4,
        }
        if plan["drop_last"] and plan["examples"] // plan["ranks"] < plan["micro_batch"]:
            with pytest.raises(Refused, match="drop_last leaves none"):
                Plan(**plan)
        else:
            plans.append(plan)
    return plans


@pytest.mark.parametrize("window", WINDOWS)
def test_every_count_is_that_of_a_real_loop_over_torchs_loaders(window):
    for settings in some_plans(600, seed=len(window)):
        plan = Plan(**settings, window=window)
        passed, updates, seen, used = naive_plan(plan)
        assert plan.micro_batches == passed == plan.epochs * plan.micro_batches_per_epoch, plan
        assert [(u.epoch, u.after, u.micro_batches, u.divisor) for u in plan.timeline()] == updates, plan
        assert plan.updates == len(updates) and plan.updates_per_epoch == sum(u[0] == 0 for u in updates), plan
        assert plan.samples_seen == seen.total() == plan.epochs * plan.seen_per_epoch, plan
        assert plan.samples_used == len(used), plan


def test_repeats_and_cuts_are_those_of_the_distributed_sampler():
    for settings in some_plans(400, seed=2):
        plan, data = Plan(**settings), range(settings["examples"])
        samplers = [DistributedSampler(data, plan.ranks, r, drop_last=plan.drop_last) for r in range(plan.ranks)]
        assert {len(s) for s in samplers} == {plan.share}
        parts = [part.tolist() for s in samplers for part in DataLoader(data, plan.micro_batch, False, s)]
        parts = [part for part in parts if len(part) == plan.micro_batch or not plan.drop_last]
        counts = collections.Counter(i for part in parts for i in part)
        assert plan.seen_per_epoch == counts.total() and plan.unseen == plan.examples - len(counts)
        assert plan.repeated == counts.total() - len(counts)
        assert {len(part) for part in parts} == {plan.last_micro_batch, *(len(p) for p in parts[:-1])}
        assert len(parts[-1]) == plan.last_micro_batch


def test_a_sampler_that_pads_under_a_loader_that_drops_has_at_most_one_micro_batch_more():
    more = collections.Counter()
    for settings in some_plans(600, seed=5):
        plan = Plan(**settings)
        sampler = DistributedSampler(range(plan.examples), plan.ranks, 0)  # Lightning's and DeepSpeed's
        loader = DataLoader(range(plan.examples), plan.micro_batch, sampler=sampler, drop_last=plan.drop_last)
        extra = len(loader) - plan.micro_batches_per_epoch
        assert not extra or (plan.drop_last and plan.examples % plan.ranks), plan
        more[extra] += 1
    assert set(more) == {0, 1}


@pytest.mark.parametrize("window", WINDOWS)
def test_the_last_micro_batch_counts_what_a_real_mean_gives_its_examples(window):
    for settings in some_plans(300, seed=3):
        plan = Plan(**{**settings, "ranks": 1}, window=window)
        weights = np.zeros(plan.examples)
        for i, epoch, weight in naive_plan(plan)[3]:
            weights[i] += weight * (epoch == 0)
        order = list(DistributedSampler(range(plan.examples), 1, 0))
        last = order[plan.seen_per_epoch - plan.last_micro_batch : plan.seen_per_epoch]
        assert weights[last] == pytest.approx(plan.last_weight), plan


def test_leftovers_are_what_an_epoch_has_beyond_its_full_windows():
    for settings in some_plans(300, seed=4):
        plan = Plan(**{**settings, "epochs": 1}, window="dropped")
        _, updates, seen, used = naive_plan(plan)
        assert plan.leftover_micro_batches == plan.micro_batches_per_epoch - sum(u[2] for u in updates)
        assert plan.leftover_examples == seen.total() - len(used)


def test_the_documents_plans_leave_the_half_of_312_5_over():
    forwards = {name: plan.micro_batches_per_epoch for name, plan in DOCUMENTS.items()}
    assert forwards == {"A": 313, "B": 625, "C": 1250, "D": 2500}
    assert [p.leftover_micro_batches for p in DOCUMENTS.values()] == [0, 1, 2, 4]
    assert {p.batch for p in DOCUMENTS.values()} == {32} and {p.updates_per_epoch for p in DOCUMENTS.values()} == {313}
    assert DOCUMENTS["A"].last_micro_batch == 16 and DOCUMENTS["A"].last_weight == 2.0
    assert DOCUMENTS["D"].last_weight == 2.0 and DOCUMENTS["D"].leftover_examples == 16
    dropped = Plan(10_000, 32, drop_last=True)
    assert (dropped.updates, dropped.unseen, dropped.samples_seen) == (312, 16, 9984)


def test_the_window_decides_what_becomes_of_the_half():
    plans = {window: Plan(10_000, 4, 8, epochs=2, window=window) for window in WINDOWS}
    assert {w: p.updates for w, p in plans.items()} == {
        "stepped": 626,
        "shrunk": 626,
        "dropped": 624,
        "carried": 625,
        "leaked": 624,
    }
    assert {w: p.samples_used for w, p in plans.items()} == {
        "stepped": 20_000,
        "shrunk": 20_000,
        "dropped": 19_968,
        "carried": 20_000,
        "leaked": 19_984,
    }
    assert plans["leaked"].updates_of(1)[0] == Update(1, 8, 12, 8), "one and a half windows in one step"
    assert plans["carried"].updates_of(1)[0] == Update(1, 4, 8, 8)
    assert plans["shrunk"].updates_of(0)[-1] == Update(0, 2500, 4, 8)


def test_a_leaking_window_longer_than_an_epoch_never_steps():
    plan = Plan(10, 2, accumulation=8, epochs=5, window="leaked")
    assert (plan.updates, plan.samples_used, plan.last_weight) == (0, 0, 0.0)


def test_batch_and_tokens_are_products():
    plan = Plan(1000, 4, 4, ranks=5)
    assert plan.batch == 80 and plan.tokens(2048) == 163_840


@pytest.mark.parametrize(
    "name, value",
    [(n, v) for n in ("examples", "micro_batch", "accumulation", "ranks", "epochs") for v in (0, -1, 1.5)],
)
def test_a_count_that_is_no_whole_number_of_at_least_one_is_refused_by_name(name, value):
    with pytest.raises(Refused, match=f"^{name} is {value}"):
        Plan(**{"examples": 10, "micro_batch": 2, name: value})


def test_an_unknown_window_is_refused_with_the_known_ones():
    with pytest.raises(Refused, match="'kept'; allowed: stepped, shrunk, dropped, carried, leaked"):
        Plan(10, 2, window="kept")


def products(largest, ranks):
    """Every (micro-batch, accumulation) by the batch it reaches, found by multiplying."""
    found = collections.defaultdict(set)
    for micro in range(1, largest + 1):
        for accumulation in range(1, 130):
            found[micro * accumulation * ranks].add((micro, accumulation))
    return found


def test_the_inverse_finds_every_plan_and_no_other():
    for largest in (1, 2, 5, 16, 48, 200):
        for ranks in (1, 2, 3, 8):
            reached = products(largest, ranks)
            for batch in range(1, 129):
                plans = plans_for(batch, largest, ranks)
                assert set(plans) == reached[batch] and len(plans) == len(set(plans))
                assert list(plans) == sorted(plans, key=lambda plan: plan[1]), "fewest passes first"


def test_where_no_plan_reaches_a_batch_the_nearest_on_both_sides_do():
    for largest in (1, 5, 48):
        for ranks in (1, 2, 3, 5, 8):
            reached = sorted(batch for batch, plans in products(largest, ranks).items() if plans)
            for batch in range(1, 125):
                near = nearest_plans(batch, largest, ranks)
                below, above = [b for b in reached if b <= batch], [b for b in reached if b >= batch]
                assert set(near) == {*below[-1:], *above[:1]}
                assert all(plans == plans_for(b, largest, ranks) and plans for b, plans in near.items())


def test_a_batch_that_ranks_do_not_divide_has_no_plan():
    assert plans_for(32, 16, ranks=5) == () and set(nearest_plans(32, 16, ranks=5)) == {30, 35}
    assert plans_for(32, 16) == ((16, 2), (8, 4), (4, 8), (2, 16), (1, 32))
    for name in ("batch", "largest_micro_batch", "ranks"):
        with pytest.raises(Refused, match=f"^{name} is 0"):
            plans_for(**{"batch": 8, "largest_micro_batch": 4, "ranks": 1, name: 0})


def test_accumulation_does_not_change_how_many_updates_step():
    for examples in range(1, 200):  # ⌈⌈N/m⌉/K⌉ = ⌈N/(mK)⌉
        for micro in (1, 2, 3, 8):
            for parts in (1, 2, 5):
                assert Plan(examples, micro, parts).updates == math.ceil(examples / (micro * parts))
