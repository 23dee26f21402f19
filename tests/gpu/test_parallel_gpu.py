"""What only GPUs can show: BatchNorm over ranks is torch's own ``SyncBatchNorm``, and NCCL adds up what gloo does."""

import pytest
import torch
import torch.distributed as dist
from torch import nn

from tutorlib.experiments.two_processes import PARALLEL
from tutorlib.measure.parallel import on_ranks
from tutorlib.nn.device import available, of_ranks
from tutorlib.nn.sync_batchnorm import SyncBatchNorm
from tutorlib.store import Store
from tutorlib.study import study

pytestmark = pytest.mark.skipif("cuda" not in available(), reason="needs a CUDA device")
RANKS = 2 if torch.cuda.device_count() > 1 else 1


def beside_torchs_own(device):
    """Largest differences between the two layers, in fp64, on as many examples more as the rank's number."""
    make = torch.Generator().manual_seed(dist.get_rank())
    x = torch.randn(4 + dist.get_rank(), 6, 5, generator=make, dtype=torch.double).to(device) + 3
    layers, found = [kind(6, dtype=torch.double, device=device) for kind in (SyncBatchNorm, nn.SyncBatchNorm)], []
    for layer in layers:
        given = x.clone().requires_grad_()
        output = layer(given)
        output.pow(3).sum().backward()
        found.append([output, given.grad, layer.weight.grad, layer.bias.grad, layer.running_mean, layer.running_var])
    return [dist.get_backend(), max(float((a - b).abs().max()) for a, b in zip(*found, strict=True))]


def test_batchnorm_over_ranks_is_torchs_own_on_gpus():
    for backend, gap in on_ranks([(beside_torchs_own, {})], ranks=RANKS, device="cuda")[0]:
        assert backend == "nccl" and gap < 1e-10


def test_the_two_processes_of_the_lesson_run_where_there_are_gpus_and_say_where_they_computed(tmp_path):
    done = study(PARALLEL.at(seeds=1), "cuda", records=Store(tmp_path / "records.jsonl"))
    assert len(done) == len(PARALLEL.points)
    assert {record["computed_on"] for record in done} == {of_ranks("cuda", 2)}
    assert max(record["distance"] for record in done if record.run.settings["measure"] == "sent") < 1e-12
