"""The audit: which layers of a model look across the batch, how much they see at this micro-batch, and what helps."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from tutorlib.measure.guards import check_model
from tutorlib.measure.neighbours import PROBE, Coupling, coupled_layers
from tutorlib.theory.batch_statistics import ENOUGH, horizon, mean_sd, variance_sd
from tutorlib.theory.noise import check_batch

COLUMNS = ("layer", "kind", "in training", "in evaluation", "values", "sd(mean)", "sd(var)", "horizon", "what helps")


@dataclass(frozen=True)
class Finding:
    """One layer that looks across the batch.

    ``values`` is how many numbers each of its statistics is made of, ``None`` where the layer is no BatchNorm;
    ``horizon`` how many updates its running statistics look back on, ``None`` where it has none or averages all.
    """

    layer: str
    kind: str
    in_training: bool
    in_evaluation: bool
    values: int | None
    horizon: float | None
    cure: str

    @property
    def cells(self) -> tuple[str, ...]:
        noise = [f"{law(self.values):.0%}" for law in (mean_sd, variance_sd)] if (self.values or 0) > 1 else ["–"] * 2
        numbers = [f"{self.values:,}" if self.values else "–", *noise, f"{self.horizon:.3g}" if self.horizon else "–"]
        modes = ["yes" if looks else "no" for looks in (self.in_training, self.in_evaluation)]
        return (self.layer or "(the model)", self.kind, *modes, *numbers, self.cure)


@dataclass(frozen=True)
class Audit:
    """The layers of one model that look across the batch, at one micro-batch and accumulation; printed as a table."""

    micro_batch: int
    accumulation: int
    findings: tuple[Finding, ...]

    def __str__(self) -> str:
        where = f"micro-batch {self.micro_batch} × accumulation {self.accumulation}"
        if not self.findings:
            return f"{where}: no layer looks across the batch; accumulation equals the large batch"
        rows = [COLUMNS, *(finding.cells for finding in self.findings)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
        return "\n".join([f"{where}: {len(self.findings)} layer(s) look across the batch", *lines])

    __repr__ = __str__


def audit(model: nn.Module, micro_batch: int, example_input, accumulation: int = 1) -> Audit:
    """Every layer of ``model`` that looks across the batch, in the order of the calls.

    ``example_input`` (examples, …) is at least two different examples, or a tuple of tensors for a model of several
    inputs. A layer is found by its behaviour: an example's answer changes with its neighbours
    (:func:`~tutorlib.measure.neighbours.coupled_layers`), after ``model.train()`` or after ``model.eval()``. A layer
    that stays frozen after ``model.train()`` is not found, one that training would wake is. The model stays as it
    is. A layer that the forward pass does not call is not judged. Raises ``ValueError`` where the model cannot
    be probed. Under torch.distributed call it on every rank, for synchronised layers talk to each other.
    """
    check_model(model)
    check_batch(micro_batch, name="micro_batch")
    check_batch(accumulation, name="accumulation")
    training, evaluation = (coupled_layers(model, example_input, mode) for mode in (True, False))
    names = dict.fromkeys((*training.layers, *evaluation.layers))
    findings = tuple(_finding(model, name, training, evaluation, micro_batch, accumulation) for name in names)
    return Audit(micro_batch, accumulation, findings)


def _finding(
    model: nn.Module, name: str, training: Coupling, evaluation: Coupling, micro_batch: int, accumulation: int
) -> Finding:
    layer = model.get_submodule(name)
    in_training, in_evaluation = name in training.layers, name in evaluation.layers
    values = memory = None
    if isinstance(layer, _BatchNorm):
        examples, shape = micro_batch * _ranks(layer), training.shapes[name]
        channels = shape[1]
        values = examples * (torch.Size(shape).numel() // channels // PROBE)
        if layer.track_running_stats and layer.momentum:
            memory = horizon(layer.momentum, accumulation)
        cure = _cure(values, examples, in_evaluation)
    elif in_evaluation:
        cure = "nothing here: accumulated parts see their own neighbours only"
    else:
        cure = "evaluation mode, if training can do without it"
    return Finding(name, type(layer).__name__, in_training, in_evaluation, values, memory, cure)


def _cure(values: int, examples: int, in_evaluation: bool) -> str:
    if values == 1:
        return "cannot train: one value has no variance. More examples, freeze_batchnorm or to_group_norm"
    if in_evaluation:  # it keeps no running statistics to be frozen at
        return "to_group_norm, and train again"
    if examples >= ENOUGH:
        return f"none needed from {ENOUGH} examples on"
    return "freeze_batchnorm if pretrained, to_group_norm from scratch, synchronise over ranks"


def _ranks(layer: _BatchNorm) -> int:
    """How many ranks share a statistic."""
    distributed = torch.distributed
    if not isinstance(layer, nn.SyncBatchNorm) or not distributed.is_available() or not distributed.is_initialized():
        return 1
    return distributed.get_world_size(layer.process_group)
