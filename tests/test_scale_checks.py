"""The exercises of lesson 07: a right answer passes, each usual mistake is told by its own sentence, nothing raises."""

import math

import pytest
import torch

from tutorlib.checks.scale_the_optimizer import check_lion, check_trust_ratio
from tutorlib.nn.optimizers import lion


def solution(parameter, gradient, state, rate, weight_decay):
    mean = torch.zeros_like(gradient) if state is None else state
    c = 0.9 * mean + 0.1 * gradient
    parameter = (1 - rate * weight_decay) * parameter - rate * c.sign()
    return parameter, 0.99 * mean + 0.01 * gradient


def test_the_solution_and_the_library_pass():
    assert check_lion(solution).solved
    assert check_lion(lambda p, g, s, rate, decay: lion(p, g, s, rate, weight_decay=decay)).solved


def lion_of(look=(0.9, 0.1), keep=(0.99, 0.01), sign=torch.sign, decay=lambda rate, lam: rate * lam, **how):
    def wrong(parameter, gradient, state, rate, weight_decay):
        mean = torch.zeros_like(gradient) if state is None else state
        fresh = keep[0] * mean + keep[1] * gradient
        c = look[0] * (fresh if how.get("early") else mean) + look[1] * gradient
        direction = sign(c) * how.get("way", 1)
        parameter = parameter - decay(rate, weight_decay) * parameter - rate * direction
        return parameter, None if how.get("forgets") else fresh

    return wrong


MISTAKES = {
    "sign is missing": lion_of(sign=lambda c: c),
    "uphill": lion_of(way=-1),
    "the decay is missing": lion_of(decay=lambda rate, lam: 0.0),
    "the decay is not multiplied by the rate": lion_of(decay=lambda rate, lam: lam),
    "the β are swapped": lion_of(look=(0.99, 0.01), keep=(0.9, 0.1)),
    "m is brought up to date before the step": lion_of(early=True),
    "c is kept as m": lion_of(keep=(0.9, 0.1)),
    "the step looks along m alone": lion_of(look=(0.99, 0.01)),
    "nothing is remembered": lion_of(forgets=True),
}


@pytest.mark.parametrize("sentence", MISTAKES)
def test_a_usual_mistake_of_lion_is_told_by_its_name_and_by_no_other(sentence):
    check = check_lion(MISTAKES[sentence])
    assert not check.solved and sentence in repr(check)
    assert not [other for other in MISTAKES if other != sentence and other in repr(check)]


def in_place(parameter, gradient, state, rate, weight_decay):
    new, state = solution(parameter, gradient, state, rate, weight_decay)
    return parameter.copy_(new), state


@pytest.mark.parametrize(
    "wrong, sentence",
    [
        (in_place, "you changed a tensor in place"),
        (lambda *a: solution(*a)[0], "it returns a parameter and a state: you returned tensor"),
        (lambda *a: None, "you returned nothing"),
        (lambda *a: 1 / 0, "an error of your code, ZeroDivisionError"),
        (lambda: None, "an error of your code, TypeError"),
        (lambda *a: (solution(*a)[0][0], None), "another way"),
        (lambda p, g, s, r, d: (p - 2 * r * g.sign(), None), "another way"),
        (lambda p, g, s, r, d: (solution(p, g, None, r, d)[0], 1 / int(s is None)), "an error of your code"),
    ],
    ids="in place|no state|nothing|raises|signature|shape|else|raises later".split("|"),
)
def test_anything_else_is_told_and_nothing_raises(wrong, sentence):
    check = check_lion(wrong)
    assert not check.solved and sentence in repr(check)


def ratio(parameter, gradient, trust, weight_decay):
    size, slope = parameter.norm(), gradient.norm()
    below = slope + weight_decay * size
    return trust * size / below if parameter.ndim > 1 and size > 0 and below > 0 else 1.0


def test_the_right_trust_ratio_passes_as_tensor_and_as_number():
    assert check_trust_ratio(ratio).solved and check_trust_ratio(lambda *a: float(ratio(*a))).solved


def guarded(formula):
    """The traps avoided, the formula wrong."""
    return lambda p, g, trust, decay: formula(p, g, trust, decay) if p.ndim > 1 and p.any() and g.any() else 1.0


WRONG_RATIOS = {
    "trust is missing": guarded(lambda p, g, t, d: p.norm() / (g.norm() + d * p.norm())),
    "upside down": guarded(lambda p, g, t, d: t * g.norm() / p.norm()),
    "squared lengths": guarded(lambda p, g, t, d: t * p.square().sum() / (g.square().sum() + d * p.square().sum())),
    "sums of absolute values": guarded(lambda p, g, t, d: t * p.abs().sum() / (g.abs().sum() + d * p.abs().sum())),
    "the decay belongs below too": guarded(lambda p, g, t, d: t * p.norm() / g.norm()),
    "the sum of two lengths": guarded(lambda p, g, t, d: t * p.norm() / (g + d * p).norm()),
    "hold it at zero for ever": lambda p, g, t, d: ratio(p, g, t, d) if p.any() else 0.0,
    "do not divide by zero": lambda p, g, t, d: t * p.norm() / (g.norm() + d * p.norm()) if p.ndim > 1 else 1.0,
    "ask parameter.ndim before anything else": lambda p, g, t, d: ratio(p.view(1, -1), g.view(1, -1), t, d),
}


@pytest.mark.parametrize("sentence", WRONG_RATIOS)
def test_a_usual_mistake_of_the_trust_ratio_is_told_by_its_name(sentence):
    check = check_trust_ratio(WRONG_RATIOS[sentence])
    assert not check.solved and sentence in repr(check)


@pytest.mark.parametrize(
    "wrong",
    [lambda *a: None, lambda *a: 1 / 0, lambda: 1.0, lambda *a: "much", lambda *a: math.nan, lambda *a: 1.0],
    ids="nothing|raises|signature|text|nan|one".split("|"),
)
def test_no_answer_of_any_kind_raises_or_passes(wrong):
    check = check_trust_ratio(wrong)
    assert not check.solved and "✗" in repr(check) and "you returned" in repr(check)
