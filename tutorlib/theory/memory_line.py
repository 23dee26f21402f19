"""The peak of a training step at any batch and length, by kind, from predictions at two batches.

A peak is a fixed part and a price an example, peak(B) = max(step, fixed + per_example · B) bytes: the optimizer's
step does not know the batch. Both parts are kept kind by kind, in the order of ``KINDS``, so a bar of them is the peak.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from tutorlib.theory.memory import KINDS, choose, static_bytes
from tutorlib.theory.noise import check_batch

GRADIENTS, STATE, WORKSPACE = (KINDS.index(kind) for kind in ("gradients", "optimizer state", "workspace"))
# Whose state is counted: torch's fused AdamW keeps what AdamW keeps.
COUNTED = {"SGD": "SGD", "momentum": "momentum", "fused AdamW": "AdamW", "8-bit AdamW": "8-bit AdamW"}


@dataclass(frozen=True)
class Length:
    """The line at one length of ``time`` tokens: bytes by kind before the first example, and with each one more."""

    time: int
    fixed: np.ndarray
    per_example: np.ndarray

    @classmethod
    def through(cls, time: int, small: int, large: int, parts_small, parts_large) -> "Length":
        """The line through the parts at two batches."""
        few, many = np.asarray(parts_small, dtype=float), np.asarray(parts_large, dtype=float)
        slope = (many - few) / (large - small)
        return cls(time, few - slope * small, slope)


@dataclass(frozen=True)
class MemoryLine:
    """One model under one recipe: lines at one or two ``lengths``, bytes by kind in the optimizer's ``step``.

    ``reserved`` is how many times the allocated bytes the allocator takes from the device: memory comes in segments
    and scatters, so this is one share, the one found at the largest batch that was followed. Beyond the batches and
    lengths that were followed the line is a lower bound, where another place takes the peak over.
    """

    lengths: tuple[Length, ...]
    step: np.ndarray
    reserved: float

    def at(self, time: int) -> Length:
        """The line at another length: all that grows with the batch grows with batch × time.

        Attention that is written out adds a square, per_example = b·s + c·s², and a mask of s² to the fixed part: a
        straight line in s for a token's price, one in s² for what is fixed, through the two lengths.
        """
        check_batch(time, name="time")
        first, last = self.lengths[0], self.lengths[-1]
        if first is last:
            return Length(time, first.fixed, first.per_example * (time / first.time))
        way = (time - first.time) / (last.time - first.time)
        square = way * (time + first.time) / (last.time + first.time)
        token = (1 - way) * first.per_example / first.time + way * last.per_example / last.time
        return Length(time, (1 - square) * first.fixed + square * last.fixed, token * time)

    def parts(self, micro_batch: int, time: int, accumulation: int = 1) -> np.ndarray:
        """Allocated bytes by kind at the peak; they sum to it."""
        line = self.accumulated(accumulation).at(time)
        passes = line.fixed + line.per_example * check_batch(micro_batch, name="micro_batch")
        return max(self.step, passes, key=np.sum)

    def bytes(self, micro_batch: int, time: int, accumulation: int = 1) -> float:
        """Reserved bytes at the peak: what must be no more than the card has."""
        return float(self.reserved * self.parts(micro_batch, time, accumulation).sum())

    def largest(self, budget: float, time: int, accumulation: int = 1) -> int:
        """The largest micro-batch whose reserved bytes are within ``budget``; 0 if there is none."""
        room = budget / self.reserved
        if self.step.sum() > room:
            return 0
        line = self.accumulated(accumulation).at(time)
        return max(0, math.floor((room - line.fixed.sum()) / line.per_example.sum()))

    def accumulated(self, accumulation: int) -> "MemoryLine":
        """From the second micro-batch on all gradients lie there while the next is computed."""
        if check_batch(accumulation, name="accumulation") == 1:
            return self
        return self.holding(GRADIENTS, self.step[GRADIENTS])

    def with_optimizer(self, optimizer: str, parameters: int, precision: str) -> "MemoryLine":
        """The line that AdamW gave, with another optimizer's state in place of its own, and stepped in place.

        State lies there whatever the passes do, so they move by the difference. By default torch steps all parameters
        at once with one more number for each; the optimizers here need none.
        """
        state = static_bytes(parameters, precision, choose(COUNTED, optimizer, "optimizer")).optimizer_state
        step = self.step.copy()
        step[STATE], step[WORKSPACE] = state, step[WORKSPACE] - step[GRADIENTS]
        return replace(self.holding(STATE, state), step=step)

    def holding(self, kind: int, size: float) -> "MemoryLine":
        """The same with so many bytes of one kind in the passes, at any batch."""

        def put(values: np.ndarray, value: float) -> np.ndarray:
            return np.where(np.arange(len(KINDS)) == kind, value, values)

        lengths = (Length(one.time, put(one.fixed, size), put(one.per_example, 0.0)) for one in self.lengths)
        return replace(self, lengths=tuple(lengths))
