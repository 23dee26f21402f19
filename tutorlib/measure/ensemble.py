"""Many replicas of one model trained at once, each equal to :func:`~tutorlib.measure.fit.fit` with its seed."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import torch
from torch import nn

from tutorlib.errors import Refused
from tutorlib.measure.alike import check_alike, check_knobs, check_subsets
from tutorlib.measure.chunk import Chunk, losses_of, orders
from tutorlib.measure.fit import Fit, pace
from tutorlib.measure.replica_layers import batched_layers
from tutorlib.measure.stack import vmap_agrees
from tutorlib.nn.data import Data
from tutorlib.nn.optimizers import sgd
from tutorlib.theory.noise import check_batch

# What one call should hold on a processor, from timings in course/log.md: more rows (replicas × examples or
# tokens) or more parameters fall out of its caches, and then replicas wait for memory instead of for each other.
ROWS, ROWS_GENERAL, NUMBERS = 8192, 1024, 2_000_000


def fit_ensemble(
    models: Sequence[nn.Module],
    loss: Callable,
    data: Data,
    *,
    batch: int,
    rates: Sequence,
    steps: int,
    seeds: Sequence,
    subsets: torch.Tensor | None = None,
    micro_batch: int | None = None,
    optimizer: Callable = sgd,
    knobs: Mapping[str, Sequence[float]] | None = None,
    precondition: Callable | None = None,
    after_step: Callable | None = None,
    chunk: int | None = None,
) -> list[Fit]:
    """Train replica r = ``models[r]`` in place at ``rates[r]`` in the data order of ``seeds[r]``, all at once.

    Everything else is as in ``fit``: a rate is a number or a schedule, micro-batches are accumulated, a replica
    that diverges ends alone with the parameters of the step before. ``subsets`` (replicas, examples) gives each
    replica its own training examples, as indices into ``data``. ``knobs`` are more numbers of the optimizer, by name,
    one a replica; or of ``precondition(stack, x, gradients, state, **knobs) → (gradients, state)``, if there is one,
    which sees the whole batch first (:func:`~tutorlib.measure.kfac.kfac`). ``after_step(ensemble)`` watches, and may
    :meth:`~Ensemble.stop` replicas. ``chunk`` replicas share a call; the default never loses to one by one.
    Dropout draws one mask a replica from torch's stream, so it equals ``fit`` in distribution only.
    """
    counts = [len(given) if isinstance(given, Sequence | np.ndarray) else given for given in (models, rates, seeds)]
    if not counts[0] == counts[1] == counts[2]:
        raise Refused(
            f"models, rates and seeds have {counts[0]}, {counts[1]} and {counts[2]} entries; "
            "allowed: one of each a replica"
        )
    knobs = check_knobs(knobs or {}, len(models))
    check_alike(models)
    subsets = None if subsets is None else check_subsets(subsets, len(models), len(data))
    examples = len(data) if subsets is None else subsets.shape[1]
    check_batch(batch, examples)
    micro_batch = check_batch(batch if micro_batch is None else micro_batch, batch, "micro_batch", "the batch")
    paces = torch.tensor([pace(rate, check_batch(steps, name="steps")) for rate in rates], dtype=torch.float64).T
    chunk = chunk_size(models, loss, data, micro_batch, chunk if chunk is None else check_batch(chunk, name="chunk"))
    for model in models:
        model.zero_grad()
    ensemble = Ensemble(models, loss)
    for these in np.array_split(np.arange(len(models)), -(-len(models) // chunk)):  # evenly: a chunk of one is slow
        order = orders(examples, batch, [seeds[r] for r in these], None if subsets is None else subsets[these])
        own = {name: values[these] for name, values in knobs.items()}
        ensemble.chunks.append(Chunk(these.tolist(), models, order, paces[:, these], own, precondition))
    for step in range(steps):
        for member in ensemble.chunks:
            member.step(loss, data, micro_batch, optimizer)
        ensemble.steps_done = step + 1
        ensemble.bury()
        if after_step:
            after_step(ensemble)
        if not ensemble.live:
            break
    return ensemble.finish()


def chunk_size(models: Sequence[nn.Module], loss: Callable, data: Data, micro_batch: int, wanted: int | None) -> int:
    """How many replicas one call should hold: all of them on a GPU, what fits the caches on a processor.

    ``wanted`` if it is given. One by one where ``torch.vmap`` does not know the model: tried on two replicas.
    """
    general = not batched_layers(models[0])
    if general and len(models) > 1 and not vmap_agrees(models[:2], loss, data):
        return 1
    if wanted is not None:
        return wanted
    if data.x.device.type != "cpu":
        return len(models)
    rows = micro_batch * (1 if data.x.is_floating_point() else data.x[0].numel())
    return max(
        1, min((ROWS_GENERAL if general else ROWS) // rows, NUMBERS // sum(p.numel() for p in models[0].parameters()))
    )


class Ensemble:
    """Replicas in training, in chunks that move in lockstep: what ``after_step`` watches."""

    def __init__(self, models: Sequence[nn.Module], loss: Callable):
        self.models, self.loss = models, loss
        self.chunks: list[Chunk] = []
        self.steps_done, self.diverged = 0, set()
        self.losses: dict[int, list[float]] = {replica: [] for replica in range(len(models))}

    @property
    def live(self) -> list[int]:
        """The replicas still training, in rising order."""
        return [replica for chunk in self.chunks for replica in chunk.replicas]

    def bury(self) -> None:
        """End the replicas that have diverged."""
        dead = [replica for chunk in self.chunks for replica in chunk.dead()]
        self.diverged.update(dead)
        self.stop(dead)

    def write(self, replicas: Iterable[int]) -> None:
        """Copy the parameters of this moment into these replicas' models, and go on."""
        wanted = set(replicas)
        for chunk in self.chunks:
            for row, replica in enumerate(chunk.replicas):
                if replica in wanted:
                    chunk.stack.write_to(self.models[replica], row)

    def stop(self, replicas: Iterable[int]) -> None:
        """End these replicas here: their models get the parameters of this moment."""
        leaving = set(replicas)
        for chunk in self.chunks:
            if leaving & set(chunk.replicas):
                for replica, losses in chunk.release(leaving, self.models).items():
                    self.losses[replica] += losses
        self.chunks = [chunk for chunk in self.chunks if chunk.replicas]

    @torch.no_grad()
    def losses_on(self, data: Data) -> np.ndarray:
        """The mean loss of every live replica on the same examples, in the order of :attr:`live`."""
        found = []
        for chunk in self.chunks:
            outputs = chunk.stack.evaluate(data.x)
            found.append(losses_of(self.loss, outputs, data.y.expand(len(outputs), *data.y.shape)))
        return torch.cat(found).cpu().numpy() if found else np.zeros(0)

    def finish(self) -> list[Fit]:
        """End everyone, and say what each replica's losses were."""
        self.stop(self.live)
        return [Fit(tuple(losses), replica in self.diverged) for replica, losses in self.losses.items()]
