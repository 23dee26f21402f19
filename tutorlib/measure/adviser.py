"""The adviser: audit, memory, clock and noise of a learner's own model, measured on a copy of it."""

import functools
import math
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from tutorlib.errors import Refused
from tutorlib.measure.batchnorm import audit
from tutorlib.measure.bytes_of_step import line_of, tried_in
from tutorlib.measure.clock import step_seconds, undisturbed
from tutorlib.measure.first_pass import check_trains, optimizer_name
from tutorlib.measure.handed_in import Sample, check_handed_in, read, untouched
from tutorlib.measure.short_run import Look, short_run
from tutorlib.nn.device import out_of_memory
from tutorlib.theory.advice import Advice, amount
from tutorlib.theory.batch_statistics import ENOUGH

ADAMW = functools.partial(torch.optim.AdamW, lr=1e-3)
READ = 2048  # examples
STEPS, LOOKS, DRAWS, PARTS = 400, 5, 16, 16
FLAT = 1.03  # the clock stops where twice the micro-batch is no faster an example than this
# Shares of the time: what each measurement may take before it stops where it is.
READING, CLOCKING, LOOKING, TRAINING = 0.1, 0.2, 0.25, 0.35


def advise(
    model: nn.Module,
    loss: Callable,
    loader,
    optimizer: Callable = ADAMW,
    *,
    memory: float | None = None,
    budget_s: float = 60,
    seed: int = 0,
    say: Callable = lambda sentence: None,
) -> Advice:
    """Everything that :func:`~tutorlib.theory.choice.choose_plan` needs, in about ``budget_s`` seconds.

    ``loader`` yields pairs (inputs, targets) of tensors and can be read more than once; ``loss(outputs, targets)`` is a
    mean over examples; ``optimizer(parameters)`` makes the one you train with, at your rate. ``memory`` in bytes is an
    artificial budget, for any device: a processor does not say when it is full, and without one nothing is tried
    there. The model, its gradients, the loader and all random streams stay as they are. ``say`` hears what is measured
    next. Raises ``ValueError``, one sentence, for what cannot be advised on.
    """
    if not isinstance(budget_s, int | float) or not budget_s > 0:
        raise Refused(f"budget_s is {budget_s!r}; allowed: a number of seconds above 0")
    if memory is not None and not 0 < memory < math.inf:
        raise Refused(f"memory is {amount(memory)}; allowed: above 0 and finite, or None")
    check_handed_in(model, loss, loader)
    began = time.perf_counter()
    with untouched(model, loader) as twin:
        name = optimizer_name(optimizer, twin)
        device = next(twin.parameters()).device
        say("reading examples")
        sample = read(loader, READ, READING * budget_s, device)
        check_trains(twin, loss, sample.data)
        say("which layers look across the batch")
        findings = [f for f in audit(twin, 1, sample.data.x[:ENOUGH]).findings if f.in_training]
        say("memory")
        tried = tried_in(twin, loss, sample, optimizer, memory)
        say("seconds of a step")
        least = 2 if findings else 1
        timed = clock_of(twin, loss, sample, optimizer, least, tried.get("largest"), CLOCKING * budget_s, seed)
        line = line_of(twin, loss, sample, optimizer, timed["sizes"])
        say("noise along a short run")
        run = run_of(twin, loss, sample, optimizer, timed, bool(findings), budget_s, began + budget_s, seed)
    return Advice(
        optimizer=name,
        own_rate=ADAMW.keywords["lr"] if optimizer is ADAMW else None,
        read=len(sample.data),
        parameters=sum(p.numel() for p in model.parameters()),
        loader_seconds=sample.seconds_per_example,
        coupled=len(findings),
        examples=sample.examples,
        values=min((f.values for f in findings if f.values), default=None),
        layers=tuple(f.layer or "(the model)" for f in findings),
        seconds=time.perf_counter() - began,
        **tried,
        **line,
        **timed,
        **run,
    )


def clock_of(model, loss, sample: Sample, optimizer, least: int, largest: int | None, seconds: float, seed) -> dict:
    """Seconds of a pass at doubling micro-batches, until no example gets cheaper, the time is up or nothing fits.

    Other work on the machine can only slow a step down: the faster of two medians counts, and a smaller micro-batch
    takes no longer than a larger one.
    """
    most, began, size = min(len(sample.data), largest or len(sample.data)), time.perf_counter(), least
    settings = {"repeats": 4, "warm_up": 2, "seed": seed, "optimizer": optimizer, "clock": undisturbed}
    rows: list[tuple[int, float, float]] = []
    while size <= most:
        try:
            twice = [step_seconds(model, loss, sample.data, batch=size, **settings) for _ in range(2)]
        except RuntimeError as error:
            if not rows or not out_of_memory(error):
                raise
            break
        passes = [times.forward + times.backward for times in twice]
        rows.append((size, min(passes), min(t.step - p for t, p in zip(twice, passes, strict=True))))
        cheapest = [row[1] / row[0] for row in rows]
        flat = len(rows) > 3 and min(cheapest[:-2]) < FLAT * min(cheapest[-2:])
        # The next size takes about twice as long, and its twelve steps must fit in the time that is left.
        if len(rows) > 1 and (flat or time.perf_counter() - began + 24 * sum(rows[-1][1:]) > seconds):
            break
        size *= 2
    if len(rows) < 2:
        raise Refused(f"micro-batches up to {most} fit; allowed: at least {2 * least}, for a pace needs two sizes")
    sizes, passes, updates = zip(*rows, strict=True)
    passes = tuple(min(passes[place:]) for place in range(len(passes)))
    return {"sizes": sizes, "passes": passes, "update": max(0.0, sorted(updates)[len(updates) // 2])}


def run_of(model, loss, sample: Sample, optimizer, timed: dict, coupled: bool, budget_s, deadline, seed) -> dict:
    """A short run at the loader's own batch, as long as the time allows, and the noise at five of its steps."""
    batch, sizes = min(sample.own_batch, len(sample.data)), timed["sizes"]
    micro_batch = noise_part(timed, ENOUGH if coupled else 1, LOOKING * budget_s / LOOKS)
    step = timed["update"] + float(np.interp(batch, sizes, timed["passes"])) * max(1, batch / sizes[-1])
    steps = int(min(STEPS, max(LOOKS - 1, TRAINING * budget_s / step)))
    settings = {"micro_batch": micro_batch, "accumulation": PARTS, "draws": DRAWS}
    looks: list[Look] = short_run(
        model,
        loss,
        sample.data,
        optimizer,
        batch=batch,
        steps=steps,
        looks=LOOKS,
        seed=seed,
        deadline=deadline,
        **settings,
    )
    return {
        "batch": batch,
        "noise_batch": micro_batch * PARTS,
        "draws": DRAWS,
        "steps": tuple(look.step for look in looks),
        "losses": tuple(look.loss for look in looks),
        "signals": tuple(float(look.signal.value) for look in looks),
        "lows": tuple(float(look.signal.low) for look in looks),
        "highs": tuple(float(look.signal.high) for look in looks),
    }


def noise_part(timed: dict, least: int, seconds: float) -> int:
    """The micro-batch of a look, up to 32: the largest timed one with which a look takes no more than ``seconds``."""
    sizes = [size for size in timed["sizes"] if least <= size <= 32] or [min(least, timed["sizes"][-1])]
    takes = dict(zip(timed["sizes"], timed["passes"], strict=True))
    return max([size for size in sizes if DRAWS * PARTS * takes.get(size, 0) <= seconds], default=min(sizes))
