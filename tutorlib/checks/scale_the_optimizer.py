"""The exercises of lesson 07: Lion in ten lines, and LARS's trust ratio with its traps."""

import math
from collections.abc import Callable

from tutorlib.checks import Check, _shown, attempt

BETA1, BETA2 = 0.9, 0.99


def check_lion(function: Callable) -> Check:
    """``function(parameter, gradient, state, rate, weight_decay)`` → (parameter, state), ``None`` the first state."""
    import torch

    check = Check("Lion")
    before, gradients = _start(), _gradients()
    given = before.clone(), gradients[0].clone()
    answer = attempt(function, *given, None, 0.01, 0.0)
    pair = isinstance(answer, tuple) and len(answer) == 2 and isinstance(answer[0], torch.Tensor)
    check.add("it returns a parameter and a state", pair, f"you returned {_shown(answer)}")
    if not pair:
        return check
    kept = torch.equal(given[0], before) and torch.equal(given[1], gradients[0])
    check.add("what it was given is left alone", kept, "you changed a tensor in place: write x = x − …, not x −= …")
    expected = before - 0.01 * gradients[0].sign()
    check.add(
        "the first step moves every number by the rate, against its gradient",
        _near(answer[0], expected),
        _why(function, 1),
    )
    for name, decay in (("thirty steps are the library's", 0.0), ("… and with weight decay", 0.3)):
        found = attempt(_walk, function, decay, 30)
        right = not isinstance(found, Exception) and _near(found, _walk(_lion, decay, 30))
        check.add(name, right, _shown(found) if isinstance(found, Exception) else _why(function, 30, decay))
    return check


def check_trust_ratio(function: Callable) -> Check:
    """``function(parameter, gradient, trust, weight_decay)`` → the number that LARS multiplies a layer's step by."""
    import torch

    check, draw = Check("trust ratio"), torch.Generator().manual_seed(0)
    weight, gradient = 3 * torch.randn(4, 3, generator=draw), torch.randn(4, 3, generator=draw)
    zero, size, slope = torch.zeros(4, 3), float(weight.norm()), float(gradient.norm())
    for name, arguments, expected, hint in (
        ("a matrix without decay: trust × |θ| / |g|", (weight, gradient, 0.02, 0.0), 0.02 * size / slope, ""),
        ("with decay λ|θ| joins |g| below", (weight, gradient, 0.02, 0.3), 0.02 * size / (slope + 0.3 * size), ""),
        ("a layer of zeros gets 1", (zero, gradient, 0.02, 0.3), 1.0, "a ratio of 0 would hold it at zero for ever"),
        ("a gradient of zeros gets 1", (weight, zero, 0.02, 0.0), 1.0, "do not divide by zero: a NaN ends the run"),
        (
            "a bias, one axis, gets 1",
            (weight[0], gradient[0], 0.02, 0.3),
            1.0,
            "ask parameter.ndim before anything else",
        ),
        ("a scale, no axis, gets 1", (weight[0, 0], gradient[0, 0], 0.02, 0.3), 1.0, "ask parameter.ndim first"),
    ):
        answer = attempt(lambda arguments=arguments: float(function(*arguments)))
        right = not isinstance(answer, Exception) and math.isclose(answer, expected, rel_tol=1e-5)
        told = f"you returned {_shown(answer)}, expected {expected:.4g}"
        if not right and not hint and not isinstance(answer, Exception):
            hint = _mistaken_ratio(answer, weight, gradient, *arguments[2:])
        check.add(name, right, f"{told}: {hint}" if hint else told)
    return check


def _mistaken_ratio(answer: float, weight, gradient, trust: float, decay: float) -> str:
    """Which usual mistake gives this number, if one does."""
    size, slope = float(weight.norm()), float(gradient.norm())
    mistakes = {
        "trust is missing": size / (slope + decay * size),
        "upside down: a long gradient must make the step shorter": trust * slope / size,
        "these are squared lengths: take the root": trust * size**2 / (slope**2 + decay * size**2),
        "these are sums of absolute values: length is the root of the sum of squares": trust
        * float(weight.abs().sum() / (gradient.abs().sum() + decay * weight.abs().sum())),
        "the decay belongs below too: |g| + λ|θ|": trust * size / slope,
        "below stands |g| + λ|θ|, the sum of two lengths, not the length of g + λθ": trust
        * size
        / float((gradient + decay * weight).norm()),
    }
    return next((told for told, value in mistakes.items() if math.isclose(answer, value, rel_tol=1e-5)), "")


def _start():
    import torch

    return torch.linspace(-2, 2, 24, dtype=torch.float64).view(4, 6)


def _gradients():
    import torch

    return torch.randn(30, 4, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def _walk(function: Callable, decay: float, steps: int):
    position, state = _start(), None
    for gradient in _gradients()[:steps]:
        position, state = function(position.clone(), gradient.clone(), state, 0.01, decay)
    return position


def _lion(parameter, gradient, state, rate, decay):
    from tutorlib.nn.optimizers import lion

    return lion(parameter, gradient, state, rate, BETA1, BETA2, decay)


def _near(answer, expected) -> bool:
    import torch

    return getattr(answer, "shape", None) == expected.shape and torch.allclose(answer.to(expected), expected, atol=1e-9)


def _why(function: Callable, steps: int, decay: float = 0.0) -> str:
    """Which usual mistake walks where the learner's function walks."""
    found = attempt(_walk, function, decay, steps)
    for told, wrong in _mistaken_lions().items():
        if not isinstance(found, Exception) and _near(found, _walk(wrong, decay, steps)):
            return told
    return "another way: c = β₁m + (1 − β₁)g, θ ← (1 − ηλ)θ − η sign(c), and only then m ← β₂m + (1 − β₂)g"


def _mistaken_lions() -> dict[str, Callable]:
    """What goes wrong, as a sentence, and a Lion that does it: (what the step looks along, the next m, how θ moves)."""

    def made(look, keep, move=lambda p, c, rate, decay: p * (1 - rate * decay) - rate * c.sign()) -> Callable:
        def wrong(p, g, state, rate, decay):
            m = 0 * g if state is None else state
            return move(p, look(m, g), rate, decay), keep(m, g)

        return wrong

    def mixed(beta):
        return lambda m, g: beta * m + (1 - beta) * g

    right = mixed(BETA1), mixed(BETA2)
    after = (lambda m, g: mixed(BETA1)(mixed(BETA2)(m, g), g)), right[1]
    return {
        "sign is missing: every number moves by the same rate": made(
            *right, lambda p, c, r, d: p * (1 - r * d) - r * c
        ),
        "uphill: the step goes against the sign": made(*right, lambda p, c, r, d: p * (1 - r * d) + r * c.sign()),
        "the decay is missing: θ shrinks by ηλθ": made(*right, lambda p, c, r, d: p - r * c.sign()),
        "the decay is not multiplied by the rate": made(*right, lambda p, c, r, d: p * (1 - d) - r * c.sign()),
        "the β are swapped: β₁ is for the step, β₂ for what is kept": made(*right[::-1]),
        "m is brought up to date before the step: the step uses the old m": made(*after),
        "c is kept as m: m has a mean of its own, with β₂": made(right[0], right[0]),
        "the step looks along m alone: it takes β₁m + (1 − β₁)g": made(right[1], right[1]),
        "nothing is remembered: return m as the state": made(right[0], lambda m, g: 0 * g),
    }
