"""Advice on a batch as data: what was measured on one model."""

import dataclasses
from dataclasses import dataclass

import numpy as np

from tutorlib.jsonlines import Line
from tutorlib.theory.noise import check_batch
from tutorlib.theory.trade_off import StepTime, fit_step_time

MIB = 2**20


def amount(size: float) -> str:
    """Bytes, and the same in the unit of the command line."""
    return f"{size:,.0f} bytes ({size / MIB:,.3g} MiB)"


@dataclass(frozen=True)
class Scale:
    """A noise scale in examples with its 95 % interval; ``value`` or ``high`` is ``None`` where nothing bounds it."""

    value: float | None
    low: float
    high: float | None

    @property
    def middle(self) -> float:
        """The number to go by: where |G|² is lost in its noise only the lower bound is left."""
        return self.low if self.value is None else self.value

    def __str__(self) -> str:
        if self.value is None:
            return f"at least {self.low:,.0f}"
        return f"{self.value:,.0f} ({self.low:,.0f} to {f'{self.high:,.0f}' if self.high else 'no upper bound'})"


@dataclass(frozen=True)
class Advice(Line):
    """What was measured on one model, loss and loader; ``None`` and empty tuples where it could not be.

    ``coupled`` layers look across the batch, the smallest statistic among them made of ``values`` numbers an example.
    ``sizes`` are micro-batches, ``passes`` the seconds of a forward and backward pass at each, ``update`` those of
    the optimizer; ``own_rate`` is the adviser's, where none was handed in. Noise is kept as ``signals``, |G|²/tr Σ =
    1/B_noise, at ``steps`` of a run at ``batch``: that ratio has an interval even where |G|² is lost in its noise;
    ``draws`` gradients of ``noise_batch`` each. Bytes of a step: max(floor, fixed + B · an example).
    """

    optimizer: str
    batch: int
    read: int
    parameters: int
    loader_seconds: float
    coupled: int
    sizes: tuple[int, ...]
    passes: tuple[float, ...]
    update: float
    steps: tuple[int, ...]
    losses: tuple[float, ...]
    signals: tuple[float, ...]
    lows: tuple[float, ...]
    highs: tuple[float, ...]
    noise_batch: int
    draws: int
    seconds: float
    examples: int | None = None
    values: int | None = None
    layers: tuple[str, ...] = ()
    fixed_bytes: float | None = None
    example_bytes: float | None = None
    floor_bytes: float | None = None
    memory: float | None = None
    largest: int | None = None
    own_rate: float | None = None

    def numbers(self) -> dict:
        """What a record can hold: everything but the words and what is not known."""
        every = dataclasses.asdict(self).items()
        return {n: value for n, value in every if n not in ("optimizer", "layers") and value is not None}

    @classmethod
    def of(cls, numbers, optimizer: str) -> "Advice":
        return cls(optimizer=optimizer, **numbers)

    @property
    def pace(self) -> StepTime:
        """Seconds of a pass, p + c·m."""
        return fit_step_time(self.sizes, self.passes)

    @property
    def noise(self) -> Scale:
        """The B_crit that the noise along the run predicts; its interval takes all looks to err the same way."""
        value, low, high = (critical_from_signals(each, self.batch) for each in (self.signals, self.highs, self.lows))
        return Scale(value, low or 0.0, high)

    def scale_at(self, look: int) -> Scale:
        """B_noise at one look of the run."""
        value, low, high = (1 / s if s > 0 else None for s in (self.signals[look], self.highs[look], self.lows[look]))
        return Scale(value, low or 0.0, high)

    def seconds_of(self, micro_batch: int, accumulation: int = 1) -> float:
        """Seconds of one update on one rank; between timed sizes a straight line, beyond them nothing is known."""
        check_batch(micro_batch, self.sizes[-1], "micro_batch", "the largest that was timed")
        return self.update + accumulation * float(np.interp(micro_batch, self.sizes, self.passes))

    def largest_in(self, memory: float | None) -> int:
        """The largest micro-batch that was timed and fits in ``memory`` bytes, with gradients that are kept."""
        most = self.sizes[-1] if self.largest is None else min(self.sizes[-1], self.largest)
        if memory is None or self.example_bytes is None:
            return most
        fits = int((memory - self.fixed_bytes) // self.example_bytes)
        return min(most, fits) if self.floor_bytes <= memory and fits >= self.sizes[0] else 0


def critical_from_signals(signals, batch: int) -> float | None:
    """:func:`~tutorlib.theory.trade_off.critical_from_noise` of B_noise = 1/signal; ``None`` if no signal is left.

    Each scale 1/s counts with weight 1/(1 + 1/(sB)): Σ 1/(s + 1/B) over Σ s/(s + 1/B), which allows s = 0.
    """
    signals = np.maximum(np.asarray(signals, dtype=float), 0.0)
    if not signals.any():
        return None
    return float((1 / (signals + 1 / batch)).sum() / (signals / (signals + 1 / batch)).sum())
