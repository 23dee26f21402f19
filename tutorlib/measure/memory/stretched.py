"""A step's trace at other batches, read off two that were followed: every storage is fixed or grows with the batch."""

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import replace

from tutorlib.measure.memory.ledger import Block
from tutorlib.measure.memory.trace import Trace


def stretched(at: Callable[[int], Trace], sizes: tuple[int, int]) -> Callable[[int], Trace]:
    """``at`` with every trace made of those at two ``sizes``, without following a step again.

    Each storage has a + b · batch bytes, read off its bytes at the two. That is a guess: a loss over pairs of examples
    grows with the square, a model may branch on the batch. So hold what you use of it against a trace that was
    followed (:func:`same`). Where the two traces do not even have the same storages, this is ``at`` itself, and so it
    is for one example, since shapes of length 1 take other ways.
    """
    few, many = sizes
    first, second = at(few), at(many)
    if outline(first) != outline(second):
        return at

    def made(size: int) -> Trace:
        if size == 1:
            return at(1)
        blocks = []
        for one, other in zip(first.blocks, second.blocks, strict=True):
            grown = (other.bytes - one.bytes) * (size - few) // (many - few)
            blocks.append(replace(one, bytes=one.bytes + grown))
        return replace(first, blocks=tuple(blocks))

    return made


def same(one: Trace, other: Trace) -> bool:
    """Whether two traces agree in every storage: its bytes, its life, its layer and what it was for."""
    pairs = zip(one.blocks, other.blocks, strict=False)
    return outline(one) == outline(other) and all(a.bytes == b.bytes for a, b in pairs)


def outline(trace: Trace) -> tuple:
    """All but the bytes. Deaths with no birth between them have no order: autocast's cache is emptied in any."""
    births = [block.born for block in trace.blocks]

    def life(block: Block) -> tuple:
        end = block.died and bisect_left(births, block.died)
        return end, block.kind, block.layer, block.operator

    phases = [(bisect_left(births, moment), phase) for moment, phase in trace.phases]
    return phases, trace.unit, [life(block) for block in trace.blocks]
