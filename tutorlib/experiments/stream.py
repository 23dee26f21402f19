"""Lesson 06: every example once, as in pretraining, or few of them often."""

import numpy as np

from tutorlib.records import Experiment
from tutorlib.results import column

SEEN, FEW = 16_384, 512
# The rate of lowest loss on fresh examples, stream, sixteen other seeds, steps of √2, every best inside its grid. The
# few examples take the same rates, so that only how often they are seen differs.
RATES = {16: 0.014, 256: 0.14, 4096: 3.4}
SMALL, MIDDLE, LARGE = RATES

STREAM = Experiment(
    name="once_or_often",
    question="Is there a generalization gap where every example is seen once?",
    trial="stream.once_or_often",
    points=(
        *({"batch": b, "examples": SEEN, "rate": rate} for b, rate in RATES.items()),
        *({"batch": b, "examples": FEW, "rate": RATES[b]} for b in (SMALL, MIDDLE)),
    ),
    print_under="A teacher net's classes of Gaussian inputs, teacher and inputs new for every seed; MLP with one "
    "hidden layer of {width}, momentum 0.9, {seen:,} examples in all; rates chosen on 16 other seeds, on the stream",
    held={"seen": SEEN, "width": 64},
    together=("seed",),
    side_by_side=True,
    seeds=16,
)


def loss(records, batch: int, examples: int = SEEN, name: str = "loss") -> np.ndarray:
    """Mean loss on fresh examples, or on those trained on ("train"): one a seed."""
    return column(records, name, batch=batch, examples=examples)
