"""What a ledger tells: memory over time, its peak, and what is alive there, by kind and by layer."""

import itertools
from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from tutorlib.measure.memory.allocator import Allocator, Full, replay
from tutorlib.measure.memory.ledger import Block, Ledger
from tutorlib.theory.memory import KINDS


@dataclass(frozen=True)
class Trace:
    """Every storage of two or more training steps; ``unit`` is what the device rounds sizes up to.

    ``phases`` pairs the moment at which each phase begins with its name; every step ends with "optimizer".
    """

    blocks: tuple[Block, ...]
    phases: tuple[tuple[int, str], ...]
    end: int
    unit: int = 1

    @classmethod
    def read(cls, ledger: Ledger, unit: int = 1) -> "Trace":
        """The ledger's blocks, each given the kind that its life shows; blocks of no bytes are left out."""
        starts = [moment for moment, _ in ledger.phases] + [ledger.clock + 1]
        blocks = [  # copies: the ledger's own go on to die after it is read
            replace(block, kind=block.kind or life(block, ledger.phases, starts))
            for block in ledger.blocks
            if block.bytes
        ]
        return cls(tuple(blocks), tuple(ledger.phases), ledger.clock, unit)

    @cached_property
    def live(self) -> np.ndarray:
        """Bytes alive after each moment of the clock."""
        change = np.zeros(self.end + 1, dtype=np.int64)
        for block in self.blocks:
            change[block.born] += self.size(block)
            if block.died is not None:
                change[block.died] -= self.size(block)
        return change.cumsum()

    def size(self, block: Block) -> int:
        return -(-block.bytes // self.unit) * self.unit

    @cached_property
    def spans(self) -> list[tuple[int, str, int, int]]:
        """(step, phase, first moment, moment after its last) of every phase in order."""
        moments = [moment for moment, _ in self.phases] + [self.end]
        spans, step = [], 0
        for (start, phase), end in zip(self.phases, moments[1:], strict=True):
            spans.append((step, phase, start, end))
            step += phase == "optimizer"
        return spans

    @property
    def at(self) -> int:
        """The moment of the peak."""
        return int(self.live.argmax())

    @property
    def peak(self) -> int:
        """The most bytes alive at once, over all steps."""
        return int(self.live.max())

    @property
    def phase(self) -> str:
        """The phase in which the peak falls."""
        return next(phase for _, phase, start, end in reversed(self.spans) if start <= self.at)

    def peaks(self) -> dict[tuple[int, str], int]:
        """The most bytes alive in each phase of each step; the first step differs, it has no optimizer state yet."""
        found: dict = {}
        for step, phase, start, end in self.spans:
            found[step, phase] = max(found.get((step, phase), 0), int(self.live[start:end].max(initial=0)))
        return found

    @property
    def first_step(self) -> int:
        """The peak of the first step alone: what a probe of one step would see."""
        return max(value for (step, _), value in self.peaks().items() if step == 0)

    def replay(self, limit: float = float("inf")) -> Allocator:
        """torch's caching allocator after all of this; raises :class:`Full` where it runs out of ``limit`` bytes."""
        births = [(block.born, True, i) for i, block in enumerate(self.blocks)]
        deaths = [(block.died, False, i) for i, block in enumerate(self.blocks) if block.died is not None]
        return replay(births + deaths, [block.bytes for block in self.blocks], limit)

    @cached_property
    def reserved(self) -> int:
        """The most bytes that a caching allocator takes from the device; the peak itself where there is none."""
        return self.replay().peak if self.unit > 1 else self.peak

    def fits(self, budget: float) -> bool:
        """Whether the steps run through in ``budget`` bytes, after giving cached segments back if need be."""
        if self.unit == 1:
            return self.peak <= budget
        try:
            self.replay(budget)
        except Full:
            return False
        return True

    def alive(self, moment: int | None = None) -> list[Block]:
        moment = self.at if moment is None else moment
        return [b for b in self.blocks if b.born <= moment and (b.died is None or b.died > moment)]

    def parts(self, moment: int | None = None) -> dict[str, int]:
        """Bytes alive by kind, at the peak or at a moment; they sum to all that is alive."""
        return {kind: self.sum(b for b in self.alive(moment) if b.kind == kind) for kind in KINDS}

    def layers(self, moment: int | None = None) -> dict[str, int]:
        """Bytes alive by layer (the module's name down to its first number), largest first."""
        found = Counter()
        for block in self.alive(moment):
            found[layer_of(block)] += self.size(block)
        return dict(found.most_common())

    def sum(self, blocks) -> int:
        return sum(map(self.size, blocks))

    @property
    def activations(self) -> int:
        """Bytes of activations, logits and loss that the end of the last forward pass leaves alive."""
        moment = [end for _, phase, _, end in self.spans if phase == "forward"][-1] - 1
        return self.sum(b for b in self.alive(moment) if b.kind in ("activations", "logits and loss"))


def life(block: Block, phases: list, starts: list[int]) -> str:
    """What a storage was for, read off when it lived: kept past its forward pass it is an activation."""
    if block.phase < 0:  # parameters and examples are told apart by name: only the optimizer's making is left
        return "optimizer state"
    phase = phases[block.phase][1]
    if phase != "optimizer" and not block.layer:
        return "logits and loss"
    kept = block.died is None or block.died >= starts[block.phase + 1]
    return "activations" if phase == "forward" and kept else "workspace"


def layer_of(block: Block) -> str:
    """``blocks.3.norm1`` → ``blocks.3``; the kind stands in where there is no layer."""
    names = block.layer.split(".")
    upto = list(itertools.takewhile(lambda name: not name.isdigit(), names))
    return ".".join(names[: len(upto) + 1]) or block.kind
