"""The race of lesson 07: eight optimizers on two problems at three batches, an equal number of trials for each."""

import numpy as np

from tutorlib.records import Experiment

PROBLEMS = ("autoencoder", "language")
BATCHES = (16, 128, 512)
SMALL, MIDDLE, LARGE = BATCHES
DRAWS = (0, 1)  # the whole search is made twice, with other trials: what it finds by luck differs
TRIALS, MANY_TRIALS, SEARCH_SEEDS = 12, 48, 2
# The knob searched with the rate, and its box. Of what forgets, 1 − β is drawn, for 0.99 is to 0.9 as 0.9 to 0.
KNOBS = {
    "SGD": ("momentum", 0.02, 1.0),
    "AdamW": ("beta2", 0.001, 0.1),
    "Lion": ("beta1", 0.02, 1.0),
    "LARS": ("trust", 0.001, 0.1),
    "LAMB": ("beta2", 0.001, 0.1),
    "Shampoo": ("momentum", 0.02, 1.0),
    "K-FAC": ("damping", 0.001, 1.0),
    "Muon": ("momentum", 0.02, 1.0),
}
OPTIMIZERS = tuple(KNOBS)
DEFAULTS = {  # what else they have, and nobody searched
    "AdamW": "β1 0.9", "Lion": "β2 0.99", "LARS": "momentum 0.9", "LAMB": "β1 0.9",
    "Shampoo": "roots every 20 steps", "K-FAC": "momentum 0.9",
}  # fmt: skip
# Every box of rates: the lowest, times up to SPAN; one box for both problems and all batches. Placed after a pilot of
# twelve trials on other seeds, whose best ones lay at an end of boxes of a factor of 100 (course/log.md).
SPAN = 300
LOWEST = {"SGD": 0.03, "AdamW": 5e-4, "Lion": 5e-5, "LARS": 0.1, "LAMB": 2e-3, "Shampoo": 5e-4, "K-FAC": 3e-3}
LOWEST["Muon"] = 1e-3
HELD = {
    "autoencoder": {"held_out": 512, "examples": 1024, "target": 0.03},
    "language": {"held_out": 1024, "examples": 8192, "target": 2.3},
}
MOST_STEPS = {"autoencoder": (1200, 600, 500), "language": (1000, 400, 300)}
WORDS = {
    "autoencoder": "Autoencoder 64-32-16-8-16-32-64 (tanh) on digits to a squared error of {target}",
    "language": "Next of 32 symbols from the {context} before, MLP with two hidden layers of 48, to a loss of {target}",
}
HELD["language"] |= {"context": 4}
SAME = " on the same {held_out:,} held-out examples; every seed has its weights and {examples:,} of the other examples"


def places(draw: int, count: int) -> np.ndarray:
    """``count`` places (count, 2) spread evenly over a square: the same ones in every optimizer's box.

    A Kronecker sequence with the powers of the plastic number's inverse, from a start drawn by ``draw``.
    Source: Roberts 2018, "The unreasonable effectiveness of quasirandom sequences".
    """
    plastic = 1.32471795724474602596  # x³ = x + 1
    start = np.random.default_rng(draw).uniform(size=2)
    return (start + np.arange(1, count + 1)[:, None] / plastic ** np.array([1, 2])) % 1


def trials(optimizer: str, draw: int, count: int = TRIALS) -> list[dict]:
    """``count`` settings, ``rate`` and ``knob``, log-uniform in the optimizer's box."""
    name, low, high = KNOBS[optimizer]
    found = []
    for across, up in places(draw, count):
        drawn = low * (high / low) ** up
        knob = 1 - drawn if name in ("momentum", "beta1", "beta2") else drawn
        found.append({"rate": rounded(LOWEST[optimizer] * SPAN**across), "knob": rounded(knob)})
    return found


def rounded(value: float) -> float:
    return float(f"{value:.4g}")


def search(problem: str) -> Experiment:
    return Experiment(
        name=f"race_search_{problem}",
        question="Which rate and which knob suit an optimizer at a batch?",
        trial="race_optimizers.search",
        points=tuple(
            {"optimizer": name, "batch": batch, "most_steps": most, "draw": draw}
            for name in OPTIMIZERS
            for batch, most in zip(BATCHES, MOST_STEPS[problem], strict=True)
            for draw in DRAWS
        ),
        print_under=WORDS[problem] + SAME + "; {trials} trials of rate and knob, twice",
        held={"problem": problem, "trials": TRIALS, **HELD[problem]},
        full={"trials": MANY_TRIALS},
        together=("seed", "draw"),
        side_by_side=True,
        seeds=SEARCH_SEEDS,
        base_seed=500,
    )


SEARCHES = {problem: search(problem) for problem in PROBLEMS}
# Which trial won: optimizer → batch → draw, as ``race_columns.winners`` reads it off the recorded searches. None where
# no trial arrived: the search failed, and what failed has no settings to race with.
WINNERS = {
    "autoencoder": {
        "SGD": ((3, 2), (10, 2), (10, 2)),
        "AdamW": ((8, 11), (7, 11), (7, 11)),
        "Lion": ((2, 6), (2, 2), (2, 2)),
        "LARS": ((5, 0), (8, 7), (8, 7)),
        "LAMB": ((0, 8), (8, 3), (8, 3)),
        "Shampoo": ((3, 2), (3, 2), (3, 7)),
        "K-FAC": ((4, 8), (4, 3), (4, 3)),
        "Muon": ((7, 11), (7, 6), (7, 2)),
    },
    "language": {
        "SGD": ((0, 5), (7, 7), (3, 7)),
        "AdamW": ((8, 3), (7, 11), (11, 6)),
        "Lion": ((3, 2), (10, 10), (10, 10)),
        "LARS": ((None, 9), (5, 4), (0, 7)),
        "LAMB": ((9, 8), (8, 3), (3, 11)),
        "Shampoo": ((None, None), (3, 3), (3, 7)),
        "K-FAC": ((1, 5), (8, 1), (3, 2)),
        "Muon": ((8, 11), (2, 2), (10, 10)),
    },
}


def chosen(problem: str, optimizer: str, batch: int, draw: int) -> dict | None:
    """The settings, ``rate`` and ``knob``, that a search found best; none if it failed."""
    won = WINNERS[problem][optimizer][BATCHES.index(batch)][draw]
    return None if won is None else trials(optimizer, draw)[won]


def report(problem: str, name: str, batches: tuple[int, ...]) -> Experiment:
    return Experiment(
        name=name,
        question="How many steps does each optimizer need, at the best settings of as many trials?",
        trial="race_optimizers.report",
        points=tuple(
            {"optimizer": name, "batch": batch, "most_steps": most, "draw": draw, **won}
            for name in OPTIMIZERS
            for batch, most in zip(BATCHES, MOST_STEPS[problem], strict=True)
            if batch in batches
            for draw in DRAWS
            if (won := chosen(problem, name, batch, draw))
        ),
        print_under=WORDS[problem] + SAME + f"; rate and one knob from {TRIALS} trials on other seeds, searched twice",
        held={"problem": problem, **HELD[problem]},
        together=("seed", "draw", "rate", "knob"),
        side_by_side=True,
        seeds=8,
    )


# The verdicts are on the ends, which run live; the middle is recorded.
AUTOENCODER, LANGUAGE = REPORTS = tuple(report(problem, f"race_{problem}", (SMALL, LARGE)) for problem in PROBLEMS)
MIDDLES = {problem: report(problem, f"race_{problem}_middle", (MIDDLE,)) for problem in PROBLEMS}
FACTORS = (1, 2, 4, 8, 16)

CARRIED = Experiment(
    name="race_carried",
    question="What does the rate alone buy, carried from the small batch to the large one?",
    trial="race_optimizers.report",
    points=tuple(
        {"problem": problem, **HELD[problem], "most_steps": MOST_STEPS[problem][-1], "draw": draw, "knob": own["knob"]}
        | {"factor": factor, "rate": rounded(factor * own["rate"])}
        for problem in PROBLEMS
        for draw in DRAWS
        for own in [chosen(problem, "AdamW", SMALL, draw)]
        for factor in FACTORS
    ),
    print_under=f"AdamW at batch {{batch}} with the settings of batch {SMALL}, its rate times a factor; stopped after "
    "{slack:g} times the steps of the first factor to arrive",
    held={"optimizer": "AdamW", "batch": LARGE, "slack": 4.0},
    together=("seed", "draw", "rate", "knob", "factor"),
    side_by_side=True,
    seeds=8,
)

CLOCK = Experiment(
    name="race_clock",
    question="How long does a step of each optimizer take?",
    trial="race_optimizers.seconds",
    points=tuple(
        {"problem": problem, **HELD[problem], "optimizer": name, "batch": batch}
        for problem in PROBLEMS
        for name in OPTIMIZERS
        for batch in BATCHES
    ),
    print_under="Processor time of one net on one thread, least of {repeats}; Shampoo takes roots every 20 steps",
    held={"short": 20, "long": 40, "repeats": 3},
    device="cpu",
    seeds=1,
    base_seed=500,
)
