"""The batch plan: how examples become micro-batches, micro-batches updates, and what is left over.

batch = micro_batch × accumulation × ranks. An epoch of 10,000 examples at batch 32 is 312.5 updates, and there is no
half update: :attr:`Plan.window` says where the half goes.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from tutorlib.errors import Refused
from tutorlib.theory.noise import check_batch

# What becomes of a last window with fewer than ``accumulation`` micro-batches:
WINDOWS = {
    "stepped": "it is stepped with the mean over the micro-batches that are there",
    "shrunk": "it is stepped, but still divided by the full accumulation: a smaller step",
    "dropped": "its gradients are thrown away",
    "carried": "it is filled up with the first micro-batches of the next epoch",
    "leaked": "its gradients stay, and the next epoch adds a whole window to them: one update is too large",
}


@dataclass(frozen=True)
class Update:
    """One optimizer step: in which epoch (from 0), after which of its micro-batches (from 1), with how many in it.

    Their gradients are added and divided by ``divisor``.
    """

    epoch: int
    after: int
    micro_batches: int
    divisor: int


@dataclass(frozen=True)
class Plan:
    """Examples to updates, data-parallel over ``ranks``, for ``epochs`` epochs.

    Every rank gets as many examples, as from torch's ``DistributedSampler``: some are repeated to fill the last rank,
    or with ``drop_last`` the rest is cut off. ``drop_last`` also drops a rank's last micro-batch where it is short.
    ``window`` is one of :data:`WINDOWS`. Counts are of one rank; examples are of all ranks.
    """

    examples: int
    micro_batch: int
    accumulation: int = 1
    ranks: int = 1
    epochs: int = 1
    drop_last: bool = False
    window: str = "stepped"

    def __post_init__(self):
        for name in ("examples", "micro_batch", "accumulation", "ranks", "epochs"):
            check_batch(getattr(self, name), name=name)
        if self.window not in WINDOWS:
            raise Refused(f"window is {self.window!r}; allowed: {', '.join(WINDOWS)}")
        if not self.micro_batches_per_epoch:
            raise Refused(
                f"drop_last leaves none of {self.examples:,} examples: a micro-batch of {self.micro_batch} on each of "
                f"{self.ranks} rank(s) needs {self.micro_batch * self.ranks:,}. Take smaller ones, or keep the last"
            )

    @property
    def batch(self) -> int:
        return self.micro_batch * self.accumulation * self.ranks

    def tokens(self, tokens_per_example: float) -> float:
        """Tokens per full update."""
        return self.batch * tokens_per_example

    @property
    def share(self) -> int:
        """Examples that one rank is given an epoch: N/R, up or, with ``drop_last``, down."""
        return self.examples // self.ranks if self.drop_last else -(-self.examples // self.ranks)

    @property
    def micro_batches_per_epoch(self) -> int:
        return self.share // self.micro_batch if self.drop_last else -(-self.share // self.micro_batch)

    @property
    def last_micro_batch(self) -> int:
        """Examples in the last micro-batch of an epoch."""
        return self.micro_batch if self.drop_last else (self.share - 1) % self.micro_batch + 1

    @property
    def seen_per_epoch(self) -> int:
        """Examples that pass through the model, repeats counted, over all ranks."""
        return self.ranks * self._tail(self.micro_batches_per_epoch)

    @property
    def repeated(self) -> int:
        """Examples an epoch that are there twice, so that every rank has as many."""
        return max(self.seen_per_epoch - self.examples, 0)

    @property
    def unseen(self) -> int:
        """Examples an epoch that ``drop_last`` keeps from the model."""
        return max(self.examples - self.seen_per_epoch, 0)

    @property
    def leftover_micro_batches(self) -> int:
        """Micro-batches of the last, incomplete window of an epoch, on one rank."""
        return self.micro_batches_per_epoch % self.accumulation

    @property
    def leftover_examples(self) -> int:
        """Examples of that window, over all ranks."""
        return self.ranks * self._tail(self.leftover_micro_batches)

    @property
    def updates_per_epoch(self) -> int:
        """Updates of the first epoch; where windows are carried over, a later one may have one more."""
        return len(self.updates_of(0))

    @property
    def last_weight(self) -> float:
        """What an example of the first epoch's last micro-batch counts, over what one in a full window counts.

        A micro-batch counts as much as any other, however few share it: m/last each. A stepped window of r
        micro-batches is divided by r instead of K: times K/r. 0 where no update of the run uses it.
        """
        left, later = self.leftover_micro_batches, self.micro_batches - self.micro_batches_per_epoch
        if (left and self.window == "dropped") or self.waiting(self.epochs) > later:
            return 0.0
        window = self.accumulation / left if left and self.window == "stepped" else 1.0
        return window * self.micro_batch / self.last_micro_batch

    @property
    def micro_batches(self) -> int:
        """Forward and backward passes of one rank, in all."""
        return self.epochs * self.micro_batches_per_epoch

    @property
    def updates(self) -> int:
        if self.window == "carried":
            return self.micro_batches // self.accumulation
        return self.epochs * self.updates_per_epoch

    @property
    def samples_seen(self) -> int:
        return self.epochs * self.seen_per_epoch

    @property
    def samples_used(self) -> int:
        """Those that are part of some update when the run ends."""
        if self.window == "dropped":
            return self.epochs * (self.seen_per_epoch - self.leftover_examples)
        whole, rest = divmod(self.waiting(self.epochs), self.micro_batches_per_epoch)
        return (self.epochs - whole) * self.seen_per_epoch - self.ranks * self._tail(rest)

    def waiting(self, epoch: int) -> int:
        """Micro-batches of earlier epochs whose gradients wait for an update when ``epoch`` (from 0) begins."""
        if self.window == "carried":
            return epoch * self.micro_batches_per_epoch % self.accumulation
        if self.window == "leaked" and epoch:
            never = self.micro_batches_per_epoch < self.accumulation  # then no epoch ever steps, and all of them wait
            return epoch * self.micro_batches_per_epoch if never else self.leftover_micro_batches
        return 0

    def updates_of(self, epoch: int) -> tuple[Update, ...]:
        """The updates of one epoch (from 0), in order: what a timeline draws."""
        total, full, waiting = self.micro_batches_per_epoch, self.accumulation, self.waiting(epoch)
        first = full - waiting if self.window == "carried" else full
        updates = [Update(epoch, after, full, full) for after in range(first, total + 1, full)]
        if updates and self.window == "leaked":
            updates[0] = Update(epoch, full, waiting + full, full)
        left = self.leftover_micro_batches
        if left and self.window in ("stepped", "shrunk"):
            updates.append(Update(epoch, total, left, left if self.window == "stepped" else full))
        return tuple(updates)

    def timeline(self) -> Iterator[Update]:
        """Every update of the run, in order."""
        for epoch in range(self.epochs):
            yield from self.updates_of(epoch)

    def _tail(self, count: int) -> int:
        """Examples in the last ``count`` micro-batches of an epoch, on one rank."""
        return count * self.micro_batch - (self.micro_batch - self.last_micro_batch if count else 0)


# The plans that the documents compare: 10,000 examples, batch 32.
DOCUMENTS = {name: Plan(10_000, 32 // k, k) for name, k in (("A", 1), ("B", 2), ("C", 4), ("D", 8))}
