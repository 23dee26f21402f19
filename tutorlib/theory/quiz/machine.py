"""Situations of the machine: steps that are slow, memory that is full, plans that look alike."""

import numpy as np

from tutorlib.theory.activations import layer_activations, loss_terms
from tutorlib.theory.memo import BEND, FIXED, PLAN
from tutorlib.theory.memory import static_bytes
from tutorlib.theory.plan import Plan
from tutorlib.theory.quiz.situation import Found, Situation
from tutorlib.theory.shapes import SHAPES
from tutorlib.theory.trade_off import StepTime, fit_step_time

FULL, LATE = 0.8, 1.2  # a step is full when this share of it is examples; a loader is late beyond this many steps


def loop_seconds(micro_batch: int, step: StepTime, loader: float) -> float:
    """The loader works ahead while the device computes: the slower of the two is what one waits for."""
    return max(float(step.seconds(micro_batch)), loader * micro_batch)


def ask_slow(micro_batch, step, loader, seed):
    seconds = loop_seconds(micro_batch, step, loader)
    return f"At micro-batch {micro_batch} your loop takes {1000 * seconds:.1f} ms a step. Colleagues call that slow."


def measure_slow(micro_batch, step, loader, seed):
    sizes = np.array([1, 4, 16, 64, 256])
    clock = step.seconds(sizes) * np.exp(0.02 * np.random.default_rng(seed).standard_normal(len(sizes)))
    fitted, loop = fit_step_time(sizes, clock), loop_seconds(micro_batch, step, loader)
    alone, share = float(fitted.seconds(micro_batch)), float(fitted.utilization(micro_batch))
    answer = "loader" if loop > LATE * alone else "micro-batch" if share < FULL else "full"
    return Found(
        answer,
        f"with the data at hand a step takes {1000 * alone:.1f} ms, {share:.0%} of it for examples; in the loop "
        f"{1000 * loop:.1f} ms",
    )


def gigabytes(name: str, precision: str, micro_batch: int, time: int, checkpointing: bool) -> float:
    """What does not know the batch, what layers (as GPT-2 has them) keep, and the loss: formulas, added up."""
    shape = SHAPES[name]
    layers = layer_activations(micro_batch, time, shape.width, shape.heads, "fused", checkpointing, dropout=False)
    loss = loss_terms(micro_batch, time, shape.vocabulary)
    fixed = static_bytes(shape.parameters, precision).total
    return (fixed + shape.blocks * sum(layers.values()) + sum(loss.values())) / 1e9


def ask_memory(name, precision, micro_batch, time, checkpointing):
    kept = "checkpointing every layer" if checkpointing else "fused attention"
    return (
        f"{name} in {precision}, {kept}, {time:,} tokens, does not fit at micro-batch {micro_batch}. You halve it and "
        "accumulate twice. What becomes of the memory?"
    )


def measure_memory(name, precision, micro_batch, time, checkpointing):
    before, after = (gigabytes(name, precision, m, time, checkpointing) for m in (micro_batch, micro_batch // 2))
    left = after / before
    answer = "half" if left < 0.6 else "hardly" if left > 0.9 else "between"
    return Found(answer, f"{before:.0f} GB become {after:.0f} GB: {left:.0%} is left")


def ask_faster(before, after):
    def words(plan):
        return f"{plan.micro_batch} × {plan.accumulation} on {plan.ranks} devices"

    return f"To be faster, {words(before)} becomes {words(after)}. What about the learning rate?"


def measure_faster(before, after):
    answer = "leave" if after.batch == before.batch else "raise" if after.batch > before.batch else "lower"
    return Found(answer, f"an update had {before.batch} examples and has {after.batch}")


MACHINE = (
    Situation(
        "slow steps",
        ask_slow,
        {
            "loader": "the loader: the device waits for data",
            "micro-batch": "the micro-batch: most of a step is its fixed part",
            "full": "nothing: the device is full",
        },
        measure_slow,
        BEND,
        (
            {"micro_batch": 4, "step": StepTime(0.02, 0.0005), "loader": 0.0004, "seed": 0},
            {"micro_batch": 8, "step": StepTime(0.004, 0.0005), "loader": 0.004, "seed": 1},
            {"micro_batch": 128, "step": StepTime(0.01, 0.0005), "loader": 0.0002, "seed": 2},
        ),
    ),
    Situation(
        "out of memory",
        ask_memory,
        {
            "half": "about half is left",
            "between": "less, but clearly more than half is left",
            "hardly": "hardly less: more than nine tenths are left",
        },
        measure_memory,
        FIXED,
        (
            {"name": "llama-3-8b", "precision": "bf16", "micro_batch": 4, "time": 1024, "checkpointing": True},
            {"name": "gpt2", "precision": "autocast", "micro_batch": 32, "time": 1024, "checkpointing": False},
            {"name": "gpt2-xl", "precision": "autocast", "micro_batch": 4, "time": 1024, "checkpointing": False},
        ),
    ),
    Situation(
        "twice the micro-batch",
        ask_faster,
        {"raise": "raise it, the batch has grown", "leave": "leave it as it is", "lower": "lower it"},
        measure_faster,
        PLAN,
        (
            {"before": Plan(10_000, 4, 4, ranks=5), "after": Plan(10_000, 8, 2, ranks=5)},
            {"before": Plan(10_000, 4, 4, ranks=5), "after": Plan(10_000, 8, 4, ranks=5)},
            {"before": Plan(10_000, 16, 2, ranks=4), "after": Plan(10_000, 32, 1, ranks=2)},
        ),
    ),
)
