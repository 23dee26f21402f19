"""What a learner hands in: a model, a loss and a loader, read without a trace and refused in one sentence."""

import copy
import importlib
import operator
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from tutorlib.errors import Refused, counted, first_line, kind, refusing
from tutorlib.measure.guards import check_function, check_model
from tutorlib.measure.per_example import trainable
from tutorlib.nn.data import Data, check_finite
from tutorlib.nn.device import same_randomness

LEAST = 16  # examples: fewer say nothing about noise
PAIRS = "allowed: pairs (inputs, targets) of tensors with the examples along the first axis. Wrap it in one that picks"


@dataclass(frozen=True)
class Sample:
    """Examples read from a loader, how many it gives at a time and has in all (``None``: it does not say)."""

    data: Data
    own_batch: int
    examples: int | None
    seconds_per_example: float


@contextmanager
def untouched(model: nn.Module, loader) -> Iterator[nn.Module]:
    """A copy of ``model`` in training mode; random streams, the loader's own too, go on as if nothing had been."""
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    owners = [
        loader,
        getattr(loader, "sampler", None),
        getattr(getattr(loader, "batch_sampler", None), "sampler", None),
    ]
    generators = {id(g): g for o in owners if isinstance(g := getattr(o, "generator", None), torch.Generator)}
    states = {key: generator.get_state() for key, generator in generators.items()}
    try:
        with same_randomness(device):
            yield copied(model)
    finally:
        for key, generator in generators.items():
            generator.set_state(states[key])


def copied(model: nn.Module) -> nn.Module:
    try:
        twin = copy.deepcopy(model).train()
    except Exception as error:
        raise Refused(
            f"model cannot be copied ({type(error).__name__}: {error}); allowed: one that copy.deepcopy takes, for "
            "yours is left alone"
        ) from error
    twin.zero_grad()
    return twin


def check_handed_in(model, loss, loader) -> None:
    check_model(model)
    trainable(model)
    if any(tensor.is_meta for tensor in (*model.parameters(), *model.buffers())):
        raise Refused("model lies on meta, where tensors hold no numbers; allowed: any real device. Load its weights")
    check_function(loss, "loss", "(outputs, targets) → one number")
    if isinstance(loader, Iterator):
        raise Refused(
            f"loader is {kind(loader)} that can be read only once, and reading would use it up; allowed: an "
            "iterable that starts anew, a DataLoader or a list say"
        )
    if not isinstance(loader, Iterable):
        raise Refused(f"loader is {kind(loader)}; allowed: an iterable of pairs (inputs, targets)")


def imported(name: str) -> Callable:
    """The function that ``package.module:function`` names. What it raises when it is called is the caller's own."""
    module, _, function = name.partition(":")
    if not module or not function:
        raise Refused(f"model is {name!r}, not a module and its function; allowed: package.module:function")
    try:
        found = importlib.import_module(module)
    except Exception as error:  # TypeError: a relative name; or what the module's own lines raise
        own = not isinstance(error, ImportError | TypeError)
        said = f"importing {module} ends in {first_line(error)}" if own else error
        raise Refused(f"model is {name!r}, and {said}; allowed: package.module:function, to be imported") from error
    if not callable(made := getattr(found, function, None)):
        got = kind(made) if hasattr(found, function) else "not there"
        raise Refused(f"model is {name!r}, and {function} is {got}; allowed: a function of {module}")
    return made


def handed_in(name: str, third: str = "loader", call: Callable = operator.call) -> tuple:
    """(model, loss, loader), or these and the optimizer, from ``package.module:function``.

    ``third`` says in refusals what may stand in the loader's place; ``call(function)`` is how the function is called.
    """
    function, takes = imported(name), f"(model, loss, {third}) or (model, loss, {third}, optimizer)"
    with refusing(name, f"a function without arguments that returns {takes}. Call it by hand"):
        answer = call(function)
    if not isinstance(answer, tuple) or len(answer) not in (3, 4):
        got = counted(len(answer), "thing") if isinstance(answer, tuple) else kind(answer)
        raise Refused(f"{name} returns {got}; allowed: {takes}")
    return answer


def read(loader, most: int, seconds: float, device: torch.device) -> Sample:
    """Up to ``most`` examples, or as many as ``seconds`` bring, from a loader that may be endless.

    The pace is that of all batches but the first, which waits for worker processes to start.
    """
    parts, count, own_batch, began, first = [], 0, 0, time.perf_counter(), None
    for given in loader:
        first = first or time.perf_counter()
        parts.append(pair(given))
        own_batch = max(own_batch, len(parts[-1][0]))
        count += len(parts[-1][0])
        if count >= most or time.perf_counter() - began > seconds:
            break
    ended = time.perf_counter()
    if count < LEAST:
        drops = not count and getattr(loader, "drop_last", False)
        raise Refused(
            f"loader gave {counted(count, 'example')}{', and drop_last=True drops a batch that is not full' * drops}; "
            f"allowed: at least {LEAST}, for noise needs something to differ"
        )
    shapes = {(tuple(x.shape[1:]), tuple(y.shape[1:])) for x, y in parts}
    if len(shapes) > 1:
        raise Refused(
            f"loader gives examples of different shapes, {sorted(shapes)[:2]}; allowed: one shape, the longest's. "
            "Pad them"
        )
    x, y = (torch.cat(column)[:most] for column in zip(*parts, strict=True))
    check_finite(x, "x of the loader, counted in the order of reading,")
    check_finite(y, "y of the loader, counted in the order of reading,")
    later = count - len(parts[0][0])
    pace = (ended - first) / later if later else (ended - began) / count
    return Sample(Data(x, y).to(device), own_batch, length_of(loader, own_batch), pace)


def pair(given) -> tuple[torch.Tensor, torch.Tensor]:
    if not isinstance(given, tuple | list) or len(given) != 2:
        got = counted(len(given), "thing") if isinstance(given, tuple | list) else kind(given)
        raise Refused(f"loader gives {got}; {PAIRS} yours")
    for name, part in zip(("inputs", "targets"), given, strict=True):
        if not isinstance(part, torch.Tensor) or not part.ndim:
            inside = f" of {type(part[0]).__name__}" if isinstance(part, list | tuple) and part else ""
            raise Refused(f"loader gives {name} as {kind(part)}{inside}; {PAIRS} yours")
    if len(given[0]) != len(given[1]):
        raise Refused(f"loader gives {len(given[0])} inputs with {len(given[1])} targets; {PAIRS} yours")
    return given[0].detach(), given[1].detach()


def length_of(loader, own_batch: int) -> int | None:
    """Examples in an epoch, as far as anyone says: the sampler, which may leave some out, before the data."""
    samplers = getattr(getattr(loader, "batch_sampler", None), "sampler", None), getattr(loader, "sampler", None)
    for owner, each in (*((s, 1) for s in samplers), (getattr(loader, "dataset", None), 1), (loader, own_batch)):
        try:
            return each * len(owner)
        except (TypeError, NotImplementedError):  # an iterable without a length
            continue
    return None
