"""The runs of two real processes: one start serves every measurement of every seed."""

from tutorlib.measure import ranks, ranks_apart
from tutorlib.measure.parallel import on_ranks
from tutorlib.nn.device import of_ranks
from tutorlib.records import Run

INSTRUMENTS = {
    "one_gradient": ranks.one_gradient,
    "sent": ranks.sent,
    "effective_batch": ranks_apart.effective_batch,
    "unequal_tokens": ranks_apart.unequal_tokens,
    "batchnorm": ranks_apart.batchnorm,
}


def parallel(runs: list[Run], device: str) -> list[dict]:
    """What the first rank answers; ``computed_on`` says where the ranks computed, for GPUs may be fewer than ranks."""
    together = runs[0].settings["ranks"]
    answers = on_ranks([call(run) for run in runs], ranks=together, device=device)
    return [{**each[0], "computed_on": of_ranks(device, together)} for each in answers]


def call(run: Run):
    settings = {name: value for name, value in run.settings.items() if name not in ("measure", "ranks")}
    return INSTRUMENTS[run.settings["measure"]], {**settings, "seed": run.seed}
