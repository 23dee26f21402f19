"""Memory, predicted: seconds and room of a prediction, its error against real steps, and what others say of the same.

python tests/bench/memory.py [rounds] prints this part alone. Truth is the processor's allocator, by the profiler's
events, of whole steps of the small grid and of GPT-2 124M at batch 1; none of it is a GPU's.
"""

import functools
import os
import subprocess
import sys
import time
import warnings
from contextlib import nullcontext

import numpy as np
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from tutorlib.experiments.memory_grid import SMALL_GRID, point
from tutorlib.measure.memory.predict import make_optimizer, predict
from tutorlib.measure.memory.step import PRECISIONS, training_step
from tutorlib.measure.memory.target import CPU, GPU, Target
from tutorlib.measure.memory.truth import Silent, profiled_peak
from tutorlib.theory.activations import layer_activations
from tutorlib.theory.memory import static_bytes
from tutorlib.trials.memory_grid import TEXT, built, optimizer
from tutorlib.verdicts.memory_grid import ON_A_PROCESSOR, family_of

MIB = 2**20
ALONE = """
import resource, sys, time
began = time.perf_counter()
from tutorlib.measure.memory.named import named
from tutorlib.measure.memory.predict import predict
from tutorlib.measure.memory.target import GPU
imported, room = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
model, loss, batch = named(sys.argv[1], int(sys.argv[2]))
made, used = time.perf_counter(), time.process_time()
predict(model, loss, batch, precision=sys.argv[3], target=GPU)
ended, all_room = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
mib = 2**20 if sys.platform == "darwin" else 1024
print(ended - made, time.process_time() - used, made - imported, ended - began, all_room / mib, room / mib)
"""
TOLD = (
    "prediction, seconds of the clock",
    "prediction, seconds of the processor",
    "making the model of shapes",
    "with interpreter and imports",
    "peak resident memory",
    "of it interpreter and imports",
)
LARGE = point("gpt2", 1, 1024, "fp32")


def speed(rounds=5):
    """(shape, what, one number a round, unit, goal): each round is a fresh process, torch on one thread.

    The clock counts what else the machine does as well; on an idle one it agrees with the processor's seconds.
    """
    surroundings = os.environ | {"OMP_NUM_THREADS": "1"}
    for name, length, precision, limits in (
        ("gpt2", 1024, "autocast", {TOLD[0]: 2.0, TOLD[1]: 2.0}),
        ("llama-3-8b", 4096, "bf16", {TOLD[0]: 10.0, TOLD[1]: 10.0, TOLD[4]: 1000.0}),
    ):
        found = []
        for _ in range(rounds):
            began = time.perf_counter()
            command = [sys.executable, "-c", ALONE, name, str(length), precision]
            told = list(map(float, subprocess.check_output(command, env=surroundings).split()))
            told[3] = time.perf_counter() - began
            found.append(told)
        for what, numbers in zip(TOLD, np.transpose(found), strict=True):
            yield name, what, numbers, "MiB" if "memory" in what or "of it" in what else "s", limits.get(what)


class Anew:
    """The model, before each pass of which the tracker forgets the modules it saw: it refuses to see one twice."""

    def __init__(self, model, tracker):
        self.model, self.tracker, self.parameters = model, tracker, model.parameters

    def __call__(self, *inputs):
        self.tracker.reset_mod_stats()
        return self.model(*inputs)


def tracked(settings, rules=None):
    """torch's MemTracker over the same steps on shapes; ``rules`` are those of a GPU, which it does not know itself."""
    from torch.distributed._tools.mem_tracker import MemTracker

    autocast, silent = PRECISIONS[settings["precision"]][1], Silent()
    with FakeTensorMode(), rules or nullcontext():
        model, loss, batch = built(settings, "cpu")
        silent.enter_model(model)
        stepper, tracker = make_optimizer(optimizer(settings), model, GPU if rules else CPU), MemTracker()
        tracker.track_external(model, stepper, *batch)
        with tracker:
            for _ in range(SMALL_GRID.held["steps"]):
                training_step(silent, Anew(model, tracker), loss, batch, stepper, autocast, settings["accumulation"])
        return tracker.get_tracker_snapshot("peak")[torch.device("cpu")]["Total"]


def numbers_of(settings):
    return sum(p.numel() for p in built(settings, "meta")[0].parameters())


def by_accelerate(settings):
    """The largest entry of what ``accelerate estimate-memory`` prints for training; AdamW and batch 1 are its own."""
    from accelerate.commands.estimate import estimate_training_usage
    from accelerate.utils import calculate_maximum_sizes

    size, _ = calculate_maximum_sizes(built(settings, "meta")[0])
    return max(estimate_training_usage(size, "float32" if settings["precision"] == "fp32" else "bfloat16").values())


def by_deepspeed(settings):
    """Model states of stage 2 on one GPU, nothing given to the processor."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from deepspeed.runtime.zero.stage_1_and_2 import estimate_zero2_model_states_mem_needs as needs

    return needs(numbers_of(settings), 1, 1, cpu_offload=False)[1]


def by_formula(settings):
    """Static bytes and, for every layer, s·b·h·(34 + 5·a·s/h), 2·s·b·h where a layer is checkpointed.

    Source: Korthikanti et al. 2022, arXiv 2205.05198, equations 1 and 2, with 4 + 4 + 8 bytes a parameter (AdamW) or
    4 + 4 (SGD). Its setting is half precision and attention written out; the words "as printed" are meant.
    """
    shape = TEXT[settings["model"]]
    kept = layer_activations(
        settings["micro_batch"],
        settings["time"],
        shape.width,
        shape.heads,
        settings["attention"],
        settings["checkpointing"],
        dropout=True,
    )
    static = static_bytes(numbers_of(settings), optimizer=settings["optimizer"].removeprefix("fused "))
    return static.total + shape.blocks * sum(kept.values())


def by_eleuther(settings):
    """EleutherAI's calculator at its own defaults: AdamW, fp32 gradients, one GPU, no logits, no fused attention.

    Parameters: two embeddings, positions, 8h of norms a layer and 2h, 4h² of attention and 8h² of a perceptron. Bytes
    a parameter: 2 (4 without mixed precision) + 4 + 12. Activations: s·b·h·(34 + 5·a·s/h) a layer, the second term
    without checkpointing only. Source: EleutherAI/cookbook, calc/calc_transformer_mem.py, function calc_mem (2024).
    """
    shape, time, examples = TEXT[settings["model"]], settings["time"], settings["micro_batch"]
    h = shape.width
    expansion = getattr(shape, "hidden", 4 * h) / h
    keys = getattr(shape, "groups", shape.heads) / shape.heads
    linears = 3 if hasattr(shape, "hidden") else 2
    matrices = 2 * (1 + keys) * h * h + linears * expansion * h * h
    parameters = 2 * shape.vocabulary * h + h * time + 2 * h + shape.blocks * (8 * h + matrices)
    each = 34 + (0 if settings["checkpointing"] else 5 * shape.heads * time / h)
    static = (4 if settings["precision"] == "fp32" else 2) + 4 + 12
    return static * parameters + shape.blocks * time * examples * h * each


def ours(settings, target=CPU):
    how = {"precision": settings["precision"], "accumulation": settings["accumulation"]}
    return predict(*built(settings, "meta"), optimizer(settings), target=target, **how).peak


PEERS = {
    "tutorlib": ours,
    "torch MemTracker, same steps": tracked,
    "accelerate estimate-memory": by_accelerate,
    "DeepSpeed ZeRO-2 estimator": by_deepspeed,
    "34 + 5as/h, as printed": by_formula,
    "EleutherAI's calculator": by_eleuther,
}


def installed():
    """The peers that can be imported; a sentence for each that cannot."""
    found = {}
    for name, peer in PEERS.items():
        try:
            peer(SMALL_GRID.points[0])
        except ImportError as error:
            print(f"memory: {name} is left out, it cannot be imported ({error})")
        else:
            found[name] = peer
    return found


def truth(settings):
    how = {"precision": settings["precision"], "accumulation": settings["accumulation"]}
    return profiled_peak(*built(settings, "cpu"), optimizer(settings), steps=SMALL_GRID.held["steps"], **how)


def accuracy():
    """(family, peer, signed errors, worst point, goal) over the small grid, and GPT-2 124M at batch 1 apart."""
    real = {run.key: truth(run.settings) for run in SMALL_GRID.runs()}
    large = truth(LARGE)
    for name, peer in installed().items():
        for family, goal in ON_A_PROCESSOR.items():
            runs = [run for run in SMALL_GRID.runs() if family_of(run.settings["model"]) == family]
            if peer in (by_formula, by_eleuther):  # they speak of language models alone
                runs = [run for run in runs if run.settings["time"]]
            if not runs:
                continue
            errors = np.array([peer(run.settings) / real[run.key] - 1 for run in runs])
            worst = runs[np.abs(errors).argmax()].settings
            yield family, name, errors, words(worst), goal.worst if peer is ours else None
        alone = np.array([peer(LARGE) / large - 1])
        yield (
            "GPT-2 124M, batch 1",
            name,
            alone,
            words(LARGE),
            ON_A_PROCESSOR["transformers"].worst if peer is ours else None,
        )


def words(settings):
    usual = point(*(settings[name] for name in ("model", "micro_batch", "time")))
    unusual = [f"{name} {settings[name]}" for name in usual if settings[name] != usual[name]]
    return ", ".join([f"{settings['model']}, micro-batch {settings['micro_batch']}", *unusual])


def without_a_gpu():
    """(case, what, relative difference to our own prediction for a GPU): what its rules change, no truth."""
    cases = {
        "fused attention": point("small gpt2", 4, 128),
        "attention written out": point("small gpt2", 4, 128, attention="math"),
        "RMS norm": point("small llama", 4, 128, "fp32"),
    }
    bare = Target("gpu without workspace or rounding", gpu_kernels=True)
    for name, settings in cases.items():
        told = ours(settings, bare)
        yield name, "MemTracker with a GPU's rules", tracked(settings, bare.rules()) / told - 1
        yield name, "MemTracker as it is", tracked(settings) / told - 1


def seconds(rounds=3):
    """(peer, seconds of each round) for GPT-2 124M at batch 1, ours and MemTracker in turn."""
    both = {
        "tutorlib": functools.partial(ours, LARGE),
        "torch MemTracker, same steps": functools.partial(tracked, LARGE),
    }
    times = {name: [] for name in both}
    for _ in range(rounds):
        for name, call in both.items():
            began = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - began)
    return {name: np.array(each) for name, each in times.items()}


def goal_of(goal, met):
    return "" if goal is None else f"   goal {goal:g}: {'met' if met else 'NOT MET'}"


def main():
    warnings.filterwarnings("ignore")
    print(f"load {os.getloadavg()[0]:.1f} before this began")
    for name, what, found, unit, goal in speed(int(sys.argv[1]) if sys.argv[1:] else 5):
        spread = f"{np.median(found):8.2f} {unit:3} ({found.min():.2f} … {found.max():.2f})"
        print(f"{name:12} {what:38} {spread}{goal_of(goal, goal and np.median(found) < goal)}", flush=True)
    for name, found in seconds().items():
        print(f"gpt2         {name:38} {np.median(found):8.2f} s   ({found.min():.2f} … {found.max():.2f})", flush=True)
    for family, name, errors, where, goal in accuracy():
        size, worst = np.abs(errors), errors[np.abs(errors).argmax()]
        said = f"median {np.median(size):9.3%} worst {worst:+9.3%} ({where})"
        print(f"{family:20} {name:30} {len(errors):3} {said}{goal_of(goal, goal and size.max() <= goal)}", flush=True)
    for case, what, off in without_a_gpu():
        print(f"{case:24} {what:32} {off:+.2%} beside our prediction for a GPU, no truth", flush=True)


if __name__ == "__main__":
    main()
