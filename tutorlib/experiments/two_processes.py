"""Lesson 02, two real processes: what they send, whose examples they add up, and where they are not one big batch."""

import numpy as np

from tutorlib.records import Experiment, grid
from tutorlib.results import column

ACCUMULATIONS = (1, 2, 4, 8)
WHOLE, SMALL = 25.0, 0.02  # MB of gradient in a bucket: DDP's own size, and one that cuts the model into four
MANY = 4  # micro-batches an update, where their number does not vary
SPLITS = ("examples", "nothing", "layers")
STATISTICS = (("own", 1), ("shared", 1), ("shared, unequal", 1), ("shared", MANY))

PARALLEL = Experiment(
    name="two_processes",
    question="Do two processes make the update of one big batch?",
    trial="two_processes.parallel",
    points=(
        *grid(measure=("one_gradient",), model=("mlp", "gpt"), accumulation=(MANY,)),
        *grid(measure=("sent",), accumulation=ACCUMULATIONS, no_sync=(False, True), bucket_mb=(WHOLE,)),
        *grid(measure=("sent",), accumulation=(MANY,), no_sync=(False, True), bucket_mb=(SMALL,)),
        *grid(measure=("effective_batch",), split=SPLITS, accumulation=(1, MANY)),
        {"measure": "unequal_tokens"},
        *({"measure": "batchnorm", "statistics": kind, "accumulation": parts} for kind, parts in STATISTICS),
    ),
    print_under="{ranks} processes, micro-batch {micro_batch}, one update in fp64; MLP of 9,610 parameters on digits, "
    "GPT of one block and width 32 on text",
    held={"ranks": 2, "micro_batch": 4},
    together=("seed", "measure", "model", "accumulation", "no_sync", "bucket_mb", "split", "statistics"),
    seeds=3,
)

# Lesson 03 needs these only, and shares the store.
BATCHNORM = PARALLEL.at(
    question="Do two processes with shared statistics make the update of one big batch?",
    points=tuple(point for point in PARALLEL.points if point["measure"] == "batchnorm"),
)


def sent(records, name: str, no_sync: bool, bucket_mb: float = WHOLE) -> dict[int, np.ndarray]:
    """``all_reduces``, ``rounds`` or ``bytes`` of one update, by accumulation: one a seed."""
    parts = ACCUMULATIONS if bucket_mb == WHOLE else (MANY,)
    settings = {"measure": "sent", "no_sync": no_sync, "bucket_mb": bucket_mb}
    return {k: column(records, name, accumulation=k, **settings) for k in parts}


def examples_share(records, split: str, ranks: int) -> np.ndarray:
    """Distinct examples in one update ÷ (micro-batch × accumulation × ``ranks``), at every accumulation and seed."""
    held = PARALLEL.held["micro_batch"] * ranks
    return np.concatenate([column(records, "examples", split=split, accumulation=k) / (held * k) for k in (1, MANY)])


def gradients(records, name: str) -> np.ndarray:
    """Relative distance from the gradient of the whole batch in one piece, of the MLP and of the GPT."""
    return np.concatenate([column(records, name, measure="one_gradient", model=model) for model in ("mlp", "gpt")])


def normalized(records, statistics: str, accumulation: int = 1, name: str = "gradient") -> np.ndarray:
    """The same of a net with BatchNorm, by whose statistics it used."""
    return column(records, name, measure="batchnorm", statistics=statistics, accumulation=accumulation)
