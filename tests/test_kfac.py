"""K-FAC: Newton where it can be, its definition everywhere else, and every replica on its own."""

import functools
import itertools

import numpy as np
import pytest
import torch
from replicas import drawn, replicas
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss, softmax

from tutorlib.errors import Refused
from tutorlib.measure.ensemble import fit_ensemble
from tutorlib.measure.fit import batches
from tutorlib.measure.kfac import factors, kfac
from tutorlib.measure.stack import Stack
from tutorlib.nn.data import Data
from tutorlib.nn.models import cnn, mlp
from tutorlib.nn.optimizers import sgd

torch.set_num_threads(1)  # the models are so small that a second thread only waits

LOSSES = {"softmax": cross_entropy, "squared": mse_loss}


def problem(loss="softmax", examples=30, inputs=6, outputs=4):
    x = drawn(examples, inputs)
    return Data(x, torch.arange(examples) % outputs if loss == "softmax" else x[:, :outputs].sin())


def deep():
    return nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 4))


def naive_factors(model, x, loss):
    """One example and one target of the model's own at a time; a squared loss has unit targets around its outputs."""
    layers = [layer for layer in model if isinstance(layer, nn.Linear)]
    found = [[0.0, 0.0] for _ in layers]
    for example in x:
        inputs, outputs, signal = [], [], example
        for layer in model:
            if isinstance(layer, nn.Linear):
                inputs.append(torch.cat([signal, torch.ones(1)]).detach())
            signal = layer(signal)
            if isinstance(layer, nn.Linear):
                outputs.append(signal)
        for target in range(len(signal)):
            if loss == "softmax":
                chance = float(softmax(signal.detach(), 0)[target])
                value = cross_entropy(signal[None], torch.tensor([target]))
            else:  # the log-likelihood whose Fisher matrix is 2/C times one: residuals ±√(2/C) along each axis
                chance, value = 1.0, (2 / len(signal)) ** 0.5 * signal[target]
            for layer, (a, g) in enumerate(
                zip(inputs, torch.autograd.grad(value, outputs, retain_graph=True), strict=True)
            ):
                found[layer][0] = found[layer][0] + (torch.outer(a, a) / len(x) if target == 0 else 0.0)
                found[layer][1] = found[layer][1] + chance * torch.outer(g, g) / len(x)
    return found


def naive_kfac(model, data, batch, rate, steps, seed, damping, loss, memory=0.95):
    """One model; each layer's curvature as one big matrix, a Kronecker product, and a linear system."""
    layers, means = [layer for layer in model if isinstance(layer, nn.Linear)], None
    for step, chosen in zip(range(steps), batches(len(data), batch, seed), strict=False):
        x, y = data.x[chosen], data.y[chosen]
        gradients = torch.autograd.grad(LOSSES[loss](model(x), y), list(model.parameters()))
        fresh = naive_factors(model, x, loss)
        keep = min(1 - 1 / (step + 1), memory)
        means = (
            fresh
            if means is None
            else [
                [keep * old + (1 - keep) * new for old, new in zip(*pair, strict=True)]
                for pair in zip(means, fresh, strict=True)
            ]
        )
        for layer, (a, g), weight, bias in zip(layers, means, gradients[::2], gradients[1::2], strict=True):
            pi = np.sqrt((np.trace(a) / len(a)) / (np.trace(g) / len(g)))
            a = a.numpy() + pi * np.sqrt(damping) * np.eye(len(a))
            g = g.numpy() + np.sqrt(damping) / pi * np.eye(len(g))
            whole = torch.cat([weight, bias[:, None]], dim=1).numpy()
            moved = np.linalg.solve(np.kron(g, a), whole.ravel()).reshape(whole.shape)
            with torch.no_grad():
                layer.weight -= rate * torch.from_numpy(moved[:, :-1])
                layer.bias -= rate * torch.from_numpy(moved[:, -1])


@pytest.mark.parametrize("loss", LOSSES)
def test_the_factors_are_means_over_examples_and_over_the_model_s_own_targets(loss):
    models, x = replicas(deep, 3), drawn(3, 9, 6, seed=4)
    stack = Stack(models)
    for layer, found in enumerate(factors(stack, x, loss)):
        for r, model in enumerate(models):
            for ours, theirs in zip(found, naive_factors(model, x[r], loss)[layer], strict=True):
                assert torch.allclose(ours[r], theirs, atol=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
def test_random_signs_give_the_factors_on_average_and_each_replica_the_same_ones(loss):
    """400 seeds, |z| < 5 for each of some sixty numbers: wrong once in thirty thousand."""
    models, x = replicas(deep, 3), drawn(3, 9, 6, seed=4)
    exact = factors(Stack(models), x, loss)
    drawn_ = [factors(Stack(models[:1]), x[:1], loss, draws=2, seed=seed) for seed in range(400)]
    for layer, (a, g) in enumerate(exact):
        found = torch.stack([each[layer][1][0] for each in drawn_])
        assert torch.equal(drawn_[0][layer][0][0], a[0])
        z = (found.mean(dim=0) - g[0]) / (found.std(dim=0) / 20 + 1e-15)
        assert float(z.abs().max()) < 5 and float(found.std(dim=0).max()) > 1e-4
    together = factors(Stack(models), x, loss, draws=2, seed=0)
    for layer, (_, g) in enumerate(together):
        assert torch.allclose(g[0], drawn_[0][layer][1][0], atol=1e-12)


def test_the_signs_are_new_at_every_step():
    models, seen = replicas(deep, 3), []

    def watched(stack, x, gradients, state):
        gradients, state = kfac(stack, x, gradients, state, memory=0.0, draws=1)
        seen.append(state[1][-1][1][0])
        return gradients, state

    fit_ensemble(models, cross_entropy, problem(), precondition=watched, **settings(3, 0.0))
    assert not torch.allclose(seen[1], seen[2], atol=1e-6)


@pytest.mark.parametrize("loss, chunk", [*itertools.product(LOSSES, (None, 2))])
def test_every_replica_is_k_fac_written_out_for_one_model(loss, chunk):
    models, twins, data = replicas(deep, 3), replicas(deep, 3), problem(loss)
    rates, damping, steps = (0.1, 0.5, 1.0), (0.1, 0.01, 1.0), 6
    fit_ensemble(
        models,
        LOSSES[loss],
        data,
        batch=10,
        rates=rates,
        steps=steps,
        seeds=range(3),
        knobs={"damping": damping},
        precondition=functools.partial(kfac, loss=loss),
        chunk=chunk,
    )
    for r, (model, twin) in enumerate(zip(models, twins, strict=True)):
        naive_kfac(twin, data, 10, rates[r], steps, r, damping[r], loss)
        for ours, theirs in zip(model.parameters(), twin.parameters(), strict=True):
            assert torch.allclose(ours, theirs, atol=1e-9), float((ours - theirs).abs().max())


def settings(steps=1, rate=1.0, **more):
    return {"batch": 30, "rates": [rate] * 3, "steps": steps, "seeds": range(3), **more}


def test_one_linear_layer_with_a_squared_loss_is_at_its_minimum_after_one_step_at_rate_one():
    """There the curvature *is* the Kronecker product, so K-FAC without damping is Newton's method."""
    models, data = replicas(lambda: nn.Sequential(nn.Linear(6, 4)), 3), problem("squared")
    precondition = functools.partial(kfac, damping=1e-20, loss="squared")
    fit_ensemble(models, mse_loss, data, precondition=precondition, **settings())
    best = torch.linalg.lstsq(torch.cat([data.x, torch.ones(30, 1)], dim=1), data.y).solution
    for model in models:
        assert torch.allclose(torch.cat([model[0].weight.mT, model[0].bias[None]]), best, atol=1e-6)


def test_without_damping_a_linear_map_of_the_inputs_changes_nothing():
    """K-FAC's steps do not depend on how inputs are scaled and mixed; plain gradient steps do."""
    mixed = torch.eye(6).double() * torch.tensor([1.0, 3.0, 0.1, 1.0, 10.0, 1.0]).double() + 0.1 * drawn(6, 6, seed=3)
    losses = {}
    for name, precondition in (("k-fac", functools.partial(kfac, damping=1e-16, loss="squared")), ("plain", None)):
        for map_ in (torch.eye(6).double(), mixed):
            models, data = replicas(lambda: mlp(6, 5, 4), 3), problem("squared")
            for model in models:
                with torch.no_grad():
                    model[0].weight.copy_(model[0].weight @ torch.linalg.inv(map_))
            data = Data(data.x @ map_.mT, data.y)
            done = fit_ensemble(models, mse_loss, data, precondition=precondition, **settings(4, 0.3))
            losses.setdefault(name, []).append([one.losses for one in done])
    assert np.allclose(*losses["k-fac"], atol=1e-5) and not np.allclose(*losses["plain"], atol=1e-2)


def test_micro_batches_change_nothing_and_the_optimizer_that_follows_may_have_momentum():
    def train(**more):
        models = replicas(deep, 3)
        optimizer = functools.partial(sgd, momentum=0.9)
        fit_ensemble(
            models, cross_entropy, problem(), precondition=kfac, optimizer=optimizer, **settings(4, 0.1), **more
        )
        return models

    for whole, parts in zip(train(), train(micro_batch=7), strict=True):
        assert all(
            torch.allclose(a, b, atol=1e-11) for a, b in zip(whole.parameters(), parts.parameters(), strict=True)
        )


def test_a_replica_that_diverges_ends_alone():
    def train(rates):
        models = replicas(deep, 3)
        return models, fit_ensemble(
            models, cross_entropy, problem(), precondition=kfac, **settings(8) | {"rates": rates}
        )

    (fine, _), (models, done) = train([0.1] * 3), train([0.1, 1e300, 0.1])
    assert [one.diverged for one in done] == [False, True, False]
    for r in (0, 2):
        assert all(torch.allclose(a, b) for a, b in zip(fine[r].parameters(), models[r].parameters(), strict=True))


@pytest.mark.parametrize(
    "make",
    [
        lambda: cnn(6, 4, 4),
        lambda: mlp(6, 5, 4, norm="batch"),
        lambda: nn.Sequential(nn.Linear(6, 5, bias=False), nn.Linear(5, 4)),
        lambda: nn.Sequential(nn.Linear(6, 5).requires_grad_(False), nn.Linear(5, 4)),
    ],
    ids=["convolutions", "BatchNorm", "no bias", "frozen"],
)
def test_a_model_that_k_fac_does_not_know_is_refused_with_its_layers(make):
    with pytest.raises(Refused, match=r"K-FAC got a model of .*Linear.* allowed: nn.Sequential"):
        fit_ensemble(replicas(make, 3), cross_entropy, problem(), precondition=kfac, **settings())


def test_a_loss_without_a_curvature_is_refused():
    with pytest.raises(Refused, match='loss is "hinge"; allowed: "softmax", "squared"'):
        factors(Stack(replicas(deep, 3)), drawn(3, 9, 6), "hinge")
