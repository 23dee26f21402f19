"""The noisy quadratic model of lesson 07: fewest steps against batch, a method a curve, over a family of problems."""

import numpy as np

from tutorlib.records import Experiment, grid
from tutorlib.results import column
from tutorlib.theory.noisy_quadratic import Method, Quadratic, critical_batch

BATCHES = (1, 4, 16, 64, 256, 1024, 4096, 16384)
NO_NOISE = 2**40  # a batch that leaves nothing of the noise
SMALL, LARGE = 4, 4096
# Each method with the settings among which the best is taken, batch by batch, as the rate is.
METHODS = {
    "SGD": (Method(),),
    "momentum": (Method(momentum=0.5), Method(momentum=0.9), Method(momentum=0.97)),
    "averaging": (Method(average=0.9), Method(average=0.99), Method(average=0.999)),
    "half power": (Method(power=0.5),),
    "Newton": (Method(power=1.0),),
}
SPREAD = (0.8, 1.2)  # of the exponents of curvature and noise; the paper has 1 and 1
FAMILY = (
    "{directions} directions; curvature h = i^−a and noise h^b with a and b from 0.8 … 1.2, a problem a seed; to "
    "{share:g} of the first loss; the rate, momentum and averaging are the best at every batch"
)
HELD = {"directions": 200, "share": 0.02}

LAW = Experiment(
    name="noisy_quadratic",
    question="In the noisy quadratic model, how many steps does each method need?",
    trial="noisy_quadratic.law",
    points=grid(method=tuple(METHODS), batch=(*BATCHES, NO_NOISE)),
    print_under=FAMILY,
    held=HELD,
    side_by_side=True,
    seeds=8,
)

RATE_RULES = Experiment(
    name="noisy_quadratic_rates",
    question="The rate of batch 4 at a larger batch: raised in proportion, or left as it is?",
    trial="noisy_quadratic.rate_rules",
    points=grid(rule=("raised", "left"), batch=(SMALL, 16, 64, 256, 1024, LARGE)),
    print_under=FAMILY.rsplit(";", 1)[0] + "; SGD at the best rate of batch {tuned_at}, times B/{tuned_at} or as it is",
    held={**HELD, "tuned_at": SMALL},
    side_by_side=True,
    seeds=8,
)

ONE_CURVATURE = Experiment(
    name="noisy_quadratic_one_curvature",
    question="Are many directions enough to make a large batch useless?",
    trial="noisy_quadratic.one_curvature",
    points=grid(directions=(200, 2000)),
    print_under="SGD without noise; every direction has curvature 1; to {share:g} of the first loss",
    held={"share": HELD["share"]},
    seeds=8,
)

SIMULATED = Experiment(
    name="noisy_quadratic_simulated",
    question="Do runs with random numbers do what the closed form says?",
    trial="noisy_quadratic.simulated",
    points=grid(method=tuple(METHODS)),
    print_under=FAMILY.rsplit(";", 1)[0] + "; {runs} runs a seed at batch {batch} and the best rate",
    held={**HELD, "batch": 16, "runs": 8},
    side_by_side=True,
    seeds=16,
)


def problem(seed: int, directions: int) -> Quadratic:
    """One of the family: exponents of curvature and of noise drawn from ``seed``."""
    return Quadratic.power_law(directions, *np.random.default_rng(seed).uniform(*SPREAD, 2))


def steps(records, method: str, batch: int) -> np.ndarray:
    """Fewest steps: one a seed."""
    return column(records, "steps", method=method, batch=batch)


def critical(records, method: str) -> np.ndarray:
    """B_crit, where twice the steps without noise are needed: one a seed."""
    curves = np.transpose([steps(records, method, batch) for batch in BATCHES])
    return np.array(
        [critical_batch(BATCHES, c, f) for c, f in zip(curves, steps(records, method, NO_NOISE), strict=True)]
    )
