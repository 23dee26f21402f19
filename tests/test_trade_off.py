"""The two laws against closed forms and brute force, the scatter of a fit against theory; bad input in a sentence."""

import itertools

import numpy as np
import pytest

from tutorlib.errors import Refused
from tutorlib.theory.trade_off import (
    StepTime,
    TradeOff,
    best_rate,
    critical_from_noise,
    fastest_batch,
    fit_step_time,
    fit_trade_off,
)

BATCHES = np.array([1, 2, 4, 8, 16, 32, 64, 128, 512])
LAWS = [TradeOff(50.0, 32.0), TradeOff(3.0, 1.0), TradeOff(1000.0, 500.0), TradeOff(7.5, 0.3)]
PACES = [StepTime(2e-4, 1.5e-6), StepTime(1e-3, 1e-3), StepTime(3.0, 0.01)]


def test_at_the_critical_batch_a_run_takes_twice_the_fewest_steps_and_twice_the_fewest_examples():
    for law in LAWS:
        assert law.steps(law.critical) == pytest.approx(2 * law.steps_min)
        assert law.examples(law.critical) == pytest.approx(2 * law.critical * law.steps_min)
        assert law.steps(1e12) == pytest.approx(law.steps_min)
        assert law.examples(1e-9) == pytest.approx(law.critical * law.steps_min)


def test_steps_and_examples_obey_the_hyperbola_of_the_paper():
    for law in LAWS:  # (S/S_min − 1)(E/E_min − 1) = 1, equation 2.11
        steps, examples = law.steps(BATCHES), law.examples(BATCHES)
        product = (steps / law.steps_min - 1) * (examples / (law.critical * law.steps_min) - 1)
        assert product == pytest.approx(np.ones(len(BATCHES)))


@pytest.mark.parametrize("law", LAWS)
def test_the_fit_is_exact_on_the_law(law):
    fitted = fit_trade_off(BATCHES, law.steps(BATCHES))
    assert fitted.critical == pytest.approx(law.critical, rel=1e-5)
    assert fitted.steps_min == pytest.approx(law.steps_min, rel=1e-5)


def test_the_fit_takes_lists_in_any_order():
    law = LAWS[0]
    assert fit_trade_off([512, 1, 32], list(law.steps(np.array([512, 1, 32])))).critical == pytest.approx(32, rel=1e-5)


@pytest.mark.parametrize("law", LAWS[:3])
def test_a_fit_to_steps_that_are_5_percent_off_scatters_as_least_squares_must(law):
    share = (law.critical / BATCHES) / (1 + law.critical / BATCHES)  # d log S / d log B_crit
    sd = 0.05 / np.sqrt(((share - share.mean()) ** 2).sum())
    noise = np.exp(0.05 * np.random.default_rng(3).standard_normal((300, len(BATCHES))))
    z = [np.log(fit_trade_off(BATCHES, law.steps(BATCHES) * row).critical / law.critical) / sd for row in noise]
    assert abs(np.mean(z)) < 4 / np.sqrt(300) and np.std(z) == pytest.approx(1, abs=4 / np.sqrt(600))


@pytest.mark.parametrize("shape", [lambda b: 900.0 / b, lambda b: 100.0 + 0 * b, lambda b: 3.0 * b])
def test_one_regime_has_no_bend_to_fit(shape):
    with pytest.raises(Refused, match="both sides of the bend"):
        fit_trade_off(BATCHES, shape(BATCHES.astype(float)))


@pytest.mark.parametrize(
    "batches, steps, word",
    [
        ([1, 8], [9, 3], "at least 3"),
        ([1, 8, 64], [9, 3], "at least 3"),
        ([], [], "at least 3"),
        ([1, 8, 64], [9, np.nan, 3], "allowed"),
        ([1, 8, 64], [9, np.inf, 3], "allowed"),
        ([0, 1, 8, 64], [12, 9, 5, 3], "allowed"),
        ([-1, 1, 8, 64], [12, 9, 5, 3], "allowed"),
        ([np.nan, 1, 8, 64], [12, 9, 5, 3], "allowed"),
        ([8, 8, 8], [100, 100, 100], "allowed"),
    ],
)
def test_a_fit_of_steps_refuses_in_one_sentence(batches, steps, word):
    with pytest.raises(Refused, match=word):
        fit_trade_off(batches, steps)


@pytest.mark.filterwarnings("error")
def test_steps_of_zero_are_refused_for_what_they_are():
    with pytest.raises(Refused, match="positive"):
        fit_trade_off([1, 8, 64, 128], [9, 5, 3, 0])


def test_half_of_a_step_is_overhead_at_fixed_over_per_example():
    for pace in PACES:
        assert pace.saturation(0.5) == pytest.approx(pace.fixed / pace.per_example)
        assert pace.utilization(pace.saturation(0.5)) == pytest.approx(0.5)
        assert pace.utilization(0) == 0 and pace.utilization(1e15) == pytest.approx(1)


@pytest.mark.parametrize("share", [0.01, 0.5, 0.9, 0.999])
def test_utilization_at_saturation_is_the_share_asked_for(share):
    for pace in PACES:
        assert pace.utilization(pace.saturation(share)) == pytest.approx(share)


def test_utilization_is_the_share_of_a_step_spent_on_examples():
    for pace in PACES:
        assert pace.utilization(BATCHES) == pytest.approx(pace.per_example * BATCHES / pace.seconds(BATCHES))


@pytest.mark.parametrize("ranks", [1, 2, 7])
def test_a_batch_over_ranks_takes_as_long_as_its_share_on_one(ranks):
    for pace in PACES:
        assert pace.across(ranks).seconds(BATCHES) == pytest.approx(pace.seconds(BATCHES / ranks))


@pytest.mark.parametrize("pace", [*PACES, StepTime(0.0, 2.0)])
def test_the_fit_of_seconds_is_exact_on_the_law(pace):
    fitted = fit_step_time(BATCHES, pace.seconds(BATCHES))
    assert fitted.per_example == pytest.approx(pace.per_example, rel=1e-9)
    assert fitted.fixed == pytest.approx(pace.fixed, rel=1e-9, abs=1e-12)


def test_the_fit_of_seconds_is_weighted_least_squares():
    for seed, pace in enumerate(PACES):
        seconds = pace.seconds(BATCHES) * np.exp(0.05 * np.random.default_rng(seed).standard_normal(len(BATCHES)))
        slope, height = np.polyfit(BATCHES, seconds, 1, w=1 / seconds)
        fitted = fit_step_time(list(BATCHES), list(seconds))
        assert (fitted.fixed, fitted.per_example) == pytest.approx((height, slope), rel=1e-9)


def test_where_no_fixed_part_is_left_the_price_is_the_best_without_one():
    batches, seconds = np.array([1.0, 10.0, 100.0]), np.array([0.001, 0.05, 1.0])
    fitted, share = fit_step_time(batches, seconds), batches / seconds
    assert fitted.fixed == 0
    assert fitted.per_example == pytest.approx(share.sum() / (share @ share))  # of Σ (c·B/t − 1)²


@pytest.mark.parametrize(
    "batches, seconds",
    [
        ([1, 8, 64], [3, 2, 1]),
        ([], []),
        ([8], [1.0]),
        ([8, 8], [1.0, 1.0]),
        ([1, 8], [1.0]),
        ([1, 8], [0.0, 1.0]),
        ([1, 8, 64], [1.0, np.nan, 3.0]),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_a_fit_of_seconds_refuses_in_one_sentence(batches, seconds):
    with pytest.raises(Refused, match="allowed"):
        fit_step_time(batches, seconds)


@pytest.mark.parametrize("law, pace", list(itertools.product(LAWS, PACES)))
def test_no_batch_is_faster_than_the_fastest(law, pace):
    best = fastest_batch(law, pace)
    many = best * np.geomspace(0.01, 100, 20_001)  # the middle one is the formula's
    times = law.steps(many) * pace.seconds(many)
    assert many[times.argmin()] == pytest.approx(best, rel=1e-3)


@pytest.mark.parametrize("scale, batch", [(1.0, 1), (30.0, 8), (500.0, 64)])
def test_a_constant_noise_scale_is_the_critical_batch(scale, batch):
    assert critical_from_noise([scale] * 5, batch) == pytest.approx(scale)


def test_each_scale_counts_with_the_progress_made_there():
    assert critical_from_noise([8.0, 24.0], 8) == pytest.approx((8 / 2 + 24 / 4) / (1 / 2 + 1 / 4))


def test_the_predicted_law_gives_back_the_run_it_was_measured_on():
    scales, batch = np.random.default_rng(0).gamma(2, 20, 50), 8
    full_steps = (1 / (1 + scales / batch)).sum()
    assert TradeOff(full_steps, critical_from_noise(scales, batch)).steps(batch) == pytest.approx(50)


def test_a_large_batch_takes_the_plain_mean_and_a_small_one_the_harmonic():
    scales = np.array([10.0, 40.0, 160.0])
    assert critical_from_noise(scales, 10**9) == pytest.approx(70, rel=1e-6)
    assert critical_from_noise(scales, 1e-9) == pytest.approx(3 / (1 / 10 + 1 / 40 + 1 / 160), rel=1e-6)


@pytest.mark.parametrize("scales, batch", [([], 8), ([np.inf, 1.0], 8), ([np.nan], 8), ([5.0, 1.0], 0)])
@pytest.mark.filterwarnings("ignore")
def test_scales_that_are_none_are_refused_in_one_sentence(scales, batch):
    with pytest.raises(Refused, match="allowed"):
        critical_from_noise(scales, batch)


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_no_rate_lowers_a_bowl_more_in_one_step_than_the_best(batch):
    curvature, start = 0.7, np.array([2.0, -1.0])
    pulls = np.array([[1.0, 0.5], [-2.0, 1.0], [0.5, -1.5], [0.5, 0.0]])  # sums to zero: the noise of each example
    gradients = curvature * start + pulls
    mean = gradients.mean(axis=0)
    noise = ((gradients - mean) ** 2).sum(axis=1).mean() / (mean @ mean)
    rates = np.linspace(0.01, 2, 20_000)
    lost = np.zeros(len(rates))
    for group in itertools.product(gradients, repeat=batch):  # every minibatch there is
        ends = start - rates[:, None] * np.mean(group, axis=0)
        lost += curvature / 2 * (ends**2).sum(axis=1)
    assert rates[lost.argmin()] == pytest.approx(best_rate(batch, largest=1 / curvature, noise=noise), abs=2e-4)


def test_the_best_rate_is_proportional_at_first_and_constant_in_the_end():
    assert best_rate(2e-6, 0.5, 30) / best_rate(1e-6, 0.5, 30) == pytest.approx(2)
    assert best_rate(1e9, 0.5, 30) == pytest.approx(0.5) and best_rate(30, 0.5, 30) == pytest.approx(0.25)
    assert best_rate([30, 90], 0.5, 30).tolist() == pytest.approx([0.25, 0.375])
