"""The exercise checks: a right answer passes, each usual mistake fails on its own line, nothing raises."""

import pytest

from tutorlib.checks import check_breaks, check_two_batch
from tutorlib.measure.noise import two_batch_noise
from tutorlib.theory.noise import two_batch_estimates
from tutorlib.trials.measure_the_noise import gaussian_problem


def test_the_library_passes_its_own_check():
    assert check_two_batch(two_batch_estimates).solved


@pytest.mark.parametrize(
    "wrong",
    [
        lambda s, b, small, big: ((s - b) * (1 / small - 1 / big), b),
        lambda s, b, small, big: (two_batch_estimates(s, b, small, big)[0], b),
        lambda s, b, small, big: two_batch_estimates(s, b, small, big)[::-1],
        lambda s, b, small, big: (12.0, 0.2),
        lambda s, b, small, big: two_batch_estimates(float(s), float(b), small, big),
        lambda s, b, small, big: None,
        lambda s, b, small, big: 1 / 0,
        lambda: 0,
    ],
    ids=["times", "no intercept", "swapped", "constant", "scalars only", "nothing", "raises", "signature"],
)
def test_a_usual_mistake_is_caught_and_shown(wrong):
    check = check_two_batch(wrong)
    assert not check.solved and "✗" in repr(check)


def test_breaking_the_estimator_shows_the_librarys_own_words():
    sample, _ = gaussian_problem(0)
    check = check_breaks(
        lambda: two_batch_noise(sample, 8, 8, draws=4), lambda: two_batch_noise(sample, 1, 8, draws=1).scale
    )
    assert check.solved and "small < big" in repr(check) and "spread" in repr(check)


def test_an_error_of_the_learners_own_does_not_count_as_a_refusal():
    def raises():
        raise ValueError("mine")

    assert not check_breaks(raises, raises).solved
