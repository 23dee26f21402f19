"""The cures of BatchNorm do what they say, keep the function where they can, and say where they cannot."""

import copy

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import update_bn

from tutorlib.errors import Refused
from tutorlib.measure.batchnorm import audit
from tutorlib.measure.fit import fit
from tutorlib.nn.batchnorm import FrozenBatchNorm, batch_norms, freeze_batchnorm, recompute_statistics, to_group_norm
from tutorlib.nn.data import Data

LAYERS = {
    "BatchNorm1d": (lambda: nn.BatchNorm1d(4), (8, 4)),
    "BatchNorm1d on signals": (lambda: nn.BatchNorm1d(4), (8, 4, 5)),
    "BatchNorm2d": (lambda: nn.BatchNorm2d(4), (8, 4, 3, 3)),
    "BatchNorm3d": (lambda: nn.BatchNorm3d(4), (8, 4, 2, 2, 2)),
    "SyncBatchNorm": (lambda: nn.SyncBatchNorm(4), (8, 4, 3, 3)),
    "without affine": (lambda: nn.BatchNorm2d(4, affine=False), (8, 4, 3, 3)),
}


def net(seed=0):
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Conv1d(1, 4, 3), nn.BatchNorm1d(4), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), nn.LazyLinear(6)
    )
    model.append(nn.BatchNorm1d(6))
    return seasoned(model, torch.randn(64, 1, 9))


def seasoned(model, x):
    """A model whose running statistics and affine parameters are its own."""
    model.train()(2 + 3 * x)
    with torch.no_grad():
        for _, layer in batch_norms(model):
            for p in layer.parameters():
                p.normal_()
    return model


X = torch.randn(16, 1, 9, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", LAYERS)
def test_a_frozen_layer_computes_what_it_did_in_evaluation_mode_whatever_the_mode(name):
    build, shape = LAYERS[name]
    x = torch.randn(shape, generator=torch.Generator().manual_seed(2))
    layer = seasoned(build(), x)
    expected = copy.deepcopy(layer).eval()(x)
    frozen = freeze_batchnorm(layer)
    assert isinstance(frozen, FrozenBatchNorm)
    for mode in (True, False):
        assert torch.equal(frozen.train(mode)(x), expected)


def test_a_frozen_model_stays_frozen_when_it_is_trained():
    model = freeze_batchnorm(net()).train()
    before = copy.deepcopy(model.state_dict())
    fit(model, nn.functional.cross_entropy, Data(X, torch.arange(16) % 6), batch=8, rate=0.1, steps=3, seed=0)
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {"0.weight", "0.bias", "5.weight", "5.bias"}
    assert audit(model, 2, X).findings == ()


def test_gamma_and_beta_go_on_training_if_asked_to():
    trained = [name for name, p in freeze_batchnorm(net(), affine=False).named_parameters() if p.requires_grad]
    assert {"1.weight", "1.bias", "6.weight", "6.bias"} <= set(trained)


def test_checkpoints_fit_a_frozen_model_and_back():
    model, other = net(0), net(1)
    frozen = freeze_batchnorm(copy.deepcopy(model))
    assert list(frozen.state_dict()) == list(model.state_dict())
    other.load_state_dict(frozen.state_dict())
    frozen.load_state_dict(other.state_dict())
    assert torch.equal(other.eval()(X), model.eval()(X)) and torch.equal(frozen.eval()(X), model(X))


def test_freezing_keeps_modes_and_the_rest_of_the_model():
    model = net()
    rest = {name: module for name, module in model.named_modules() if not isinstance(module, nn.BatchNorm1d)}
    model[3].eval()
    frozen = freeze_batchnorm(model)
    assert frozen is model and all(frozen.get_submodule(name) is module for name, module in rest.items())
    assert frozen.training and not frozen[3].training


@pytest.mark.parametrize("cure", [freeze_batchnorm, lambda model: to_group_norm(model, 2)])
def test_a_layer_used_twice_is_replaced_twice_by_one_layer(cure):
    norm = seasoned(nn.BatchNorm1d(4), torch.randn(8, 4))
    model = cure(nn.Sequential(norm, nn.ReLU(), norm))
    assert model[0] is model[2] and not isinstance(model[0], nn.BatchNorm1d)


def test_batchnorm_at_micro_batch_one_over_positions_is_group_norm_of_single_channels():
    for build, shape in [LAYERS[name] for name in ("BatchNorm1d on signals", "BatchNorm2d", "BatchNorm3d")]:
        x = torch.randn(1, *shape[1:])
        layer = seasoned(build(), torch.randn(shape))
        expected = copy.deepcopy(layer).train()(x)
        torch.testing.assert_close(to_group_norm(layer, 4)(x), expected)


def test_group_norm_keeps_gamma_beta_and_epsilon_and_is_another_function_otherwise():
    layer = seasoned(nn.BatchNorm2d(4, eps=0.01), torch.randn(8, 4, 3, 3))
    x = torch.randn(8, 4, 3, 3)
    grouped = to_group_norm(copy.deepcopy(layer), 2)
    assert isinstance(grouped, nn.GroupNorm) and grouped.eps == 0.01 and grouped.num_groups == 2
    assert torch.equal(grouped.weight, layer.weight) and torch.equal(grouped.bias, layer.bias)
    assert not torch.allclose(grouped(x), layer.eval()(x), atol=0.1)
    expected = nn.functional.group_norm(x, 2, layer.weight, layer.bias, 0.01)
    assert torch.equal(grouped(x), expected) and not audit(grouped, 2, x).findings


def test_group_norm_trains_what_batchnorm_trained_and_without_affine_nothing():
    assert all(p.requires_grad for p in to_group_norm(nn.BatchNorm1d(4), 2).parameters())
    bare = to_group_norm(nn.BatchNorm1d(4, affine=False), 2)
    assert not list(bare.parameters()) and not bare.affine and "GroupNorm(2, 4" in repr(bare)


@pytest.mark.parametrize("batch", [4, 16])
def test_recomputed_statistics_are_those_of_update_bn(batch):
    ours, torchs = ([layer for layer in net() if not isinstance(layer, nn.Dropout)] for _ in range(2))
    ours, torchs = nn.Sequential(*ours), nn.Sequential(*torchs)
    recompute_statistics(ours, Data(X, torch.zeros(16)), batch)
    update_bn(X.split(batch), torchs)
    for mine, theirs in zip(ours.buffers(), torchs.buffers(), strict=True):
        torch.testing.assert_close(mine, theirs)


def test_recomputed_statistics_of_the_first_layer_are_mean_and_variance_of_its_inputs():
    model = net()
    recompute_statistics(model, Data(X, torch.zeros(16)), 16)
    inputs = model[0](X).transpose(0, 1).flatten(1)
    torch.testing.assert_close(model[1].running_mean, inputs.mean(1))
    torch.testing.assert_close(model[1].running_var, inputs.var(1))


def test_recomputing_changes_statistics_alone_and_wakes_no_dropout():
    model = net()
    model[1].eval()
    weights, momenta = [p.clone() for p in model.parameters()], [layer.momentum for _, layer in batch_norms(model)]
    modes = [module.training for module in model.modules()]
    torch.manual_seed(0)
    stream = torch.get_rng_state()
    recompute_statistics(model, Data(X, torch.zeros(16)), 5)
    assert torch.equal(torch.get_rng_state(), stream)  # dropout would have drawn
    assert [module.training for module in model.modules()] == modes
    assert [layer.momentum for _, layer in batch_norms(model)] == momenta
    assert all(torch.equal(p, w) for p, w in zip(model.parameters(), weights, strict=True))
    assert int(model[1].num_batches_tracked) == 3  # of 16 examples; one is left out


def test_modes_and_momentum_come_back_when_the_model_fails():
    model = nn.Sequential(nn.BatchNorm1d(4, momentum=0.3), nn.Linear(5, 2)).train()
    with pytest.raises(RuntimeError):
        recompute_statistics(model, Data(torch.randn(8, 4), torch.zeros(8)), 4)
    assert model[0].momentum == 0.3 and model[0].training and model[1].training


@pytest.mark.parametrize(
    "cure, model, word",
    [
        (freeze_batchnorm, nn.Sequential(nn.BatchNorm1d(4, track_running_stats=False)), "keeps no running statistics"),
        (freeze_batchnorm, nn.Sequential(nn.BatchNorm1d(4)), "'0' has seen no data"),
        (freeze_batchnorm, nn.Sequential(nn.LazyBatchNorm1d()), "'0' is lazy"),
        (lambda m: to_group_norm(m, 2), nn.Sequential(nn.LazyBatchNorm1d()), "'0' is lazy"),
        (lambda m: to_group_norm(m, 3), nn.Sequential(nn.BatchNorm1d(4)), "divisor of 4"),
        (lambda m: to_group_norm(m, 0), nn.Sequential(nn.BatchNorm1d(4)), "groups is 0"),
        (lambda m: recompute_statistics(m, Data(X, torch.zeros(16)), 17), net(), "batch is 17"),
    ],
)
def test_what_cannot_be_cured_is_refused_and_left_as_it_was(cure, model, word):
    layers = list(model)
    with pytest.raises(Refused, match="allowed") as refused:
        cure(model)
    assert word in str(refused.value) and list(model) == layers
