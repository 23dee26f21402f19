"""Situations of a run: a loss that stays up, a worse held-out error, a huge batch that hardly moves."""

import numpy as np

from tutorlib.theory.memo import CRITICAL, LOSSES, OPTIMIZER, Look
from tutorlib.theory.noisy_quadratic import Method, Quadratic, expected_losses, fewest_steps, steps_to_target
from tutorlib.theory.quiz.situation import Found, Situation

BOWL, SGD = Quadratic.power_law(100), Method()
START = float(0.5 * BOWL.curvature.sum())
TARGET = 0.02 * START


def ask_jumps(rate, batch, steps):
    (loss,) = expected_losses(BOWL, SGD, [rate], batch, steps)
    return f"A loss that began at {START:.3g} is {loss:.3g} after {steps} steps of batch {batch}. What is in its way?"


def measure_jumps(rate, batch, steps):
    settings = {"as it is": (batch, steps), "batch × 4": (4 * batch, steps), "steps × 4": (batch, 4 * steps)}
    losses = {name: float(expected_losses(BOWL, SGD, [rate], *each)[0]) for name, each in settings.items()}
    limit = SGD.largest_rate(BOWL)
    if rate > limit:
        answer = "rate"
    else:
        answer = "noise" if losses["batch × 4"] < losses["steps × 4"] else "steps"
    after = ", ".join(f"{name} {loss:.3g}" for name, loss in losses.items())
    return Found(answer, f"rate × top eigenvalue is {2 * rate / limit:.3g}, beside 2; the loss: {after}")


def regression(examples: int, inputs: int, noise: float, seed: int):
    """A linear task: (x, y) to train on and (x, y) held out, with Gaussian errors on y."""
    rng = np.random.default_rng(seed)
    truth = rng.standard_normal(inputs) / np.sqrt(inputs)
    x = rng.standard_normal((examples + 1000, inputs))
    y = x @ truth + noise * rng.standard_normal(len(x))
    return (x[:examples], y[:examples]), (x[examples:], y[examples:])


def sgd_losses(
    batch: int, epochs: int, examples: int, inputs: int, noise: float, seed: int
) -> tuple[float, float, int]:
    """Training loss, held-out loss and updates of plain SGD, at one rate for every batch."""
    (x, y), held_out = regression(examples, inputs, noise, seed)
    rng, w, updates = np.random.default_rng([seed, batch]), np.zeros(inputs), 0
    for _ in range(epochs):
        order = rng.permutation(examples)
        for chosen in np.split(order, range(batch, examples, batch)):
            w -= 0.3 / inputs * x[chosen].T @ (x[chosen] @ w - y[chosen]) / len(chosen)
            updates += 1
    losses = (float(np.mean((a @ w - b) ** 2)) for a, b in ((x, y), held_out))
    return *losses, updates


def two_runs(small, large, **task):
    runs = {batch: sgd_losses(batch, **task) for batch in (small, large)}
    worse = max(runs, key=lambda batch: runs[batch][1])
    return runs, worse, large if worse == small else small


def ask_held_out(**case):
    runs, worse, better = two_runs(**case)
    return (
        f"Two runs of {case['epochs']} epochs at one rate. Held out, batch {worse} has a loss of {runs[worse][1]:.2f}, "
        f"batch {better} one of {runs[better][1]:.2f}. What is wrong with batch {worse}?"
    )


def measure_held_out(**case):
    runs, worse, better = two_runs(**case)
    answer = "under" if runs[worse][0] > runs[better][0] else "over"
    told = (f"batch {b}: {loss:.2f} in training after {updates:,} updates" for b, (loss, _, updates) in runs.items())
    return Found(answer, "; ".join(told))


def rate_of(batch: float) -> float:
    return fewest_steps(BOWL, SGD, batch, TARGET)[1]


def ask_huge(batch, tuned_at):
    steps = float(steps_to_target(BOWL, SGD, [rate_of(tuned_at)], batch, TARGET)[0])
    return (
        f"Batch {batch:,}, at a rate tuned at batch {tuned_at:,}, takes {steps:,.0f} steps to a fiftieth of the loss. "
        "Somebody wants another optimizer. What would you do first?"
    )


def measure_huge(batch, tuned_at):
    now = float(steps_to_target(BOWL, SGD, [rate_of(tuned_at)], batch, TARGET)[0])
    best, eighth = (fewest_steps(BOWL, SGD, b, TARGET)[0] for b in (batch, batch / 8))
    answer = "rate" if now > 1.5 * best else "back" if eighth < 2 * best else "on"
    return Found(
        answer,
        f"{now:,.0f} steps as it is, {best:,.0f} at this batch's best rate, {eighth:,.0f} at an eighth of the batch "
        "and its best rate",
    )


TRAINING = (
    Situation(
        "a loss that does not come down",
        ask_jumps,
        {
            "rate": "the rate: it is above what any batch allows",
            "noise": "noise: a larger batch or a lower rate",
            "steps": "nothing: it takes more steps",
        },
        measure_jumps,
        Look("loss at a larger batch, after more steps", "theory.noisy_quadratic.expected_losses", OPTIMIZER),
        (
            {"rate": 1.5, "batch": 4, "steps": 400},
            {"rate": 2.02, "batch": 64, "steps": 100},
            {"rate": 0.1, "batch": 256, "steps": 100},
        ),
    ),
    Situation(
        "worse on held-out data",
        ask_held_out,
        {
            "under": "it was updated too little: it is worse in training too",
            "over": "it fits the errors of its training data",
        },
        measure_held_out,
        LOSSES,
        (
            {"small": 8, "large": 512, "epochs": 5, "examples": 2048, "inputs": 40, "noise": 0.3, "seed": 0},
            {"small": 4, "large": 64, "epochs": 200, "examples": 64, "inputs": 60, "noise": 1.0, "seed": 1},
        ),
    ),
    Situation(
        "a huge batch, hardly moving",
        ask_huge,
        {
            "rate": "tune the rate at this batch",
            "back": "take a smaller batch: this one saves hardly a step",
            "on": "neither: the batch still pays, at its best rate",
        },
        measure_huge,
        CRITICAL,
        ({"batch": 4096, "tuned_at": 4096}, {"batch": 512, "tuned_at": 4}, {"batch": 16, "tuned_at": 16}),
    ),
)
