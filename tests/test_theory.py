"""The laws against exact enumeration, the intervals against tables and coverage, the walk against loops."""

import itertools
import math

import numpy as np
import pytest
import scipy.stats
from naive import exact_minibatch_variance, naive_walk

from tutorlib.theory.noise import Noise, NoiseDraws, check_batch, finite_population_factor, two_batch_estimates
from tutorlib.theory.statistics import (
    Estimate,
    geometric_interval,
    mean_interval,
    ratio_interval,
    sample,
    share_interval,
    slopes,
    t_quantile,
)
from tutorlib.theory.walk import drift_ratio, largest_rate, small_steps_mean, walk

GRADIENTS = np.array([[1, 2, 0], [3, -1, 1], [0.5, 0.5, 4], [-2, 1, 1], [2, 2, -1.5]])


def exact(vectors):
    mean = vectors.mean(axis=0)
    return Noise(trace=float(((vectors - mean) ** 2).sum(axis=1).mean()), grad_sq=float(mean @ mean))


@pytest.mark.parametrize("batch", [1, 2, 3, 4])
def test_variance_falls_as_one_over_batch_when_drawn_with_replacement(batch):
    enumerated = exact_minibatch_variance(GRADIENTS, batch, replacement=True)
    assert exact(GRADIENTS).variance(batch) == pytest.approx(enumerated, rel=1e-12)
    assert enumerated == pytest.approx(exact(GRADIENTS).trace / batch, rel=1e-12)


@pytest.mark.parametrize("batch", [1, 2, 3, 4, 5])
def test_without_replacement_the_finite_population_factor_is_exact(batch):
    enumerated = exact_minibatch_variance(GRADIENTS, batch, replacement=False)
    assert exact(GRADIENTS).variance(batch, examples=5) == pytest.approx(enumerated, rel=1e-12, abs=1e-15)
    assert finite_population_factor(batch, 5) == pytest.approx((5 - batch) / 4)
    if batch > 1:  # the factor is needed: the law with replacement is wrong here
        assert enumerated < 0.8 * exact(GRADIENTS).variance(batch)


def test_the_factor_leaves_batch_1_as_it_is_and_the_whole_data_without_noise():
    assert finite_population_factor(1, 1000) == 1.0 and finite_population_factor(1000, 1000) == 0.0
    assert finite_population_factor(1, 1) == 0.0
    assert finite_population_factor(np.array([1, 4, 7]), 7).tolist() == [1.0, 0.5, 0.0]


def test_the_cosine_is_signal_over_root_mean_square_length():
    noise, mean = exact(GRADIENTS), GRADIENTS.mean(axis=0)
    for batch in (1, 2, 3):
        means = [np.mean(group, axis=0) for group in itertools.product(GRADIENTS, repeat=batch)]
        along = np.mean([m @ mean for m in means]) / np.linalg.norm(mean)
        length = math.sqrt(np.mean([m @ m for m in means]))
        assert noise.cosine(batch) == pytest.approx(along / length, rel=1e-12)


def test_at_the_noise_scale_noise_and_signal_are_equally_long():
    noise = Noise(trace=12.0, grad_sq=0.5)
    assert noise.scale == 24.0 and noise.variance(noise.scale) == noise.grad_sq
    assert noise.variance(np.array([1, 2, 4])).tolist() == [12.0, 6.0, 3.0]


@pytest.mark.parametrize("trace, grad_sq", [(12.0, 0.2), (0.0, 3.0), (5.0, 0.0)])
@pytest.mark.parametrize("small, big", [(1, 2), (1, 8), (8, 128), (32, 33)])
def test_two_points_of_the_line_give_the_line(trace, grad_sq, small, big):
    estimates = two_batch_estimates(grad_sq + trace / small, grad_sq + trace / big, small, big)
    assert estimates == pytest.approx((trace, grad_sq), rel=1e-9, abs=1e-9)


def squares(batch):
    return np.array([np.sum(np.mean(g, axis=0) ** 2) for g in itertools.product(GRADIENTS, repeat=batch)])


@pytest.mark.parametrize("small, big", [(1, 2), (1, 4), (2, 3)])
def test_the_two_batch_estimates_are_unbiased_over_every_pair_of_minibatches(small, big):
    trace, grad_sq = two_batch_estimates(squares(small)[:, None], squares(big)[None, :], small, big)
    assert trace.shape == grad_sq.shape == (5**small, 5**big)
    assert trace.mean() == pytest.approx(exact(GRADIENTS).trace, rel=1e-12)
    assert grad_sq.mean() == pytest.approx(exact(GRADIENTS).grad_sq, rel=1e-12)
    assert grad_sq.min() < 0 < grad_sq.max()
    with np.errstate(divide="ignore"):  # the mean of ratios is not the ratio of means
        assert abs(np.mean(trace / grad_sq) / exact(GRADIENTS).scale - 1) > 0.1


@pytest.mark.parametrize("small, big", [(8, 8), (8, 1), (128, 8)])
def test_equal_or_swapped_sizes_are_refused(small, big):
    with pytest.raises(ValueError, match=rf"small is {small} and big is {big}; allowed: small < big"):
        two_batch_estimates(1.0, 1.0, small, big)


@pytest.mark.parametrize("small, big, name", [(0, 8, "small"), (1.5, 8, "small"), (1, 8.0, "big"), (1, "8", "big")])
def test_sizes_that_are_no_batches_are_refused_by_name(small, big, name):
    with pytest.raises(ValueError, match=f"^{name} is .*whole number"):
        two_batch_estimates(1.0, 1.0, small, big)


@pytest.mark.parametrize("batch", [0, -3, 11, 2.0, 2.5, "2", True, None, math.nan])
def test_what_is_no_batch_is_refused_with_the_allowed_range(batch):
    with pytest.raises(ValueError, match=r"parts is .*allowed: a whole number from 1 to 10 "):
        check_batch(batch, 10, "parts")


@pytest.mark.parametrize("batch", [1, 10, np.int64(3)])
def test_what_is_a_batch_comes_back_as_a_plain_whole_number(batch):
    assert check_batch(batch, 10) == batch and type(check_batch(batch, 10)) is int


def test_draws_are_averaged_before_they_are_divided():
    draws = NoiseDraws(np.array([9.0, 11.0, 10.0, 10.0]), np.array([-1.0, 2.0, 1.0, 2.0]))
    assert draws.noise == Noise(10.0, 1.0) and draws.noise.scale == 10.0
    assert draws.trace == mean_interval([9.0, 11.0, 10.0, 10.0])
    assert draws.grad_sq == mean_interval([-1.0, 2.0, 1.0, 2.0])
    with pytest.raises(ValueError, match="not clearly different from zero"):
        _ = draws.scale
    assert NoiseDraws(np.array([9.0, 11.0]), np.array([1.0, 1.0])).scale.value == 10.0


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95, 0.99])
@pytest.mark.parametrize("n", [2, 3, 24])
def test_the_interval_of_a_mean_is_student_s(n, level):
    values = np.random.default_rng(n).normal(3.0, 2.0, n)
    found = mean_interval(values, level)
    low, high = scipy.stats.t.interval(level, n - 1, loc=values.mean(), scale=scipy.stats.sem(values))
    assert (found.value, found.low, found.high) == pytest.approx((values.mean(), low, high), rel=1e-9)
    assert t_quantile(level, n - 1) == pytest.approx(scipy.stats.t.ppf(0.5 + level / 2, n - 1), rel=1e-9)


def test_the_interval_of_a_mean_by_hand():
    found = mean_interval([1.0, 2.0, 3.0])  # t with 2 degrees is 4.3027, s = 1
    assert found.value == 2.0 and found.high - 2.0 == pytest.approx(4.30265 / math.sqrt(3), rel=1e-5)
    assert 2.0 in found and 4.6 not in found
    assert found.within(-1, 5) and not found.within(0, 5) and not found.within(-1, 4)


def test_the_geometric_interval_is_the_interval_of_the_logarithms():
    found, logs = geometric_interval([1.0, 2.0, 4.0]), mean_interval([0.0, math.log(2), math.log(4)])
    assert found.value == pytest.approx(2.0)
    assert (found.low, found.high) == pytest.approx((math.exp(logs.low), math.exp(logs.high)))
    assert found.low * found.high == pytest.approx(found.value**2)


@pytest.mark.parametrize("values", [[], [1.0], [1.0, math.nan], [1.0, math.inf]])
def test_too_few_or_broken_numbers_have_no_interval(values):
    with pytest.raises(ValueError, match="at least 2, all finite"):
        mean_interval(values)
    with pytest.raises(ValueError, match="denominators has"):
        ratio_interval([1.0, 2.0], values)
    with pytest.raises(ValueError, match="guesses has"):
        sample(values, "guesses")


@pytest.mark.parametrize("level", [0.9, 0.95])
@pytest.mark.parametrize("hits, runs", [(0, 1), (1, 1), (0, 24), (13, 24), (24, 24), (12, 48)])
def test_the_interval_of_a_share_is_clopper_and_pearson_s(hits, runs, level):
    found = share_interval([1.0] * hits + [0.0] * (runs - hits), level)
    exact = scipy.stats.binomtest(hits, runs).proportion_ci(level, method="exact")
    assert (found.value, found.low, found.high) == pytest.approx((hits / runs, exact.low, exact.high), rel=1e-9)


def test_the_interval_of_a_share_by_hand_and_none_of_no_runs():
    assert share_interval([True] * 24).low == pytest.approx(0.025 ** (1 / 24))
    assert share_interval([False] * 48).high == pytest.approx(1 - 0.025 ** (1 / 48))
    with pytest.raises(ValueError, match="hits has 0"):
        share_interval([])


def test_slopes_are_exact_on_lines():
    x = np.log([1, 3, 8, 32, 128])
    lines = np.array([2.0 - 1.0 * x, -5.0 + 0.25 * x, 0.0 * x])
    assert slopes(x, lines) == pytest.approx([-1.0, 0.25, 0.0], abs=1e-14)
    assert slopes([0, 1, 2], [0, 1, 5]) == pytest.approx(2.5)
    assert slopes(x, np.cos(x)) == pytest.approx(np.polyfit(x, np.cos(x), 1)[0], rel=1e-12)
    with pytest.raises(ValueError, match="two different values"):
        slopes([2, 2, 2], [1, 2, 3])


def test_the_fieller_interval_by_hand():
    # Means 4 and 10, both of variance 1/3, uncorrelated; t with 3 degrees is 3.182446.
    found = ratio_interval([3.0, 5.0, 3.0, 5.0], [9.0, 9.0, 11.0, 11.0])
    t2 = 3.182446**2
    square, linear, constant = 100 - t2 / 3, 40, 16 - t2 / 3
    root = math.sqrt(linear**2 - square * constant)
    assert found.value == pytest.approx(0.4)
    assert found.low == pytest.approx((linear - root) / square, rel=1e-6)
    assert found.high == pytest.approx((linear + root) / square, rel=1e-6)
    assert (round(found.low, 4), round(found.high, 4)) == (0.2122, 0.6158)


def test_at_the_ends_of_the_fieller_interval_the_difference_is_t_standard_errors():
    rng = np.random.default_rng(5)
    b = rng.normal(2.0, 1.0, 30)
    a = 3 * b + rng.normal(0.0, 1.0, 30)
    found = ratio_interval(a, b, 0.9)
    assert found.low < found.value < found.high
    for end in (found.low, found.high):
        difference = a - end * b
        t = abs(difference.mean()) / scipy.stats.sem(difference)
        assert t == pytest.approx(t_quantile(0.9, 29), rel=1e-9)


def coverage(truth):
    rng, hits = np.random.default_rng(7), 0
    for _ in range(2000):
        b = 1.0 + 0.5 * rng.standard_normal(12)
        a = 3.0 * b + rng.standard_normal(12)
        hits += truth in ratio_interval(a, b)
    return hits / 2000


def test_the_fieller_interval_covers_the_ratio_in_95_of_100():
    four_sd = 4 * math.sqrt(0.95 * 0.05 / 2000)
    assert abs(coverage(3.0) - 0.95) < four_sd
    assert abs(coverage(3.3) - 0.95) > four_sd  # a wrong ratio would be noticed


@pytest.mark.parametrize("denominators", [[-1, 1, 2, -2], [-1, 1, 2, 3], [0, 0, 0, 0]])
def test_a_denominator_that_may_be_zero_has_no_bounded_ratio(denominators):
    with pytest.raises(ValueError, match=r"denominators average .*not clearly different from zero"):
        ratio_interval([1.0, 2.0, 3.0, 4.0], denominators)


def test_an_estimate_contains_its_ends():
    assert 1.0 in Estimate(2.0, 1.0, 3.0) and 3.0 in Estimate(2.0, 1.0, 3.0)
    assert 0.999 not in Estimate(2.0, 1.0, 3.0)


START, BOWL = (3.0, -2.0), (1.0, 4.0)


@pytest.mark.parametrize("rate", [0.01, 0.2, 0.6])
def test_the_mean_of_small_steps_is_the_walk_without_noise(rate):
    path = walk(START, BOWL, noise=0.0, rate=rate, batch=1, examples=20, seed=0)
    assert path.shape == (21, 2)
    for steps, position in enumerate(path):
        assert small_steps_mean(START, BOWL, rate, steps) == pytest.approx(position, rel=1e-12)


def test_noise_leaves_the_mean_of_small_steps_where_it_was():
    ends = np.array([walk(START, BOWL, 2.0, 0.1, 2, 20, seed)[-1] for seed in range(400)])
    z = (ends.mean(axis=0) - small_steps_mean(START, BOWL, 0.1, 10)) / scipy.stats.sem(ends)
    assert np.abs(z).max() < 4
    assert ends.std(axis=0).min() > 0.05


@pytest.mark.parametrize("steps", [1, 2, 128])
@pytest.mark.parametrize("curvature, rate", [(1.0, 0.01), (4.0, 0.1), (1.0, 1.5), (0.001, 0.001)])
def test_the_drift_ratio_is_a_geometric_sum(curvature, rate, steps):
    total = sum((1 - rate * curvature) ** k for k in range(steps))
    assert drift_ratio(curvature, rate, steps) == pytest.approx(total, rel=1e-8)


def test_the_drift_ratio_is_how_much_further_small_steps_go():
    start = np.array(START)
    far = start - small_steps_mean(START, BOWL, 0.05, 30)
    near = start - small_steps_mean(START, BOWL, 0.05, 1)
    assert far / near == pytest.approx([drift_ratio(h, 0.05, 30) for h in BOWL], rel=1e-12)
    assert drift_ratio(1.0, 1e-7, 128) == pytest.approx(128, rel=1e-4)
    assert drift_ratio(1.0, 0.1, 10_000) == pytest.approx(10.0)


def test_one_accumulated_step_averages_every_example():
    path = walk(START, BOWL, noise=3.0, rate=0.1, batch=16, examples=16, seed=4)
    xi = np.random.default_rng(4).standard_normal((16, 2))
    expected = np.array(START) - 0.1 * (np.array(BOWL) * START + 3.0 * xi.mean(axis=0))
    assert path.shape == (2, 2) and path[1] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("batch", [1, 3, 4, 16])
def test_the_walk_is_the_naive_walk(batch):
    path = walk(START, BOWL, 3.0, 0.1, batch, 16, seed=4)
    assert len(path) == 16 // batch + 1 and path[0].tolist() == list(START)
    assert path[-1] == pytest.approx(naive_walk(START, BOWL, 3.0, 0.1, batch, 16, seed=4), rel=1e-12)


def test_above_the_largest_rate_the_steepest_coordinate_grows_at_every_step():
    limit = largest_rate(BOWL)
    assert limit == 0.5
    for factor, grows in ((0.99, False), (1.01, True)):
        path = walk(START, BOWL, 0.0, factor * limit, 1, 20, seed=0)
        assert (np.diff(np.abs(path[:, 1])) > 0).all() == grows
        assert (np.diff(np.abs(path[:, 0])) < 0).all()
