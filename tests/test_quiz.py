"""The quiz: every answer of every case is measured when it is asked for, and one button press says so."""

import dataclasses
import html
import importlib

import pytest

from tutorlib.theory.memo import Look
from tutorlib.theory.noisy_quadratic import expected_losses
from tutorlib.theory.quiz import machine, noise, training
from tutorlib.theory.quiz.situation import Found
from tutorlib.theory.trade_off import StepTime
from tutorlib.widgets import quiz as widget
from tutorlib.widgets.quiz import SITUATIONS, Quiz

CASES = [(s, number) for s in SITUATIONS for number in range(len(s.cases))]
SEEDED = [(s, number) for s, number in CASES if "seed" in s.cases[number]]
NAMES = [f"{s.title} {number}" for s, number in CASES]


def at(wanted, number):
    quiz = Quiz()
    quiz.controls["situation"].value = wanted
    quiz.controls["case"].value = number
    return quiz


def test_there_are_ten_situations_and_four_controls():
    assert len(SITUATIONS) == 10 and len({s.title for s in SITUATIONS}) == 10
    assert len(Quiz().controls) <= 5


@pytest.mark.parametrize("wanted, number", CASES, ids=NAMES)
def test_every_choice_of_every_case_can_be_pressed_and_one_is_right(wanted, number):
    quiz = at(wanted, number)
    options = dict(quiz.controls["diagnosis"].options)
    assert list(options.values()) == list(wanted.choices) and len(options) >= 2
    signs = []
    for key in options.values():
        quiz.controls["diagnosis"].value = key
        quiz.controls["measure"].click()
        signs.append(quiz.sentence.value[0])
        assert html.escape(wanted.look.what) in quiz.sentence.value
    found = wanted.measure(**wanted.cases[number])
    assert sorted(signs) == ["✓", *["✗"] * (len(options) - 1)]
    assert list(options.values())[signs.index("✓")] == found.answer
    assert html.escape(found.decides) in quiz.sentence.value


@pytest.mark.parametrize("wanted", SITUATIONS, ids=lambda s: s.title)
def test_the_same_question_has_another_answer_where_the_numbers_are_others(wanted):
    answers = [wanted.measure(**case).answer for case in wanted.cases]
    assert len(set(answers)) >= 2 and set(answers) <= set(wanted.choices)


@pytest.mark.parametrize("wanted, number", CASES, ids=NAMES)
def test_the_answer_is_measured_at_the_press_and_never_before(wanted, number, monkeypatch):
    """With another measurement in its place, another choice is right: nothing else decides."""
    asked = []

    def measure(choice, **case):
        asked.append(case)
        return Found(choice, "a stand-in")

    for choice in wanted.choices:
        false = dataclasses.replace(wanted, measure=lambda choice=choice, **case: measure(choice, **case))
        monkeypatch.setattr(widget, "SITUATIONS", (false,))
        asked.clear()
        quiz = at(false, number)
        quiz.controls["diagnosis"].value = choice
        assert not asked
        quiz.controls["measure"].click()
        assert asked == [wanted.cases[number]] and quiz.sentence.value[0] == "✓"


@pytest.mark.parametrize("wanted, number", SEEDED, ids=[f"{s.title} {n}" for s, n in SEEDED])
def test_the_answer_is_the_same_under_other_seeds(wanted, number):
    case = wanted.cases[number]
    answers = [wanted.measure(**(case | {"seed": seed})).answer for seed in range(100, 120)]
    assert answers.count(wanted.measure(**case).answer) >= 19


def test_a_press_without_a_diagnosis_measures_nothing():
    quiz = Quiz()
    quiz.controls["measure"].click()
    assert "first" in quiz.sentence.value and not quiz.tried


def test_only_the_first_try_counts():
    quiz = Quiz()
    answer = quiz.situation.measure(**quiz.situation.cases[0]).answer
    for key in [*(k for k in quiz.situation.choices if k != answer), answer]:
        quiz.controls["diagnosis"].value = key
        quiz.controls["measure"].click()
    assert quiz.score == "0 of 1 right at the first try"
    quiz.controls["case"].value = 1
    assert quiz.controls["diagnosis"].value is None and quiz.sentence.value == "Choose a diagnosis, then measure."
    quiz.controls["diagnosis"].value = quiz.situation.measure(**quiz.situation.cases[1]).answer
    quiz.controls["measure"].click()
    assert quiz.score == "1 of 2 right at the first try"


def test_another_situation_begins_with_its_first_case():
    quiz = at(SITUATIONS[0], 2)
    quiz.controls["situation"].value = SITUATIONS[1]
    assert (
        quiz.controls["case"].value == 0
        and html.escape(SITUATIONS[1].ask(**SITUATIONS[1].cases[0])) in quiz.question.value
    )


@pytest.mark.parametrize("wanted", SITUATIONS, ids=lambda s: s.title)
def test_a_situation_points_to_a_function_that_is_there(wanted):
    assert isinstance(wanted.look, Look)
    module, name = f"tutorlib.{wanted.look.function}".rsplit(".", 1)
    assert callable(getattr(importlib.import_module(module), name))


# Each measurement at the border where its answer changes.
def test_slow_steps_turn_where_the_loader_or_the_fixed_part_does():
    def answer(micro_batch, fixed, loader):
        return machine.measure_slow(micro_batch, StepTime(fixed, 0.001), loader, seed=5).answer

    assert answer(10, 0.05, 0.0) == "micro-batch" and answer(1000, 0.05, 0.0) == "full"
    assert answer(1000, 0.05, 0.0013) == "loader" and answer(1000, 0.05, 0.0011) == "full"


def test_a_loss_is_of_the_rate_from_two_over_the_top_eigenvalue_on():
    assert (
        training.measure_jumps(1.99, 4, 50).answer == "noise" and training.measure_jumps(2.01, 4, 50).answer == "rate"
    )
    (loss,) = expected_losses(training.BOWL, training.SGD, [1.99], 4, 50)
    assert f"as it is {loss:.3g}" in training.measure_jumps(1.99, 4, 50).decides


def test_statistics_are_too_few_below_sixteen_examples():
    answers = [noise.measure_statistics(m, 2, False, seed=7).answer for m in (2, 8, 32, 64)]
    assert answers == ["statistics", "statistics", "other", "other"]


def test_the_noise_scale_read_is_the_one_put_in():
    """Twenty seeds: the interval has the scale inside in at least sixteen, the mean is within 3 %."""
    found = [noise.noise_scale(300, 8, 4, 200, seed) for seed in range(20)]
    assert sum(f.low <= 300 <= f.high for f in found) >= 16
    assert sum(f.value for f in found) / 20 == pytest.approx(300, rel=0.03)


def test_memory_left_is_the_share_that_the_fixed_part_and_half_the_rest_make_up():
    whole, half, none = (machine.gigabytes("gpt2", "fp32", m, 1024, False) for m in (16, 8, 0))
    assert half == pytest.approx(none + (whole - none) / 2) and none == pytest.approx(16 * 124_439_808 / 1e9)
