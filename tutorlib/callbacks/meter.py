"""The batch meter of a plain loop: examples and tokens of every update and the noise scale, to any logger."""

import warnings
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict
from itertools import chain
from operator import mul

import numpy as np
import torch
import torch.distributed as dist
from torch import nn

from tutorlib.errors import Refused, kind
from tutorlib.measure.guards import check_function, check_model
from tutorlib.measure.running_noise import GONE, GradientSquares, Update, square
from tutorlib.theory.noise import NoiseDraws, check_batch
from tutorlib.theory.statistics import Estimate

Log = Callable[[dict[str, float], int], None]
EARLY = 10  # updates: with fewer nothing is amiss yet
ALONE = "an update has one micro-batch in all; allowed: two or more, for noise is what sets them apart. Accumulate"
UNEQUAL = "no update had micro-batches of one size and finite gradients; allowed: some. Drop the last short one"
LOST = "|G|² is not clearly above 0 yet; allowed: wait for more updates, or have more micro-batches in each"
NEGATIVE = (
    "|G|² is clearly below 0, so updates are shorter than their micro-batches make them; allowed: update() before "
    "clipping, stepping and zeroing. Or the batch is nearly all of the data, and has been learned"
)


class BatchMeter:
    """Listens to a training loop and calls ``log(values, step)`` after every ``every`` updates::

        meter = BatchMeter(model, tensorboard("runs/mine"))
        for window in windows:
            for x, y in window:
                (loss(model(x), y) / len(window)).backward()
                meter.part(x)  # after each backward pass
            meter.update()  # before clipping, stepping and zeroing
            optimizer.step()
            optimizer.zero_grad()

    The noise scale tr Σ / |G|² (McCandlish et al. 2018, appendix A.1) is read from the micro-batches of an update, over
    all data-parallel ranks. It is a ratio of averages over the last ``keep`` updates, with Fieller's interval, and left
    out with a warning, said once, where it is not known: one micro-batch in all, unequal ones, |G|² lost in its noise
    or clearly negative. The weights move under it: it is the mean over those updates. On several ranks every rank calls
    this, and gradients are averaged. Listening takes up to a third of a step of one millisecond: with ``listen=10`` the
    noise is read from every tenth update alone, and ``keep`` counts these. Raises ``ValueError`` where gradients are
    gone before ``update()``.
    """

    def __init__(self, model: nn.Module, log: Log, *, every: int = 10, keep: int = 100, listen: int = 1):
        self.squares, self.log = GradientSquares(check_model(model)), check_function(log, "log", "log(values, step)")
        self.every, self.listen = check_batch(every, name="every"), check_batch(listen, name="listen")
        self.updates, self.step = deque(maxlen=check_batch(keep, name="keep")), 0
        self.parts, self.pending, self.last, self.said, self.count = [], [], None, set(), 0

    def part(self, batch) -> None:
        """A micro-batch has been through ``backward``; ``batch`` is its tensor, or a tuple or dict of tensors."""
        self.parts.append((*sizes(batch), self.squares.of_micro_batch() if self.squares.arrived.listening else []))

    def update(self, length=None, *, scale: float = 1.0, divisor: float | None = None, step: int | None = None) -> None:
        """The gradients of an update are complete, and not yet clipped.

        ``length`` is theirs where the trainer knows it, or else ``p.grad`` is read. ``divisor``: what each loss was
        divided by, where that is not the number of micro-batches. ``scale``: what a gradient scaler multiplies losses
        by; then the gradients have to be unscaled by now. ``step`` counts updates unless it is given.
        """
        if not self.parts:
            raise Refused("update() without a micro-batch; allowed: part(batch) after each backward(), then update()")
        (examples, tokens, lengths), n, self.parts = zip(*self.parts, strict=True), len(self.parts), []
        mend = ((divisor or n) / n) ** 2  # a window that is not divided by its own number of parts: make it a mean
        alike = 0 if self.squares.watch() or len(set(examples)) > 1 else examples[0]
        counts = (sum(examples), sum(tokens), n, alike, n * mend / scale**2, mend)
        self.pending.append((counts, self.lengths(list(chain(*lengths)), length)))
        self.count += 1
        self.squares.arrived.listening = self.count % self.listen == 0
        self.step = self.step + 1 if step is None else step
        if len(self.pending) == self.every:
            self.log(self.values(), self.step)

    def lengths(self, parts: list[torch.Tensor], whole) -> torch.Tensor:
        """Σ |h|² over micro-batches and |Σ h|², on the device; not a number where this update was not listened to."""
        if not self.squares.arrived.listening:
            return torch.full((2,), torch.nan, dtype=self.squares.dtype, device=next(iter(self.squares.hooks)).device)
        known = self.squares.accumulated() if whole is None else torch.as_tensor(whole).square()
        return torch.stack([square(parts), known])

    def values(self) -> dict[str, float]:
        """What is known by now, by the names it is logged under; examples and tokens are those of the last update."""
        for ranks in everywhere(self.pending):
            self.last = of_ranks(ranks)
            if self.last.part_square > 0 == self.last.whole_square:
                self.pending = []
                raise Refused(GONE)
            if self.last.heard:
                self.updates.append(self.last.estimates())
        self.pending = []
        if self.last is None:
            return {}
        seen = asdict(self.last) | {"accumulation": self.last.parts}
        names = ("examples", "tokens", "micro_batch", "accumulation", "ranks")
        return {f"batch/{name}": seen[name] for name in names if seen[name]} | self.noise_values()

    def noise_values(self) -> dict[str, float]:
        scale = self.scale()
        if scale is None:
            return {}
        named = {"noise/scale": scale.value, "noise/scale_low": scale.low, "noise/scale_high": scale.high}
        named["batch/over_noise_scale"] = self.last.examples / scale.value
        return {name: float(value) for name, value in named.items()}

    def scale(self) -> Estimate | None:
        """The noise scale, or ``None`` where no number is better than a wild one; why is said once."""
        if not any(self.updates):
            self.say(ALONE if self.last.parts * self.last.ranks < 2 else UNEQUAL)
            return None
        try:
            scale = self.draws.scale
        except Refused:  # too few updates yet, or |G|² not clearly different from 0
            if len(self.draws.trace_draws) >= EARLY:
                self.say(LOST)
            return None
        if scale.value < 0:
            self.say(NEGATIVE)
            return None
        return scale

    def say(self, why: str) -> None:
        if why not in self.said:
            self.said.add(why)
            warnings.warn(f"BatchMeter logs no noise scale: {why}", stacklevel=2)

    @property
    def draws(self) -> NoiseDraws:
        """tr Σ and |G|² of the last ``keep`` updates, one pair an update that gave any."""
        return NoiseDraws(*np.array([pair for pair in self.updates if pair], dtype=float).reshape(-1, 2).T)

    def close(self) -> None:
        """Take the hooks away."""
        self.squares.close()


def sizes(batch) -> tuple[int, object]:
    """(examples, tokens) of a micro-batch: the length of its first tensor, and the tokens of texts.

    Tokens are what ``attention_mask`` lets through, or else the entries of a table of whole numbers; 0 for other data.
    """
    found = [v for v in leaves(batch) if isinstance(v, torch.Tensor) and v.ndim]
    if not found:
        raise Refused(f"batch is {kind(batch)} without a tensor; allowed: a tensor, or a tuple or dict of some")
    if isinstance(batch, Mapping) and "attention_mask" in batch:
        return len(found[0]), batch["attention_mask"].sum()
    whole = found[0].ndim == 2 and not found[0].is_floating_point()
    return len(found[0]), found[0].numel() if whole else 0


def leaves(batch) -> list:
    inner = batch.values() if isinstance(batch, Mapping) else batch if isinstance(batch, list | tuple) else None
    return [batch] if inner is None else [leaf for value in inner for leaf in leaves(value)]


def everywhere(pending: list[tuple[tuple, torch.Tensor]]) -> list[list[list[float]]]:
    """What every rank has of every update: (updates, ranks, columns). The one moment that waits for the device."""
    if not pending:
        return []
    counts, squares = zip(*pending, strict=True)
    squares, known = torch.stack(squares), [[float(count) for count in row] for row in counts]
    mine = torch.cat([torch.tensor(known, dtype=squares.dtype, device=squares.device), squares], dim=1)
    every = [mine]
    if dist.is_available() and dist.is_initialized():
        every = [torch.empty_like(mine) for _ in range(dist.get_world_size())]
        dist.all_gather(every, mine)
    return torch.stack(every, dim=1).tolist()


def of_ranks(rows: list[list[float]]) -> Update:
    """One update from the rows of its ranks; no mean of equals where ranks differ in micro-batches or their size."""
    examples, tokens, parts, alike, part_factor, whole_factor, part_squares, whole_square = zip(*rows, strict=True)
    micro_batch = alike[0] if len(set(alike)) == len(set(parts)) == 1 else 0
    counts = (int(n) for n in (sum(examples), sum(tokens), parts[0], micro_batch, len(rows)))
    part_square = sum(map(mul, part_factor, part_squares)) / len(rows)
    return Update(*counts, part_square, whole_factor[0] * whole_square[0])


def tensorboard(folder: str) -> Log:
    """A ``log`` that writes scalars for TensorBoard into ``folder``."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise Refused("TensorBoard is not installed: pip install tensorboard, or give any log(values, step)") from None
    writer = SummaryWriter(folder)

    def log(values: dict[str, float], step: int) -> None:
        for name, value in values.items():
            writer.add_scalar(name, value, step)
        writer.flush()

    return log
