"""The audit finds every layer that looks across the batch, blames no other, and leaves the model as it was."""

import copy
import random

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tutorlib.errors import Refused
from tutorlib.measure.batchnorm import audit
from tutorlib.measure.neighbours import coupled_layers
from tutorlib.nn.batchnorm import FrozenBatchNorm, freeze_batchnorm
from tutorlib.nn.models import make


class Residual(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return x + self.inner(x)


class Centre(nn.Module):
    def forward(self, x):
        return x - x.mean(0)


class InBatchSoftmax(nn.Module):
    def forward(self, x):
        return F.softmax(x @ x.T / 9, dim=1) @ x  # not so steep that every example sees itself alone


class MinibatchDiscrimination(nn.Module):
    """Distances to all other examples, appended as a feature (Salimans et al. 2016, arXiv 1606.03498, section 3.2)."""

    def forward(self, x):
        return torch.cat([x, torch.exp(-torch.cdist(x, x)).sum(1, keepdim=True)], 1)


class Between(nn.Module):
    """Mixes examples in its own forward, between two layers that do not."""

    def __init__(self):
        super().__init__()
        self.before, self.after = nn.Linear(6, 6), nn.Linear(6, 6)

    def forward(self, x):
        return self.after(self.before(x) * x.std(0))


class MeanAside(nn.Module):
    """Hands a number that belongs to no example to a layer below."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 6)

    def forward(self, x):
        return x + self.layer(x.mean(0))


class Tokens(nn.Module):
    """(examples, time, width) through layers that see examples × time rows, in either order."""

    def __init__(self, layer, time_first):
        super().__init__()
        self.layer, self.time_first = layer, time_first

    def forward(self, x):
        x = x.transpose(0, 1) if self.time_first else x
        y = self.layer(x.reshape(-1, x.shape[-1])).view_as(x)
        return y.transpose(0, 1) if self.time_first else y


class Sequences(nn.Module):
    def __init__(self, **options):
        super().__init__()
        self.lstm, self.out = nn.LSTM(6, 5, **options), nn.Linear(5, 6)

    def forward(self, x):
        return self.out(self.lstm(x)[0][:, -1])


def rows(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def chain(*layers):
    return lambda: nn.Sequential(*(copy.deepcopy(layer) for layer in layers))


def shut(layer):
    nn.init.zeros_(layer.weight)
    return layer


LINEAR, X = nn.Linear(6, 6), rows(3, 6)
TRAINING, ALWAYS = (True, False), (True, True)
# name: (model, examples, layer → coupled in (training, evaluation))
COUPLED = {
    "mlp": (chain(LINEAR, nn.BatchNorm1d(6), nn.ReLU(), LINEAR), X, {"1": TRAINING}),
    "no running statistics": (chain(LINEAR, nn.BatchNorm1d(6, track_running_stats=False)), X, {"1": ALWAYS}),
    "cnn 1d": (chain(nn.Conv1d(2, 4, 3), nn.BatchNorm1d(4), nn.ReLU()), rows(3, 2, 9), {"1": TRAINING}),
    "cnn 2d": (chain(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(True)), rows(3, 2, 7, 7), {"1": TRAINING}),
    "cnn 3d": (chain(nn.Conv3d(2, 4, 3), nn.BatchNorm3d(4), nn.Dropout3d()), rows(3, 2, 5, 5, 5), {"1": TRAINING}),
    "synchronised": (chain(nn.Conv2d(2, 4, 3), nn.SyncBatchNorm(4)), rows(3, 2, 7, 7), {"1": TRAINING}),
    "lazy": (lambda: nn.Sequential(nn.LazyLinear(5), nn.LazyBatchNorm1d(), nn.LazyLinear(2)), X, {"1": TRAINING}),
    "residual": (
        chain(Residual(nn.Sequential(LINEAR, nn.BatchNorm1d(6))), nn.ReLU(), Residual(nn.BatchNorm1d(6))),
        X,
        {"0.inner.1": TRAINING, "2.inner": TRAINING},
    ),
    "a shut gate": (chain(Residual(shut(nn.BatchNorm1d(6))), LINEAR), X, {"0.inner": TRAINING}),
    "two in a row": (chain(nn.BatchNorm1d(6), nn.BatchNorm1d(6), LINEAR), X, {"0": TRAINING, "1": TRAINING}),
    "behind dropout": (chain(nn.Dropout(0.5), LINEAR, nn.BatchNorm1d(6), nn.Dropout(0.5)), X, {"2": TRAINING}),
    "batch centring": (chain(LINEAR, Centre(), nn.LayerNorm(6)), X, {"1": ALWAYS}),
    "in-batch softmax": (chain(LINEAR, InBatchSoftmax(), LINEAR), X, {"1": ALWAYS}),
    "minibatch discrimination": (chain(LINEAR, MinibatchDiscrimination()), X, {"1": ALWAYS}),
    "its own forward": (Between, X, {"": ALWAYS}),
    "a mean on the side": (chain(MeanAside(), LINEAR), X, {"0": ALWAYS}),
    "sequences read along the batch": (lambda: nn.LSTM(6, 5), rows(3, 4, 6), {"": ALWAYS}),
    "tokens": (lambda: Tokens(nn.BatchNorm1d(6), False), rows(3, 5, 6), {"layer": TRAINING}),
    "tokens, time first": (lambda: Tokens(nn.BatchNorm1d(6), True), rows(3, 5, 6), {"layer": TRAINING}),
}
ALONE = {
    "mlp": (lambda: make("mlp", 0), rows(2, 64)),
    "cnn": (lambda: make("cnn", 0), rows(2, 40)),
    "gpt": (lambda: make("gpt", 0), torch.arange(3 * 64).view(3, 64) % 128),
    "group norm": (chain(nn.Conv2d(2, 4, 3), nn.GroupNorm(2, 4), nn.ReLU(True)), rows(3, 2, 7, 7)),
    "layer norm": (chain(LINEAR, nn.LayerNorm(6), nn.GELU(), nn.Dropout(0.3)), X),
    "instance norm": (chain(nn.InstanceNorm2d(2, affine=True, track_running_stats=True)), rows(3, 2, 7, 7)),
    "transformer": (
        lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(6, 2, 12, batch_first=True), 2),
        rows(3, 5, 6),
    ),
    "lstm": (lambda: Sequences(batch_first=True, num_layers=2, dropout=0.5), rows(3, 4, 6)),
    "frozen": (lambda: freeze_batchnorm(warm(nn.Sequential(LINEAR, nn.BatchNorm1d(6)))), X),
    "tokens": (lambda: Tokens(nn.LayerNorm(6), False), rows(3, 5, 6)),
    "tokens, time first": (lambda: Tokens(nn.LayerNorm(6), True), rows(3, 5, 6)),
    "spectral norm": (lambda: nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(6, 6))), X),
}


def warm(model):
    """Running statistics that have seen something."""
    model.train()(2 + rows(8, 6))
    return model


@pytest.mark.parametrize("name", COUPLED)
def test_every_layer_that_looks_across_the_batch_is_found_and_no_other(name):
    build, x, expected = COUPLED[name]
    found = {f.layer: (f.in_training, f.in_evaluation) for f in audit(build(), 2, x).findings}
    assert found == expected


@pytest.mark.parametrize("name", ALONE)
def test_a_model_that_treats_every_example_alone_raises_no_alarm(name):
    build, x = ALONE[name]
    assert audit(build(), 2, x).findings == ()


def test_several_inputs_are_a_tuple():
    assert [f.layer for f in audit(nn.Bilinear(6, 6, 2), 2, (X, X)).findings] == []

    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.mix = InBatchSoftmax()

        def forward(self, x, y):
            return x + self.mix(y)

    assert [f.layer for f in audit(Two(), 2, (X, X)).findings] == ["mix"]


LAYERS = (
    (lambda: nn.Linear(6, 6), None),
    (nn.ReLU, None),
    (nn.Tanh, None),
    (lambda: nn.LayerNorm(6), None),
    (lambda: nn.GroupNorm(2, 6), None),
    (lambda: nn.Dropout(0.4), None),
    (lambda: nn.BatchNorm1d(6), TRAINING),
    (lambda: nn.BatchNorm1d(6, affine=False, track_running_stats=False), ALWAYS),
    (Centre, ALWAYS),
    (InBatchSoftmax, ALWAYS),
)


def planted(seed):
    """A random net with its coupled layers by name."""
    rng, layers, truth = random.Random(seed), [], {}
    for number in range(rng.randint(2, 7)):
        build, modes = rng.choice(LAYERS)
        nested = rng.random() < 0.3
        layers.append(Residual(build()) if nested else build())
        if modes:
            truth[f"{number}.inner" if nested else f"{number}"] = modes
    return nn.Sequential(*layers), truth


def changes_with_neighbours(model, training, x):
    """By definition and for the model as a whole: does any example's output differ among other neighbours?"""

    def answer(seed, batch):
        torch.manual_seed(seed)
        return copy.deepcopy(model).train(training)(batch)

    for seed in range(4):  # dropout may hide an example now and then
        for example in range(len(x)):
            others = x.flip(0) ** 2
            others[example] = x[example]
            if not torch.allclose(answer(seed, x)[example], answer(seed, others)[example], atol=1e-6):
                return True
    return False


@pytest.mark.parametrize("seed", range(60))
def test_on_random_nets_the_audit_finds_what_was_planted_and_agrees_with_the_definition(seed):
    model, truth = planted(seed)
    torch.manual_seed(seed)
    x = torch.randn(5, 6)
    found = {f.layer: (f.in_training, f.in_evaluation) for f in audit(model, 2, x).findings}
    assert found == truth
    for column, training in enumerate((True, False)):
        assert changes_with_neighbours(model, training, x) == any(modes[column] for modes in found.values())


@pytest.mark.parametrize("name", COUPLED)
def test_the_audit_leaves_state_modes_hooks_and_the_random_stream_as_they_were(name):
    build, x, _ = COUPLED[name]
    model = build()
    for number, module in enumerate(model.modules()):
        module.training = bool(number % 2)
    before, modes = copy.deepcopy(described(model)), [module.training for module in model.modules()]
    torch.manual_seed(3)
    stream = torch.get_rng_state()
    audit(model, 2, x)
    assert torch.equal(torch.get_rng_state(), stream) and [module.training for module in model.modules()] == modes
    after = described(model)
    assert before.keys() == after.keys() and all(same(before[key], after[key]) for key in before)


def described(model):
    tensors = {name: "lazy" if nn.parameter.is_lazy(t) else t for name, t in model.state_dict(keep_vars=True).items()}
    hooks = {f"{name} hooks": [len(m._forward_hooks), len(m._forward_pre_hooks)] for name, m in model.named_modules()}
    return tensors | hooks | {"gradients": [p.grad for p in model.parameters()]}


def same(a, b):
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


@pytest.mark.parametrize(
    "model, x, values",
    [
        (nn.BatchNorm1d(6), rows(3, 6), 8),
        (nn.BatchNorm1d(6), rows(3, 6, 5), 40),
        (nn.BatchNorm2d(6), rows(3, 6, 5, 4), 160),
        (nn.BatchNorm3d(6), rows(3, 6, 5, 4, 3), 480),
        (Tokens(nn.BatchNorm1d(6), False), rows(3, 5, 6), 40),
    ],
)
def test_values_are_micro_batch_times_positions(model, x, values):
    (found,) = audit(model, 8, x).findings
    assert found.values == values


def test_the_horizon_shrinks_with_accumulation_and_is_absent_without_running_statistics():
    (one,), (many,) = (audit(nn.BatchNorm1d(6, momentum=0.05), 2, X, k).findings for k in (1, 16))
    assert one.horizon == pytest.approx(20) and many.horizon == pytest.approx(20 / 16)
    for layer in (nn.BatchNorm1d(6, momentum=None), nn.BatchNorm1d(6, track_running_stats=False)):
        assert audit(layer, 2, X).findings[0].horizon is None


def test_micro_batch_one_without_positions_is_said_to_fail_and_fails():
    (vector,), (signal,) = audit(nn.BatchNorm1d(6), 1, X).findings, audit(nn.BatchNorm1d(6), 1, rows(3, 6, 5)).findings
    assert vector.cure.startswith("cannot train") and not signal.cure.startswith("cannot train")
    with pytest.raises(ValueError, match="more than 1 value"):
        nn.BatchNorm1d(6)(X[:1])
    nn.BatchNorm1d(6)(rows(1, 6, 5))


def test_the_cure_fits_the_layer():
    def cure(layer, micro_batch=2):
        return audit(layer, micro_batch, X).findings[0].cure

    assert "freeze_batchnorm" in cure(nn.BatchNorm1d(6)) and "none needed" in cure(nn.BatchNorm1d(6), 16)
    without = cure(nn.BatchNorm1d(6, track_running_stats=False))
    assert "to_group_norm" in without and "freeze" not in without
    assert "nothing here" in cure(Centre())


def test_a_layer_put_in_evaluation_mode_by_hand_is_found_for_training_wakes_it():
    model = nn.Sequential(LINEAR, nn.BatchNorm1d(6)).eval()
    assert [f.layer for f in audit(model, 2, X).findings] == ["1"]
    assert isinstance(freeze_batchnorm(warm(model))[1], FrozenBatchNorm) and not audit(model, 2, X).findings


def test_the_table_names_layers_kinds_and_numbers():
    said = str(audit(nn.Sequential(LINEAR, nn.BatchNorm1d(6)), 2, X, accumulation=16))
    head, columns, row = said.splitlines()
    assert head == "micro-batch 2 × accumulation 16: 1 layer(s) look across the batch"
    assert columns.split("  ")[0] == "layer" and row.split()[:8] == "1 BatchNorm1d yes no 2 71% 141% 0.625".split()
    assert "no layer looks" in str(audit(nn.Linear(6, 2), 2, X))


class OwnRandomness(nn.Module):
    def forward(self, x):
        return x * random.random()


class Stubborn(nn.Module):
    def __deepcopy__(self, memo):
        raise TypeError("not me")


@pytest.mark.parametrize(
    "model, x, word",
    [
        (nn.Linear(6, 2), X[:1], "at least 2 examples"),
        (nn.Linear(6, 2), X[:1].expand(3, 6), "repeats one example"),
        (nn.Linear(6, 2), X.numpy(), "example_input is ndarray"),
        (nn.Linear(6, 2), torch.tensor(1.0), "shape ()"),
        (nn.Linear(5, 2), X, "model failed on 2 examples in training mode"),
        (nn.Sequential(nn.Linear(6, 2), OwnRandomness()), X, "random at layer '1'"),
        (Stubborn(), X, "cannot be copied"),
    ],
)
def test_what_cannot_be_probed_is_refused_in_one_sentence(model, x, word):
    with pytest.raises(Refused) as refused:
        audit(model, 2, x)
    assert word in str(refused.value) and "allowed" in str(refused.value)


@pytest.mark.parametrize("wrong", [{"micro_batch": 0}, {"micro_batch": 2.0}, {"micro_batch": 2, "accumulation": 0}])
def test_sizes_that_are_no_sizes_are_refused(wrong):
    with pytest.raises(Refused, match="whole number from 1"):
        audit(nn.Linear(6, 2), example_input=X, **wrong)


def test_a_model_that_is_none_is_refused():
    with pytest.raises(Refused, match="model is a str; allowed"):
        audit("x", 2, X)


def test_a_layer_that_is_not_called_is_not_judged():
    class Aside(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.unused = nn.Linear(6, 2), nn.BatchNorm1d(6)

        def forward(self, x):
            return self.used(x)

    assert coupled_layers(Aside(), X, training=True).layers == ()


TORCHVISION = {
    "resnet18": 20,
    "mobilenet_v3_small": 34,
    "densenet121": 121,
    "efficientnet_b0": 49,
    "swin_t": 0,
    "convnext_tiny": 0,
}


@pytest.mark.parametrize("name", TORCHVISION)
def test_on_torchvision_models_the_audit_finds_the_batchnorms_and_only_these(name):
    models = pytest.importorskip("torchvision").models
    found = audit(getattr(models, name)(weights=None), 2, rows(2, 3, 64, 64)).findings
    assert len(found) == TORCHVISION[name] and all((f.in_training, f.in_evaluation) == TRAINING for f in found)


@pytest.mark.parametrize("name, count", [("resnet18", 20), ("levit_128s", 52), ("mixer_s32_224", 0)])
def test_on_timm_models_the_audit_finds_the_batchnorms_and_only_these(name, count):
    model = pytest.importorskip("timm").create_model(name, pretrained=False)
    assert len(audit(model, 2, rows(2, 3, 224, 224)).findings) == count
