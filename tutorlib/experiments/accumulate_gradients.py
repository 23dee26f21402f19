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
    "division by K",
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
# Fixed before anything is measured. A breaker's control is the rung before it, or float64.
EXPECTED = {
    **dict.fromkeys(RUNGS, "not equal"),
    **dict.fromkeys(RUNGS[:4], "equal to rounding"),
    **dict.fromkeys(("division by K", "targets counted", "clip once", "last window by its own"), "equal to rounding"),
    "dropout": "equal in distribution",
}
PLANS = ((1, 128), (1, 32), (16, 2), (4, 2))
MICRO_BATCHES = (1, 4, 8, 32)
HELD = "first step of the optimizer, from weights {trained} steps of AdamW old and fresh for every seed"


def point(model: str, rung: str, optimizer: str) -> dict:
    """Two parts are enough for masks to differ, and dropout is drawn often. A young CNN sends all to one expert."""
    apart = {"micro_batch": 16} if "dropout" in rung else {}
    older = {"trained": 40} if (model, rung) == ("cnn", "load balancing") else {}
    return {"model": model, "rung": rung, "optimizer": optimizer, **apart, **older}


LADDER = Experiment(
    name="equivalence_ladder",
    question="Is one update the same from one batch and from its micro-batches?",
    trial="accumulate_gradients.rungs",
    points=tuple(point(**p) for p in grid(model=MODELS, rung=RUNGS, optimizer=OPTIMIZERS)),
    print_under="Batch {batch} = {micro_batch} × 4; " + HELD + "; MLP of 2,410, CNN of 858, GPT of 5,616 parameters; "
    "float64 where the rung says nothing else; the CNN of load balancing is 40 steps old; dropout {dropout}, its "
    "control {other_dropout}: 16 × 2, {draws} draws",
    held={"batch": 32, "micro_batch": 8, "trained": 10, "draws": 12, "dropout": 0.2, "other_dropout": 0.4},
    full={"draws": 48},
    together=("optimizer",),
    side_by_side=True,
    seeds=8,
)

OTHER_PLANS = Experiment(
    name="plans_of_a_batch",
    question="Does it matter how a batch is cut into micro-batches?",
    trial="accumulate_gradients.rungs",
    points=tuple({"batch": m * k, "micro_batch": m, "optimizer": o} for m, k in PLANS for o in OPTIMIZERS),
    print_under="MLP of 2,410 parameters in float64; " + HELD,
    held={"rung": "float64", "model": "mlp", "trained": 10},
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
    side_by_side=True,
    seeds=12,
)


def rung_of(records, model: str, optimizer: str, rung: str) -> list:
    """The records of one rung: whether its seeds are whole is asked of these alone."""
    wanted = {"model": model, "optimizer": optimizer, "rung": rung}
    return [r for r in records if wanted.items() <= r.run.settings.items()]


def class_of(records, model: str, optimizer: str, rung: str) -> str:
    """What the rule calls one rung, from all seeds."""
    own = rung_of(records, model, optimizer, rung)
    drawn = [column(own, name) for name in ("shift", "spread")] if "dropout" in rung else []
    return classify(column(own, "distance"), column(own, "tolerance"), *drawn)
