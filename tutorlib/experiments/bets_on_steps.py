"""What answers the predictions of the lessons on steps, 00, 01, 02, 05 and 07: an experiment and a number.

The records are the learner's own, so that a bet can be settled long after its lesson.
"""

import numpy as np

from tutorlib.experiments import accumulate_gradients as accumulate
from tutorlib.experiments import half_life, noisy_quadratic, race_columns, race_optimizers, raise_the_batch, warm_up
from tutorlib.experiments import measure_the_noise as noise
from tutorlib.experiments import race_two_speeds as race
from tutorlib.experiments import start_here as start
from tutorlib.experiments import two_processes as processes
from tutorlib.experiments.accumulation_clock import ACCUMULATION_CLOCK, BATCH
from tutorlib.experiments.two_speeds_columns import best_rates, per_batch
from tutorlib.results import column


def middle(values) -> float:
    """The geometric mean, which ratios and times are drawn with."""
    return float(np.exp(np.log(values).mean()))


def counted(name: str, loop: str, plan: str):
    whole = {"ranks": 1, "drop_last": False}
    return start.LOOPS, lambda r: start.count(r, name, loop, start.PLANS[plan], **whole)


def small_steps_over_one(walk) -> float:
    small, one = ({"batch": 1, "rate_factor": 1.0}, {"batch": 128, "rate_factor": 1.0})
    return float(np.divide(*(column(walk, "loss_drop", rate=0.01, **arm).mean() for arm in (small, one))))


def noise_of(plan: tuple[int, int]):
    return lambda r: np.sqrt(column(r, "variance", micro_batch=plan[0], accumulation=plan[1]))


def rate_growth(sgd) -> float:
    best = best_rates(sgd, "SGD")
    return middle(best[:, race.BATCHES.index(16)] / best[:, 0])


def rise_without_warm_up(starts) -> float:
    return middle(np.divide(*(column(starts, "loss", rate=0.08, warm_up=kind) for kind in ("none", "gradual"))))


def adamw_over_the_fewest(report) -> float:
    taken = {
        name: middle(race_columns.steps(report, name, race_optimizers.LARGE)) for name in race_optimizers.OPTIMIZERS
    }
    return taken["AdamW"] / min(taken.values())


def cost_of_a_short_memory(memory) -> float:
    short, kept = half_life.FIXED, half_life.half_life(half_life.SMALL)
    return float(np.subtract(*(half_life.loss(memory, half_life.SMALL, beta2).mean() for beta2 in (short, kept))))


# lesson → question → (experiment, value)
ANSWERS = {
    "00": {
        "Plan A, 10,000 examples, one epoch: the number of updates is between …": counted("updates", "right", "A"),
        "The weights of all examples in one gradient that the last loop applies add up to at most …": counted(
            "gradient_most", "D4-20", "D"
        ),
    },
    "01": {
        "From batch 1 to batch 128 the noise (sd) becomes smaller by a factor of …": (
            noise.VARIANCE,
            lambda r: middle(noise.sd_ratio(r, 1, 128)),
        ),
        "One update of plan 1 × 32 (micro-batch 1, 32 accumulated) is … as noisy as one of plan 32 × 1": (
            noise.FOUR_PLANS,
            lambda r: middle(noise_of((1, 32))(r) / noise_of((32, 1))(r)),
        ),
        "At the same rate, 128 small steps lower the loss … as much as the one accumulated step": (
            noise.WALK,
            small_steps_over_one,
        ),
        "One gradient at batch 1, one at batch 8, divide at once. The middle one of many such answers is … the truth": (
            noise.NOISE_SCALE,
            lambda r: noise.median_ratio(r, *noise.ROUTES[-1]).mean(),
        ),
    },
    "02": {
        "Mean of means, unequal numbers of targets: the relative distance from the right update is …": (
            accumulate.LADDER,
            lambda r: np.median(column(r, "distance", rung="mean of means", optimizer="SGD")),
        ),
        "Mean of means, micro-batch 1: a token of a short text weighs …": (
            accumulate.TOKENS,
            lambda r: middle(column(r, "short", micro_batch=1)),
        ),
        "8 micro-batches, two processes, DDP as it comes: all-reduces in one update …": (
            processes.PARALLEL,
            lambda r: processes.sent(r, "all_reduces", no_sync=False)[8].mean(),
        ),
        "256 examples in parts of 8, small net: the update takes … as long as in one piece": (
            ACCUMULATION_CLOCK,
            lambda r: middle(np.divide(*(column(r, "step", micro_batch=m, **race.SMALL) for m in (8, BATCH)))),
        ),
    },
    "05": {
        "From batch 64 to batch 512 the steps to the target become fewer by a factor of …": (
            race.SGD,
            lambda r: middle(per_batch(r, "SGD")[64]) / middle(per_batch(r, "SGD")[512]),
        ),
        "A step on 64 examples takes … as long as a step on 1 example (small net)": (
            race.CLOCK,
            lambda r: middle(np.divide(*(column(r, "step", batch=b, **race.SMALL) for b in (64, 1)))),
        ),
        "From batch 1 to batch 16 the best rate of SGD grows by a factor of …": (race.SGD, rate_growth),
        "The noise scale along one SGD run predicts a B_crit of …": (
            race.NOISE_ALONG,
            lambda r: middle(column(r, "predicted", optimizer="SGD")),
        ),
        "At a rate of 0.08, training without warm-up ends at a loss … that of training with it": (
            race.WARM_UP,
            rise_without_warm_up,
        ),
    },
    "07": {
        "Steps of SGD ÷ steps of Newton, batch 16,384 (batch 1: about 3) …": (
            noisy_quadratic.LAW,
            lambda r: middle(np.divide(*(noisy_quadratic.steps(r, name, 16384) for name in ("SGD", "Newton")))),
        ),
        "Runs that learn next to nothing with a gradual warm-up, rate 0.384 …": (
            warm_up.WARM_UP,
            lambda r: 100 * warm_up.loss(r, "gradual", warm_up.HIGHEST, name="failed").mean(),
        ),
        "Held-out loss at batch 1, β₂ = 0.95 minus half-life kept (about 2.8 is left) …": (
            half_life.HALF_LIFE,
            cost_of_a_short_memory,
        ),
        "Error with the batch raised minus with the rate lowered (about 21 %) …": (
            raise_the_batch.SCHEDULES,
            lambda r: np.subtract(
                *(raise_the_batch.found(r, raise_the_batch.SMALL, plan) for plan in ("raise", "lower"))
            ).mean(),
        ),
        "AdamW's steps ÷ the fewest of the eight, autoencoder, batch 512 …": (
            race_optimizers.AUTOENCODER,
            adamw_over_the_fewest,
        ),
    },
}
