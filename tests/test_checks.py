"""The exercise checks: a right answer passes, each usual mistake fails on its own line, nothing raises."""

import itertools
import math
import re
from pathlib import Path

import numpy as np
import pytest

from tutorlib.checks import check_bend, check_breaks, check_rent, check_two_batch
from tutorlib.measure.noise import two_batch_noise
from tutorlib.theory.noise import two_batch_estimates
from tutorlib.theory.trade_off import fit_trade_off
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


def solutions_of(source):
    """The functions of a lesson's solutions by name, as a reader would paste them."""
    text = (Path(__file__).parent.parent / "course" / source).read_text()
    found = {"np": np}
    for code in re.findall(r"<summary>Solution</summary>\n\n```python\n(.*?)```", text, re.DOTALL):
        exec(code, found)
    return found


def stubs_of(source):
    """The functions of a lesson's exercise cells by name, unanswered."""
    text, found = (Path(__file__).parent.parent / "course" / source).read_text(), {"np": np}
    for code in re.findall(r":tags: \[exercise\]\n(.*?)```", text, re.DOTALL):
        exec(code, found)
    return found


BEND, RENT = (check_bend, "bend_of"), (check_rent, "rent")


@pytest.mark.parametrize("check, name", [BEND, RENT])
def test_the_solution_of_the_lesson_passes_and_its_stub_does_not(check, name):
    assert check(solutions_of("05_race_two_speeds.md")[name]).solved
    stub = check(stubs_of("05_race_two_speeds.md")[name])
    assert not stub.solved and "✗" in repr(stub)


def by_examples(batches, steps):
    return np.polyfit(batches, batches * steps, 1)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda b, s: tuple(by_examples(b, s)),
        lambda b, s: (by_examples(b, s)[1] / by_examples(b, s)[0], by_examples(b, s)[0]),
        lambda b, s: (min(s), 32.0),
        lambda b, s: (50.0, 32.0),
        lambda b, s: tuple(np.polyfit(b, s, 1)),
        lambda b, s: (by_examples(b, s)[0],),
        lambda b, s: (50.0, None),
        lambda b, s: ("fifty", 32),
        lambda b, s: None,
        lambda b, s: 50.0,
        lambda b, s: 1 / 0,
        lambda b: (50.0, 32.0),
        lambda b, s: (math.nan, math.nan),
        lambda b, s: (by_examples(b, s)[0], math.nan),
        lambda b, s: (math.inf, 32.0),
    ],
    ids="E_min|swapped|smallest|constant|steps|one|half|text|nothing|number|raises|signature|nan|half nan|inf".split(
        "|"
    ),
)
def test_a_wrong_bend_is_caught_on_every_line_it_misses(wrong):
    check = check_bend(wrong)
    assert not check.solved and "you returned" in repr(check) and "expected about" in repr(check)


def test_a_bend_that_is_not_a_number_passes_no_line():
    assert not any(passed for passed, _ in check_bend(lambda b, s: (math.nan, math.nan)).lines)


@pytest.mark.parametrize("kind", [np.float64, np.float32, lambda x: np.array(x), lambda x: np.array([x])[0]])
def test_a_bend_may_come_in_any_numbers(kind):
    def answer(batches, steps):
        law = fit_trade_off(batches, steps)
        return [kind(law.steps_min), kind(law.critical)]

    check = check_bend(answer)
    assert check.solved or kind is np.float32  # whose seven digits are close, not exact to a millionth
    assert check.lines[2][0]


def plans(law, pace, deadline):
    every = itertools.product((8, 16, 32, 64, 128, 256, 512), (1, 2, 4, 8))
    return [(law.steps(b) * pace.across(r).seconds(b), b, r) for b, r in every]


@pytest.mark.parametrize("kind", [int, np.int64, float])
def test_the_cheapest_plan_in_time_solves_the_rent(kind):
    def rent(law, pace, deadline):
        best = min(((r * t, kind(b), kind(r)) for t, b, r in plans(law, pace, deadline) if t <= deadline), default=None)
        return best and best[1:]

    assert check_rent(rent).solved


@pytest.mark.parametrize(
    "wrong",
    [
        lambda *given: min(plans(*given))[1:],
        lambda *given: min((r * t, b, r) for t, b, r in plans(*given))[1:],
        lambda *given: min((t, b, r) for t, b, r in plans(*given) if t <= given[2])[1:],
        lambda *given: max((-r * t, b, r) for t, b, r in plans(*given) if t > given[2])[1:],
        lambda *given: min((r * t, r, b) for t, b, r in plans(*given) if t <= given[2])[1:],
        lambda *given: (64, 1),
        lambda *given: None,
        lambda *given: 1 / 0,
        lambda law: (64, 1),
        lambda *given: np.array([64, 1]),
    ],
    ids="fastest|no deadline|time not rent|too late|swapped|constant|nothing|raises|signature|array".split("|"),
)
def test_a_wrong_rent_is_caught_and_shown(wrong):
    check = check_rent(wrong)
    assert not check.solved and "✗" in repr(check) and "you returned" in repr(check)
