"""What answers the predictions of the lessons on models, 03, 04, 06, 08 and 09: experiments and a number."""

import numpy as np

from tutorlib.experiments import advice_columns, curvature, diagonal_net, fine_tune, label_noise, stream
from tutorlib.experiments import bought_noise as bought
from tutorlib.experiments import choose_your_batch as choose
from tutorlib.experiments import documents_table as documents
from tutorlib.experiments import escape_times as escapes
from tutorlib.experiments import fit_the_memory as memory
from tutorlib.experiments import hunt_heavy_tails as tails
from tutorlib.experiments import mind_the_batchnorm as batchnorm
from tutorlib.experiments import question_generalization as generalize
from tutorlib.experiments.bets_on_steps import middle
from tutorlib.results import column


def cnn_share(peaks) -> float:
    found = memory.one(peaks, model="CNN")
    return 100 * found["predicted"] / found["measured"]


def half_plan(plans) -> float:
    model, recipe, half = documents.HALVED["GPT-2"]
    return 100 * np.divide(*(documents.plan(plans, model, recipe, *parts)["peak"] for parts in (half, (8, 1))))


def gap_at_widest(widths) -> float:
    return (
        generalize.wide(widths, 256, generalize.FULL, 10).mean()
        - generalize.wide(widths, 256, generalize.SMALL, 500).mean()
    )


def fresh_over_seen(found) -> float:
    return middle(np.divide(*(stream.loss(found, stream.LARGE, name=name) for name in ("loss", "train"))))


def batch_1_over_full(recovered) -> float:
    noisy, plain = ("minibatch", 1), ("none", diagonal_net.EXAMPLES)
    return middle(np.divide(*(diagonal_net.arm(recovered, *which, 0.04) for which in (noisy, plain))))


# lesson → question → (experiment, value)
ANSWERS = {
    "03": {
        "Two values of a Gaussian channel: the sd of their (unbiased) variance is … σ²": (
            batchnorm.STATISTICS,
            lambda r: middle(column(r, "variance_sd", source="gaussian", n=2)),
        ),
        "Held-out error with BatchNorm at micro-batch 2 (at 32: 4 to 5 %) …": (
            batchnorm.ERRORS,
            lambda r: batchnorm.error(r, "mlp", "batch", 2).mean(),
        ),
        "Held-out error with batch 128, ghost batches of 16, and as many updates as batch 16 …": (
            batchnorm.GHOST,
            lambda r: batchnorm.rung(r, batchnorm.LONG_GHOSTS).mean(),
        ),
    },
    "04": {
        "GPT-2, 4 × 1,024 tokens, autocast, AdamW: the highest moment of the second step is …": (
            documents.TIMELINE,
            lambda r: sum(documents.highest(next(iter(r))).values()),
        ),
        "Twice as long, attention written out: the bytes kept are … times as many": (
            memory.SAVED,
            lambda r: np.divide(*memory.saved(r, (512, 256), over="time", **memory.KINDS[0])),
        ),
        "A small CNN: the predicted peak is … of the measured one": (memory.PEAKS, cnn_share),
        "8B, one text of 4,096 tokens, pure bf16, fused attention: activations take …": (
            documents.ACTIVATIONS,
            lambda r: documents.kept(r, "llama-3-8b", "bf16, fused", 1),
        ),
        "GPT-2, 4 × 2 in place of 8 × 1: the memory it still needs is …": (documents.PLANS, half_plan),
        "One step fits up to a micro-batch of 120; two steps fit up to …": (
            memory.TRIES,
            lambda r: max(memory.ran(r, 2)),
        ),
    },
    "06": {
        "Full batch on digits, 500 updates at its own rate (batch 10: about 5 %): held-out error …": (
            generalize.DIGITS,
            lambda r: generalize.cell(r, "digits", generalize.UPDATES, generalize.FULL).mean(),
        ),
        "Wrong labels, one rate: held-out error of batch 100 …": (
            label_noise.LABELS,
            lambda r: label_noise.found(r, 30, generalize.LARGE, label_noise.SAME).mean(),
        ),
        "Distance² to the truth at rate 0.04, batch 1 ÷ full batch (1: no difference) …": (
            diagonal_net.RECOVER,
            batch_1_over_full,
        ),
        "Loss on fresh examples ÷ on those seen once, batch 4,096 …": (stream.STREAM, fresh_over_seen),
        "Full batch minus batch 10 after ten epochs, width 256 …": (generalize.WIDER, gap_at_widest),
        "All 240 at once, 90 updates: error on mirrored digits …": (
            fine_tune.TUNED,
            lambda r: fine_tune.cell(r, fine_tune.UPDATES, fine_tune.FULL).mean(),
        ),
        "λ of the full batch, rate 0.1 (2/η = 20) …": (
            curvature.SHARPNESS,
            lambda r: middle(curvature.table(r, "sharpness")[:, -1, 0]),
        ),
    },
    "08": {
        "The Hill index of 4,096 Gaussian draws, from the largest 5 %, is …": (
            tails.READINGS,
            lambda r: middle(tails.law_column(r, "hill", "gaussian")[:, tails.SHARES.index(tails.TAIL)]),
        ),
        "Excess kurtosis at batch 256 (one example: about 70) …": (
            tails.NOISE,
            lambda r: tails.noise_column(r, "directed", "mlp", 600)[:, -1].mean(),
        ),
        "Lévy noise: the stay behind the high rim is … times that behind the low one": (
            escapes.ESCAPE,
            lambda r: middle(np.divide(*(escapes.mean_time(r, "levy", rim) for rim in (escapes.HIGH, escapes.LOW)))),
        ),
        "Error with Gaussian weights ÷ error of the plain full batch …": (
            bought.BUY,
            lambda r: middle(bought.over(r, bought.GAUSSIAN, bought.FULL)),
        ),
    },
    "09": {
        "Noise scale of the MLP after 400 updates (before the first: about 70) …": (
            choose.NOISE,
            lambda r: 1 / middle(column(r, "signals", model="mlp")[:, -1]),
        ),
        "The MLP reaches its target soonest at batch …": (
            choose.SWEEP,
            choose.SECONDS,
            lambda sweep, clock: advice_columns.soonest(advice_columns.times(sweep, clock, "mlp"))[0],
        ),
    },
}
