"""Laws of batch statistics against integrals, exact enumeration and torch's own BatchNorm."""

import itertools

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import chi2
from torch import nn

from tutorlib.errors import Refused
from tutorlib.theory import batch_statistics as law

SIZES = (2, 3, 4, 8, 32, 256)


def exact(points, n):
    """sd of the batch mean and of the unbiased batch variance over every batch of n there is, in σ and σ²."""
    batches = np.array(list(itertools.product(points, repeat=n)), dtype=float)
    variance = np.var(points)
    return batches.mean(1).std() / np.sqrt(variance), batches.var(1, ddof=1).std() / variance


@pytest.mark.parametrize("n", (2, 3, 4, 5))
@pytest.mark.parametrize("points", [(0, 1), (0, 0, 0, 1), (-2, -1, 0, 1, 2), (0, 0, 5, 1, 1)])
def test_both_sd_are_those_of_every_batch_there_is(points, n):
    mean, variance = exact(points, n)
    centred = points - np.mean(points)
    excess = np.mean(centred**4) / np.var(points) ** 2 - 3
    assert law.mean_sd(n) == pytest.approx(mean)
    assert law.variance_sd(n, excess) == pytest.approx(variance)


@pytest.mark.parametrize("n", SIZES)
def test_the_gaussian_law_of_the_variance_is_that_of_chi_squared(n):
    assert law.variance_sd(n) == pytest.approx(chi2(n - 1).std() / (n - 1))


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("eps", (1e-5, 1e-3, 0.5))
def test_the_gain_is_the_integral_over_chi_squared(n, eps):
    # quad in w = √u, for the density of one degree is infinite at 0
    def integrand(w):
        return 2 * w * chi2(n - 1).pdf(w * w) / np.sqrt(w * w / n + eps)

    edges = [0, np.sqrt(n * eps), np.sqrt(n) / 4, np.sqrt(n), np.sqrt(8 * n + 80)]
    expected = sum(quad(integrand, low, high)[0] for low, high in itertools.pairwise(sorted(edges)))
    assert law.gain(n, eps) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("n", (3, 4, 8, 32, 256))
def test_the_gain_without_epsilon_is_the_limit_of_the_gain_with_it(n):
    assert law.gain(n, 0) == pytest.approx(law.gain(n, 1e-13), rel=1e-4)


def test_two_values_have_no_finite_gain_without_epsilon_and_about_seven_with_it():
    assert law.gain(2, 0) == np.inf and law.gain(2) == pytest.approx(6.95, abs=0.01)
    assert law.gain(np.array([2, 32]), 0)[1] == pytest.approx(law.gain(32), rel=1e-3)
    assert law.gain(2, 1e-3) < law.gain(2) < law.gain(2, 1e-8)


def test_the_gain_is_what_batchnorm_scales_by():
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((4, 200_000)))
    y = nn.BatchNorm1d(200_000, affine=False, track_running_stats=False, dtype=torch.float64)(x)
    scale = ((y[1] - y[0]) / (x[1] - x[0])).numpy()
    error = (scale.mean() - law.gain(4)) / (scale.std() / np.sqrt(len(scale)))
    assert abs(error) < 4


@pytest.mark.parametrize("momentum, accumulation", [(0.1, 1), (0.1, 8), (0.02, 5)])
def test_running_statistics_of_torch_forget_over_the_horizon(momentum, accumulation):
    layer = nn.BatchNorm1d(1, momentum=momentum, dtype=torch.float64)
    ages, left = [], []
    for update in range(600):  # a pulse, and how much of it is left: the mean age of what is remembered
        for _ in range(accumulation):
            layer(torch.full((2, 1), float(update == 0), dtype=torch.float64))
        ages.append(update)
        left.append(float(layer.running_mean))
    weight = 1 - (1 - momentum) ** accumulation  # of one update's micro-batches
    assert np.average(ages, weights=left) == pytest.approx((1 - weight) / weight, rel=1e-6)
    assert law.horizon(momentum, accumulation) == pytest.approx((1 - weight) / weight, abs=1)
    assert law.horizon(momentum, accumulation) == 1 / (momentum * accumulation)


def test_the_running_mean_of_a_net_at_rest_scatters_as_the_law_says():
    layer, rng = nn.BatchNorm1d(20_000, momentum=0.2), np.random.default_rng(0)
    for _ in range(60):
        layer(torch.from_numpy(rng.standard_normal((4, 20_000))).float())
    found, expected = float(layer.running_mean.std()), law.running_sd(4, 0.2)
    assert abs(found / expected - 1) < 4 / np.sqrt(2 * 20_000)


@pytest.mark.parametrize(
    "call",
    [
        lambda: law.mean_sd(1),
        lambda: law.variance_sd(2.5),
        lambda: law.variance_sd(4, -3),
        lambda: law.gain(np.array([1, 2])),
        lambda: law.gain(4, -1e-5),
        lambda: law.gain(4, float("nan")),
        lambda: law.horizon(0),
        lambda: law.horizon(0.1, 0),
        lambda: law.running_sd(4, 1.5),
    ],
)
def test_what_has_no_answer_is_refused(call):
    with pytest.raises(Refused, match="allowed"):
        call()
