"""The peak of a training step at any batch and length, by kind, from predictions at two batches.

A peak is the largest of a few places: peak(B) = max(step, fixed + per_example · B, …) bytes. The optimizer's step does
not know the batch. All parts are kept kind by kind, in the order of ``KINDS``, so that a bar of them is the peak.
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
class Place:
    """Where a peak may fall: its line at one length or, with attention written out, at two."""

    lengths: tuple[Length, ...]

    def at(self, time: int) -> Length:
        """The line at another length: what grows with the batch grows with batch × time.

        Attention that is written out adds a square, per_example = b·s + c·s², and a mask of s² to the fixed part: a
        straight line in s for a token's price, one in s² for what is fixed, through the two lengths.
        """
        first, last = self.lengths[0], self.lengths[-1]
        if first is last:
            return Length(time, first.fixed, first.per_example * (time / first.time))
        way = (time - first.time) / (last.time - first.time)
        square = way * (time + first.time) / (last.time + first.time)
        token = (1 - way) * first.per_example / first.time + way * last.per_example / last.time
        return Length(time, (1 - square) * first.fixed + square * last.fixed, token * time)

    def holding(self, kind: int, size: float) -> "Place":
        """The same with so many bytes of one kind, at any batch."""

        def put(values: np.ndarray, value: float) -> np.ndarray:
            return np.where(np.arange(len(KINDS)) == kind, value, values)

        return Place(tuple(Length(one.time, put(one.fixed, size), put(one.per_example, 0.0)) for one in self.lengths))


@dataclass(frozen=True)
class MemoryLine:
    """One model under one recipe: the ``places`` of a peak in the passes, and bytes by kind in the ``step``.

    Allocated bytes follow the prediction. ``reserved`` is how many times as many the allocator takes from the device:
    memory comes in segments and scatters by some hundredths with the batch, so this is one share, the one found at the
    largest batch that was followed.
    """

    places: tuple[Place, ...]
    step: np.ndarray
    reserved: float

    def parts(self, micro_batch: int, time: int, accumulation: int = 1) -> np.ndarray:
        """Allocated bytes by kind at the peak; they sum to it."""
        check_batch(micro_batch, name="micro_batch")
        lines = self.passes(time, accumulation)
        return max(self.step, *(line.fixed + line.per_example * micro_batch for line in lines), key=np.sum)

    def bytes(self, micro_batch: int, time: int, accumulation: int = 1) -> float:
        """Reserved bytes at the peak: what must be no more than the card has."""
        return float(self.reserved * self.parts(micro_batch, time, accumulation).sum())

    def largest(self, budget: float, time: int, accumulation: int = 1) -> int:
        """The largest micro-batch whose reserved bytes are within ``budget``; 0 if there is none."""
        room = budget / self.reserved
        if self.step.sum() > room:
            return 0
        lines = self.passes(time, accumulation)
        return max(0, min(math.floor((room - line.fixed.sum()) / line.per_example.sum()) for line in lines))

    def passes(self, time: int, accumulation: int = 1) -> list[Length]:
        """Every place's line; from the second micro-batch on, all gradients lie there while the next are computed."""
        check_batch(time, name="time")
        if check_batch(accumulation, name="accumulation") == 1:
            return [place.at(time) for place in self.places]
        return [place.holding(GRADIENTS, self.step[GRADIENTS]).at(time) for place in self.places]

    def with_optimizer(self, optimizer: str, parameters: int, precision: str) -> "MemoryLine":
        """The line that AdamW gave, with another optimizer's state in place of its own, and stepped in place.

        State lies there whatever the passes do, so they move by the difference. By default torch steps all parameters
        at once with one more number for each; the optimizers here need none.
        """
        state = static_bytes(parameters, precision, choose(COUNTED, optimizer, "optimizer")).optimizer_state
        step = self.step.copy()
        step[STATE], step[WORKSPACE] = state, step[WORKSPACE] - step[GRADIENTS]
        return replace(self, places=tuple(place.holding(STATE, state) for place in self.places), step=step)
