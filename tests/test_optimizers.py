"""Optimizers: each is its definition and its reference, alone and as one replica of many, with a knob a replica."""

import functools
import itertools

import naive_optimizers as naive
import pytest
import torch
from replicas import drawn, replicas
from torch import nn
from torch.nn.functional import cross_entropy

from tutorlib.errors import Refused
from tutorlib.measure.ensemble import fit_ensemble
from tutorlib.measure.fit import fit
from tutorlib.nn.data import Data
from tutorlib.nn.matrix_optimizers import muon, orthogonal, shampoo
from tutorlib.nn.models import cnn, mlp
from tutorlib.nn.optimizers import adamw, lamb, lars, lion, sgd

torch.set_num_threads(1)  # the models are so small that a second thread only waits

EVERY_ONE = {"sgd": sgd, "adamw": adamw, "lion": lion, "lars": lars, "lamb": lamb, "muon": muon, "shampoo": shampoo}
SETTINGS = [
    ("sgd", {"momentum": 0.9}),
    ("adamw", {"beta1": 0.8, "beta2": 0.95, "weight_decay": 0.1}),
    ("lion", {}),
    ("lion", {"beta1": 0.7, "beta2": 0.95, "weight_decay": 0.2}),
    ("lars", {"trust": 0.02}),
    ("lars", {"trust": 0.02, "momentum": 0.5, "weight_decay": 0.3}),
    ("lamb", {}),
    ("lamb", {"beta1": 0.8, "beta2": 0.9, "eps": 0.01, "weight_decay": 0.3}),
    ("muon", {}),
    ("muon", {"momentum": 0.8, "weight_decay": 0.2}),
    ("shampoo", {}),
    ("shampoo", {"momentum": 0.9, "eps": 0.1, "every": 3}),
]
RATES, STEPS = (0.01, 0.1, 0.3), 12


def paths(ours, shape, knobs=None):
    """Where three tensors end: each alone with a number as its rate, and stacked with one rate, and knob, a replica."""
    starts, gradients = drawn(3, *shape), drawn(STEPS, 3, *shape, seed=2)
    wide = (3, *[1] * len(shape))
    rates, knobs = torch.tensor(RATES, dtype=torch.float64).view(wide), knobs or {}
    tensors = {name: torch.tensor(values, dtype=torch.float64).view(wide) for name, values in knobs.items()}
    stacked, state = starts, None
    for gradient in gradients:
        stacked, state = ours(stacked, gradient, state, rates, **tensors)
    alone = []
    for r, position in enumerate(starts):
        state = None
        for gradient in gradients[:, r]:
            own = {name: values[r] for name, values in knobs.items()}
            position, state = ours(position, gradient, state, RATES[r], **own)
        alone.append(position)
    return starts, gradients, torch.stack(alone), stacked


@pytest.mark.parametrize("shape", [(4, 3), (2, 5), (4,)], ids=str)
@pytest.mark.parametrize("name, settings", SETTINGS, ids=lambda x: x if isinstance(x, str) else "-".join(x))
def test_an_optimizer_is_its_definition_alone_and_as_a_replica(name, settings, shape):
    starts, gradients, alone, stacked = paths(functools.partial(EVERY_ONE[name], **settings), shape)
    twin = getattr(naive, f"naive_{name}")
    for r, rate in enumerate(RATES):
        expected = torch.from_numpy(twin(starts[r].numpy(), list(gradients[:, r].numpy()), rate, **settings))
        for found in (alone[r], stacked[r]):
            assert torch.allclose(found, expected, rtol=1e-6, atol=1e-9), (found - expected).abs().max()


@pytest.mark.parametrize("shape", [(), (1, 1), (3, 2, 4), (2, 3, 2, 2)], ids=str)
@pytest.mark.parametrize("name", EVERY_ONE)
def test_a_replica_of_any_shape_moves_as_it_would_alone(name, shape):
    _, _, alone, stacked = paths(EVERY_ONE[name], shape)
    assert stacked.shape == (3, *shape) and torch.allclose(alone, stacked, rtol=1e-9, atol=1e-11)


KNOBS = [
    ("sgd", "momentum", (0.0, 0.5, 0.9)),
    ("adamw", "beta1", (0.0, 0.5, 0.9)),
    ("adamw", "beta2", (0.5, 0.9, 0.999)),
    ("adamw", "eps", (1e-8, 0.1, 1.0)),
    ("adamw", "weight_decay", (0.0, 0.1, 0.5)),
    ("lion", "beta1", (0.0, 0.5, 0.9)),
    ("lion", "beta2", (0.5, 0.9, 0.99)),
    ("lars", "trust", (0.001, 0.1, 1.0)),
    ("lars", "momentum", (0.0, 0.5, 0.9)),
    ("lars", "weight_decay", (0.0, 0.1, 0.5)),
    ("lamb", "beta2", (0.5, 0.9, 0.999)),
    ("lamb", "weight_decay", (0.0, 0.1, 0.5)),
    ("muon", "momentum", (0.0, 0.5, 0.95)),
    ("muon", "weight_decay", (0.0, 0.1, 0.5)),
    ("shampoo", "eps", (1e-6, 0.1, 1.0)),
    ("shampoo", "momentum", (0.0, 0.5, 0.9)),
]


@pytest.mark.parametrize("shape", [(4, 3), (4,)], ids=str)
@pytest.mark.parametrize("name, knob, values", KNOBS, ids=lambda x: x if isinstance(x, str) else "")
def test_a_knob_may_have_one_value_a_replica(name, knob, values, shape):
    _, _, alone, stacked = paths(EVERY_ONE[name], shape, {knob: values})
    assert torch.allclose(alone, stacked, rtol=1e-9, atol=1e-11)
    if len(shape) == 2:
        _, _, _, same = paths(EVERY_ONE[name], shape, {knob: values[:1] * 3})
        assert torch.equal(same[0], stacked[0]) and not torch.allclose(same[1:], stacked[1:]), "the knob does nothing"


def apart(theirs, ours, shape=(4, 3)):
    """How far from the end of our walk ``theirs([parameter], lr=rate)`` ends, in parts of 1 + |θ|."""
    furthest = 0.0
    starts, gradients, alone, _ = paths(ours, shape)
    for r, rate in enumerate(RATES):
        twin = nn.Parameter(starts[r].clone())
        optimizer = theirs([twin], lr=rate)
        for gradient in gradients[:, r]:
            twin.grad = gradient.clone()
            optimizer.step()
        gap = (alone[r] - twin.detach()).abs() / (1 + twin.detach().abs())
        furthest = max(furthest, float(gap.max()))
    return furthest


def library(name):
    return getattr(pytest.importorskip("pytorch_optimizer"), name)


@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_lion_is_the_library_s(weight_decay):
    settings = {"weight_decay": weight_decay}
    theirs = functools.partial(library("Lion"), betas=(0.9, 0.99), **settings)
    assert apart(theirs, functools.partial(lion, **settings)) < 1e-9


@pytest.mark.parametrize("shape", [(4, 3), (4,)], ids=str)
@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_lars_is_the_library_s(weight_decay, shape):
    settings = {"trust": 0.02, "weight_decay": weight_decay}
    theirs = functools.partial(library("LARS"), trust_coefficient=0.02, weight_decay=weight_decay)
    assert apart(theirs, functools.partial(lars, **settings), shape) < 1e-9


def test_lamb_without_decay_is_the_library_s_for_the_ratio_undoes_its_missing_bias_correction(monkeypatch):
    """Without `adam_debias` it divides by 1 − β₁ᵗ behind the ratio; decay is outside the ratio; |θ| ends at 10."""
    monkeypatch.setattr(library("Lamb"), "clamp", float("inf"))
    theirs = functools.partial(library("Lamb"), betas=(0.9, 0.999), eps=1e-14, adam_debias=True)
    assert apart(theirs, functools.partial(lamb, eps=1e-14)) < 1e-7


@pytest.mark.parametrize("shape", [(4, 3), (4,), (3, 2, 4)], ids=str)
def test_shampoo_without_momentum_is_the_library_s(shape):
    """With momentum it is not: the library mixes the preconditioned step of before into the next raw gradient."""
    theirs = functools.partial(library("Shampoo"), matrix_eps=1e-3)
    assert apart(theirs, functools.partial(shampoo, eps=1e-3), shape) < 1e-7


def torch_muon(**settings):
    if not hasattr(torch.optim, "Muon"):
        pytest.skip("this torch has no Muon")
    return functools.partial(torch.optim.Muon, adjust_lr_fn="match_rms_adamw", **settings)


@pytest.mark.parametrize("shape", [(4, 3), (2, 5)], ids=str)
@pytest.mark.parametrize("settings", [{"weight_decay": 0.0}, {"weight_decay": 0.2, "momentum": 0.8}], ids=str)
def test_muon_is_torch_s_own_once_that_computes_in_the_same_precision(settings, shape, monkeypatch):
    theirs = torch_muon(**settings)
    monkeypatch.setattr(torch.Tensor, "bfloat16", torch.Tensor.clone)
    assert apart(theirs, functools.partial(muon, **settings), shape) < 1e-9


def test_muon_is_torch_s_own_to_the_rounding_of_bfloat16():
    assert apart(torch_muon(weight_decay=0.0), muon) < 0.05


def test_muon_s_singular_values_come_near_one_from_a_hundredth_of_the_largest_on():
    u, _, v = torch.linalg.svd(drawn(6, 9), full_matrices=False)
    values = torch.tensor([1.0, 0.5, 0.2, 0.1, 0.03, 0.01], dtype=torch.float64)
    found = torch.linalg.svdvals(orthogonal(u @ values.diag() @ v))
    assert float(found.min()) > 0.6 and float(found.max()) < 1.25


def test_shampoo_s_first_step_is_an_orthogonal_matrix():
    """L = GGᵀ and R = GᵀG: with G = U S Vᵀ the step is U S^(−1/2) S S^(−1/2) Vᵀ = U Vᵀ, what Muon aims at."""
    gradient = drawn(3, 5)
    u, _, v = torch.linalg.svd(gradient, full_matrices=False)
    moved, _ = shampoo(torch.zeros_like(gradient), gradient, None, 1.0, eps=1e-14)
    assert torch.allclose(-moved, u @ v, atol=1e-3)


@pytest.mark.parametrize("name", ["lars", "lamb"])
def test_a_layer_of_zeros_leaves_zero_and_a_zero_gradient_moves_nothing(name):
    zero, gradient = torch.zeros(3, 2), torch.ones(3, 2)
    moved, _ = EVERY_ONE[name](zero, gradient, None, 0.1)
    assert moved.isfinite().all() and (moved < 0).all()
    assert torch.equal(EVERY_ONE[name](gradient, zero, None, 0.1)[0], gradient)


@pytest.mark.parametrize("name", ["lars", "lamb"])
def test_the_first_step_of_a_layer_is_a_share_of_its_own_length_however_long_the_gradient(name):
    start, settings = drawn(5, 4), {"trust": 1.0} if name == "lars" else {}
    for scale in (1e-3, 1.0, 1e3):
        moved, _ = EVERY_ONE[name](start, scale * drawn(5, 4, seed=5), None, 0.01, **settings)
        assert float((moved - start).norm() / start.norm()) == pytest.approx(0.01)


@pytest.mark.parametrize("name", EVERY_ONE)
def test_a_replica_that_is_not_finite_leaves_the_others_alone(name):
    starts, gradients = drawn(3, 4, 3), drawn(2, 3, 4, 3, seed=2)
    rates = torch.full((3, 1, 1), 0.1, dtype=torch.float64)
    fine, state = EVERY_ONE[name](starts, gradients[0], None, rates)
    for poison in (torch.inf, torch.nan):
        poisoned = gradients.clone()
        poisoned[0, 1] = poison
        moved, after = EVERY_ONE[name](starts, poisoned[0], None, rates)
        assert torch.equal(moved[[0, 2]], fine[[0, 2]])
        again, _ = EVERY_ONE[name](moved, poisoned[1], after, rates)
        assert torch.equal(again[[0, 2]], EVERY_ONE[name](fine, gradients[1], state, rates)[0][[0, 2]])


def examples():
    return Data(drawn(23, 12), torch.arange(23) % 5)


def as_fit(make, optimizer, rates, knobs=None, **settings):
    """Every replica of an ensemble equals fit with its own rate and knobs; returns what became of them."""
    settings = {"batch": 6, "steps": 9, "seeds": range(7, 11), **settings}
    models, twins, data = replicas(make), replicas(make), examples()
    done = fit_ensemble(models, cross_entropy, data, rates=rates, optimizer=optimizer, knobs=knobs, **settings)
    for r, (twin, seed) in enumerate(zip(twins, settings.pop("seeds"), strict=True)):
        own = functools.partial(optimizer, **{name: values[r] for name, values in (knobs or {}).items()})
        alone = fit(
            twin, cross_entropy, data, rate=rates[r], seed=seed, optimizer=own, batch=6, steps=settings["steps"]
        )
        assert (len(alone.losses), alone.diverged) == (len(done[r].losses), done[r].diverged)
        assert done[r].losses == pytest.approx(alone.losses, rel=1e-8)
        for ours, theirs in zip(models[r].parameters(), twin.parameters(), strict=True):
            assert torch.allclose(ours, theirs, rtol=1e-8, atol=1e-10)
    return done


NETS = {"mlp": lambda: mlp(12, 6, 5), "cnn": lambda: cnn(12, 4, 5)}
MODEST = {"lion": 0.1, "adamw": 0.1, "muon": 0.1, "shampoo": 0.3, "lars": 20.0, "lamb": 0.3, "sgd": 1.0}


@pytest.mark.parametrize("name, net", [*itertools.product(EVERY_ONE, NETS)])
def test_every_replica_is_what_fit_makes_of_it_alone(name, net):
    rates = [MODEST[name] * factor for factor in (0.1, 0.3, 0.5, 0.2)]
    done = as_fit(NETS[net], EVERY_ONE[name], rates)
    assert not any(one.diverged for one in done) and len({one.losses[-1] for one in done}) == 4


def spoiled(optimizer):
    """The optimizer, with a gradient that is no number wherever the knob is 1, from the fourth step on."""

    def moved(parameter, gradient, state, rate, blown):
        inner, step = (None, 0) if state is None else state
        huge = torch.ones_like(gradient) * 1e300**blown * 1e300**blown
        gradient = gradient * (huge - huge + 1) if step > 2 else gradient
        parameter, inner = optimizer(parameter, gradient, inner, rate)
        return parameter, (inner, step + 1)

    return moved


@pytest.mark.parametrize("name", EVERY_ONE)
def test_a_replica_that_diverges_takes_its_knob_along_and_the_others_go_on(name):
    done = as_fit(
        NETS["mlp"], spoiled(EVERY_ONE[name]), [0.1 * MODEST[name]] * 4, {"blown": (0.0, 1.0, 0.0, 1.0)}, chunk=3
    )
    assert [one.diverged for one in done] == [False, True, False, True] and len(done[1].losses) == 3


@pytest.mark.parametrize("chunk", [None, 3, 1])
def test_rate_and_knob_vary_from_replica_to_replica_in_one_ensemble(chunk):
    knobs = {"beta2": (0.5, 0.9, 0.99, 0.999)}
    done = as_fit(NETS["mlp"], adamw, [0.01, 0.02, 0.01, 0.1], knobs, chunk=chunk)
    assert len({one.losses[-1] for one in done}) == 4, "rate or knob does nothing"


@pytest.mark.parametrize("values", [0.9, (0.9,) * 3, ((0.9,),) * 4, (0.9, 0.9, 0.9, float("nan"))], ids=str)
def test_knobs_of_another_count_are_refused_with_their_name(values):
    with pytest.raises(Refused, match=r"knobs\['momentum'\] is .* allowed: a finite number for each of 4 replicas"):
        as_fit(NETS["mlp"], sgd, [0.1] * 4, {"momentum": values})
