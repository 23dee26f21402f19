"""What only a GPU can show: replicas on CUDA equal ``fit`` there, and the clocks of lesson 05 tick."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from tutorlib.experiments.race_two_speeds import CLOCK, GPT_CLOCK, SGD
from tutorlib.measure.ensemble import fit_ensemble
from tutorlib.measure.fit import fit
from tutorlib.nn.data import Data, digits, mnist1d
from tutorlib.nn.device import available
from tutorlib.nn.models import make
from tutorlib.nn.optimizers import adamw, sgd
from tutorlib.store import Store
from tutorlib.study import study

pytestmark = pytest.mark.skipif("cuda" not in available(), reason="needs a CUDA device")


@pytest.mark.parametrize("optimizer", [sgd, adamw], ids=["sgd", "adamw"])
@pytest.mark.parametrize(("name", "data"), [("mlp", digits), ("cnn", mnist1d)])
def test_every_replica_is_what_fit_makes_of_it_on_the_gpu(name, data, optimizer):
    examples = data(256, 0, "cuda")
    examples = Data(examples.x.double(), examples.y)
    many, alone = ([make(name, seed, "cuda").double() for seed in range(3)] for _ in range(2))
    settings = {"batch": 16, "micro_batch": 6, "steps": 10, "optimizer": optimizer}
    fits = fit_ensemble(many, cross_entropy, examples, rates=[0.01, 0.02, 0.03], seeds=range(3), **settings)
    for seed, model in enumerate(alone):
        done = fit(model, cross_entropy, examples, rate=0.01 * (seed + 1), seed=seed, **settings)
        assert done.losses == pytest.approx(fits[seed].losses, rel=1e-9)
        for a, b in zip(model.parameters(), many[seed].parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-9)


def test_a_replica_that_diverges_on_the_gpu_ends_alone():
    models, data = [make("mlp", seed, "cuda") for seed in range(3)], digits(256, 0, "cuda")
    done = fit_ensemble(models, cross_entropy, data, batch=16, rates=[0.1, 1e38, 0.1], steps=20, seeds=range(3))
    assert [fit.diverged for fit in done] == [False, True, False]
    assert all(torch.isfinite(p).all() for model in models for p in model.parameters())


@pytest.mark.parametrize("experiment", [CLOCK, GPT_CLOCK, SGD], ids=lambda e: e.name)
def test_the_experiments_of_the_lesson_run_on_the_gpu(experiment, tmp_path):
    small = experiment.at(points=experiment.points[:7], seeds=1)
    done = study(small, "cuda", records=Store(tmp_path / "records.jsonl"))
    assert len(done) == 7 and all(record.outcome == "ok" for record in done)


def test_a_gpt_2_stays_below_the_matrix_peak_of_its_card(tmp_path):
    shape = GPT_CLOCK.at("full", points=({"micro_batch": 8},), seeds=1)
    (record,) = study(shape, "cuda", records=Store(tmp_path / "records.jsonl"))
    assert 0 < record["teraflops"] < record["peak_teraflops"]
