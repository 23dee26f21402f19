"""Races against replicas trained alone, exponential falls against the closed form, and the clock's own steps."""

import itertools
import math
import types

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss

from tutorlib.errors import Refused
from tutorlib.measure import clock
from tutorlib.measure.clock import StepSeconds, step_seconds
from tutorlib.measure.fit import fit
from tutorlib.measure.race import Finish, crossing, look_at, steps_to_target
from tutorlib.nn.data import Data
from tutorlib.nn.models import mlp
from tutorlib.nn.optimizers import adamw, sgd

torch.set_num_threads(1)


def problem(examples, seed=0):
    x = torch.randn(examples, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return Data(x, x[:, :3].argmax(dim=1))


def nets(seeds):
    made = []
    with torch.random.fork_rng(devices=[]):
        for seed in seeds:
            torch.manual_seed(seed)
            made.append(mlp(6, 8, 3).double())
    return made


def looks_up_to(most_steps):
    """By whole numbers: the next look is a tenth further on, at least one step."""
    looks = [1]
    while looks[-1] < most_steps:
        looks.append(min(max(looks[-1] + 1, looks[-1] * 11 // 10), most_steps))
    return looks


def naive_race(models, loss, data, held_out, *, batch, rates, seeds, target, most_steps, slack, optimizer, subsets):
    """Everyone trains alone to the end; who would have left when is worked out afterwards, race by race."""
    stories = []
    for r, model in enumerate(models):
        own = data if subsets is None else Data(data.x[subsets[r]], data.y[subsets[r]])
        losses = []

        def watch(trained, losses=losses):
            with torch.no_grad():
                losses.append(float(loss(trained(held_out.x), held_out.y)))

        settings = {"batch": batch, "rate": rates[r], "steps": most_steps, "seed": seeds[r], "optimizer": optimizer}
        done = fit(model, loss, own, after_step=watch, **settings)
        stories.append((losses, done.diverged))
    found = {}
    for seed in set(seeds):
        first, racing, before = math.inf, [r for r in range(len(models)) if seeds[r] == seed], {}
        for look in looks_up_to(most_steps):
            for r in list(racing):
                losses, diverged = stories[r]
                if look > len(losses):
                    found[r] = Finish(float(len(losses)), False, diverged)
                elif losses[look - 1] <= target:
                    since, value = before.get(r, (0, math.inf))
                    share = math.log(value / target) / math.log(value / losses[look - 1]) if since else 1.0
                    found[r] = Finish(since + (look - since) * share, True)
                    first = min(first, look)
                before[r] = look, losses[min(look, len(losses)) - 1] if losses else math.inf
            racing = [r for r in racing if r not in found]
            for r in racing:
                if look >= slack * first or look == most_steps:
                    found[r] = Finish(float(look), False)
            racing = [r for r in racing if r not in found]
    return [found[r] for r in range(len(models))]


def race(rates, seeds, *, loss=cross_entropy, make=nets, data=None, **changes):
    settings = {"batch": 4, "target": 0.75, "most_steps": 40, "slack": 1.5, "optimizer": sgd, "subsets": None}
    settings.update(changes)
    data, held_out = data or problem(40), problem(30, seed=1)
    if loss is mse_loss:
        data, held_out = (Data(d.x, d.x[:, :3].sin()) for d in (data, held_out))
    settings = {**settings, "rates": rates, "seeds": seeds}
    found = steps_to_target(make(seeds), loss, data, held_out, **settings)
    return found, naive_race(make(seeds), loss, data, held_out, **settings)


def assert_same(found, expected):
    assert [(f.reached, f.diverged) for f in found] == [(e.reached, e.diverged) for e in expected]
    assert [f.steps for f in found] == pytest.approx([e.steps for e in expected], abs=1e-7)


SQUARE = tuple(zip(*itertools.product((0.02, 0.1, 0.3, 1.0), (5, 6, 7)), strict=True))


@pytest.mark.parametrize("slack", [1.0, 1.5, math.inf])
@pytest.mark.parametrize("optimizer, target", [(sgd, 0.75), (adamw, 0.5)])
def test_a_race_ends_as_replicas_trained_alone_would(optimizer, target, slack):
    found, expected = race(*SQUARE, optimizer=optimizer, target=target, slack=slack)
    assert_same(found, expected)
    assert len({f.reached for f in found}) == 2, "a race in which all end alike says little"


def test_every_replica_races_on_its_own_examples():
    subsets = torch.stack([torch.randperm(40, generator=torch.Generator().manual_seed(r))[:16] for r in range(12)])
    assert_same(*race(*SQUARE, subsets=subsets))


def test_who_diverges_leaves_alone_with_the_steps_it_took():
    found, expected = race((0.1, 1e30, 0.2, 1e12), (3, 3, 4, 4), loss=mse_loss, target=0.35, slack=math.inf)
    assert_same(found, expected)
    assert [f.diverged for f in found] == [False, True, False, True] and found[0].reached and found[2].reached
    assert 0 <= found[1].steps < found[3].steps


def test_a_race_that_all_lose_ends():
    found, expected = race((1e30, 1e30), (3, 4), loss=mse_loss, target=0.3)
    assert_same(found, expected)
    assert all(f.diverged and not f.reached for f in found)


def test_a_target_never_reached_takes_all_steps():
    assert race((0.1, 0.2), (0, 0), target=1e-9, most_steps=7)[0] == [Finish(7.0, False)] * 2


def test_a_target_reached_at_once_takes_one_step():
    assert race((0.1, 0.2, 0.1), (0, 0, 1), target=100.0)[0] == [Finish(1.0, True)] * 3


def test_a_single_step_is_a_race_too():
    assert race((0.1,), (0,), most_steps=1)[0] == [Finish(1.0, False)]


def test_races_of_different_seeds_do_not_see_each_other():
    together, _ = race(*SQUARE)
    for seed in (5, 7):
        whose = [r for r, s in enumerate(SQUARE[1]) if s == seed]
        alone, _ = race([SQUARE[0][r] for r in whose], [seed] * len(whose))
        assert_same(alone, [together[r] for r in whose])


def test_the_order_of_the_replicas_changes_nothing():
    forward, _ = race(*SQUARE)
    backward, _ = race(SQUARE[0][::-1], SQUARE[1][::-1])
    assert_same(backward[::-1], forward)


def one_weight(seeds):
    made = [nn.Linear(1, 1, bias=False).double() for _ in seeds]
    for net in made:
        nn.init.ones_(net.weight)
    return made


@pytest.mark.parametrize("target", [0.5, 0.1, 1e-3])
def test_an_exponential_fall_passes_the_target_at_the_step_of_the_closed_form(target):
    rates = (0.003, 0.01, 0.05, 0.2)  # the loss is w², and w ← (1 − 2η) w
    one = Data(torch.ones(1, 1, dtype=torch.float64), torch.zeros(1, 1, dtype=torch.float64))
    settings = {"batch": 1, "seeds": (0,) * 4, "target": target, "most_steps": 3000, "slack": math.inf}
    found = steps_to_target(one_weight(rates), mse_loss, one, one, rates=rates, **settings)
    expected = [max(1.0, math.log(target) / (2 * math.log(1 - 2 * rate))) for rate in rates]
    assert [f.steps for f in found] == pytest.approx(expected, rel=1e-9) and all(f.reached for f in found)


@pytest.mark.parametrize("slack", [1.5, 2, 10])
def test_who_is_beaten_leaves_at_the_first_look_after_slack_times_the_winner(slack):
    one = Data(torch.ones(1, 1, dtype=torch.float64), torch.zeros(1, 1, dtype=torch.float64))
    settings = {"batch": 1, "seeds": (0, 0), "target": 0.1, "most_steps": 3000, "slack": slack}
    winner, beaten = steps_to_target(one_weight((0, 0)), mse_loss, one, one, rates=(0.02, 1e-5), **settings)
    looks = looks_up_to(3000)
    arrived = next(look for look in looks if look >= winner.steps)
    assert beaten == Finish(float(next(look for look in looks if look >= slack * arrived)), False)


@pytest.mark.parametrize("slack", [0.99, 0, -1, math.nan])
def test_a_slack_below_1_is_refused(slack):
    with pytest.raises(Refused, match=r"slack is .* allowed: at least 1"):
        race((0.1,), (0,), slack=slack)


@pytest.mark.parametrize(
    "changes", [{"most_steps": 0}, {"batch": 0}, {"batch": 41}, {"rates": (0.1, -1)}, {"seeds": (0,)}]
)
def test_bad_input_of_a_race_is_refused_in_one_sentence(changes):
    settings = {"batch": 4, "rates": (0.1, 0.2), "seeds": (0, 0), "target": 0.5, "most_steps": 5, **changes}
    with pytest.raises(Refused, match="allowed"):
        steps_to_target(nets((0, 0)), cross_entropy, problem(40), problem(30), **settings)


@pytest.mark.parametrize("most_steps", [1, 2, 10, 11, 12, 97, 4000, 8000])
def test_the_loss_is_looked_at_after_every_step_then_a_tenth_apart_and_at_the_end(most_steps):
    looks = sorted(look_at(most_steps))
    assert looks == looks_up_to(most_steps) and looks[0] == 1 and looks[-1] == most_steps
    assert all(b - a <= max(1, a / 10) for a, b in itertools.pairwise(looks))


def test_a_crossing_lies_where_the_line_in_log_loss_passes():
    assert crossing(10, 4.0, 20, 1.0, 2.0) == pytest.approx(15)
    assert crossing(10, 4.0, 20, 1.0, 1.0) == 20 and crossing(10, 4.0, 20, 1.0, 4.0) == 10
    for target in np.linspace(1.01, 3.99, 7):
        assert math.log(4) + (crossing(0, 4.0, 1, 1.0, target)) * math.log(1 / 4) == pytest.approx(math.log(target))


@pytest.mark.parametrize("value, lower", [(math.inf, 0.1), (math.nan, 0.1), (1.0, 0.0)])
def test_a_crossing_without_a_slope_is_the_later_look(value, lower):
    assert crossing(3, value, 4, lower, 0.2) == 4


CALLS = []  # of any copy


class Counting(nn.Module):
    """A net that says how often it was called, and on how many examples."""

    def __init__(self):
        super().__init__()
        self.net = nn.Linear(6, 3).double()

    def forward(self, x):
        CALLS.append(len(x))
        return self.net(x)


@pytest.mark.parametrize("batch, repeats, warm_up", [(1, 1, 0), (40, 3, 2), (7, 9, 3)])
def test_a_timed_model_takes_the_warm_up_and_the_repeats_and_no_other_steps(batch, repeats, warm_up):
    CALLS.clear()
    step_seconds(Counting(), cross_entropy, problem(40), batch=batch, repeats=repeats, warm_up=warm_up)
    assert CALLS == [batch] * (warm_up + repeats)


@pytest.mark.parametrize("micro_batch, parts", [(8, [8]), (3, [3, 3, 2]), (1, [1] * 8)])
def test_a_timed_step_in_micro_batches_takes_every_part_and_adds_up_their_seconds(monkeypatch, micro_batch, parts):
    CALLS.clear()
    ticks = iter(range(10_000))  # every look at the clock is one second later than the one before
    monkeypatch.setattr(clock, "time", types.SimpleNamespace(perf_counter=lambda: float(next(ticks))))
    times = step_seconds(Counting(), cross_entropy, problem(40), batch=8, micro_batch=micro_batch, repeats=2, warm_up=1)
    assert CALLS == parts * 3
    assert times == StepSeconds(len(parts), len(parts), 3 * len(parts) + 1)


def test_the_gradient_of_a_timed_step_in_parts_is_the_mean_s(monkeypatch):
    steps, real = [], torch.optim.SGD.step

    def noting(self, *args, **named):
        steps.append([p.grad.clone() for group in self.param_groups for p in group["params"]])
        return real(self, *args, **named)

    monkeypatch.setattr(torch.optim.SGD, "step", noting)
    for micro_batch in (8, 3):
        step_seconds(
            nets((0,))[0], cross_entropy, problem(40), batch=8, micro_batch=micro_batch, repeats=1, warm_up=0, seed=4
        )
    assert all(torch.allclose(a, b, atol=1e-12) for a, b in zip(*steps, strict=True))


def test_seconds_are_positive_medians_of_a_step_and_its_parts():
    times = step_seconds(nets((0,))[0], cross_entropy, problem(40), batch=8, repeats=5)
    assert 0 < times.forward and 0 < times.backward and max(times.forward, times.backward) < times.step < 60


def test_medians_leave_the_warm_up_out(monkeypatch):
    parts = [(50, 60, 90), (1, 2, 7), (4, 9, 15), (3, 1, 5)]  # forward, backward, whole step
    ticks = [t for k, (f, b, s) in enumerate(parts) for t in (1000 * k + np.array([0, 0, f, f + b, s])).tolist()]
    monkeypatch.setattr(clock, "time", types.SimpleNamespace(perf_counter=iter(ticks).__next__))
    times = step_seconds(nets((0,))[0], cross_entropy, problem(40), batch=8, repeats=3, warm_up=1)
    assert times == StepSeconds(3, 2, 7)


@pytest.mark.parametrize("training", [True, False])
def test_a_timed_model_keeps_its_parameters_and_its_mode(training):
    model, before = nets((0,))[0].train(training), nets((0,))[0]
    step_seconds(model, cross_entropy, problem(40), batch=8)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), before.parameters(), strict=True))
    assert {m.training for m in model.modules()} == {training}
    assert all(p.grad is None for p in model.parameters())


def test_a_timed_model_keeps_the_gradients_it_came_with():
    model = nets((0,))[0]
    for p in model.parameters():
        p.grad = torch.full_like(p, 3.0)
    step_seconds(model, cross_entropy, problem(40), batch=8)
    assert all(p.grad is not None and bool((p.grad == 3).all()) for p in model.parameters())


def test_a_timed_model_keeps_its_running_statistics():
    model = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Linear(4, 3)).double()
    step_seconds(model, cross_entropy, problem(40), batch=8)
    assert int(model[1].num_batches_tracked) == 0 and not model[1].running_mean.any()


@pytest.mark.parametrize(
    "changes",
    [
        {"batch": 0},
        {"batch": 41},
        {"micro_batch": 0},
        {"micro_batch": 9},
        {"batch": 1.5},
        {"repeats": 0},
        {"repeats": 2.0},
        {"warm_up": -1},
        {"warm_up": -12},
    ],
)
def test_bad_input_of_the_clock_is_refused_in_one_sentence(changes):
    with pytest.raises(Refused, match="allowed"):
        step_seconds(nets((0,))[0], cross_entropy, problem(40), **{"batch": 8, **changes})
