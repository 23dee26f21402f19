"""Lesson 05: steps, seconds and rates against batch; their columns are in ``two_speeds_columns``."""

from tutorlib.records import Experiment, grid

SMALL, DEEP = {"width": 128, "depth": 1}, {"width": 512, "depth": 3}
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 512)
# The middle of each batch's grid of rates, from a search on other seeds (course/log.md); the grid spans a factor of 8.
CENTRES = {
    "SGD": (0.06, 0.11, 0.21, 0.38, 0.6, 0.8, 0.95, 1.0, 1.05),
    "Adam": (0.003, 0.0042, 0.006, 0.0085, 0.011, 0.016, 0.024, 0.03, 0.035),
}
FACTORS = (1, 2, 4, 8, 16, 64)  # of the batch, in the branches
# Octaves around the middle. From batch 32 on SGD's steps fall until a cliff: a finer grid, which ends soon after it.
OCTAVES, NEAR_A_CLIFF = (-1.5, -1, -0.5, 0, 0.5, 1, 1.5), (-1, -0.75, -0.5, -0.25, 0, 0.25, 0.5)
WARM_UP_RATES = (0.005, 0.01, 0.02, 0.04, 0.08)
PROBLEM = {"examples": 1024, "held_out": 512, "target": 0.2}
HELD = (
    "Loss {target} on the same {held_out} held-out digits; every seed has its weights and {examples:,} of the other "
    "1,285 digits; MLP of 9,610 parameters"
)


def rates(optimizer: str, batch: int) -> tuple[float, ...]:
    """Seven rates, half an octave apart, or a quarter."""
    centre = CENTRES[optimizer][BATCHES.index(batch)]
    octaves = NEAR_A_CLIFF if optimizer == "SGD" and batch >= 32 else OCTAVES
    return tuple(float(f"{centre * 2**k:.3g}") for k in octaves)


def race(optimizer: str) -> Experiment:
    return Experiment(
        name=f"steps_to_target_{optimizer.lower()}",
        question=f"How many steps does {optimizer} need to a target, at the best rate of every batch?",
        trial="race_two_speeds.steps",
        points=tuple({"batch": b, "rate": rate} for b in BATCHES for rate in rates(optimizer, b)),
        print_under=HELD + "; seven rates a batch, chosen on the other seeds",
        held={**PROBLEM, "optimizer": optimizer, "most_steps": 8000},
        together=("seed", "rate"),
        side_by_side=True,
        seeds=16,
    )


SGD, ADAM = race("SGD"), race("Adam")

NOISE_ALONG = Experiment(
    name="noise_along_the_run",
    question="Does the noise scale on the way say where the bend is?",
    trial="race_two_speeds.noise_along",
    points=({"optimizer": "SGD", "rate": 0.38}, {"optimizer": "Adam", "rate": 0.0085}),
    print_under=HELD + "; batch {batch} at one rate, exact noise every {every} steps",
    held={**PROBLEM, "batch": 8, "every": 10, "most_steps": 2000},
    together=("seed",),
    side_by_side=True,
    seeds=8,
)

BRANCHES = Experiment(
    name="branches",
    question="From here on, how large may the batch be?",
    trial="race_two_speeds.branches",
    points=tuple(
        {"optimizer": name, "factor": k, "rate": CENTRES[name][BATCHES.index(8 * k)]}
        for name in ("SGD", "Adam")
        for k in FACTORS
    ),
    print_under=HELD
    + "; from step {checkpoint} of batch {batch}, {branch_examples:,} examples at k times the batch and "
    "the rate tuned for it; Adam starts its means anew",
    held={**PROBLEM, "batch": 8, "checkpoint": 100, "branch_examples": 2048},
    together=("seed", "factor", "rate"),
    side_by_side=True,
    seeds=16,
)

CLIFF = Experiment(
    name="cliff",
    question="What does a wrong rate do at a large batch?",
    trial="race_two_speeds.cliff",
    points=grid(rate=(0.38, 1.05, 3.0, 7.6)),
    print_under=HELD + "; batch {batch}, {steps} steps, SGD",
    held={**PROBLEM, "optimizer": "SGD", "batch": 512, "steps": 180},
    together=("seed", "rate"),
    seeds=8,
)

CLOCK = Experiment(
    name="clock",
    question="How long does a step take?",
    trial="step_times.clock",
    points=tuple(
        {**model, "batch": batch} for model in (SMALL, DEEP) for batch in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
    ),
    print_under="Medians of {repeats} steps; examples already on the device; SGD; small: one hidden layer of 128, "
    "deep: three of 512",
    held={"held_out": 512, "repeats": 5},
    seeds=8,
)

GPT_CLOCK = Experiment(
    name="gpt_clock",
    question="At which micro-batch is a GPT's device full?",
    trial="step_times.gpt_clock",
    points=grid(micro_batch=(1, 2, 4, 8, 16, 32)),
    print_under="GPT of {blocks} blocks, width {width}, context {context}; autocast to {precision}, fused attention, "
    "SGD; medians of {repeats} steps",
    held={"blocks": 2, "width": 64, "heads": 4, "context": 64, "vocabulary": 128, "precision": "bfloat16"}
    | {"repeats": 5, "matrix": 512},
    full={"blocks": 12, "width": 768, "heads": 12, "context": 1024, "vocabulary": 50304, "repeats": 20, "matrix": 8192},
    seeds=3,
)

CURVES = Experiment(
    name="race_curves",
    question="Which batch is ahead?",
    trial="race_two_speeds.curves",
    points=tuple(
        {"optimizer": optimizer, "batch": batch, "rate": rate, "steps": steps}
        for optimizer, ends in (
            ("SGD", (4000, 2000, 1100, 550, 300, 180, 130, 110, 95)),
            ("Adam", (4000, 1700, 900, 450, 240, 120, 70, 45, 30)),
        )
        for batch, rate, steps in zip(BATCHES, CENTRES[optimizer], ends, strict=True)
    ),
    print_under=HELD + "; means over seeds",
    held=PROBLEM,
    together=("seed",),
    side_by_side=True,
    seeds=8,
)

WARM_UP = Experiment(
    name="warm_up",
    question="Does a gentle start save a high rate?",
    trial="race_two_speeds.warm_up",
    points=grid(rate=WARM_UP_RATES, warm_up=("none", "gradual", "constant")),
    print_under="MLP with {depth} hidden layers of {width}, no normalization; batch {batch}, Adam, {steps} steps, "
    "of which {ramp_steps} to warm up; {examples:,} digits and fresh weights for every seed",
    held={**PROBLEM, "optimizer": "Adam", "batch": 256, "width": 64, "depth": 4, "steps": 40, "ramp_steps": 12},
    together=("seed", "rate", "warm_up"),
    side_by_side=True,
    seeds=16,
)
