"""How long walkers take to leave a well, simulated together: any noise, step by step."""

from collections.abc import Callable

import numpy as np

from tutorlib.theory.escape import check_well, force
from tutorlib.theory.noise import check_batch

BLOCK = 64  # steps whose noise is drawn at once


def escape_times(
    kicks: Callable[[int, np.ndarray], np.ndarray],
    *,
    height: float,
    width: float,
    step: float,
    walkers: int,
    longest: float,
) -> np.ndarray:
    """The time at which each of ``walkers``, all starting at the bottom, is first at the rim: (walkers,).

    x ← x − V′(x) dt + kick with dt = ``step``; ``kicks(steps, who)`` draws their noise, (steps, len(who)), for the
    walkers numbered ``who``. Who has not left by ``longest`` gets that time, which makes means too short. From beyond
    −2w a walker is put back there: the wall is so steep that it would slide back at once, and Euler's step overshoots.
    """
    check_well(height=height, width=width, step=step, longest=longest)
    left, x = np.full(check_batch(walkers, name="walkers"), float(longest)), np.full(walkers, -float(width))
    inside = np.arange(walkers)
    for block in range(0, int(np.ceil(longest / step)), BLOCK):
        gone = np.zeros(len(inside), dtype=int)  # the step of this block at which each has left, 0 for not yet
        for number, kick in enumerate(kicks(BLOCK, inside), start=1):
            x = np.maximum(x + step * force(x, height, width) + kick, -2 * width)
            gone[(gone == 0) & (x >= 0)] = number
        left[inside[gone > 0]] = np.minimum((block + gone[gone > 0]) * step, longest)
        inside, x = inside[gone == 0], x[gone == 0]
        if not len(inside):
            break
    return left
