"""Models by name for the command line: a known shape, or one of your own that can be imported; and what to print."""

import functools
import math
from collections.abc import Callable, Iterable

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.modules.conv import _ConvNd

from tutorlib.errors import Refused, first_line
from tutorlib.measure.first_pass import optimizer_name
from tutorlib.measure.guards import check_model
from tutorlib.measure.handed_in import handed_in, pair
from tutorlib.measure.memory.line import PeakLine, growing, peak_line
from tutorlib.measure.memory.predict import predict
from tutorlib.measure.memory.stretched import same, stretched
from tutorlib.measure.memory.target import TARGETS
from tutorlib.measure.memory.trace import Trace
from tutorlib.measure.per_example import trainable
from tutorlib.nn.batchnorm import batch_norms
from tutorlib.nn.models import next_token_loss
from tutorlib.nn.transformers import GPT2, Llama
from tutorlib.nn.vision import ViT, resnet50
from tutorlib.theory.memory import CARDS, choose
from tutorlib.theory.noise import check_batch
from tutorlib.theory.shapes import SHAPES, GPT2Shape

MIB = 2**20
OPTIMIZERS = {
    "SGD": functools.partial(torch.optim.SGD, lr=0.1),
    "momentum": functools.partial(torch.optim.SGD, lr=0.1, momentum=0.9),
    "AdamW": torch.optim.AdamW,
    "fused AdamW": functools.partial(torch.optim.AdamW, fused=True),
}
PICTURES = {"resnet50": resnet50, "vit-b": ViT}


def named(name: str, time: int = 1024, **options) -> tuple[nn.Module, Callable, tuple]:
    """(model, loss, batch of one example) of a known shape, on ``meta``; or what ``package.module:function`` returns.

    ``time`` is the length of a text; ``options`` go to the transformer (attention, checkpointing).
    """
    if ":" in name:
        return own(name)[:3]
    known = {**SHAPES, **PICTURES}
    shape = choose(known, name, "model")
    with torch.device("meta"):
        if name in PICTURES:
            return shape(), F.cross_entropy, (torch.empty(1, 3, 224, 224), torch.empty(1, dtype=torch.long))
        check_batch(time, shape.context, "time", "the context of this shape")
        tokens = tuple(torch.empty(1, time, dtype=torch.long) for _ in range(2))
        return (GPT2 if isinstance(shape, GPT2Shape) else Llama)(shape, **options), next_token_loss, tokens


def own(name: str) -> tuple[nn.Module, Callable, tuple, Callable | None]:
    """What the function returns for the adviser will do: of a loader the first batch, and the optimizer if it says."""
    model, loss, batch, maker = (*handed_in(name, "(inputs, targets) or a loader of such pairs", on_meta), None)[:4]
    trainable(check_model(model))
    if isinstance(batch, Iterable) and not isinstance(batch, tuple | torch.Tensor):
        if (given := next(iter(batch), None)) is None:
            raise Refused(f"loader of {name} gave nothing; allowed: one that gives at least one pair (inputs, targets)")
        batch = pair(given)
    return model, loss, batch, maker


def on_meta(function: Callable):
    try:
        with torch.device("meta"):
            return function()
    except (RuntimeError, NotImplementedError, TypeError):  # it reads values, which meta tensors do not have
        return function()


def report(
    name: str,
    micro_batch: int = 1,
    time: int | None = None,
    precision: str = "autocast",
    optimizer: str | None = None,
    target: str = "gpu",
    accumulation: int = 1,
    **options,
) -> dict:
    """Everything the command line says of one plan, in bytes.

    Without ``optimizer`` it is the one that the function of one's own returns as a fourth thing, or AdamW.
    For a GPU also a micro-batch for each card, the largest that a line through two predictions names, or one below it
    whose trace fits (:func:`largest_on_cards`). Reserved bytes come in segments, so a slightly larger one may fit too.
    """
    given = {option: value for option, value in {"time": time, **options}.items() if value is not None}
    check_options(name, given)
    model, loss, batch, theirs = own(name) if ":" in name else (*named(name, **given), None)
    device = choose(TARGETS, target, "target")
    if optimizer or theirs is None:
        used, maker = optimizer or "AdamW", choose(OPTIMIZERS, optimizer or "AdamW", "optimizer")
    else:
        used, maker = optimizer_name(theirs, model), theirs

    @functools.cache
    def at(size: int):
        plan = {"micro_batch": size, "precision": precision, "target": device, "accumulation": accumulation}
        try:
            return predict(model, loss, batch, maker, **plan)
        except Refused:
            raise
        except Exception as error:  # of the model's own code
            alone = size == 1 and any(batch_norms(model))
            raise Refused(
                f"{name} ends at micro-batch {size} with {first_line(error)}; allowed: a model and a batch "
                "that make a loss" + ". BatchNorm after a linear layer needs --micro-batch 2 or more" * alone
            ) from error

    trace, fitted = at(micro_batch), growing(at, max(8, micro_batch))  # so the line goes through what is asked for
    line = peak_line(at, fitted, reserved=device.gpu_kernels)
    answer = {
        "model": name,
        "micro_batch": micro_batch,
        "optimizer": used,
        "parameters": sum(p.numel() for p in model.parameters()),
        "peak": trace.peak,
        "reserved": trace.reserved,
        "first_step": trace.first_step,
        "phase": trace.phase,
        "parts": trace.parts(),
        "fixed": line.fixed,
        "per_example": line.per_example,
        "floor": line.floor,
        "fitted": fitted,
        "convolutions": sum(isinstance(module, _ConvNd) for module in model.modules()),
    }
    if device.gpu_kernels:
        answer["largest"] = largest_on_cards(at, line, fitted)
    return answer


def check_options(name: str, given: dict) -> None:
    """A picture has no length and no causal attention, and a model of one's own was made without asking."""
    if given and (":" in name or name in PICTURES):
        option, value = next(iter(given.items()))
        raise Refused(
            f"{option} is {value!r} for {name}, which does not take it; allowed: with {', '.join(SHAPES)}. Leave it "
            "out" + ", and make the model or the batch so in your function" * (":" in name)
        )


def largest_on_cards(at: Callable[[int], Trace], line: PeakLine, sizes: tuple[int, int]) -> dict[str, int]:
    """Card → its micro-batch, 0 if none: read off the traces at two ``sizes`` if they foretell others to the byte.

    Those others are the traces at the smallest and the largest answer. If one is not as foretold, all are followed.
    """
    foretold = functools.cache(stretched(at, sizes))
    found = {card: fitting(foretold, line, room * MIB) for card, room in CARDS.items()}
    answers = [size for size in found.values() if size] or [1]
    if all(same(foretold(size), at(size)) for size in (min(answers), max(answers))):
        return found
    return {card: fitting(at, line, room * MIB) for card, room in CARDS.items()}


def fitting(at: Callable[[int], Trace], line: PeakLine, room: float) -> int:
    """The line's largest batch if what is reserved there fits; else one below that does; 0 if none does.

    Where the line holds, one step down its slope is enough. Where it was fitted to another place than the one that
    peaks here, the step overshoots. But peaks are the largest of several lines, so convex in the batch: between one
    that fits and one that does not, the batch at which their chord reaches ``room`` fits too, but for the segments in
    which memory is reserved. The answer is then within a fiftieth of the largest, or what eight
    predictions found.
    """
    good, bad = 0, max(1, line.largest(room))
    low, high = float(line.bytes(0)), at(bad).reserved
    if high <= room:
        return bad
    below = bad - math.ceil((high - room) / line.per_example)
    if below > 0.9 * bad and at(below).reserved <= room:
        return below
    for _ in range(8):
        step = max(1, good // 50)
        if bad - good <= step:
            break
        chord = good + int((room - low) / (high - low) * (bad - good))
        size = min(max(chord, good + step), bad - 1)
        reserved = at(size).reserved
        if reserved <= room:
            good, low = size, reserved
        else:
            bad, high = size, reserved
    return good
