"""Lesson 05: steps, seconds and rates against batch; their columns are in ``two_speeds_columns``."""

from tutorlib.records import Experiment, grid

SMALL, DEEP = {"width": 128, "depth": 1}, {"width": 512, "depth": 3}
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 512)
# The middle of each batch's grid of rates, from a search on other seeds (course/log.md); the grid spans a factor of 8.
CENTRES = {
    "SGD": (0.06, 0.11, 0.21, 0.38, 0.6, 0.8, 0.95, 1.0, 1.05),
    "Adam": (0.003, 0.0042, 0.006, 0.0085, 0.011, 0.016, 0.024, 0.03, 0.035),
}
FACTORS = (1, 2, 4, 8, 16, 32, 64)  # of the batch, in the branches
HALF_OCTAVES = (-3, -2, -1, 0, 1, 2, 3)
PROBLEM = {"examples": 1024, "held_out": 512, "target": 0.2}
HELD = (
    "Loss {target} on {held_out} held-out digits; {examples:,} other digits and fresh weights for every seed; "
    "MLP of 9,610 parameters"
)


def rates(optimizer: str, batch: int) -> tuple[float, ...]:
    """Seven rates, half an octave apart."""
    centre = CENTRES[optimizer][BATCHES.index(batch)]
    return tuple(float(f"{centre * 2 ** (k / 2):.3g}") for k in HALF_OCTAVES)


def race(optimizer: str) -> Experiment:
    return Experiment(
        name=f"steps_to_target_{optimizer.lower()}",
        question=f"How many steps does {optimizer} need to a target, at the best rate of every batch?",
        trial="race_two_speeds.steps",
        points=tuple({"batch": b, "rate": rate} for b in BATCHES for rate in rates(optimizer, b)),
        print_under=HELD + "; seven rates a batch, chosen on the other seeds",
        held={**PROBLEM, "optimizer": optimizer, "most_steps": 8000},
        together=("seed", "rate"),
        seeds=8,
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
    seeds=8,
)

BRANCHES = Experiment(
    name="branches",
    question="From here on, how large may the batch be?",
    trial="race_two_speeds.branches",
    points=tuple(
        {"optimizer": optimizer, "rate": rate, "checkpoint": checkpoint}
        for optimizer, rate in (("SGD", 0.38), ("Adam", 0.0085))
        for checkpoint in (10, 100)
    ),
    print_under=HELD + "; from steps 10 and 100 of batch {batch}, {branch_examples:,} examples at k times the "
    "batch, rate × k (SGD) or √k (Adam)",
    held={**PROBLEM, "batch": 8, "branch_examples": 2048, "largest_factor": FACTORS[-1]},
    together=("seed",),
    seeds=16,
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
    seeds=8,
)

WARM_UP = Experiment(
    name="warm_up",
    question="Does a gentle start save a high rate?",
    trial="race_two_speeds.warm_up",
    points=grid(rate=(0.005, 0.01, 0.02, 0.04, 0.08), warm_up=("none", "gradual", "constant")),
    print_under="MLP with {depth} hidden layers of {width}, no normalization; batch {batch}, Adam, {steps} steps, "
    "of which {ramp_steps} to warm up; {examples:,} digits and fresh weights for every seed",
    held={**PROBLEM, "optimizer": "Adam", "batch": 256, "width": 64, "depth": 4, "steps": 40, "ramp_steps": 12},
    together=("seed", "rate", "warm_up"),
    seeds=16,
)
