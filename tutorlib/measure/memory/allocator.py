"""A replay of torch's caching allocator: what it takes from the device, which is what runs out.

It rounds every request up to 512 bytes, takes memory from the device in segments, cuts them into blocks and gives
none of it back. Requests of up to 1 MiB share segments of 2 MiB; those below 10 MiB segments of 20 MiB; larger ones
get a segment of their own, rounded up to 2 MiB. A request is served from the smallest free block that holds it; what
is left over stays a block of its own, unless it is a crumb of up to 1 MiB of a large one. Free neighbours are merged.
Source: the constants and the order of decisions of ``CUDACachingAllocator.cpp`` in torch 2, at default settings.
"""

from bisect import bisect_left, insort
from dataclasses import dataclass, field

MIB = 2**20
UNIT, SMALL = 512, MIB
SMALL_SEGMENT, MIDDLE_SEGMENT, OWN_SEGMENT = 2 * MIB, 20 * MIB, 10 * MIB


class Full(MemoryError):
    """The device has no memory for another segment."""


@dataclass(slots=True, eq=False)
class Piece:
    """Part of a segment, in use or free, and its neighbours in it."""

    address: int
    size: int
    before: "Piece | None" = None
    after: "Piece | None" = None
    free: bool = False


@dataclass
class Pool:
    """Free pieces of one kind, ordered by size, then by address."""

    small: bool
    pieces: list[tuple[int, int, Piece]] = field(default_factory=list)

    def add(self, piece: Piece) -> None:
        piece.free = True
        insort(self.pieces, (piece.size, piece.address, piece))

    def remove(self, piece: Piece) -> None:
        piece.free = False
        del self.pieces[bisect_left(self.pieces, (piece.size, piece.address))]

    def take(self, size: int) -> Piece | None:
        at = bisect_left(self.pieces, (size,))
        if at == len(self.pieces):
            return None
        piece = self.pieces[at][2]
        self.remove(piece)
        return piece


class Allocator:
    """``reserved`` bytes are taken from the device now, ``peak`` were at the most; ``limit`` is all that it has."""

    def __init__(self, limit: float = float("inf")):
        self.limit, self.reserved, self.peak, self.end = limit, 0, 0, 0
        self.pools = {True: Pool(True), False: Pool(False)}

    def take(self, size: int) -> Piece:
        size = max(UNIT, -(-size // UNIT) * UNIT)
        pool = self.pools[size <= SMALL]
        piece = pool.take(size) or self.segment(size)
        left = piece.size - size
        if left >= UNIT if pool.small else left > SMALL:
            rest = Piece(piece.address + size, left, piece, piece.after)
            if piece.after:
                piece.after.before = rest
            piece.size, piece.after = size, rest
            pool.add(rest)
        return piece

    def give_back(self, piece: Piece, pool: Pool) -> None:
        for other in (piece.before, piece.after):
            if other and other.free:
                pool.remove(other)
                first, second = (other, piece) if other is piece.before else (piece, other)
                first.size, first.after = first.size + second.size, second.after
                if second.after:
                    second.after.before = first
                piece = first
        pool.add(piece)

    def segment(self, size: int) -> Piece:
        if size <= SMALL:
            whole = SMALL_SEGMENT
        else:
            whole = MIDDLE_SEGMENT if size < OWN_SEGMENT else -(-size // SMALL_SEGMENT) * SMALL_SEGMENT
        if self.reserved + whole > self.limit:
            self.release()
        if self.reserved + whole > self.limit:
            raise Full(f"{whole:,} bytes more than the {self.reserved:,} of {self.limit:,}")
        self.reserved += whole
        self.peak = max(self.peak, self.reserved)
        self.end += 2 * whole  # a gap: pieces of different segments are never neighbours
        return Piece(self.end - whole, whole)

    def release(self) -> None:
        """Give segments that nobody uses back to the device, as is done before an out-of-memory error."""
        for pool in self.pools.values():
            for _, _, piece in list(pool.pieces):
                if not piece.before and not piece.after:
                    pool.remove(piece)
                    self.reserved -= piece.size


def replay(moments: list[tuple[int, bool, int]], sizes: list[int], limit: float = float("inf")) -> Allocator:
    """The allocator after births and deaths: (moment, is a birth, which block), in the order of their moments."""
    allocator, held = Allocator(limit), {}
    for _, birth, block in sorted(moments):
        if birth:
            held[block] = allocator.take(sizes[block])
        else:
            size = sizes[block]
            allocator.give_back(held.pop(block), allocator.pools[max(UNIT, -(-size // UNIT) * UNIT) <= SMALL])
    return allocator
