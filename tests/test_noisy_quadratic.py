"""The noisy quadratic model: exact moments, known limits, runs with random numbers; and its verdicts can fail."""

import math

import numpy as np
import pytest

from tutorlib.errors import Refused
from tutorlib.experiments import noisy_quadratic as lesson
from tutorlib.plots.noisy_quadratic import plot_noisy_quadratic
from tutorlib.records import Machine, Run, RunRecord
from tutorlib.results import Results
from tutorlib.theory.noisy_quadratic import (
    Method,
    Quadratic,
    critical_batch,
    expected_losses,
    fewest_steps,
    steps_to_target,
)
from tutorlib.trials import noisy_quadratic as trials
from tutorlib.verdicts import noisy_quadratic as verdicts
from tutorlib.verdicts.claims import CLAIMS

METHODS = {
    "SGD": Method(),
    "momentum": Method(momentum=0.8),
    "half power": Method(power=0.5),
    "Newton": Method(power=1.0),
    "averaging": Method(average=0.9),
    "all": Method(momentum=0.7, power=0.3, average=0.8),
}
SMALL = Quadratic(np.array([1.0, 0.4, 0.05, 0.01]), np.array([0.5, 1.0, 0.1, 0.02]))


def naive_losses(quadratic, method, rate, batch, steps):
    """Six second moments of (θ, u, θ̄) a direction, one step at a time, in plain numbers."""
    total = [0.0] * (steps + 1)
    for h, c in zip(quadratic.curvature.tolist(), quadratic.noise.tolist(), strict=True):
        slope, variance = h ** (1 - method.power), c / h ** (2 * method.power) / batch
        mu, gamma = method.momentum, method.average
        tt, tu, uu, ta, ua, aa = 1.0, 0.0, 0.0, 1.0, 0.0, 1.0
        for step in range(steps + 1):
            total[step] += h * (aa if gamma else tt) / 2
            vv = mu * mu * uu + 2 * mu * slope * tu + slope * slope * tt + variance  # u' = μu + hθ + ξ
            tv, av = mu * tu + slope * tt, mu * ua + slope * ta
            new_tt = tt - 2 * rate * tv + rate * rate * vv  # θ' = θ − ηu'
            new_tv, new_at = tv - rate * vv, ta - rate * av
            ta_next = gamma * new_at + (1 - gamma) * new_tt  # θ̄' = γθ̄ + (1 − γ)θ'
            ua_next = gamma * av + (1 - gamma) * new_tv
            aa = gamma * gamma * aa + 2 * gamma * (1 - gamma) * new_at + (1 - gamma) ** 2 * new_tt
            tt, tu, uu, ta, ua = new_tt, new_tv, vv, ta_next, ua_next
    return total


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("batch", [1, 16])
def test_expected_losses_are_the_moments_step_by_step(name, batch):
    rates = (0.01, 0.3, 1.1)
    twins = [naive_losses(SMALL, METHODS[name], rate, batch, 37) for rate in rates]
    for steps in (0, 1, 2, 3, 8, 21, 37):
        found = expected_losses(SMALL, METHODS[name], rates, batch, steps)
        assert found == pytest.approx([twin[steps] for twin in twins], rel=1e-10)


@pytest.mark.parametrize("name", METHODS)
def test_steps_to_the_target_are_where_the_moments_pass_it(name):
    for rate, target, batch in ((0.02, 0.3, 64), (0.2, 0.1, 16), (0.05, 0.05, 500)):
        (found,) = steps_to_target(SMALL, METHODS[name], [rate], batch, target)
        twin = naive_losses(SMALL, METHODS[name], rate, batch, 3000)
        after = next((t for t, loss in enumerate(twin) if loss <= target), None)
        if after is None:
            assert found == math.inf
        else:
            assert after - 1 <= found <= max(after, 1)
            if after > 1:
                share = found - (after - 1)
                between = twin[after - 1] ** (1 - share) * twin[after] ** share
                assert between == pytest.approx(target, rel=1e-9)


def test_sgd_is_its_recursion_solved():
    quadratic, rate, batch = Quadratic.power_law(20), 0.7, 3
    h, c = quadratic.curvature, quadratic.noise
    left = (1 - rate * h) ** 2
    for steps in (0, 1, 9, 1000):
        rest = rate * c / (batch * h * (2 - rate * h)) * (1 - left**steps)
        (found,) = expected_losses(quadratic, Method(), [rate], batch, steps)
        assert found == pytest.approx(float((h * (left**steps + rest)).sum() / 2), rel=1e-12)


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_above_the_largest_rate_the_loss_grows_and_below_it_does_not(momentum, power):
    method = Method(momentum=momentum, power=power)
    largest = method.largest_rate(SMALL)
    below, above = expected_losses(SMALL, method, [0.99 * largest, 1.01 * largest], 2.0**60, 4000)
    assert below < 0.03 and above > 1e6


def test_without_noise_newton_arrives_in_one_step():
    steps, rate = fewest_steps(Quadratic.power_law(50), Method(power=1.0), 2.0**60, 0.01)
    assert steps == 1 and rate == pytest.approx(1, rel=0.2)


def test_without_noise_sgd_s_best_rate_is_near_the_largest_stable_one_and_momentum_s_steps_go_as_its_root():
    """Two curvatures κ apart: SGD cannot beat κ ln(…)/4, heavy-ball comes near √κ: Polyak 1964."""
    quadratic, free = Quadratic(np.array([1.0, 1e-3]), np.zeros(2)), [Method(momentum=m) for m in (0.9, 0.93, 0.95)]
    steps, rate = fewest_steps(quadratic, Method(), 1, 1e-6)
    assert 1.9 < rate < 2 and steps > 0.9 * 1e3 / 4 * math.log(1e-3 / 2e-6)
    assert min(fewest_steps(quadratic, method, 1, 1e-6)[0] for method in free) < steps / 8


def test_fewest_steps_beat_every_rate_of_a_fine_grid():
    """With momentum, steps against rate have more than one valley: nearly, for the best of the lesson's three."""
    plain = [(SMALL, [method], 1.01) for method in METHODS.values() if not method.momentum]
    for quadratic, methods, within in [*plain, (Quadratic.power_law(60), lesson.METHODS["momentum"], 1.1)]:
        for batch in (1, 30, 1000):
            found, grid = [], []
            for method in methods:
                steps, rate = fewest_steps(quadratic, method, batch, 0.05)
                rates = method.largest_rate(quadratic) * np.geomspace(1e-4, 1, 400)
                grid.append(steps_to_target(quadratic, method, rates, batch, 0.05).min())
                found.append(steps)
                assert steps_to_target(quadratic, method, [rate], batch, 0.05)[0] == pytest.approx(steps, rel=1e-9)
            assert min(found) <= within * min(grid)


@pytest.mark.parametrize("name", METHODS)
def test_runs_with_random_numbers_are_within_their_interval_of_the_expected_loss(name):
    """2,000 runs, |z| < 4.5 at three times: wrong once in fifty thousand seeds."""
    rng, rate, batch = np.random.default_rng(0), 0.4, 5
    start = rng.standard_normal((2000, 4))
    found = trials.simulate(SMALL, METHODS[name], rate, batch, 30, start, rng)
    for steps in (1, 7, 30):
        (expected,) = expected_losses(SMALL, METHODS[name], [rate], batch, steps)
        z = (found[steps].mean() - expected) / (found[steps].std() / math.sqrt(2000))
        assert abs(z) < 4.5, (steps, z)


def test_a_larger_batch_never_needs_more_steps():
    quadratic = Quadratic.power_law(60)
    for method in METHODS.values():
        steps = [fewest_steps(quadratic, method, 4**k, 0.05)[0] for k in range(7)]
        assert (np.array(steps[:-1]) / steps[1:] > 0.98).all()


def test_the_critical_batch_is_that_of_the_trade_off_law():
    batches = np.array([4.0**k for k in range(8)])
    assert critical_batch(batches, 10 * (1 + 77 / batches), 10) == pytest.approx(77, rel=0.12)  # a line in logs between
    assert critical_batch(np.append(batches, 77), np.append(10 * (1 + 77 / batches), 20), 10) > 0
    fine = np.geomspace(1, 1e4, 2000)
    assert critical_batch(fine, 10 * (1 + 77 / fine), 10) == pytest.approx(77, rel=1e-3)


BAD = [
    (lambda: Quadratic(np.array([1.0, 0.0]), np.ones(2)), "curvature has a 0"),
    (lambda: Quadratic(np.ones(2), np.ones(3)), "noise is"),
    (lambda: Quadratic(np.ones(2), -np.ones(2)), "noise is"),
    (lambda: Quadratic(np.array([1.0, np.nan]), np.ones(2)), "curvature is"),
    (lambda: Method(momentum=1.0), "momentum is 1.0"),
    (lambda: Method(average=-0.1), "average is -0.1"),
    (lambda: Method(power=1.5), "power is 1.5"),
    (lambda: steps_to_target(SMALL, Method(), [0.1], 1, 5.0), "target is 5.0; allowed: above 0 and below"),
    (lambda: steps_to_target(SMALL, Method(), [0.1], 1, 0.0), "target is 0.0"),
    (lambda: critical_batch([1, 4], [30, 25], 10), "begins above twice the fewest and ends below"),
    (lambda: critical_batch([1, 4], [15, 11], 10), "begins above twice the fewest and ends below"),
    (lambda: critical_batch([1, 4], [math.inf, 11], 10), "begins above twice the fewest and ends below"),
]


@pytest.mark.parametrize("call, sentence", BAD, ids=[sentence for _, sentence in BAD])
def test_what_has_no_answer_is_refused_with_what_would_have(call, sentence):
    with pytest.raises(Refused, match=sentence):
        call()


MACHINE = Machine("cpu", "made up", 1, "3.12.1", "2.6.0", "0.1.0")
BENDS = {"SGD": 100, "momentum": 320, "averaging": 30, "half power": 250, "Newton": 1200}
FEWEST = {"SGD": 80.0, "momentum": 25.0, "averaging": 88.0, "half power": 8.0, "Newton": 1.5}


def made_up(experiment, values, spread=0.02):
    records = []
    for run in experiment.at(seeds=8).runs():
        rng = np.random.default_rng([run.seed, len(run.key), *run.key.encode()])
        noise = {name: value * math.exp(spread * rng.standard_normal()) for name, value in values(run.settings).items()}
        records.append(RunRecord(run, "ok", noise, MACHINE, "0" * 16))
    return Results(experiment.at(seeds=8), tuple(records))


def law(bends=(), fewest=(), spread=0.02):
    bends, fewest = {**BENDS, **dict(bends)}, {**FEWEST, **dict(fewest)}

    def values(s):
        steps = fewest[s["method"]] * (1 + bends[s["method"]] / s["batch"])
        return {"steps": steps, "rate": 1.0, "setting": 0}

    return made_up(lesson.LAW, values, spread)


def rules(over=60.0, left=1 / 1800, small=1 / 3000, raised=1 / 800):
    def values(s):
        speeds = {("raised", 16): raised, ("left", lesson.LARGE): left, ("left", lesson.SMALL): small}
        return {
            "speed": speeds.get((s["rule"], s["batch"]), 0.0),
            "over_stable": over if s["rule"] == "raised" else 0.06,
        }

    return made_up(lesson.RATE_RULES, values)


def terrain(flat=1.0):
    return made_up(lesson.ONE_CURVATURE, lambda s: {"one_curvature": flat, "power_law": 100.0})


def words(rows):
    return [row.verdict for row in rows]


HOLDS, NOT, IF = "holds", "does not hold", "holds if"
AS_EXPECTED = [HOLDS, HOLDS, HOLDS, HOLDS, HOLDS, IF, IF, HOLDS, HOLDS, HOLDS]


def test_the_family_of_problems_gives_the_words_of_the_lesson():
    assert words(verdicts.method_verdicts(law())) == AS_EXPECTED
    assert words(verdicts.rate_rule_verdicts(law(), rules())) == [IF, IF, HOLDS, HOLDS]
    assert words(verdicts.terrain_verdicts(terrain())) == [NOT]


@pytest.mark.parametrize(
    "row, changed, word",
    [
        (0, {"fewest": {"momentum": 15.0}}, NOT),
        (1, {"fewest": {"momentum": 70.0}, "bends": {"momentum": 114}}, NOT),
        (2, {"bends": {"momentum": 100}}, NOT),
        (3, {"bends": {"averaging": 100}}, NOT),
        (4, {"fewest": {"averaging": 60.0}, "bends": {"averaging": 40}}, NOT),
        (5, {"bends": {"momentum": 1200}}, NOT),
        (6, {"bends": {"Newton": 110}}, NOT),
        (7, {"fewest": {"Newton": 18.0}, "bends": {"Newton": 100}}, NOT),
        (8, {"bends": {"half power": 100}}, NOT),
        (9, {"bends": {"Newton": 8000}}, NOT),
    ],
)
def test_another_curve_changes_the_word_of_its_row(row, changed, word):
    assert words(verdicts.method_verdicts(law(**changed)))[row] == word


@pytest.mark.parametrize(
    "row, changed, word",
    [
        (0, {"over": 0.5}, NOT),
        (1, {"left": 1 / 1000}, NOT),
        (2, {"left": 1 / 100}, NOT),
        (3, {"raised": 1 / 2000}, NOT),
        (3, {"raised": 0.0}, "inconclusive at this budget"),
    ],
)
def test_another_rate_rule_changes_the_word_of_its_row(row, changed, word):
    assert words(verdicts.rate_rule_verdicts(law(), rules(**changed)))[row] == word


def test_directions_that_made_it_slow_would_be_told():
    assert words(verdicts.terrain_verdicts(terrain(flat=90.0))) == [HOLDS]


def test_runs_beside_the_closed_form_would_be_told():
    def off(s):
        return {"over_target": {"SGD": 1.3, "momentum": 0.8}.get(s["method"], 1.0)}

    rows = verdicts.simulation_verdicts(made_up(lesson.SIMULATED, off))
    assert words(rows) == [NOT, NOT, HOLDS, HOLDS, HOLDS]


def test_claims_are_told_in_our_words():
    rows = verdicts.method_verdicts(law()) + verdicts.terrain_verdicts(terrain())
    assert {row.claim for row in rows} == {"E16", "D1-28", "D1-29"}
    assert rows[5].says == CLAIMS["D1-28"] and rows[5].condition and rows[6].says == CLAIMS["D1-29"]


QUICK = {**lesson.HELD, "directions": 20, "share": 0.1}


def test_a_trial_takes_the_best_setting_at_the_problem_of_its_seed():
    values = trials.law(Run("x", {**QUICK, "method": "momentum", "batch": 64}, 3), "cpu")
    quadratic = lesson.problem(3, 20)
    target = 0.1 * quadratic.curvature.sum() / 2
    found = [fewest_steps(quadratic, method, 64, target)[0] for method in lesson.METHODS["momentum"]]
    assert values["steps"] == min(found) and found[values["setting"]] == min(found)
    assert lesson.problem(3, 20).curvature[1] != lesson.problem(4, 20).curvature[1]


def test_a_rate_raised_past_the_largest_stable_one_has_speed_zero_and_one_left_as_it_is_arrives():
    at = {**QUICK, "tuned_at": 4, "batch": 4096}
    raised = trials.rate_rules(Run("x", {**at, "rule": "raised"}, 0), "cpu")
    left = trials.rate_rules(Run("x", {**at, "rule": "left"}, 0), "cpu")
    assert raised["speed"] == 0 and raised["over_stable"] > 1 and 0 < left["over_stable"] < 1
    assert raised["over_stable"] == pytest.approx(1024 * left["over_stable"])
    quadratic = lesson.problem(0, 20)
    target = 0.1 * quadratic.curvature.sum() / 2
    _, rate = fewest_steps(quadratic, Method(), 4, target)
    assert left["speed"] == pytest.approx(1 / steps_to_target(quadratic, Method(), [rate], 4096, target)[0])


def test_simulated_runs_end_at_the_target_of_the_closed_form():
    many = {**QUICK, "runs": 400, "batch": 16}
    for method in lesson.METHODS:
        values = trials.simulated(Run("x", {**many, "method": method}, 1), "cpu")
        assert values["over_target"] == pytest.approx(1, abs=0.12), method


def test_one_curvature_needs_one_step_however_many_directions():
    for directions in (5, 50):
        values = trials.one_curvature(Run("x", {"directions": directions, "share": 0.02}, 0), "cpu")
        assert values["one_curvature"] == pytest.approx(1) and values["power_law"] > 3


def test_the_figure_shows_every_method_its_bend_and_the_guess():
    axes = plot_noisy_quadratic(law(), guess=(10, 40))
    _, beside = axes.figure.axes
    crosses = [line for line in axes.lines if line.get_marker() == "x"]
    assert sorted(float(c.get_xdata()[0]) for c in crosses) == pytest.approx(sorted(BENDS.values()), rel=0.15)
    assert [p.get_label() for p in beside.patches] == ["your guess"]
    curves = [line for line in beside.lines if len(line.get_xdata()) == len(lesson.BATCHES)]
    assert len(curves) == len(lesson.METHODS) - 1
    newton = curves[-1].get_ydata()
    assert newton[-1] == pytest.approx(80 / 1.5 * (1 + 100 / 16384) / (1 + 1200 / 16384), rel=0.05)
