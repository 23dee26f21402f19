"""Lesson 09: noise along a short run, the adviser on three models, and the sweep that it is compared with."""

from tutorlib.records import Experiment

# What is reached: the loss on held-out examples. Rates are a grid around the best of two other seeds (course/log.md).
TASKS = {
    "mlp": {"optimizer": "SGD", "held_out": 512, "examples": 1024, "target": 0.2, "most_steps": 2000},
    "cnn": {"optimizer": "AdamW", "held_out": 1000, "examples": 2000, "target": 0.8, "most_steps": 2000},
    "gpt": {"optimizer": "AdamW", "held_out": 512, "examples": 4096, "target": 3.0, "most_steps": 1500},
}
CENTRES = {
    "mlp": {8: 0.38, 16: 0.6, 32: 0.8, 64: 0.95, 128: 1.0, 256: 1.0, 512: 1.05},
    "cnn": {16: 0.012, 32: 0.012, 64: 0.016, 128: 0.016, 256: 0.022, 512: 0.03},
    "gpt": {8: 0.004, 16: 0.006, 32: 0.008, 64: 0.008, 128: 0.01},
}
AROUND = {"mlp": (0.5, 0.7, 1, 1.4), "cnn": (0.5, 1, 2), "gpt": (0.5, 1, 2)}
LITTLE = 16  # the micro-batch where memory is short
# With BatchNorm the steps depend on the micro-batch too. Elsewhere accumulation changes rounding only (lesson 02).
GHOSTS = {"cnn": (32, 64, 128, 256)}
OWN = {"mlp": (32, 0.3), "cnn": (32, 0.003), "gpt": (32, 0.003)}  # batch and rate that are handed in


def rates(model: str, batch: int) -> tuple[float, ...]:
    return tuple(float(f"{CENTRES[model][batch] * factor:.3g}") for factor in AROUND[model])


def pairs(model: str) -> list[tuple[int, int]]:
    """(batch, micro-batch) of the sweep: every batch cut in every way down to 8."""
    return [(batch, 2**k) for batch in CENTRES[model] for k in range(3, batch.bit_length())]


def trained(model: str) -> list[tuple[int, int]]:
    """Those whose steps are counted."""
    return [(batch, batch) for batch in CENTRES[model]] + [(batch, LITTLE) for batch in GHOSTS.get(model, ())]


SWEEP = Experiment(
    name="batch_sweep",
    question="Which batch, in which pieces, is soonest at a target?",
    trial="choose_your_batch.sweep",
    points=tuple(
        {"model": model, **task, "batch": batch, "micro_batch": micro_batch, "rate": rate}
        for model, task in TASKS.items()
        for batch, micro_batch in trained(model)
        for rate in rates(model, batch)
    ),
    print_under="MLP on digits with SGD, CNN with BatchNorm on mnist1d and a GPT on text with Adam; loss 0.2, 0.8 and "
    "3.0 on held-out examples; three or four rates a batch, chosen on the other seeds",
    together=("seed", "rate"),
    seeds=4,
)

SECONDS = Experiment(
    name="batch_sweep_seconds",
    question="How long does an update take, in which pieces?",
    trial="choose_your_batch.seconds",
    points=tuple(
        {"model": model, **task, "batch": batch, "micro_batch": micro_batch, "rate": rates(model, batch)[1]}
        for model, task in TASKS.items()
        for batch, micro_batch in pairs(model)
    ),
    print_under="Medians of {repeats} updates, one thread of a processor, its own time",
    held={"repeats": 5},
    device="cpu",
    seeds=4,
)

ADVICE = Experiment(
    name="batch_advice",
    question="What does the adviser say of three models that it was not made on?",
    trial="choose_your_batch.advice",
    points=tuple(
        {"model": model, **task, "batch": OWN[model][0], "rate": OWN[model][1]} for model, task in TASKS.items()
    ),
    print_under="{budget_s} seconds each, handed in with batch 32 and a rate that trains",
    held={"budget_s": 60},
    device="cpu",
    seeds=4,
)

NOISE = Experiment(
    name="noise_of_a_short_run",
    question="Is the noise at the start the noise of the run?",
    trial="choose_your_batch.noise",
    points=tuple(
        {"model": model, **TASKS[model], "batch": OWN[model][0], "rate": OWN[model][1]} for model in ("mlp", "cnn")
    ),
    print_under="MLP on digits (SGD, rate 0.3) and CNN with BatchNorm on mnist1d (Adam, rate 0.003), batch 32; 16 "
    "gradients of 256 examples a look",
    held={"steps": 400, "looks": 3},
    side_by_side=True,
    seeds=12,
)
