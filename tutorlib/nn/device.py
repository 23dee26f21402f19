"""Which device computes: the only file that names CUDA and MPS."""

import functools
import os
import platform
import random
import subprocess
import threading
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch

from tutorlib import __version__
from tutorlib.errors import Refused
from tutorlib.records import Machine


def available() -> tuple[str, ...]:
    """The devices of this machine, best first."""
    found = []
    if torch.cuda.is_available():
        found.append("cuda")
    if torch.backends.mps.is_available():
        found.append("mps")
    return (*found, "cpu")


def pick(name: str | None = None) -> torch.device:
    """The device to compute on: ``name``, else ``$TUTORLIB_DEVICE``, else the best there is."""
    name = name or os.environ.get("TUTORLIB_DEVICE") or available()[0]
    if name not in available():
        raise Refused(
            f"device is {name!r}; this machine has: {', '.join(available())}. "
            "Choose one of these, or unset TUTORLIB_DEVICE to let the best be chosen"
        )
    return torch.device(name)


def knows_gpus() -> bool:
    """Whether this build of torch can use an NVIDIA (or ROCm) GPU at all, wherever it runs."""
    return bool(torch.version.cuda or torch.version.hip)


def of_ranks(name: str, ranks: int) -> str:
    """The kind of device that ``ranks`` processes compute on: GPUs if there is one for each, else the processor."""
    return "cuda" if pick(name).type == "cuda" and torch.cuda.device_count() >= ranks else "cpu"


def of_rank(kind: str, rank: int) -> tuple[torch.device, str]:
    """This rank's own device, and the backend through which such devices talk."""
    if kind == "cuda":
        torch.cuda.set_device(rank)
        return torch.device(kind, rank), "nccl"
    return torch.device(kind), "gloo"


def synchronize(device: torch.device) -> None:
    """Wait until the device has finished: a clock read before that times the queue, not the work."""
    if device.type == "cuda":
        torch.cuda.synchronize()
    elif device.type == "mps":
        torch.mps.synchronize()


def with_float64(name: str) -> torch.device:
    """The device, or the CPU in its place where it has no double precision (MPS)."""
    return torch.device("cpu" if name == "mps" else name)


INSIDE = SimpleNamespace(lock=threading.Lock(), count=0, before=None)


@contextmanager
def one_thread():
    """Compute on one processor core inside: for small models a second thread costs more than it gives.

    Two threads on a busy two-core machine took 157 s for what one did in 8 s (course/log.md).
    """
    with INSIDE.lock:
        INSIDE.count += 1
        if INSIDE.count == 1:
            INSIDE.before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        with INSIDE.lock:
            INSIDE.count -= 1
            if not INSIDE.count:  # the last of several that overlap restores what the first one found
                torch.set_num_threads(INSIDE.before)


def cores() -> int:
    """How many threads a study may use: two take half the time of one (course/log.md), four is as far as we go."""
    return min(4, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def memory_words(device: torch.device) -> str:
    """The memory of the device in words, free and in all; of the computer where the device has none of its own."""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info()
        return f"{free / 2**30:.0f} of {total / 2**30:.0f} GiB free on the GPU"
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return f"{total / 2**30:.0f} GiB in the computer"


def out_of_memory(error: Exception) -> bool:
    """Whether this error is the device saying that its memory is used up."""
    said = str(error).lower()  # the processor's allocator has words of its own
    return isinstance(error, torch.cuda.OutOfMemoryError) or "out of memory" in said or "can't allocate memory" in said


def reset_peak_memory(device: torch.device) -> None:
    """Count the peaks of the device's allocator from now on, with its cache given back."""
    release_cache(device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()


def release_cache(device: torch.device) -> None:
    """Give memory that no tensor uses back to the device; tensors in a traceback are still used."""
    if device.type == "cuda":
        torch.cuda.empty_cache()


def peak_memory(device: torch.device) -> dict[str, int]:
    """Bytes that the device's allocator handed out, and that it took from the device, at the most."""
    if device.type != "cuda":
        raise Refused(f"device is {device.type}; allowed: cuda. On a processor count with measure.memory.truth instead")
    return {"allocated": torch.cuda.max_memory_allocated(), "reserved": torch.cuda.max_memory_reserved()}


def free_memory(device: torch.device) -> int | None:
    """Bytes that this process may still use on the device, its own cache counted as free; ``None`` if it is not told.

    Tensors that are alive already are not part of it.
    """
    if device.type != "cuda":
        return None
    return torch.cuda.mem_get_info()[0] + torch.cuda.memory_reserved() - torch.cuda.memory_allocated()


@contextmanager
def same_randomness(device: torch.device):
    """Whatever is drawn inside, the streams of torch, numpy and Python go on as if nothing had been."""
    streams = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[torch.cuda.current_device()] if device.type == "cuda" else []):
            yield
    finally:
        random.setstate(streams[0])
        np.random.set_state(streams[1])


def fused_attention_allowed() -> bool:
    """Whether torch may choose a fused attention kernel here; ``torch.nn.attention.sdpa_kernel`` forbids it."""
    return torch.backends.cuda.flash_sdp_enabled() or torch.backends.cuda.mem_efficient_sdp_enabled()


def machine(device: torch.device) -> Machine:
    """The machine as a record."""
    return Machine(
        device=device.type,
        name=torch.cuda.get_device_name() if device.type == "cuda" else processor(),
        threads=torch.get_num_threads(),
        python=platform.python_version(),
        torch=torch.__version__,
        tutorlib=__version__,
        commit=commit(),
    )


def processor() -> str:
    """The processor's own name where the system tells it, else its architecture."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


@functools.cache
def commit() -> str:
    """The commit of the checkout this package runs from; "unknown" when installed without one."""
    here = Path(__file__).parent
    try:
        answer = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            cwd=here,
            capture_output=True,
            text=True,
            timeout=5,
        )
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return answer.stdout.strip() or "unknown"
