"""Time what the course promises to be fast: python tests/bench/run.py [--json bench.json] [--lesson]

tr Σ of 1,024 examples is timed beside BackPACK and Opacus where these are installed, once all agree on its value.
"passes" and "measured" are medians over the rounds of the ratio within a round: to one plain pass (forward and
backward of the mean cross-entropy of the same examples) and, for the other libraries, to exact_noise.
"""

import argparse
import copy
import importlib.metadata
import json
import os
import pkgutil
import random
import subprocess
import sys
import tempfile
import warnings
from functools import partial
from pathlib import Path
from timeit import timeit

import callbacks
import curvature
import memory
import numpy as np
import optimizers
import replicas
import torch
from torch.nn.functional import cross_entropy

import tutorlib.widgets
from tutorlib.experiments.race_two_speeds import SGD
from tutorlib.measure.noise import exact_noise
from tutorlib.nn import data, device, models
from tutorlib.store import Store
from tutorlib.study import study

ROUNDS, WARM_UP, BLOCK = 60, 10, 0.02  # a block: the seconds for which one peer computes in one round
HEADS = "group what median q1 q3 max unit times passes goal measured met trace".split()
LESSONS = Path(__file__).parents[2] / "lessons"
SECONDS = {"01_measure_the_noise": 90, "05_race_two_speeds": 120}
IMPORTS = """
import importlib, pkgutil, sys, time
began = time.perf_counter()
import tutorlib.experiments.measure_the_noise, tutorlib.plots
for found in pkgutil.iter_modules(tutorlib.plots.__path__, "tutorlib.plots."):
    importlib.import_module(found.name)
print(time.perf_counter() - began, int("torch" in sys.modules))
"""
warnings.filterwarnings("ignore", "Full backward hook is firing")  # from both peers, about every first layer


def trace(model, loss, x, y, mean_square):
    """tr Σ from a peer's backward pass and from what that leaves behind for ``mean_square``."""
    model.zero_grad()
    loss(model(x), y).backward()
    return float(mean_square()) - sum(float(p.grad.double().square().sum()) for p in model.parameters())


def backpack_peers(model, x, y):
    from backpack import backpack, extend
    from backpack.extensions import BatchL2Grad, SumGradSquared

    if isinstance(model[0], torch.nn.Unflatten):  # unknown to BackPACK: the signal comes in its final shape
        x, model = model[0](x), model[1:]
    model, loss = extend(copy.deepcopy(model)), extend(torch.nn.CrossEntropyLoss())

    def squares(field):  # the loss is a mean, so these are squares of g_i / N: N Σ (g_i / N)²
        return len(x) * sum(getattr(p, field).sum(dtype=torch.float64) for p in model.parameters())

    def by(extension):
        with backpack(extension):
            return trace(model, loss, x, y, lambda: squares(extension.savefield))

    return {f"BackPACK {way.__name__}": partial(by, way()) for way in (SumGradSquared, BatchL2Grad)}


def opacus_peers(model, x, y):
    from opacus.grad_sample import GradSampleModule, GradSampleModuleFastGradientClipping

    full, ghost = (way(copy.deepcopy(model)) for way in (GradSampleModule, GradSampleModuleFastGradientClipping))

    def of_gradients():  # grad_sample is of each example's own loss, without 1/N
        return sum(p.grad_sample.square().sum(dtype=torch.float64) for p in full.parameters()) / len(x)

    def of_norms():
        return ghost.get_norm_sample().double().square().mean()

    peers = {"Opacus per-sample gradients": partial(trace, full, cross_entropy, x, y, of_gradients)}
    return peers | {"Opacus ghost norms": partial(trace, ghost, cross_entropy, x, y, of_norms)}


def rounds(peers):
    """Milliseconds a call, (rounds,) for each peer: all of them in every round, in a new order each time."""
    quickest = {name: min(timeit(call, number=1) for _ in range(WARM_UP)) for name, call in peers.items()}
    times, order, shuffle = {name: [] for name in peers}, list(peers), random.Random(0).shuffle
    for _ in range(ROUNDS):
        shuffle(order)
        for name in order:
            peers[name]()  # untimed: it pays for what the peer before it left in the caches
            calls = max(1, round(BLOCK / quickest[name]))
            times[name].append(timeit(peers[name], number=calls) / calls * 1000)
    return {name: np.array(each) for name, each in times.items()}


def row(group, what, times, unit, **more):
    cells = group, what, *np.percentile(times, (50, 25, 75, 100)).tolist(), unit, len(times)
    return dict.fromkeys(HEADS) | dict(zip(HEADS, cells, strict=False)) | more


def judged(measured, sign, limit, unit):
    met = {"≥": measured >= limit, "≤": measured <= limit, "<": measured < limit}[sign]
    return {"goal": f"{sign} {limit} {unit}", "measured": float(measured), "met": "yes" if met else "NO"}


def noise(group, model, examples, goals):
    """``goals``: plain passes exact_noise may take, and how many times as long each peer has to take."""
    x, y, parameters, group = examples.x, examples.y, list(model.parameters()), f"{group}, {len(examples):,}"
    peers = {"exact_noise": lambda: exact_noise(model, cross_entropy, examples).trace}
    for package, add in (("BackPACK", backpack_peers), ("Opacus", opacus_peers)):
        try:
            peers |= add(model, x, y)
        except ImportError as error:
            print(f"{group}: {package} is left out, it cannot be imported ({error})")
    values = {name: call() for name, call in peers.items()}
    for name, value in values.items():
        if not abs(value / values["exact_noise"] - 1) < 1e-4:
            raise SystemExit(f"{group}: tr Σ is {value} by {name} but {values['exact_noise']} by exact_noise")
    times = rounds(peers | {"plain pass": lambda: torch.autograd.grad(cross_entropy(model(x), y), parameters)})
    for name, each in times.items():
        passes, factor = (float(np.median(each / times[unit])) for unit in ("plain pass", "exact_noise"))
        goal = judged(factor, "≥", goals[name], "× exact_noise") if name in goals else {"measured": factor}
        if name == "exact_noise":
            goal = judged(passes, "≤", goals[name], "passes")
        yield row(group, name, each, "ms", passes=passes, trace=values.get(name), **goal)


def ensemble():
    for batch, way, times, factor in replicas.replicas(data.digits(1024), timeit):
        goal = {"measured": factor}
        if way == "one_at_a_time":
            goal = judged(factor, "≥", replicas.GOALS.get(batch, 0.95), "× at_once")
        elif way == "vmap_of_grad" and batch in replicas.GOALS:
            goal = judged(factor, "≥", 1.3, "× at_once")
        yield row(f"64 replicas, batch {batch}", way, times, "ms", **goal)


def curvatures():
    for group, way, times, factor in curvature.curvature(data.digits(1024), timeit):
        goal = curvature.GOALS.get((group, way))
        yield row(group, way, times, "ms", **(judged(factor, "≥", goal, "× ours") if goal else {"measured": factor}))


def steps():
    for name, way, times, factor, goal in optimizers.optimizers(timeit):
        goal = judged(factor, "≥", goal, "× at_once") if way == "one_by_one" else {"measured": factor}
        yield row(f"64 steps of {name}", way, times, "ms", **goal)


def meters():
    """The batch meter in a plain loop: at most 5 % of a step that has some work in it."""
    for name, alone, heard, added in callbacks.callbacks(timeit):
        yield row("step with accumulation", name, alone, "ms")
        goal = {"measured": added} if name == "MLP, 8 digits" else judged(added, "≤", 5, "% more")
        yield row("step with accumulation", f"{name}, metered", heard, "ms", **goal)


def races():
    """The whole study of lesson 05 for SGD: 9 batches × 7 rates × 8 seeds."""
    with tempfile.TemporaryDirectory() as empty:
        into = Store(Path(empty) / "records.jsonl")
        taken = timeit(lambda: study(SGD, "cpu", records=into), number=1)
    yield row("study", SGD.name, [taken], "s", **judged(taken, "≤", 30, "s"))


def imports(processes=15):
    """What a lesson opens with, in fresh processes; the first, not counted, fills the disk cache."""
    told = [subprocess.check_output([sys.executable, "-c", IMPORTS]).split() for _ in range(processes + 1)][1:]
    times, torch_too = np.array(told, dtype=float).T
    yield row("import", "experiments and plots", times, "s", **judged(np.median(times), "<", 1.5, "s"))
    yield row("import", "torch comes along", torch_too, "", **judged(torch_too.max(), "≤", 0, "times"))


def panels(moves=200):
    """Every panel, under a reader who moves one control after another to any of its values."""
    found = pkgutil.iter_modules(tutorlib.widgets.__path__, "tutorlib.widgets.")
    for maker in [m for f in found for m in getattr(importlib.import_module(f.name), "PANELS", ())]:
        panel, frames, reader = maker(), [], random.Random(0)
        for control in reader.choices(list(panel.controls.values()), k=moves):
            value = reader.choice([v for _, v in control.options if v != control.value])  # or nothing is drawn
            frames.append(1000 * timeit(lambda c=control, v=value: setattr(c, "value", v), number=1))
        yield row("panel", maker.__name__, frames, "ms", **judged(np.median(frames), "<", 100, "ms"))


def memories():
    """Predicted memory: what it takes, how far it is off, and what others say."""
    for name, what, numbers, unit, limit in memory.speed():
        goal = judged(np.median(numbers), "<", limit, unit) if limit else {}
        yield row(f"memory, {name}", what, numbers, unit, **goal)
    for name, times in memory.seconds().items():
        yield row("memory, gpt2", name, times, "s")
    for family, name, errors, where, limit in memory.accuracy():
        size = 100 * np.abs(errors)
        goal = judged(size.max(), "≤", 100 * limit, "%") if limit else {"measured": float(size.max())}
        yield row(f"memory, {family}", f"{name}, worst at {where}", size, "% off", **goal)
    for case, name, off in memory.without_a_gpu():
        yield row("memory, beside ours for a GPU", f"{name}, {case}", [100 * abs(off)], "% apart")


def lesson(name, limit):
    command = [sys.executable, "-c", "from nbclient.cli import main; main()", LESSONS / f"{name}.ipynb"]
    with tempfile.TemporaryDirectory() as empty:
        surroundings = os.environ | {"TUTORLIB_CACHE": empty, "TUTORLIB_DEVICE": "cpu"}
        taken = timeit(lambda: subprocess.run(command, env=surroundings, check=True), number=1)
    yield row("lesson", name, [taken], "s", **judged(taken, "<", limit, "s"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="write all of it to this file too")
    parser.add_argument("--lesson", action="store_true", help="run the lessons as well: some minutes")
    chosen, load = parser.parse_args(), os.getloadavg()[0]  # what else the machine was doing
    goals = {"BackPACK SumGradSquared": 1, "BackPACK BatchL2Grad": 1}
    mlp_goals = goals | {"exact_noise": 2.0, "Opacus per-sample gradients": 20}
    rows = list(noise("mlp", models.make("mlp", 0), data.digits(1024), mlp_goals))
    rows += noise("cnn", models.make("cnn", 0), data.mnist1d(1024), goals | {"exact_noise": 3.0})
    with device.one_thread():
        rows += [*ensemble(), *steps(), *curvatures(), *meters(), *races()]
    rows += [*imports(), *panels(), *memories()]
    rows += [each for name, limit in SECONDS.items() if chosen.lesson for each in lesson(name, limit)]
    text = [[f"{r[h]:.3g}" if isinstance(r[h], float) else str(r[h] or "") for h in HEADS] for r in rows]
    widths = [max(map(len, column)) for column in zip(HEADS, *text, strict=True)]
    for line in (HEADS, *text):
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    met, here = [r["met"] == "yes" for r in rows if r["met"]], device.machine(torch.device("cpu"))
    print(f"{sum(met)} of {len(met)} goals met; {here.name}, {here.threads} threads, load {load:.1f} before this began")
    if chosen.json:
        packages = {found.name: found.version for found in importlib.metadata.distributions()}
        written = {"machine": json.loads(here.to_json()), "load": load, "packages": packages, "rows": rows}
        chosen.json.write_text(json.dumps(written, indent=1) + "\n")


if __name__ == "__main__":
    main()
