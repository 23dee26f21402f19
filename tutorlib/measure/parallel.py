"""Real processes: start N ranks, run functions on every one of them, bring back what each answers.

Ranks are started the way ``torchrun`` starts them, as fresh interpreters that find RANK and WORLD_SIZE in their
environment and meet at a store, but by this process itself: ``torchrun`` is one more process that has to import torch,
and gives its ranks sessions of their own, where ending it by force leaves them behind. The store is a file: there is
no port that could be taken, and no host name to look up.
"""

import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from socket import if_nameindex
from typing import IO, NamedTuple

import torch.distributed as dist

from tutorlib.errors import Refused
from tutorlib.nn import device as devices
from tutorlib.theory.noise import check_batch

SERVE = "from tutorlib.measure.parallel import serve; serve()"
Call = tuple[Callable, dict]


class Rank(NamedTuple):
    """A started rank, and the file that holds what it wrote to its standard error."""

    process: subprocess.Popen
    said: IO


def on_ranks(calls: Sequence[Call], *, ranks: int = 2, device: str = "cpu", seconds: float = 120.0) -> list[list]:
    """Every call (function, arguments) as ``function(device, **arguments)`` on every rank: answers[call][rank].

    One start serves all calls, for every rank spends seconds on importing torch. Functions live in a module,
    arguments and answers are what JSON can write. Ranks talk over the loopback address alone: NCCL if ``device`` is
    a GPU and each rank can have one, else gloo on the processor.

    However this ends, no rank and no process in a rank's session is left behind.

    Raises :class:`~tutorlib.errors.Refused` when ranks cannot be started, one raises or dies, or not all have answered
    after ``seconds``; ``RuntimeError`` when one runs out of memory.
    """
    check_batch(ranks, name="ranks")
    work = json.dumps([(address(function), arguments) for function, arguments in calls])
    with ExitStack() as stack:
        try:
            meeting = stack.enter_context(tempfile.TemporaryDirectory(prefix="ranks-")) + "/store"
            store = dist.FileStore(meeting)
            store.set("kind", devices.of_ranks(device, ranks))
            store.set("work", work)
            all_ranks = started(stack, meeting, ranks)
        except (OSError, RuntimeError) as error:
            raise Refused(
                f"{ranks} ranks could not be started on this machine ({error}); allowed: a machine that lets Python "
                "start processes and write to its temporary folder. Run this on another machine"
            ) from error
        answers = [f"answer {rank}" for rank in range(ranks)]
        end = time.monotonic() + seconds
        while not store.check(answers):
            if any(rank.process.poll() is not None for rank in all_ranks):
                raise reason(all_ranks, store)
            if time.monotonic() > end:
                late = [rank for rank, key in enumerate(answers) if not store.check([key])]
                raise Refused(
                    f"after {seconds:g} s there is no answer from rank {' and '.join(map(str, late))}; all ranks were "
                    "stopped. Do all of them call the same collectives in the same order? If so, give them more seconds"
                )
            time.sleep(0.02)
        return [list(call) for call in zip(*(json.loads(store.get(key)) for key in answers), strict=True)]


def address(function: Callable) -> str:
    """``"module:function"``, or ``ValueError`` where a fresh process would not find it."""
    module, name = function.__module__, function.__qualname__
    if module == "__main__" or not name.isidentifier():
        raise Refused(
            f"function is {name} of {module}; allowed: a function at the top of a module, for another process finds it "
            "by its name. Put it into a file and import it"
        )
    return f"{module}:{name}"


def environment(rank: int, ranks: int) -> dict[str, str]:
    """What ``torchrun`` tells a rank, and this process's own search path."""
    loopback = next((name for _, name in if_nameindex() if name.startswith("lo")), "lo")
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(folder or os.getcwd() for folder in sys.path),
        "OMP_NUM_THREADS": "1",
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(ranks),
        "GLOO_SOCKET_IFNAME": loopback,  # else gloo looks its address up by host name
        "NCCL_SOCKET_IFNAME": loopback,
    }


def started(stack: ExitStack, meeting: str, ranks: int) -> list[Rank]:
    """The ranks, each in a session of its own; leaving ``stack`` ends them and whatever they started.

    They hold the read end of a pipe as their standard input, and end when it closes: also when this process is killed.
    """
    all_ranks: list[Rank] = []
    read, write = os.pipe()
    stack.callback(end_all, all_ranks)
    stack.callback(os.close, write)
    try:
        for rank in range(ranks):
            said = stack.enter_context(tempfile.TemporaryFile())
            process = subprocess.Popen(
                [sys.executable, "-c", SERVE, meeting],
                env=environment(rank, ranks),
                stdin=read,
                stdout=subprocess.DEVNULL,
                stderr=said,
                start_new_session=True,
            )
            all_ranks.append(Rank(process, said))
    finally:
        os.close(read)
    return all_ranks


def end_all(all_ranks: list[Rank]) -> None:
    for process, _ in all_ranks:
        with suppress(ProcessLookupError, PermissionError):  # macOS refuses where only a zombie is left
            os.killpg(process.pid, signal.SIGKILL)
    for process, _ in all_ranks:
        process.wait()


def reason(all_ranks: list[Rank], store: dist.Store) -> Exception:
    """Why a rank has ended: the cause and not its echo on the others, who only see a connection close."""
    time.sleep(1)  # who is killed may be gone a moment after the connection that the others see close
    codes = {number: rank.process.poll() for number, rank in enumerate(all_ranks)}
    for rank, code in codes.items():
        if code is not None and code < 0:
            return Refused(
                f"rank {rank} was ended by {signal.Signals(-code).name} before it answered; the other ranks were "
                "stopped. SIGKILL often means that the machine ran out of memory: use fewer ranks or a smaller model"
            )
    if store.check(["fault"]):
        told = json.loads(store.get("fault"))
        return (RuntimeError if told["out_of_memory"] else Refused)(told["sentence"])
    rank, code = next((rank, code) for rank, code in codes.items() if code is not None)
    all_ranks[rank].said.seek(0)
    lines = all_ranks[rank].said.read().decode(errors="replace").split("\n")
    last = next((f": {line.strip()}" for line in reversed(lines) if line.strip()), "")
    return Refused(f"rank {rank} ended with exit code {code} and without an answer{last}; the other ranks were stopped")


def serve() -> None:
    """A rank's whole life: meet the others, do the calls, answer, and end when the parent lets go."""
    watch = threading.Thread(target=end_with_parent, daemon=True)
    rank, ranks = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    signal.alarm(10)  # where another rank has tidied up, the next line waits 300 s, and no thread runs meanwhile
    store = dist.FileStore(sys.argv[1])
    signal.alarm(0)
    watch.start()
    try:
        device, backend = devices.of_rank(store.get("kind").decode(), rank)
        dist.init_process_group(backend, store=dist.PrefixStore("group", store), rank=rank, world_size=ranks)
        answers = []
        for name, arguments in json.loads(store.get("work")):
            module, _, function = name.partition(":")
            answers.append(getattr(importlib.import_module(module), function)(device, **arguments))
        store.set(f"answer {rank}", json.dumps(answers))
    except Exception as error:
        store.compare_set("fault", "", fault(rank, error))  # the first one to write is the cause
        os._exit(1)
    watch.join()


def fault(rank: int, error: Exception) -> str:
    """A refusal in its own words; of any other error what, where and on which rank. As JSON."""
    where, words = traceback.extract_tb(error.__traceback__)[-1], " ".join(str(error).split())
    place = f"({Path(where.filename).name}, line {where.lineno})"
    told = f"rank {rank} raised {type(error).__name__}: {words} {place}; the other ranks were stopped"
    said = words if isinstance(error, Refused) else told
    return json.dumps({"sentence": said, "out_of_memory": devices.out_of_memory(error)})


def end_with_parent() -> None:
    """Wait until the pipe closes, then end this rank's session; a parent that was killed could not tidy up."""
    while os.read(0, 1):
        pass
    shutil.rmtree(Path(sys.argv[1]).parent, ignore_errors=True)
    os.killpg(0, signal.SIGKILL)
