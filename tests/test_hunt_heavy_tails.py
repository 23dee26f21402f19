"""Lesson 08: instruments against known laws and naive twins, walkers against integrals, bought noise by definition."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch.nn.functional import cross_entropy

from tutorlib.errors import Refused
from tutorlib.experiments import bought_noise as bought
from tutorlib.experiments import escape_times as escapes
from tutorlib.experiments import hunt_heavy_tails as lesson
from tutorlib.measure.diagonal_net import Regression, plain, sparse_regression, train
from tutorlib.measure.escape import escape_times
from tutorlib.measure.tails import example_gradients, minibatch_means
from tutorlib.nn.data import digits
from tutorlib.nn.models import make
from tutorlib.records import Run
from tutorlib.study import find_trial
from tutorlib.theory import bought_noise, escape, tails
from tutorlib.trials import bought_noise as buying
from tutorlib.trials import escape_times as escaping
from tutorlib.trials import hunt_heavy_tails as trials
from tutorlib.trials.diagonal_net import weights_of
from tutorlib.verdicts.hunt_heavy_tails import VERDICTS


def rng(seed=0):
    return np.random.default_rng(seed)


def naive_hill(values, top):
    """Hill's estimator as he wrote it, one logarithm after the other."""
    ordered = sorted((abs(v) for v in values), reverse=True)
    total = 0.0
    for value in ordered[:top]:
        total += math.log(value) - math.log(ordered[top])
    return top / total


def test_the_hill_index_is_hill_s_at_every_threshold_and_exact_on_a_power_law():
    values = rng().standard_cauchy(500)
    many = tails.hill_indices(values, 50)
    assert len(many) == 49
    for top in (2, 7, 50):
        assert tails.hill(values, top).value == pytest.approx(naive_hill(values, top))
        assert many[top - 2] == pytest.approx(naive_hill(values, top))
    pareto = rng(1).pareto(2.5, 200_000) + 1
    found = tails.hill(pareto, 100_000)
    assert 2.5 in found and found.high - found.low == pytest.approx(2 * 1.96 * found.value / 100_000**0.5, rel=1e-3)


def test_the_hill_interval_covers_the_truth_19_times_in_20():
    inside = sum(3 in tails.hill(rng([7, k]).pareto(3, 2000) + 1, 100) for k in range(400))
    assert abs(inside / 400 - 0.95) < 4 * (0.05 * 0.95 / 400) ** 0.5


def test_excess_kurtosis_is_scipy_s_and_that_of_two_points_is_minus_two():
    values = rng().standard_t(6, (300, 3)) + 5
    np.testing.assert_allclose(tails.excess_kurtosis(values), stats.kurtosis(values, axis=0))
    assert tails.excess_kurtosis([1.0, 3.0]) == pytest.approx(-2)


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_the_kurtosis_of_every_minibatch_there_is_is_the_law_exactly(batch):
    values = [0.0, 1.0, 1.0, 7.0, -2.0]
    means = [np.mean(group) for group in itertools.product(values, repeat=batch)]
    assert tails.excess_kurtosis(means) == pytest.approx(tails.kurtosis_of_mean(tails.excess_kurtosis(values), batch))


@pytest.mark.parametrize("alpha", [0.7, 1.0, 1.5, 1.9, 2.0])
def test_stable_draws_have_the_law_that_scipy_has(alpha):
    drawn = tails.stable(alpha, 4000, rng(3))
    assert stats.kstest(drawn[:1000], stats.levy_stable(alpha, 0).cdf).pvalue > 0.001
    assert abs(np.cos(drawn).mean() - math.exp(-1)) < 4 / 4000**0.5  # its characteristic function at 1
    assert bought_noise.stable_quartile(alpha) == pytest.approx(stats.levy_stable(alpha, 0).ppf(0.75), rel=1e-4)


@pytest.mark.parametrize("alpha", [1.2, 1.6, 2.0])
def test_the_index_of_sums_is_alpha_on_stable_laws(alpha):
    drawn = tails.stable(alpha, (20_000, 8), rng(4))
    index = tails.sum_index(tails.log_scale(drawn.ravel()), tails.log_scale(drawn.sum(axis=1)), 8)
    assert index == pytest.approx(alpha, abs=0.08)
    assert tails.pooled_index(drawn.ravel()) == pytest.approx(alpha, abs=0.12)


def test_sizes_that_differ_look_heavy_tailed_in_one_pool_and_equal_sizes_do_not():
    sizes = np.exp(1.5 * rng(5).standard_normal(20_000))
    gaussian = rng(6).standard_normal(20_000)
    assert tails.pooled_index(sizes * gaussian) < 1.4 and tails.pooled_index(gaussian) == pytest.approx(2, abs=0.1)


@pytest.mark.parametrize("alpha", [1.2, 1.9])
def test_rows_of_stable_sizes_are_stable_in_every_direction(alpha):
    sizes = tails.stable_sizes(alpha, 40_000, rng(8))
    drawn = tails.elliptical(sizes, 3, rng(9))
    assert drawn.shape == (40_000, 3)
    for t in (0.5, 1.0, 2.0):  # e^(−|t|^α) along one column, and along a mixture of two
        for values in (drawn[:, 0], 0.6 * drawn[:, 1] + 0.8 * drawn[:, 2]):
            assert abs(np.cos(t * values).mean() - math.exp(-(t**alpha))) < 4 / 40_000**0.5
    half = np.exp(-(sizes**2) / 2).mean()  # E e^(−A) = e^(−1), for sizes² = 2 A
    assert half == pytest.approx(math.exp(-1), abs=4 / 40_000**0.5)
    with pytest.raises(Refused, match="Take ones"):
        tails.stable_sizes(2.0, 3, rng())


def test_the_bend_is_0_for_stable_laws_and_not_for_sizes_that_differ():
    def bent(draw):
        scales = [tails.log_scale(draw((2000, batch, 8)).sum(axis=1)) for batch in (1, 4, 16)]
        return tails.bend(scales, axis=0) / math.log(4)

    generator = rng(8)
    for alpha in (1.3, 2.0):
        found = bent(lambda shape, alpha=alpha: tails.stable(alpha, shape, generator))
        assert abs(stats.ttest_1samp(found, 0).statistic) < 4 and abs(found.mean()) < 0.05
    mixed = bent(lambda shape: generator.standard_normal(shape) * np.exp(1.5 * generator.standard_normal(shape)))
    assert mixed.mean() < -0.2
    assert tails.bend([0.0, 1.0, 3.0, 3.5]) == pytest.approx(-0.5)


def test_controls_are_read_as_gradients_are():
    held = {**lesson.CONTROLS.held, "examples": 400, "draws": 200}
    found = {law: trials.controls(Run("x", {**held, "law": law}, 3), "cpu") for law in lesson.ROWS_OF}
    assert set(found["gaussian"]) == set(
        trials.across_minibatches(rng().standard_normal((200, 2)), rng(1).standard_normal((200, 2)), 100, rng())
    )
    assert found["stable 1.5"]["hill_of_examples"][2] < 2.2 < 4 < found["gaussian"]["hill_of_examples"][2]
    bends = {law: float(lesson.bends(np.array([read["log_scales"]]))[0]) for law, read in found.items()}
    assert abs(bends["gaussian"]) < 0.1 and bends["gaussians of many sizes"] < -0.25
    assert found["student 3"]["of_directions"] > 2


def test_examples_that_are_alike_in_one_place_only_are_left_out_of_its_scale():
    rows = rng().standard_normal((200, 2))
    alike = np.where(np.arange(200)[:, None] < [150, 0], 1.0, rows)  # in the first of two columns, to the last digit
    found = trials.across_minibatches(rows, alike, 100, rng())
    assert np.isfinite(found["log_scales"]).all() and found["log_scales"][0] < 0


def test_kurtosis_settles_for_a_gaussian_and_grows_with_the_draws_for_a_stable_law():
    assert tails.settles(rng().standard_normal(8000)) == pytest.approx(1, abs=0.1)
    ratios = [tails.settles(tails.stable(1.5, 4000, rng([9, k]))) for k in range(60)]
    assert 0.2 < np.exp(np.log(ratios).mean()) < 0.45


def test_bad_input_to_an_instrument_is_refused_in_a_sentence():
    with pytest.raises(Refused, match="from 2 to 9"):
        tails.hill(np.arange(10.0), 10)
    with pytest.raises(Refused, match=r"above 0\. Take a smaller top"):
        tails.hill(np.zeros(10), 3)
    with pytest.raises(Refused, match="all equal"):
        tails.hill(np.ones(10), 3)
    with pytest.raises(Refused, match="values has a zero"):
        tails.log_scale([0.0, 1.0])
    for alpha in (0, 2.5, True):
        with pytest.raises(Refused, match="alpha is"):
            tails.stable(alpha, 3, rng())
    with pytest.raises(Refused, match="a Gaussian does not jump"):
        escape.levy_time(1.0, 2.0, 0.1)
    with pytest.raises(Refused, match="height is 0"):
        escape.gaussian_time(0, 1.0, 0.1)
    with pytest.raises(Refused, match="batch is 0"):
        bought_noise.gaussian(rng(), (1, 2), batch=0)
    with pytest.raises(Refused, match="one for each of the 2 replicas"):
        train(sparse_regression([0, 1]), rate=0.1, steps=1, seeds=[0])
    with pytest.raises(Refused, match="rate has 3 entries"):
        train(sparse_regression([0, 1]), rate=[0.1, 0.2, 0.3], steps=1, seeds=[0, 1])


def test_example_gradients_are_those_of_a_loop():
    model, data = make("mlp", 0, width=6), digits(24, 0)
    found = example_gradients(model, cross_entropy, data, coordinates=5, directions=3, batch=4, seed=1)
    rows = []
    for x, y in zip(data.x, data.y, strict=True):
        parts = torch.autograd.grad(cross_entropy(model(x[None]), y[None]), list(model.parameters()))
        rows.append(torch.cat([part.flatten() for part in parts]))
    rows = torch.stack(rows).double().numpy()
    np.testing.assert_allclose(found.sizes, rows.std(axis=0), atol=1e-6)
    for column in found.coordinates.T:
        assert (np.abs(rows - column[:, None]).max(axis=0) < 1e-6).any() and (column != 0).any()
    lengths = np.linalg.lstsq(rows, found.directions, rcond=None)[0]  # a direction is linear in the gradient …
    np.testing.assert_allclose(rows @ lengths, found.directions, atol=1e-5)
    wide = example_gradients(model, cross_entropy, data, coordinates=5, directions=400, batch=4, seed=1).directions
    assert (wide**2).sum() / (rows**2).sum() * rows.shape[1] / 400 == pytest.approx(1, abs=0.15)  # … and a unit vector
    chosen = chosen_minibatch(found, rows)
    np.testing.assert_allclose(found.noise, rows[chosen].mean(axis=0) - rows.mean(axis=0), atol=1e-6)


def chosen_minibatch(found, rows, batch=4):
    """The minibatch whose noise was kept, found by trying all there are with replacement."""
    target = found.noise + rows.mean(axis=0)
    weights = np.linalg.lstsq(rows.T, target, rcond=None)[0]
    counts = np.round(weights * batch).astype(int)
    assert counts.sum() == batch and (counts >= 0).all()
    return np.repeat(np.arange(len(rows)), counts)


def test_minibatch_means_are_means_of_rows_drawn_with_replacement():
    rows = rng().standard_normal((6, 2))
    means = minibatch_means(rows, 3, 50, rng(1))
    chosen = np.random.default_rng(1).integers(6, size=(50, 3))
    np.testing.assert_allclose(means, rows[chosen].mean(axis=1), atol=1e-6)


def test_the_time_over_a_high_rim_is_half_of_kramers_and_the_exact_one_is_the_integral():
    for height, width in ((1.0, 1.0), (1.0, 2.0)):
        assert escape.gaussian_time(height, width, 0.05) / escape.kramers_time(height, width, 0.05) == pytest.approx(
            0.5, rel=0.03
        )
    assert escape.gaussian_time(1.0, 2.0, 0.3) == pytest.approx(4 * escape.gaussian_time(1.0, 1.0, 0.3))
    h, t = 0.8, 0.3

    def well(x):
        return h * (x * x - 1) ** 2

    from scipy.integrate import dblquad

    found, _ = dblquad(lambda z, y: math.exp((well(y) - well(z)) / t) / t, -1, 0, -3, lambda y: y, epsabs=1e-6)
    assert escape.gaussian_time(h, 1.0, t) == pytest.approx(found, rel=1e-3)


def test_the_force_is_minus_the_slope_of_the_well():
    x = np.linspace(-1.5, 0.5, 9)

    def well(x):
        return 0.7 * ((x / 1.3) ** 2 - 1) ** 2

    np.testing.assert_allclose(escape.force(x, 0.7, 1.3), -(well(x + 1e-6) - well(x - 1e-6)) / 2e-6, atol=1e-6)


def test_levy_jumps_come_at_the_rate_of_the_tail():
    alpha, scale = 1.5, 0.1  # P(x > s) of a unit of time: C/α s^(−α), against scipy's tail
    rate = 1 / escape.levy_time(3.0, alpha, scale)
    assert rate == pytest.approx(stats.levy_stable(alpha, 0, scale=scale).sf(3.0), rel=0.03)


def naive_escape(kicks, height, width, step, longest):
    x, time = -width, 0.0
    for kick in kicks:
        x = max(x - step * 4 * height / width * (x / width) * ((x / width) ** 2 - 1) + kick, -2 * width)
        time += step
        if x >= 0:
            return min(time, longest)
    return longest


def test_walkers_together_walk_as_each_alone():
    table = 0.5 * rng(2).standard_t(2, (640, 7))
    position = {"at": 0}

    def kicks(steps, who):
        position["at"] += steps
        return table[position["at"] - steps : position["at"], who]

    found = escape_times(kicks, height=1.5, width=1.0, step=0.01, walkers=7, longest=6.4)
    alone = [naive_escape(column, 1.5, 1.0, 0.01, 6.4) for column in table.T]
    np.testing.assert_allclose(found, alone)
    assert 0.01 <= found.min() < 1 and len(set(found)) > 4


def test_gaussian_walkers_take_the_time_of_the_integral():
    generator, size = rng(3), math.sqrt(2 * 0.4 * 0.004)
    found = escape_times(
        lambda steps, who: size * generator.standard_normal((steps, len(who))),
        height=0.6, width=1.0, step=0.004, walkers=1500, longest=500.0,
    )  # fmt: skip
    assert found.mean() == pytest.approx(escape.gaussian_time(0.6, 1.0, 0.4), rel=0.15) and found.max() < 500


def test_gradient_kicks_have_the_variance_of_the_gaussian_ones():
    held = {"temperature": 0.3, "step": 0.01, "walkers": 50, "directions": 4, "examples": 64, "rate": 0.1, "trained": 2}
    for batch in (1, 16):
        kicks = escaping.kicks({**held, "noise": "gradient", "batch": batch}, (0, 1), rng(), "cpu")
        drawn = kicks(400, np.arange(100))
        assert drawn.shape == (400, 100) and drawn.var() == pytest.approx(2 * 0.3 * 0.01, rel=0.05)
        assert abs(drawn.mean()) < 4 * drawn.std() / drawn.size**0.5
    settings = {**held, "noise": "gradient", "batch": 1}
    two, same = (escaping.kicks(settings, seeds, rng(), "cpu")(9, np.arange(100)) for seeds in ((0, 1), (0, 0)))
    assert np.array_equal(two[:, :50], same[:, :50])
    assert not np.allclose(two[:, 50:], same[:, 50:]), "every seed has the noise of its own net"


LAWS_OF_WEIGHTS = [
    (bought_noise.minibatch, {"batch": 2}),
    (bought_noise.gaussian, {"batch": 2.0}),
    (bought_noise.rademacher, {"batch": 2.0}),
    (bought_noise.student, {"batch": 2.0, "degrees": 8}),
]


@pytest.mark.parametrize("law, named", LAWS_OF_WEIGHTS)
def test_weighted_gradients_have_the_covariance_of_a_minibatch(law, named):
    g = rng(1).standard_normal((10, 3))
    means = law(rng(2), (60_000, 10), **named) @ g / 10
    second = g.T @ g / 10
    expected = (second - np.outer(g.mean(0), g.mean(0)) * (law is bought_noise.minibatch)) / 2
    np.testing.assert_allclose(means.mean(axis=0), g.mean(axis=0), atol=0.02)
    np.testing.assert_allclose(np.cov(means.T), expected, atol=0.03)


def test_stable_weights_have_the_quartiles_of_gaussian_ones():
    weights = bought_noise.levy(rng(), (20_000, 4), batch=1.0, alpha=1.5)
    assert np.quantile(weights, 0.75) - 1 == pytest.approx(2 * 0.6745, rel=0.03)
    assert np.abs(weights).max() > 100


def torch_diagonal(task, weights, rate, steps, penalty, replica=0, start=0.1):
    """The diagonal net by autograd, a loss and a penalty written as they are defined."""
    x, y = (torch.from_numpy(part[replica]) for part in (task.x, task.y))
    u = torch.full((x.shape[1],), start, dtype=torch.float64, requires_grad=True)
    v = u.detach().clone().requires_grad_()
    for row in weights[:steps]:
        residual = x @ (u * u - v * v) - y
        loss = (torch.from_numpy(row) * residual**2 / 2).mean()
        if penalty:
            rows = torch.cat([2 * u * x * residual[:, None], -2 * v * x * residual[:, None]], dim=1)
            loss = loss + penalty * rows.square().sum(1).mean()
        gu, gv = torch.autograd.grad(loss, (u, v))
        u, v = ((p - rate * g).detach().requires_grad_() for p, g in ((u, gu), (v, gv)))
    return (u * u - v * v).detach().numpy()


@pytest.mark.parametrize("penalty, rate, start", [(0.0, 0.01, 0.1), (0.01, 0.01, 0.1), (0.0, (0.005, 0.01), 0.3)])
def test_the_closed_gradient_is_autograd_s_replica_by_replica(penalty, rate, start):
    task, named = sparse_regression([3, 4], examples=6, inputs=9, nonzero=2), {"penalty": penalty, "start": start}
    beta = train(task, weights_of("gaussian", 1.0), rate=rate, steps=30, seeds=[3, 4], **named)
    for replica, seed in enumerate((3, 4)):
        weights = bought_noise.gaussian(np.random.default_rng([seed, 2]), (200, 6), batch=1.0)
        naive = torch_diagonal(task, weights, np.broadcast_to(rate, 2)[replica], 30, replica=replica, **named)
        np.testing.assert_allclose(beta[replica], naive, rtol=1e-9)


def test_isotropic_noise_has_the_trace_of_a_minibatch_and_no_direction():
    one = sparse_regression([0], examples=5, inputs=4, nonzero=2)
    many = Regression(*(np.repeat(part, 4000, axis=0) for part in (one.x, one.y, one.truth)))
    beta = train(many, rate=1e-4, steps=1, seeds=range(4000), isotropic=0.5)
    still = train(one, rate=1e-4, steps=1, seeds=[0])
    moved = (beta - still) / (2 * 0.1 * 1e-4)  # β = u² − v² moves by 2 · 0.1 (du − dv)
    residual = one.y[0]
    rows = 2 * 0.1 * residual[:, None] * one.x[0]
    trace = 0.5 * 2 * (rows**2).sum(axis=1).mean()  # u and v alike; 1/B · mean |g_i|²
    np.testing.assert_allclose(moved.var(axis=0), 2 * trace / 8, rtol=0.12)


def test_noise_apart_has_every_parameter_s_variance_and_no_direction():
    one = sparse_regression([0], examples=5, inputs=4, nonzero=2)
    many = Regression(*(np.repeat(part, 4000, axis=0) for part in (one.x, one.y, one.truth)))
    still = train(one, rate=1e-4, steps=1, seeds=[0])
    moved = (train(many, rate=1e-4, steps=1, seeds=range(4000), apart=0.5) - still) / (2 * 0.1 * 1e-4)
    squares = ((2 * 0.1 * one.y[0][:, None] * one.x[0]) ** 2).mean(axis=0)  # mean g_i² of each parameter
    np.testing.assert_allclose(moved.var(axis=0), 2 * 0.5 * squares, rtol=0.12)
    assert np.abs(np.corrcoef(moved.T) - np.eye(4)).max() < 0.1


def test_isotropic_noise_is_as_large_as_gaussian_weights_make():
    one = sparse_regression([0], examples=5, inputs=4, nonzero=2)
    many = Regression(*(np.repeat(part, 4000, axis=0) for part in (one.x, one.y, one.truth)))
    weights = weights_of("gaussian", 2.0)
    still = train(one, rate=1e-4, steps=1, seeds=[0])
    spread = [
        (train(many, rate=1e-4, steps=1, seeds=range(4000), **named) - still).var(axis=0).sum()
        for named in ({"isotropic": 0.5}, {"weights": weights})
    ]
    # with weights u and v move against each other, so β moves by twice one of them: twice the variance of two apart
    assert 2 * spread[0] == pytest.approx(spread[1], rel=0.1)


def test_a_net_that_diverges_does_so_alone():
    task = sparse_regression([0, 1], examples=4, inputs=6, nonzero=1)
    beta = train(task, lambda generator, shape: np.ones(shape), rate=0.02, steps=10, seeds=[0, 1])
    np.testing.assert_allclose(beta[1], train(sparse_regression([1], 4, 6, 1), rate=0.02, steps=10, seeds=[1])[0])
    big = Regression(task.x * np.array([1e3, 1])[:, None, None], task.y, task.truth)
    wild = train(big, plain, rate=0.02, steps=50, seeds=[0, 1])
    assert not np.isfinite(wild[0]).all() and np.isfinite(wild[1]).all()


def test_every_experiment_names_a_trial():
    for experiments, _ in VERDICTS:
        for experiment in experiments:
            assert callable(find_trial(experiment.trial)) and experiment.small_print


def test_readings_of_a_gaussian_are_a_gaussian_s():
    values = trials.readings(Run("x", {**lesson.READINGS.held, "law": "gaussian"}, 1), "cpu")
    assert (
        abs(values["kurtosis"]) < 0.4 and 4 < values["hill"][2] < 10 and values["pooled"] == pytest.approx(2, abs=0.4)
    )
    assert np.diff(values["log_scales"]) == pytest.approx([0.69] * 4, abs=0.15)


def test_checkpoints_of_one_training_are_read_in_the_order_asked(monkeypatch):
    held = {**lesson.NOISE.held, "examples": 128, "draws": 64, "coordinates": 4, "directions": 3, "model": "mlp"}
    runs, taken, real = [Run("x", {**held, "steps": steps}, 0) for steps in (5, 0, 2)], [], trials.fit
    monkeypatch.setattr(trials, "fit", lambda *model, **more: taken.append(more["steps"]) or real(*model, **more))
    late, early, _ = trials.noise(runs, "cpu")
    (alone,) = trials.noise(runs[1:2], "cpu")
    assert taken == [2, 3]
    assert early == alone and late["of_directions"] != early["of_directions"]
    assert len(early["kurtosis"]) == len(lesson.BATCHES)


def test_a_diagonal_run_that_diverges_is_an_outcome_and_the_penalty_is_the_law_s():
    penalty = next(point for point in bought.ARMS if point["arm"] == bought.PENALTY)
    assert penalty["penalty"] == pytest.approx(penalty["rate"] / 4)
    held = {**bought.HELD, "length": 1.0}
    (fine,) = buying.diagonal([Run("x", {**held, **bought.ARMS[0]}, 0)], "cpu")
    (lost,) = buying.diagonal([Run("x", {**held, **bought.ARMS[0], "rate": 0.9, "length": 100.0}, 0)], "cpu")
    assert set(fine) == {"error", "loss"} and type(lost).__name__ == "Diverged"


def test_the_price_of_a_step_is_two_ratios():
    values = buying.price(Run("x", {"examples": 64, "repeats": 3}, 0), "cpu")
    assert set(values) == {"weighted", "isotropic"} and min(values.values()) > 0


def test_who_is_over_the_rim_within_the_stride_has_hopped():
    held = {**escapes.ESCAPE.held, **escapes.ESCAPE.points[0], "walkers": 200}
    (found,) = escaping.escape([Run("x", held, 0)], "cpu")
    (all_of_them,) = escaping.escape([Run("x", {**held, "stride": 10**6}, 0)], "cpu")
    assert 0.01 < found["hopped"] < 0.15 and all_of_them["hopped"] == 1 - all_of_them["stayed"]
