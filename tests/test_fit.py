"""The training loop: micro-batches change nothing, one step is θ − η g, and divergence is a result."""

import copy
import functools
import itertools
import math

import pytest
import torch
from naive import naive_fit
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss
from torch.nn.utils import parameters_to_vector

from tutorlib.measure.fit import batches, fit
from tutorlib.nn.data import Data, digits
from tutorlib.nn.models import make
from tutorlib.nn.optimizers import sgd

torch.set_num_threads(1)  # the models are so small that a second thread only waits


def double_digits(examples):
    data = digits(examples)
    return Data(data.x.double(), data.y)


def perceptron(seed=0):
    return make("mlp", seed, width=16).double()


def flat(model):
    return parameters_to_vector(model.parameters()).detach().clone()


def fitted(data, steps=4, rate=0.5, seed=3, **settings):
    model = perceptron()
    return model, fit(model, cross_entropy, data, rate=rate, steps=steps, seed=seed, **settings)


@pytest.mark.parametrize(
    "batch, micro_batch", [(128, 1), (128, 3), (128, 32), (128, 127), (128, 128), (10, 4), (7, 2), (3, 1), (1, 1)]
)
def test_the_size_of_the_parts_changes_nothing(batch, micro_batch):
    data = double_digits(256)
    whole, in_parts = fitted(data, batch=batch), fitted(data, batch=batch, micro_batch=micro_batch)
    assert float((flat(whole[0]) - flat(in_parts[0])).abs().max()) < 1e-12
    assert in_parts[1].losses == pytest.approx(whole[1].losses, abs=1e-12)
    assert float((flat(whole[0]) - flat(perceptron())).abs().max()) > 1e-3


@pytest.mark.parametrize("batch, micro_batch", [(1, None), (8, None), (8, 3), (50, 50), (50, 7)])
def test_fit_is_the_naive_loop(batch, micro_batch):
    data, twin = double_digits(50), perceptron()
    losses = naive_fit(twin, cross_entropy, data, batch, rate=0.5, steps=12, seed=3)
    model, done = fitted(data, steps=12, batch=batch, micro_batch=micro_batch)
    assert float((flat(model) - flat(twin)).abs().max()) < 1e-12
    assert done.losses == pytest.approx(losses, abs=1e-12) and not done.diverged


def test_fit_with_momentum_is_the_naive_loop_with_momentum():
    data, twin = double_digits(50), perceptron()
    naive_fit(twin, cross_entropy, data, 8, rate=0.1, steps=20, seed=3, momentum=0.9)
    model, _ = fitted(data, rate=0.1, steps=20, batch=8, optimizer=functools.partial(sgd, momentum=0.9))
    assert float((flat(model) - flat(twin)).abs().max()) < 1e-12


def gradient(model, data, chosen):
    value = cross_entropy(model(data.x[chosen]), data.y[chosen])
    return torch.cat([g.flatten() for g in torch.autograd.grad(value, list(model.parameters()))])


@pytest.mark.parametrize("batch, micro_batch", [(1, 1), (32, 32), (32, 5), (64, 1)])
def test_one_step_is_theta_minus_rate_times_gradient(batch, micro_batch):
    data, before = double_digits(64), perceptron()
    chosen = next(batches(64, batch, 3))
    model, done = fitted(data, steps=1, rate=0.25, batch=batch, micro_batch=micro_batch)
    expected = flat(before) - 0.25 * gradient(before, data, chosen)
    assert float((flat(model) - expected).abs().max()) < 1e-14
    assert done.losses == pytest.approx([cross_entropy(before(data.x[chosen]), data.y[chosen]).item()])


def test_a_gradient_left_over_from_before_is_no_part_of_the_step():
    data, model = double_digits(64), perceptron()
    cross_entropy(model(data.x), data.y).backward()
    fit(model, cross_entropy, data, batch=32, rate=0.5, steps=1, seed=3)
    clean, _ = fitted(data, steps=1, batch=32)
    assert float((flat(model) - flat(clean)).abs().max()) < 1e-14


def test_no_gradient_is_left_behind():
    model, _ = fitted(double_digits(64), batch=32)
    assert all(p.grad is None for p in model.parameters())


def test_frozen_parameters_stay_where_they_were():
    data, model = double_digits(64), perceptron()
    model[0].weight.requires_grad_(False)
    before, frozen = flat(model), model[0].weight.clone()
    fit(model, cross_entropy, data, batch=32, rate=0.5, steps=3, seed=0)
    assert torch.equal(model[0].weight, frozen) and not torch.equal(flat(model), before)


def test_a_parameter_that_the_loss_does_not_see_stays_where_it_was():
    model = nn.ModuleDict({"seen": nn.Linear(64, 10), "unseen": nn.Linear(2, 2)}).double()
    model.forward = lambda x: model["seen"](x)
    before = flat(model["unseen"])
    fit(model, cross_entropy, double_digits(64), batch=32, rate=0.5, steps=2, seed=0)
    assert torch.equal(flat(model["unseen"]), before)


def test_batch_1_and_batch_128_see_the_same_examples_in_the_same_order():
    for small, big in ((1, 128), (4, 32)):
        ones = torch.cat(list(itertools.islice(batches(256, small, 5), 3 * 256 // small)))
        whole = torch.cat(list(itertools.islice(batches(256, big, 5), 3 * 256 // big)))
        assert torch.equal(ones, whole)
    assert not torch.equal(whole, torch.cat(list(itertools.islice(batches(256, 32, 6), 24))))


@pytest.mark.parametrize("batch", [1, 3, 10, 30])
def test_every_epoch_sees_every_example_once(batch):
    parts = itertools.islice(batches(30, batch, 5), 4 * 30 // batch)
    epochs = torch.cat(list(parts)).view(4, 30)
    assert torch.equal(epochs.sort(dim=1).values, torch.arange(30).expand(4, 30))
    assert not torch.equal(epochs[0], epochs[1])


def test_the_end_of_an_epoch_that_fills_no_batch_is_left_out():
    parts = list(itertools.islice(batches(10, 4, 5), 6))
    assert all(len(part) == 4 for part in parts)
    for first, second in zip(parts[::2], parts[1::2], strict=True):
        assert len(set(torch.cat([first, second]).tolist())) == 8


def test_fitting_leaves_the_global_random_stream_and_the_data_alone():
    data, before = double_digits(64), torch.get_rng_state()
    x = data.x.clone()
    fitted(data, batch=8, micro_batch=3)
    assert torch.equal(torch.get_rng_state(), before) and torch.equal(data.x, x)


def test_after_every_step_the_watcher_sees_the_new_parameters():
    data, model, path = double_digits(64), perceptron(), []
    watch = dict(after_step=lambda m: path.append(flat(m)))
    fit(model, cross_entropy, data, batch=8, rate=0.1, steps=3, seed=0, **watch)
    shorter, _ = fitted(data, batch=8, rate=0.1, steps=2, seed=0)
    assert len(path) == 3 and torch.equal(path[-1], flat(model)) and torch.equal(path[1], flat(shorter))


def line(dtype=torch.float32):
    """One parameter θ = 1 and the loss θ², which a rate above 1 makes grow at every step."""
    model = nn.Linear(1, 1, bias=False, dtype=dtype)
    nn.init.ones_(model.weight)
    return model, Data(torch.ones(4, 1, dtype=dtype), torch.zeros(4, 1, dtype=dtype))


@pytest.mark.parametrize("micro_batch", [1, 3, 4])
@pytest.mark.parametrize("dtype, rate", [(torch.float32, 50.0), (torch.float64, 1e10), (torch.float32, 1e25)])
def test_divergence_is_a_result_with_finite_parameters(dtype, rate, micro_batch):
    model, data = line(dtype)
    done = fit(model, mse_loss, data, batch=4, micro_batch=micro_batch, rate=rate, steps=500, seed=0)
    assert done.diverged and 1 <= len(done.losses) < 500
    assert all(math.isfinite(value) for value in done.losses) and done.losses[0] == 1.0
    assert bool(torch.isfinite(model.weight).all()) and model.weight.grad is None


def test_a_rate_that_does_not_diverge_is_not_called_divergence():
    model, data = line()
    done = fit(model, mse_loss, data, batch=4, rate=0.25, steps=500, seed=0)
    assert not done.diverged and len(done.losses) == 500 and done.losses[1] == 0.25


@pytest.mark.parametrize("steps", [1, 2])
def test_parameters_are_finite_even_when_a_gradient_is_not(steps):
    model, data = line()
    data = Data(data.x, data.x)  # θ = 1 fits exactly, and the slope of a square root at 0 is infinite
    done = fit(model, lambda o, y: mse_loss(o, y).sqrt(), data, batch=4, rate=0.1, steps=steps, seed=0)
    assert done.diverged and bool(torch.isfinite(model.weight).all())


@pytest.mark.parametrize("batch", [0, -1, 65, 2.5, "8", True, None])
def test_an_impossible_batch_is_refused_with_the_allowed_range(batch):
    with pytest.raises(ValueError, match=r"^batch is .*allowed: a whole number from 1 to 64"):
        fitted(double_digits(64), batch=batch)


@pytest.mark.parametrize("micro_batch", [0, -1, 9, 65, 2.5, "8", True])
def test_an_impossible_micro_batch_is_refused_with_the_allowed_range(micro_batch):
    with pytest.raises(ValueError, match=r"^micro_batch is .*allowed: a whole number from 1 to 8"):
        fitted(double_digits(64), batch=8, micro_batch=micro_batch)


def test_what_is_refused_leaves_the_model_alone():
    model = perceptron()
    before = flat(model)
    with pytest.raises(ValueError):
        fit(model, cross_entropy, double_digits(64), batch=65, rate=0.5, steps=1, seed=0)
    assert torch.equal(flat(model), before) and all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_sgd_is_torch_s_own(momentum):
    generator = torch.Generator().manual_seed(1)
    ours = torch.randn(5, 3, generator=generator, dtype=torch.float64)
    theirs, state = nn.Parameter(copy.deepcopy(ours)), None
    optimizer = torch.optim.SGD([theirs], lr=0.1, momentum=momentum)
    for _ in range(20):
        theirs.grad = torch.randn(5, 3, generator=generator, dtype=torch.float64)
        ours, state = sgd(ours, theirs.grad, state, 0.1, momentum)
        optimizer.step()
        assert float((ours - theirs.detach()).abs().max()) < 1e-14


def test_sgd_changes_neither_the_parameter_nor_the_gradient_it_is_given():
    parameter, g = torch.ones(3), torch.full((3,), 2.0)
    new, state = sgd(parameter, g, torch.full((3,), 4.0), 0.5, momentum=0.5)
    assert parameter.tolist() == [1.0] * 3 and g.tolist() == [2.0] * 3
    assert new.tolist() == [-1.0] * 3 and state.tolist() == [4.0] * 3
