"""The noisy quadratic model at one point: from the closed form, and from runs with random numbers."""

import numpy as np

from tutorlib.experiments.noisy_quadratic import METHODS, NO_NOISE, problem
from tutorlib.records import Run
from tutorlib.theory.noisy_quadratic import Method, Quadratic, fewest_steps, steps_to_target


def law(run: Run, device: str) -> dict:
    """Fewest steps of a method at one batch, with the rate and the setting that need them."""
    s = run.settings
    quadratic, target = posed(run)
    found = [fewest_steps(quadratic, method, s["batch"], target) for method in METHODS[s["method"]]]
    best = int(np.argmin([steps for steps, _ in found]))
    return {"steps": found[best][0], "rate": found[best][1], "setting": best}


def rate_rules(run: Run, device: str) -> dict:
    """How fast SGD is at another batch's rate: 1/steps, 0 for never; and that rate over the largest stable one."""
    s = run.settings
    quadratic, target = posed(run)
    _, rate = fewest_steps(quadratic, Method(), s["tuned_at"], target)
    rate *= s["batch"] / s["tuned_at"] if s["rule"] == "raised" else 1
    (steps,) = steps_to_target(quadratic, Method(), [rate], s["batch"], target)
    return {"speed": 1 / steps, "over_stable": rate / Method().largest_rate(quadratic)}


def one_curvature(run: Run, device: str) -> dict:
    """Steps of SGD without noise on as many directions of one curvature, and of the power law."""
    directions, share = run.settings["directions"], run.settings["share"]
    flat, steep = Quadratic(np.ones(directions), np.ones(directions)), problem(run.seed, directions)
    found = [fewest_steps(q, Method(), NO_NOISE, share * q.curvature.sum() / 2)[0] for q in (flat, steep)]
    return {"one_curvature": found[0], "power_law": found[1]}


def simulated(run: Run, device: str) -> dict:
    """Mean loss of real runs over the target, at the step where the closed form has the target."""
    s = run.settings
    quadratic, target = posed(run)
    method = METHODS[s["method"]][0]
    steps, rate = fewest_steps(quadratic, method, s["batch"], target)
    whole = int(np.ceil(steps))
    rng = np.random.default_rng([run.seed, 1])
    start = rng.choice([-1.0, 1.0], (s["runs"], s["directions"]))  # mean squares of exactly 1
    losses = simulate(quadratic, method, rate, s["batch"], whole, start, rng)
    between = losses[whole - 1].mean() ** (whole - steps) * losses[whole].mean() ** (1 - whole + steps)
    return {"over_target": between / target}


def posed(run: Run) -> tuple[Quadratic, float]:
    """The problem of a run's seed, and the loss to reach."""
    quadratic = problem(run.seed, run.settings["directions"])
    return quadratic, run.settings["share"] * quadratic.curvature.sum() / 2


def simulate(quadratic: Quadratic, method: Method, rate: float, batch: float, steps: int, start: np.ndarray, rng):
    """Losses (steps + 1, runs) of runs from ``start`` (runs, directions), with a fresh gradient at every step."""
    position, velocity, average, losses = start, 0.0, start, []
    for _ in range(steps + 1):
        losses.append((average**2 @ quadratic.curvature) / 2)
        noise = np.sqrt(quadratic.noise / batch) * rng.standard_normal(start.shape)
        gradient = quadratic.curvature * position + noise
        velocity = method.momentum * velocity + quadratic.curvature**-method.power * gradient
        position = position - rate * velocity
        average = method.average * average + (1 - method.average) * position
    return np.array(losses)
