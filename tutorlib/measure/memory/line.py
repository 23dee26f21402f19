"""The line from batch to peak: a fixed part and a price an example, from a few predictions instead of many."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tutorlib.errors import Refused
from tutorlib.measure.memory.trace import Trace


@dataclass(frozen=True)
class PeakLine:
    """peak(B) = max(floor, fixed + per_example · B) bytes: the optimizer's step is the floor, whatever the batch.

    ``r_squared`` is that of the line through the predictions it was fitted to. Peaks in fact are the largest of
    several lines, one for each place where the peak may fall, so beyond the fitted batches this is a lower bound
    where another place takes over.
    """

    fixed: float
    per_example: float
    floor: float
    r_squared: float = 1.0

    def bytes(self, batch):
        return np.maximum(self.floor, self.fixed + self.per_example * np.asarray(batch))

    def largest(self, budget: float) -> int:
        """The largest batch whose peak is within ``budget`` bytes; 0 if there is none."""
        if self.floor > budget:
            return 0
        return max(0, math.floor((budget - self.fixed) / self.per_example))


def peak_line(at: Callable[[int], Trace], batches=(4, 8, 16), reserved: bool = False) -> PeakLine:
    """The line through the peaks that ``at(batch)`` predicts; allocated bytes, or those the allocator reserves.

    Least squares. Reserved memory comes in segments and scatters, so its line is the allocated one, raised by the
    share that the largest batch needs more.
    """
    if len(set(batches)) < 2:
        raise Refused(f"batches are {tuple(batches)}; allowed: at least two different ones")
    traces = [at(batch) for batch in batches]
    peaks = np.array([passes(trace) for trace in traces])
    floor = max(peak for (_, phase), peak in traces[0].peaks().items() if phase == "optimizer")
    slope, fixed = np.polyfit(batches, peaks, 1)
    left = peaks - (fixed + slope * np.asarray(batches))
    more = traces[-1].reserved / traces[-1].peak if reserved else 1.0
    return PeakLine(*(float(more * part) for part in (fixed, slope, floor)), float(1 - left.var() / peaks.var()))


def growing(at: Callable[[int], Trace], least: int = 8) -> tuple[int, int]:
    """Two batches whose peaks differ: in a tiny net, 8 and 16 examples may fill the same block of 512 bytes."""
    for size in (least, 8 * least):
        if passes(at(2 * size)) > passes(at(size)):
            return size, 2 * size
    return 512, 1024  # even of one byte each


def passes(trace: Trace) -> int:
    """The peak of the forward and backward passes: the part that grows with the batch."""
    return max(peak for (_, phase), peak in trace.peaks().items() if phase != "optimizer")


def largest_working(works: Callable[[int], bool], guess: int, limit: int) -> int:
    """The largest number up to ``limit`` that ``works``, 0 if not even 1 does, in few tries near a good ``guess``.

    What is returned did work. Taken for granted: what works at a number works at every smaller one.
    """
    good, bad, at, reach = 0, limit + 1, min(max(guess, 1), limit), 1
    while bad - good > 1:
        if works(at):
            good = at
        else:
            bad = at
        if bad == limit + 1:
            at = min(limit, good + reach)
        elif not good:
            at = max(1, bad - reach)
        else:
            at = (good + bad) // 2
        reach *= 2
    return good
