"""The batch meter of a plain loop: examples and tokens of every update and the noise scale, to any logger."""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict

import numpy as np
import torch
import torch.distributed as dist
from torch import nn

from tutorlib.errors import Refused
from tutorlib.measure.running_noise import GradientSquares, Update
from tutorlib.theory.noise import NoiseDraws, check_batch

Log = Callable[[dict[str, float], int], None]


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
    all data-parallel ranks; with one micro-batch in all only the batch is logged. It is a ratio of averages over the
    last ``keep`` updates, with Fieller's interval, and left out while |G|² is lost in its noise. The weights move under
    it: it is the mean over those updates. On several ranks every rank calls this, and gradients are averaged.
    """

    def __init__(self, model: nn.Module, log: Log, *, every: int = 10, keep: int = 100):
        self.every, self.log = check_batch(every, name="every"), log
        self.squares, self.updates, self.step = GradientSquares(model), deque(maxlen=check_batch(keep, name="keep")), 0
        self.parts, self.pending, self.last = [], [], None

    def part(self, batch) -> None:
        """A micro-batch has been through ``backward``; ``batch`` is its tensor, or a tuple or dict of tensors."""
        self.parts.append((*sizes(batch), self.squares.of_micro_batch()))

    def update(self, length=None, *, scale: float = 1.0, divisor: float | None = None, step: int | None = None) -> None:
        """The gradients of an update are complete, and not yet clipped.

        ``length`` is theirs where the trainer knows it, or else ``p.grad`` is read. ``divisor``: what each loss was
        divided by, where that is not the number of micro-batches. ``scale``: what a gradient scaler multiplies losses
        by; then the gradients have to be unscaled by now. ``step`` counts updates unless it is given.
        """
        if not self.parts:
            raise Refused("update() without a micro-batch; allowed: part(batch) after each backward(), then update()")
        examples, tokens, squares = zip(*self.parts, strict=True)
        n, self.parts = len(squares), []
        whole = self.squares.accumulated() if length is None else torch.as_tensor(length).square()
        mend = ((divisor or n) / n) ** 2  # a window that is not divided by its own number of parts: make it a mean
        alike = 0 if self.squares.watch() or len(set(examples)) > 1 else examples[0]
        row = [sum(examples), sum(tokens), n, alike, sum(squares) * n * mend / scale**2, whole * mend]
        self.pending.append(torch.stack([torch.as_tensor(v, dtype=whole.dtype, device=whole.device) for v in row]))
        self.step = self.step + 1 if step is None else step
        if len(self.pending) == self.every:
            self.log(self.values(), self.step)

    def values(self) -> dict[str, float]:
        """What is known by now, by the names it is logged under; examples and tokens are those of the last update."""
        for ranks in everywhere(self.pending):
            self.last = of_ranks(ranks)
            self.updates.append(self.last.estimates())
        self.pending = []
        if self.last is None:
            return {}
        seen = asdict(self.last) | {"accumulation": self.last.parts}
        names = ("examples", "tokens", "micro_batch", "accumulation", "ranks")
        return {f"batch/{name}": seen[name] for name in names if seen[name]} | self.noise_values()

    def noise_values(self) -> dict[str, float]:
        try:
            scale = self.draws.scale
        except Refused:  # too few updates yet, or |G|² not clearly above 0: no number is better than a wild one
            return {}
        named = {"noise/scale": scale.value, "noise/scale_low": scale.low, "noise/scale_high": scale.high}
        return named | {"batch/over_noise_scale": self.last.examples / scale.value}

    @property
    def draws(self) -> NoiseDraws:
        """tr Σ and |G|² of the last ``keep`` updates, one pair an update that gave any."""
        pairs = np.array([pair for pair in self.updates if pair], dtype=float).reshape(-1, 2)
        return NoiseDraws(*pairs.T)

    def close(self) -> None:
        """Take the hooks away."""
        self.squares.close()


def sizes(batch) -> tuple[int, object]:
    """(examples, tokens) of a micro-batch: the length of its first tensor, and the tokens of texts.

    Tokens are what ``attention_mask`` lets through, or else the entries of a table of whole numbers; 0 for other data.
    """
    found = [v for v in leaves(batch) if isinstance(v, torch.Tensor) and v.ndim]
    if not found:
        raise Refused(
            f"batch is {type(batch).__name__} without a tensor; allowed: a tensor, or a tuple or dict of some"
        )
    if isinstance(batch, Mapping) and "attention_mask" in batch:
        return len(found[0]), batch["attention_mask"].sum()
    whole = found[0].ndim == 2 and not found[0].is_floating_point()
    return len(found[0]), found[0].numel() if whole else 0


def leaves(batch) -> list:
    inner = batch.values() if isinstance(batch, Mapping) else batch if isinstance(batch, list | tuple) else None
    return [batch] if inner is None else [leaf for value in inner for leaf in leaves(value)]


def everywhere(rows: list[torch.Tensor]) -> list[list[list[float]]]:
    """Rows of every update, from every rank: (updates, ranks, columns). The one moment that waits for the device."""
    if not rows:
        return []
    mine = torch.stack(rows)
    every = [mine]
    if dist.is_available() and dist.is_initialized():
        every = [torch.empty_like(mine) for _ in range(dist.get_world_size())]
        dist.all_gather(every, mine)
    return torch.stack(every, dim=1).tolist()


def of_ranks(rows: list[list[float]]) -> Update:
    """One update from the rows of its ranks."""
    examples, tokens, parts, alike, part_square, whole_square = zip(*rows, strict=True)
    micro_batch = alike[0] if len(set(alike)) == len(set(parts)) == 1 else 0
    counts = (int(n) for n in (sum(examples), sum(tokens), parts[0], micro_batch, len(rows)))
    return Update(*counts, sum(part_square) / len(rows), whole_square[0])


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
