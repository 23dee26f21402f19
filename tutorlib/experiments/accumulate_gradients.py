"""Lesson 02: the equivalence ladder, other plans of the same batch, and the weights of ragged text."""

from tutorlib.records import Experiment, grid
from tutorlib.results import column
from tutorlib.theory.equality import classify

MODELS, OPTIMIZERS = ("mlp", "cnn", "gpt"), ("SGD", "AdamW")
RUNGS = (
    "float64",
    "float32",
    "float16 accumulator",
    "bfloat16 accumulator",
    "dropout",
    "another dropout rate",
    "BatchNorm",
    "no division",
    "targets counted",
    "mean of means",
    "clip once",
    "clip every part",
    "last window by its own",
    "last window by full K",
    "in-batch negatives",
    "load balancing",
)
# By a proof, before anything is measured; the control of each breaker is the rung before it or float64.
EXPECTED = {
    **dict.fromkeys(RUNGS, "not equal"),
    **dict.fromkeys(RUNGS[:4], "equal to rounding"),
    **dict.fromkeys(("targets counted", "clip once", "last window by its own"), "equal to rounding"),
    "dropout": "equal in distribution",
}
PLANS = ((1, 128), (1, 32), (16, 2), (4, 2))
MICRO_BATCHES = (1, 4, 8, 32)
HELD = "first step from weights after {trained} steps of AdamW, fresh for every seed; MLP of 2,410, CNN of 858, GPT of "
HELD += "5,616 parameters"

LADDER = Experiment(
    name="equivalence_ladder",
    question="Is one update the same from one batch and from its micro-batches?",
    trial="accumulate_gradients.rungs",
    points=grid(model=MODELS, rung=RUNGS, optimizer=OPTIMIZERS),
    print_under="Batch {batch} = {micro_batch} × 4; " + HELD + "; float64 unless the rung says otherwise; dropout "
    "{dropout}, its control {other_dropout}, {draws} draws",
    held={"batch": 32, "micro_batch": 8, "trained": 20, "draws": 12, "dropout": 0.2, "other_dropout": 0.4},
    full={"draws": 48},
    together=("optimizer",),
    seeds=8,
)

OTHER_PLANS = Experiment(
    name="plans_of_a_batch",
    question="Does it matter how a batch is cut into micro-batches?",
    trial="accumulate_gradients.rungs",
    points=tuple({"batch": m * k, "micro_batch": m, "optimizer": o} for m, k in PLANS for o in OPTIMIZERS),
    print_under="float64; " + HELD,
    held={"rung": "float64", "model": "mlp", "trained": 20},
    together=("optimizer",),
    seeds=8,
)

TOKENS = Experiment(
    name="ragged_tokens",
    question="What does a mean of means do to text of unequal length?",
    trial="ragged_tokens.tokens",
    points=grid(micro_batch=MICRO_BATCHES),
    print_under="{batch} pieces of source text an update, lengths log-normal (median {median}, σ {sigma}), cut at "
    "{context}; character-level model of width {width} with {blocks} blocks, {trained} steps old, fresh for every seed",
    held={"batch": 32, "median": 120, "sigma": 1.0, "context": 512, "width": 32, "blocks": 0, "trained": 100},
    full={"width": 64, "blocks": 2, "trained": 400},
    together=("micro_batch",),
    seeds=8,
)


def class_of(records, model: str, optimizer: str, rung: str) -> str:
    """What the rule calls one rung, from all seeds."""
    at = {"model": model, "optimizer": optimizer, "rung": rung}
    random = "dropout" in rung
    extra = [column(records, name, **at) for name in ("shift", "spread")] if random else []
    return classify(column(records, "distance", **at), column(records, "tolerance", **at), *extra)
