"""What only a GPU can show: the instruments on CUDA agree with the CPU. Skipped elsewhere, with the reason."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from tutorlib.experiments.measure_the_noise import VARIANCE
from tutorlib.measure.fit import fit
from tutorlib.measure.noise import exact_noise, gradient_sampler, two_batch_noise
from tutorlib.nn.data import digits, mnist1d
from tutorlib.nn.device import available, machine, pick
from tutorlib.nn.models import make
from tutorlib.store import Store
from tutorlib.study import study

pytestmark = pytest.mark.skipif("cuda" not in available(), reason="needs a CUDA device")


@pytest.mark.parametrize(("name", "data"), [("mlp", digits), ("cnn", mnist1d)])
def test_exact_noise_is_the_same_on_both_devices(name, data):
    on = {device: exact_noise(make(name, 0, device), cross_entropy, data(512, 0, device)) for device in ("cpu", "cuda")}
    assert on["cuda"].trace == pytest.approx(on["cpu"].trace, rel=1e-3)
    assert on["cuda"].grad_sq == pytest.approx(on["cpu"].grad_sq, rel=1e-3)


def test_the_same_seed_draws_the_same_examples_on_both_devices():
    gradients = [
        gradient_sampler(make("mlp", 0, d), cross_entropy, digits(512, 0, d), 3)(32).cpu() for d in ("cpu", "cuda")
    ]
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-5)


def test_micro_batches_equal_the_whole_batch_on_the_gpu():
    models = [make("mlp", 0, "cuda").double() for _ in range(2)]
    data = digits(512, 0, "cuda")
    data = type(data)(data.x.double(), data.y)
    for model, micro in zip(models, (128, 5), strict=True):
        fit(model, cross_entropy, data, batch=128, micro_batch=micro, rate=0.1, steps=5, seed=0)
    for a, b in zip(*(m.parameters() for m in models), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def test_the_estimators_run_on_the_gpu():
    model, data = make("mlp", 0, "cuda"), digits(1024, 0, "cuda")
    exact = exact_noise(model, cross_entropy, data)
    draws = two_batch_noise(gradient_sampler(model, cross_entropy, data, 0), 8, 128, draws=200)
    assert draws.noise.scale == pytest.approx(exact.scale, rel=0.3)


def test_a_study_on_the_gpu_names_it(tmp_path):
    results = study(VARIANCE.at(seeds=2), "cuda", records=Store(tmp_path / "variance.jsonl"))
    assert results.records[0].machine.name == machine(pick("cuda")).name and results.seeds == 2
