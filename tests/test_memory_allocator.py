"""The replay of the caching allocator against segments laid out by hand, and what holds for any order of requests."""

import itertools

import numpy as np
import pytest

from tutorlib.measure.memory.allocator import MIB, Allocator, Full, replay


def reserved(*sizes):
    allocator = Allocator()
    for size in sizes:
        allocator.take(size)
    return allocator.reserved


@pytest.mark.parametrize(
    ("sizes", "segments"),
    [
        ((1,), 2 * MIB),
        ((MIB,), 2 * MIB),
        ((MIB, MIB), 2 * MIB),
        ((MIB, MIB, 1), 4 * MIB),
        ((512,) * 4096, 2 * MIB),
        ((512,) * 4097, 4 * MIB),
        ((513,) * 2048, 2 * MIB),
        ((513,) * 2049, 4 * MIB),
        ((MIB + 1,), 20 * MIB),
        ((10 * MIB - 512,), 20 * MIB),
        ((10 * MIB,), 10 * MIB),
        ((10 * MIB + 1,), 12 * MIB),
        ((5 * MIB,) * 4, 20 * MIB),
        ((5 * MIB,) * 5, 40 * MIB),
        ((9 * MIB, 9 * MIB), 20 * MIB),
        ((9 * MIB, 9 * MIB, 2 * MIB), 20 * MIB),
        ((9.5 * MIB, 9.5 * MIB, 2 * MIB), 40 * MIB),  # what is left is a crumb of 1 MiB: nobody gets it
        ((1, 2 * MIB, 30 * MIB), 52 * MIB),
    ],
)
def test_segments_are_what_hand_counting_says(sizes, segments):
    assert reserved(*map(int, sizes)) == segments


def test_a_freed_block_serves_the_next_request_of_its_size_and_the_smallest_that_holds_it_is_taken():
    allocator = Allocator()
    pieces = {size: allocator.take(size * MIB) for size in (40, 20, 30)}
    for piece in pieces.values():
        allocator.give_back(piece, allocator.pools[False])
    again = allocator.take(19 * MIB)
    assert again.address == pieces[20].address and allocator.reserved == 90 * MIB
    assert again.size == 20 * MIB  # a crumb of 1 MiB is left over: it stays part of the block


def test_free_neighbours_become_one_block_again_in_any_order():
    for order in ((0, 1, 2), (2, 1, 0), (0, 2, 1), (1, 0, 2)):
        allocator = Allocator()
        pieces = [allocator.take(6 * MIB) for _ in range(3)]
        for i in order:
            allocator.give_back(pieces[i], allocator.pools[False])
        allocator.take(20 * MIB)
        assert allocator.reserved == 20 * MIB, order


def test_at_the_limit_unused_segments_are_given_back_before_memory_runs_out():
    allocator = Allocator(limit=50 * MIB)
    piece = allocator.take(40 * MIB)
    allocator.give_back(piece, allocator.pools[False])
    allocator.take(48 * MIB)
    assert allocator.reserved == 48 * MIB and allocator.peak == 48 * MIB
    with pytest.raises(Full, match="2,097,152 bytes more than"):
        allocator.take(1)  # 2 MiB more are there
        allocator.take(1024 * 1024)
        allocator.take(1024 * 1024)


def test_a_segment_that_is_used_in_part_is_not_given_back():
    allocator = Allocator(limit=40 * MIB)
    pieces = [allocator.take(9 * MIB) for _ in range(2)]
    allocator.give_back(pieces[0], allocator.pools[False])
    with pytest.raises(Full):
        allocator.take(30 * MIB)


def test_whatever_the_order_blocks_never_overlap_and_reserved_covers_what_is_alive():
    for seed in range(30):
        rng, allocator, held, alive = np.random.default_rng(seed), Allocator(), [], 0
        for _ in range(300):
            if held and rng.random() < 0.45:
                size, piece = held.pop(rng.integers(len(held)))
                allocator.give_back(piece, allocator.pools[size <= MIB])
                alive -= size
            else:
                size = int(2 ** rng.uniform(0, 25))
                held.append((size, allocator.take(size)))
                alive += size
            spans = sorted((piece.address, piece.address + piece.size) for _, piece in held)
            assert all(a[1] <= b[0] for a, b in itertools.pairwise(spans))
            assert alive <= allocator.reserved <= allocator.peak
        for size, piece in held:
            allocator.give_back(piece, allocator.pools[size <= MIB])
        allocator.release()
        assert allocator.reserved == 0 < allocator.peak


def test_a_replay_takes_births_and_deaths_in_the_order_of_their_moments():
    moments = [(0, True, 0), (3, True, 1), (2, False, 0)]
    assert replay(moments, [40 * MIB, 40 * MIB]).peak == 40 * MIB
    assert replay([(0, True, 0), (1, True, 1), (2, False, 0)], [40 * MIB, 40 * MIB]).peak == 80 * MIB
