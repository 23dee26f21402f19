"""Predicted memory against a device's own allocator, over models, batches, lengths, precisions and optimizers."""

from tutorlib.errors import Refused
from tutorlib.records import Experiment


def point(
    model: str,
    micro_batch: int,
    time: int = 0,
    precision: str = "autocast",
    attention: str = "fused",
    checkpointing: bool = False,
    optimizer: str = "AdamW",
    accumulation: int = 1,
) -> dict:
    """The settings of one run; ``time`` is the length of a text, 0 for what is not text."""
    return dict(locals())


BOTH = ("fp32", "autocast")
GPT2 = (
    *(point("gpt2", b, 1024, p) for b in (1, 4, 16, 48) for p in BOTH),
    *(point("gpt2", 64 * 256 // s, s) for s in (256, 512, 2048, 4096)),
    *(point("gpt2", b, 1024, p, "math") for b in (1, 4, 16) for p in BOTH),
    *(point("gpt2", 16 * 256 // s, s, attention="math") for s in (256, 4096)),
    *(point("gpt2", b, 1024, checkpointing=True) for b in (4, 16, 64)),
    point("gpt2", 16, 1024, "fp32", checkpointing=True),
    *(point("gpt2", 4, 1024, optimizer=o, accumulation=k) for o in ("SGD", "fused AdamW") for k in (1, 4)),
    point("gpt2", 4, 1024, accumulation=4),
    *(point("gpt2", 4, 1024, "fp32", optimizer=o) for o in ("SGD", "fused AdamW")),
    point("gpt2", 128, 1024, "fp32"),  # more than 80 GiB: it has to run out
)
MEDIUM = (
    *(point("gpt2-medium", b, 1024, p) for b in (1, 8) for p in BOTH),
    point("gpt2-medium", 24, 1024),
    point("gpt2-medium", 8, 1024, attention="math"),
    *(point("gpt2-medium", b, 1024, checkpointing=True) for b in (8, 32)),
    point("gpt2-medium", 1, 4096, "fp32"),
    point("gpt2-medium", 4, 1024, optimizer="fused AdamW", accumulation=4),
    point("gpt2-medium", 48, 1024, attention="math"),  # it has to run out
)
LLAMA = (
    *(point("llama-1b", b, 2048, p) for b in (1, 4) for p in BOTH),
    *(point("llama-1b", 1, s) for s in (256, 4096)),
    point("llama-1b", 2, 2048, attention="math"),
    *(point("llama-1b", 8, s, checkpointing=True) for s in (1024, 2048)),
    *(point("llama-1b", 1, 2048, optimizer=o) for o in ("SGD", "fused AdamW")),
    point("llama-1b", 1, 2048, accumulation=4),
    point("llama-1b", 16, 4096, "fp32"),  # it has to run out
)
OTHERS = (
    *(point("vit-b", b, 0, p) for b in (1, 32, 128) for p in BOTH),
    point("vit-b", 64, attention="math"),
    *(point("resnet50", b, 0, p, optimizer=o) for b, o in ((1, "SGD"), (32, "AdamW"), (128, "SGD")) for p in BOTH),
    *(point("mlp", b, 0, p) for b in (1, 1024, 16384) for p in BOTH),
    *(point("mlp", 1024, 0, "fp32", optimizer=o) for o in ("SGD", "fused AdamW")),
)
TINY = (
    *(point("small gpt2", 4, 128, p, a) for p in BOTH for a in ("fused", "math")),
    *(point("small gpt2", b, s) for b, s in ((1, 128), (8, 256))),
    *(point("small gpt2", 4, 128, p, checkpointing=True) for p in BOTH),
    *(point("small gpt2", 4, 128, "fp32", optimizer=o, accumulation=k) for o in ("SGD", "fused AdamW") for k in (1, 4)),
    *(point("small llama", 4, 128, p, a) for p in BOTH for a in ("fused", "math")),
    point("small llama", 4, 128, checkpointing=True),
    *(point("small vit", 8, 0, p) for p in BOTH),
    *(point("small mlp", b, 0, p) for b in (1, 256) for p in BOTH),
    *(point("small resnet", b, 0, p, optimizer="SGD") for b in (4, 16) for p in BOTH),
)

PRINT = "{steps} training steps in a fresh process, predicted there first; weights as they are made, examples all alike"
HELD = {"steps": 3}

# What ships: the device allocator's own peaks. It needs a GPU; a point is some ten seconds.
MEMORY_GRID = Experiment(
    name="memory_grid",
    question="Does a step take as much memory as predicted?",
    trial="memory_grid.both_peaks",
    points=(*GPT2, *MEDIUM, *LLAMA, *OTHERS),
    print_under=PRINT,
    held=HELD,
    seeds=1,
)
# The same where bitsandbytes is installed; its kernels cannot be followed, their state is predicted by a stand-in.
EIGHT_BIT_GRID = MEMORY_GRID.at(
    name="memory_grid_8_bit",
    points=(
        *(point("gpt2", 4, 1024, optimizer="8-bit AdamW", accumulation=k) for k in (1, 4)),
        point("gpt2-medium", 1, 1024, "fp32", optimizer="8-bit AdamW"),
        point("llama-1b", 1, 2048, optimizer="8-bit AdamW"),
        point("mlp", 1024, optimizer="8-bit AdamW"),
    ),
)
# Small enough for a processor, where the profiler's events are the truth.
SMALL_GRID = MEMORY_GRID.at(name="memory_grid_small", points=TINY, held={"steps": 2})


def part(experiment: Experiment, which: int, of: int) -> Experiment:
    """Every ``of``-th point from the ``which``-th on, for where a device is lent for minutes only.

    Records of all parts in one store are those of the whole: a run does not know which part it was measured in.
    """
    if not 1 <= which <= of <= len(experiment.points):
        raise Refused(
            f"part {which} of {of}; allowed: from 1 to the number of parts, at most {len(experiment.points)} of them"
        )
    return experiment.at(points=experiment.points[which - 1 :: of])
