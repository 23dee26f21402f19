"""Many replicas at once: each is what `fit` makes of it alone, whoever diverges or is stopped beside it."""

import functools
import itertools
import math

import numpy as np
import pytest
import torch
from replicas import replicas
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss, nll_loss, one_hot
from torch.nn.utils import parametrizations

from tutorlib.errors import Refused
from tutorlib.measure import chunk as chunks
from tutorlib.measure.ensemble import chunk_size, fit_ensemble
from tutorlib.measure.fit import fit
from tutorlib.measure.replica_layers import batched_layers
from tutorlib.measure.stack import Stack
from tutorlib.nn.batchnorm import freeze_batchnorm
from tutorlib.nn.data import Data
from tutorlib.nn.models import GPT, cnn, mlp, next_token_loss
from tutorlib.nn.optimizers import adamw, sgd

torch.set_num_threads(1)  # the models are so small that a second thread only waits

RATES = (0.05, 0.1, lambda step: 0.2 / (1 + step), 0.02)
OPTIMIZERS = {
    "sgd": sgd,
    "momentum": functools.partial(sgd, momentum=0.9),
    "adamw": functools.partial(adamw, weight_decay=0.1),
}


def vectors(examples=23, inputs=12, classes=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(examples, inputs, generator=generator, dtype=torch.float64)
    return Data(x, torch.randint(0, classes, (examples,), generator=generator))


def targets(numbers, data=None):
    """The same inputs with numbers to predict."""
    x = (data or vectors()).x
    return Data(x, x[:, :numbers].sin())


def written(examples=23, time=4, vocabulary=7):
    tokens = torch.randint(0, vocabulary, (examples, time + 1), generator=torch.Generator().manual_seed(0))
    return Data(tokens[:, :-1], tokens[:, 1:])


class Own(nn.Module):
    """A chain of layers with a forward of its own, which only the general route can compute."""

    def __init__(self, *layers):
        super().__init__()
        self.net = nn.Sequential(*layers)

    def forward(self, x):
        return self.net(x)


class Doing(nn.Module):
    """A linear layer, and a forward that is given."""

    def __init__(self, forward):
        super().__init__()
        self.layer, self.scale = nn.Linear(12, 5), nn.Parameter(torch.ones(()))
        self.register_buffer("count", torch.zeros(()))
        self.doing = forward

    def forward(self, x):
        return self.doing(self, x)


def signal(*layers):
    return nn.Sequential(nn.Unflatten(1, (1, 12)), *layers, nn.Flatten(), nn.LazyLinear(5))


def image(*layers):
    return nn.Sequential(nn.Unflatten(1, (1, 3, 4)), *layers, nn.Flatten(), nn.LazyLinear(5))


def started(model, x=None):
    """``model`` with its lazy layer made, and its buffers as new."""
    training = model.training
    model.double().eval()(vectors().x if x is None else x)
    return model.train(training)


def small(*between):
    return nn.Sequential(nn.Linear(12, 6, bias=not between), *between, nn.Tanh(), nn.Linear(6, 5))


def frozen_norm(affine=True):
    """A frozen BatchNorm with statistics of its own."""
    norm = nn.BatchNorm1d(6)
    norm(1 + 2 * torch.randn(8, 6))
    return freeze_batchnorm(norm, affine)


def tied(first, second):
    second.weight = first.weight
    return nn.Sequential(nn.Linear(12, 6), first, nn.Tanh(), second, nn.Linear(6, 5))


def used_twice(layer):
    return nn.Sequential(nn.Linear(12, 6), layer, nn.Tanh(), layer, nn.Linear(6, 5))


def state(model):
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def gap(models, twins):
    """The largest difference between two lists of models, in any parameter or buffer."""
    ours, theirs = (
        [tensor.detach().double() for m in those for tensor in state(m).values()] for those in (models, twins)
    )
    return max(float((a - b).abs().max()) for a, b in zip(ours, theirs, strict=True))


def one_by_one(models, loss, data, *, rates, seeds, subsets=None, **settings):
    whose = [data if subsets is None else Data(data.x[subsets[r]], data.y[subsets[r]]) for r in range(len(models))]
    return [
        fit(model, loss, own, rate=rate, seed=seed, **settings)
        for model, own, rate, seed in zip(models, whose, rates, seeds, strict=True)
    ]


def assert_equals_fit(
    make, loss=cross_entropy, data=None, *, count=4, prepare=None, chunk=None, within=1e-11, watch=None, **settings
):
    data = data or vectors()
    settings = {"rates": RATES[:count], "seeds": range(7, 7 + count), "batch": 6, "steps": 10, **settings}
    models, twins, start = replicas(make, count), replicas(make, count), replicas(make, count)
    for number, model in itertools.chain(*map(enumerate, (models, twins, start))):
        if prepare:
            prepare(number, model)
    expected = one_by_one(twins, loss, data, **settings)
    done = fit_ensemble(models, loss, data, chunk=chunk, after_step=watch, **settings)
    assert gap(models, twins) < within and gap(models, start) > 1e-3
    for found, alone in zip(done, expected, strict=True):
        assert found.losses == pytest.approx(alone.losses, abs=within) and found.diverged == alone.diverged
    assert [m.training for a in models for m in a.modules()] == [m.training for a in twins for m in a.modules()]
    return models, done


# A bias in front of a BatchNorm, and the bias of a GPT's keys, have a true gradient of zero. Adam divides the rounding
# of that gradient by its own size, so such a bias is left out below, and the GPT has a looser bound.
MODELS = {
    "mlp": lambda: mlp(12, 8, 5),
    "mlp of depth 3": lambda: mlp(12, 8, 5, depth=3),
    "cnn": lambda: cnn(12, 4, 5),
    "cnn with BatchNorm1d": lambda: started(
        signal(nn.Conv1d(1, 4, 3, bias=False), nn.BatchNorm1d(4), nn.ReLU(inplace=True))
    ),
    "BatchNorm1d averaging over all": lambda: small(nn.BatchNorm1d(6, momentum=None)),
    "conv2d": lambda: started(image(nn.Conv2d(1, 4, (2, 3), bias=False), nn.BatchNorm2d(4), nn.GELU())),
    "own forward": lambda: Own(small(), nn.Tanh(), nn.Linear(5, 5)),
    "own forward with BatchNorm": lambda: Own(small(nn.BatchNorm1d(6))),
    "gpt": lambda: GPT(7, 4, 4, 2, 1),
}
ROUTES = [small, lambda: Own(small())]


@pytest.mark.parametrize(
    "optimizer, chunk, micro_batch",
    [("sgd", None, 4), ("sgd", 1, None), ("momentum", 2, 3), ("adamw", 3, 4), ("adamw", None, None)],
)
@pytest.mark.parametrize("name", MODELS)
def test_every_replica_is_what_fit_makes_of_it_alone(name, optimizer, chunk, micro_batch):
    loss, data = (next_token_loss, written()) if name == "gpt" else (cross_entropy, vectors())
    settings = {"optimizer": OPTIMIZERS[optimizer], "chunk": chunk, "micro_batch": micro_batch}
    within = 1e-8 if (name, optimizer) == ("gpt", "adamw") else 1e-11
    assert_equals_fit(MODELS[name], loss, data, within=within, **settings)


def test_the_table_above_walks_both_routes():
    batched = {name for name, make in MODELS.items() if batched_layers(make())}
    assert batched == set(MODELS) - {
        "own forward",
        "own forward with BatchNorm",
        "gpt",
        "BatchNorm1d averaging over all",
    }


@pytest.mark.parametrize("chunk", [1, 2, 100, np.int64(3)])
@pytest.mark.parametrize("make", ROUTES)
def test_the_size_of_a_chunk_changes_nothing(make, chunk):
    assert_equals_fit(make, chunk=chunk, micro_batch=4, optimizer=OPTIMIZERS["momentum"])


def test_a_chunk_never_holds_less_than_one_replica():
    def size(make, micro_batch=1, wanted=None):
        return chunk_size([make().double(), make().double()], cross_entropy, vectors(), micro_batch, wanted)

    assert size(lambda: mlp(12, 2048, 2048, 5)) == 1 and size(small, 10**6) == 1 and size(small, wanted=3) == 3
    assert size(small) > size(lambda: Own(small())) > 1


@pytest.mark.parametrize("batch, micro_batch", [(1, None), (5, 2), (16, None), (16, 5)])
@pytest.mark.parametrize("make", ROUTES)
def test_every_replica_learns_from_its_own_examples(make, batch, micro_batch):
    subsets = torch.stack([torch.randperm(23, generator=torch.Generator().manual_seed(r))[:16] for r in range(4)])
    assert_equals_fit(make, subsets=subsets, batch=batch, micro_batch=micro_batch, chunk=3)


@pytest.mark.parametrize("settings", [{"count": 1}, {"batch": 23}, {"batch": 1}, {"steps": 1}, {"rates": (1, 0, 2, 0)}])
@pytest.mark.parametrize("make", ROUTES)
def test_the_smallest_and_the_largest_settings_equal_fit(make, settings):
    assert_equals_fit(make, **settings)


LAYERS = {
    "padding same": lambda: started(signal(nn.Conv1d(1, 4, 3, padding="same"), nn.SiLU())),
    "groups, dilation, no bias": lambda: started(
        signal(nn.Conv1d(1, 4, 3, bias=False), nn.ReLU(), nn.Conv1d(4, 6, 3, groups=2, dilation=2, padding=1))
    ),
    "circular padding": lambda: started(signal(nn.Conv1d(1, 4, 3, padding=1, padding_mode="circular"), nn.Tanh())),
    "channels last": lambda: started(image(nn.Conv2d(1, 4, 2), nn.Conv2d(4, 4, 2))).to(
        memory_format=torch.channels_last
    ),
    "pooling": lambda: started(image(nn.Conv2d(1, 4, 2), nn.MaxPool2d(2))),
    "BatchNorm without affine": lambda: small(nn.BatchNorm1d(6, affine=False)),
    "BatchNorm without running statistics": lambda: small(nn.BatchNorm1d(6, track_running_stats=False)),
    "BatchNorm with neither": lambda: small(nn.BatchNorm1d(6, affine=False, track_running_stats=False)),
    "BatchNorm with momentum 0": lambda: small(nn.BatchNorm1d(6, momentum=0.0)),
    "BatchNorm on a signal": lambda: started(signal(nn.Conv1d(1, 4, 3), nn.BatchNorm1d(4))),
    "BatchNorm used twice": lambda: used_twice(nn.BatchNorm1d(6)),
    "other norms": lambda: small(nn.LayerNorm(6), nn.GroupNorm(2, 6)),
    "GroupNorm without affine": lambda: small(nn.GroupNorm(3, 6, affine=False)),
    "GroupNorm on an image": lambda: started(image(nn.Conv2d(1, 4, 2), nn.GroupNorm(2, 4))),
    "frozen BatchNorm": lambda: small(frozen_norm()),
    "frozen BatchNorm on a signal, affine trained": lambda: started(
        signal(nn.Conv1d(1, 6, 3), frozen_norm(affine=False), nn.ReLU())
    ),
    "in place": lambda: nn.Sequential(nn.Linear(12, 6), nn.ReLU(inplace=True), nn.BatchNorm1d(6), nn.Linear(6, 5)),
    "positions": lambda: nn.Sequential(
        nn.Unflatten(1, (2, 2, 3)),
        nn.Linear(3, 4),
        nn.Tanh(),
        nn.Flatten(2),
        nn.Linear(8, 3),
        nn.Flatten(-2),
        nn.Linear(6, 5),
    ),
    "nested chains": lambda: nn.Sequential(nn.Sequential(nn.Linear(12, 6), nn.Sequential(nn.Tanh())), nn.Linear(6, 5)),
    "a single layer": lambda: nn.Linear(12, 5),
    "a parameter that is a number": lambda: Doing(lambda self, x: self.scale * self.layer(x)),
    "a buffer changed in place": lambda: Doing(lambda self, x: self.layer(x) * self.count.add_(0.1)),
    "weight norm": lambda: nn.Sequential(parametrizations.weight_norm(nn.Linear(12, 6)), nn.Tanh(), nn.Linear(6, 5)),
    "attention": lambda: nn.Sequential(
        nn.Unflatten(1, (2, 6)),
        nn.TransformerEncoderLayer(6, 2, 12, 0.0, batch_first=True),
        nn.Flatten(),
        nn.Linear(12, 5),
    ),
}


def test_group_norm_and_frozen_batch_norm_take_the_fast_route():
    names = [name for name in LAYERS if name.startswith(("GroupNorm", "frozen"))]
    assert len(names) == 4 and all(batched_layers(LAYERS[name]()) for name in names)


@pytest.mark.parametrize("name", LAYERS)
def test_whatever_the_layers_a_replica_equals_fit(name):
    assert_equals_fit(LAYERS[name], micro_batch=4, chunk=3, steps=5)


@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize("wrap", [nn.Sequential, Own])
def test_in_evaluation_mode_the_running_statistics_are_used_and_kept(wrap, momentum):
    def aged(number, model):
        for _ in range(3):
            model(vectors(seed=number).x)
        model.eval()

    models, _ = assert_equals_fit(lambda: wrap(*small(nn.BatchNorm1d(6, momentum=momentum))), prepare=aged)
    assert [int(state(m)[n]) for m in models for n in state(m) if n.endswith("num_batches_tracked")] == [3] * 4


@pytest.mark.parametrize("wrap", [nn.Sequential, Own])
def test_without_running_statistics_evaluation_uses_those_of_the_batch(wrap):
    make, mode = lambda: wrap(*small(nn.BatchNorm1d(6, track_running_stats=False))), lambda number, model: model.eval()
    assert_equals_fit(make, prepare=mode)


@pytest.mark.parametrize("wrap", [nn.Sequential, Own])
def test_a_batch_norm_alone_in_evaluation_mode_stays_so(wrap):
    def hold(number, model):
        next(m for m in model.modules() if isinstance(m, nn.BatchNorm1d)).eval()

    def watch(ensemble):
        assert len(ensemble.losses_on(vectors(seed=9))) == 4

    assert_equals_fit(lambda: wrap(*small(nn.BatchNorm1d(6))), prepare=hold, watch=watch)


def test_flattening_the_single_output_of_every_example_equals_fit():
    make, data = lambda: nn.Sequential(nn.Linear(12, 1), nn.Flatten(0)), targets(12)
    assert_equals_fit(make, mse_loss, Data(data.x, data.x[:, 0]))


def strided(number, model):
    wide = torch.zeros(6, 24, dtype=torch.float64)[:, ::2]
    model[0].weight = nn.Parameter(wide.copy_(model[0].weight.detach()))


def test_parameters_and_data_with_gaps_in_memory_equal_fit():
    data = vectors()
    assert_equals_fit(small, data=Data(data.x.T.contiguous().T, data.y), prepare=strided)


LOSSES = {
    "mean square": (mse_loss, targets(5)),
    "label smoothing": (functools.partial(cross_entropy, label_smoothing=0.2), vectors()),
    "a lambda": (lambda o, y: cross_entropy(o, y, label_smoothing=0.1), vectors()),
    "class weights": (nn.CrossEntropyLoss(weight=torch.arange(1.0, 6.0).double()), vectors()),
    "shares of classes": (cross_entropy, Data(vectors().x, targets(5).y.softmax(dim=1))),
    "a sum": (lambda o, y: cross_entropy(o, y, reduction="sum") / 6, vectors()),
    "margins": (nn.functional.multi_margin_loss, vectors()),
    "squared labels": (lambda o, y: mse_loss(o, one_hot(y, 5).double()), vectors()),
}


@pytest.mark.parametrize("make", ROUTES)
@pytest.mark.parametrize("name", LOSSES)
def test_any_mean_loss_is_every_replica_s_own(name, make):
    assert_equals_fit(make, *LOSSES[name], chunk=3)


def test_a_class_a_position_is_scored_as_torch_scores_it():
    def make():
        return Doing(lambda self, x: self.layer(x).unsqueeze(2) * x[:, None, :3])

    data = vectors()
    assert_equals_fit(make, data=Data(data.x, data.y.unsqueeze(1).expand(-1, 3)))
    assert_equals_fit(make, data=Data(data.x, data.x[:, :5].softmax(1).unsqueeze(2).expand(-1, -1, 3)))


def test_log_probabilities_equal_fit():
    assert_equals_fit(lambda: nn.Sequential(nn.Linear(12, 5), nn.LogSoftmax(1)), nll_loss)


def frozen(number, model):
    first = next(m for m in model.modules() if isinstance(m, nn.Linear))
    first.requires_grad_(False)


@pytest.mark.parametrize("make", ROUTES)
def test_frozen_parameters_stay(make):
    models, _ = assert_equals_fit(make, prepare=frozen, optimizer=OPTIMIZERS["adamw"])
    for model, before in zip(models, replicas(make), strict=True):
        name = next(iter(state(model)))
        assert torch.equal(state(model)[name], state(before)[name]) and not state(model)[name].requires_grad


def test_parameters_that_the_loss_does_not_see_stay():
    models, _ = assert_equals_fit(lambda: Doing(lambda self, x: self.layer(x)), optimizer=OPTIMIZERS["adamw"])
    assert all(model.scale == 1.0 for model in models)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_layer_used_twice_equals_fit(optimizer):
    assert_equals_fit(lambda: used_twice(nn.Linear(6, 6)), optimizer=OPTIMIZERS[optimizer])
    assert_equals_fit(lambda: Own(tied(nn.Linear(6, 6), nn.Linear(6, 6))), optimizer=OPTIMIZERS[optimizer])


@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.5, 0.8)])
def test_adamw_is_torch_s_own_over_100_steps(betas, weight_decay):
    ours = functools.partial(adamw, beta1=betas[0], beta2=betas[1], weight_decay=weight_decay)
    theirs = functools.partial(torch.optim.AdamW, betas=betas, weight_decay=weight_decay)
    assert furthest_apart(ours, theirs) < 1e-12


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_sgd_is_torch_s_own_over_100_steps(momentum):
    theirs = functools.partial(torch.optim.SGD, momentum=momentum)
    assert furthest_apart(functools.partial(sgd, momentum=momentum), theirs) < 1e-12


def furthest_apart(ours, theirs):
    """In 100 steps, ours alone with a number as its rate and with one rate a replica."""
    furthest = 0.0
    generator, rates = torch.Generator().manual_seed(1), (0.01, 0.1, 0.3)
    stacked = torch.randn(3, 5, 2, generator=generator, dtype=torch.float64)
    alone, states, twins = list(stacked), [None] * 4, [nn.Parameter(p.clone()) for p in stacked]
    optimizers = [theirs([twin], lr=rate) for twin, rate in zip(twins, rates, strict=True)]
    for _ in range(100):
        g = torch.randn(3, 5, 2, generator=generator, dtype=torch.float64)
        stacked, states[3] = ours(stacked, g, states[3], torch.tensor(rates, dtype=torch.float64).view(3, 1, 1))
        for r, optimizer in enumerate(optimizers):
            alone[r], states[r] = ours(alone[r], g[r], states[r], rates[r])
            twins[r].grad = g[r]
            optimizer.step()
            found = torch.stack([alone[r], stacked[r]])
            furthest = max(furthest, float((found - twins[r].detach()).abs().max()))
    return furthest


DIVERGING = {
    "mlp": lambda: mlp(12, 6, 5),
    "relu": lambda: nn.Sequential(nn.Linear(12, 6), nn.ReLU(), nn.Linear(6, 5)),
    "cnn with BatchNorm": lambda: started(signal(nn.Conv1d(1, 4, 3, bias=False), nn.BatchNorm1d(4))),
    "own forward": lambda: Own(mlp(12, 6, 5)),
    "own forward with BatchNorm": lambda: Own(small(nn.BatchNorm1d(6))),
}
HUGE = (0.01, 1e30, 0.02, lambda step: 1e200 if step > 4 else 0.01)


@pytest.mark.parametrize("chunk, micro_batch", [(None, None), (1, 4), (3, None)])
@pytest.mark.parametrize("name", DIVERGING)
def test_a_replica_that_diverges_ends_alone_and_as_fit_does(name, chunk, micro_batch):
    settings = {"rates": HUGE, "steps": 25, "chunk": chunk, "micro_batch": micro_batch}
    models, done = assert_equals_relatively(DIVERGING[name], mse_loss, targets(5), **settings)
    assert [one.diverged for one in done] == [False, True, False, True]
    assert [len(done[r].losses) for r in (0, 2)] == [25, 25] and 5 <= len(done[3].losses) < 25
    assert all(bool(torch.isfinite(tensor).all()) for model in models for tensor in model.parameters())


def assert_equals_relatively(make, loss, data, chunk=None, **settings):
    """As above, but in proportion: what a diverging replica leaves behind may be a huge number."""
    models, twins = replicas(make), replicas(make)
    settings = {"seeds": range(7, 11), "batch": 6, **settings}
    expected = one_by_one(twins, loss, data, **settings)
    done = fit_ensemble(models, loss, data, chunk=chunk, **settings)
    assert [(len(a.losses), a.diverged) for a in done] == [(len(b.losses), b.diverged) for b in expected]
    for found, alone in zip(done, expected, strict=True):
        assert found.losses == pytest.approx(alone.losses, rel=1e-9)
    for model, twin in zip(models, twins, strict=True):
        for (name, ours), theirs in zip(state(model).items(), state(twin).values(), strict=True):
            assert torch.allclose(ours, theirs, rtol=1e-9, atol=1e-12), name
    return models, done


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("make", ROUTES)
def test_after_a_divergence_the_optimizer_goes_on_with_the_right_replicas(make, optimizer):
    _, done = assert_equals_relatively(
        make, mse_loss, targets(5), rates=HUGE, steps=25, optimizer=OPTIMIZERS[optimizer], chunk=3
    )
    assert [one.diverged for one in done] == [False, True, False, True]


@pytest.mark.parametrize("make", ROUTES)
def test_a_loss_that_overflows_on_one_replica_s_own_examples_ends_that_replica_alone(make):
    plain = targets(5)
    data = Data(plain.x, torch.where(torch.arange(23).unsqueeze(1) == 20, 1e200, plain.y))
    subsets = torch.arange(10).expand(4, -1).clone()
    subsets[2] += 11  # example 20 among them
    settings = {"subsets": subsets, "rates": (0.1,) * 4, "batch": 2, "steps": 12}
    models, done = assert_equals_relatively(make, mse_loss, data, **settings)
    assert [one.diverged for one in done] == [False, False, True, False] and len(done[2].losses) < 5
    alone, left = replicas(make), [0, 1, 3]
    settings = {**settings, "subsets": subsets[left], "rates": (0.1,) * 3, "seeds": [7, 8, 10]}
    without = fit_ensemble([alone[r] for r in left], mse_loss, data, **settings)
    assert gap([models[r] for r in left], [alone[r] for r in left]) < 1e-12
    assert [done[r].losses for r in left] == [pytest.approx(one.losses, abs=1e-12) for one in without]


def test_a_replica_that_diverges_at_once_keeps_its_parameters_and_has_no_losses():
    models, before = replicas(small, 2), replicas(small, 2)
    settings = {"batch": 6, "rates": [math.nextafter(math.inf, 0), 0.1], "steps": 3, "seeds": [0, 1]}
    done = fit_ensemble(models, cross_entropy, vectors(), **settings)
    assert done[0].diverged and done[0].losses == () and gap(models[:1], before[:1]) == 0
    assert not done[1].diverged and len(done[1].losses) == 3


def test_when_everyone_has_diverged_the_training_is_over():
    seen = []
    settings = {"batch": 6, "rates": [1e300, 1e300], "steps": 50, "seeds": [0, 1]}
    watch = {"after_step": lambda ensemble: seen.append(ensemble.live)}
    done = fit_ensemble(replicas(small, 2), mse_loss, targets(5), **settings, **watch)
    assert all(one.diverged for one in done) and len(seen) < 50 and seen[-1] == []


@pytest.mark.parametrize("chunk", [None, 1, 3])
@pytest.mark.parametrize("optimizer", ["momentum", "adamw"])
@pytest.mark.parametrize("make", [*ROUTES, MODELS["cnn with BatchNorm1d"]])
def test_a_stopped_replica_ends_there_and_the_rest_goes_on_unchanged(make, optimizer, chunk):
    ends, seen = {0: 7, 1: 3, 2: 12, 3: 7}, []
    subsets = torch.stack([torch.randperm(23, generator=torch.Generator().manual_seed(r))[:14] for r in range(4)])

    def watch(ensemble):
        seen.append((ensemble.steps_done, ensemble.live))
        ensemble.stop(r for r, end in ends.items() if end == ensemble.steps_done)
        assert ensemble.live == [r for r, end in ends.items() if end > ensemble.steps_done]

    settings = {"batch": 4, "optimizer": OPTIMIZERS[optimizer]}
    models, twins, data = replicas(make), replicas(make), vectors()
    common = {"rates": RATES, "seeds": range(4), "subsets": subsets}
    done = fit_ensemble(models, cross_entropy, data, steps=15, after_step=watch, chunk=chunk, **common, **settings)
    for r, end in ends.items():
        own = Data(data.x[subsets[r]], data.y[subsets[r]])
        alone = fit(twins[r], cross_entropy, own, rate=RATES[r], seed=r, steps=end, **settings)
        assert done[r].losses == pytest.approx(alone.losses, abs=1e-11) and len(done[r].losses) == end
    assert gap(models, twins) < 1e-11 and not any(one.diverged for one in done)
    assert seen == [(step, [r for r, end in ends.items() if end >= step]) for step in range(1, 13)]


def test_at_a_stop_the_model_has_the_parameters_of_that_moment():
    models, twins, said = replicas(small), replicas(small), []

    def watch(ensemble):
        if ensemble.steps_done == 5:
            ensemble.stop([2])
            ensemble.stop([2])  # once more changes nothing
            said.append(gap(models[2:3], twins[2:3]))

    one_by_one(twins[2:3], cross_entropy, vectors(), rates=[0.1], seeds=[2], batch=6, steps=5)
    settings = {"batch": 6, "rates": [0.1] * 4, "steps": 9, "seeds": range(4)}
    fit_ensemble(models, cross_entropy, vectors(), after_step=watch, **settings)
    assert said[0] < 1e-12 and gap(models[2:3], twins[2:3]) == said[0]


@pytest.mark.parametrize("chunk", [None, 1, 3])
def test_writing_copies_the_parameters_of_this_moment_and_goes_on(chunk):
    models, halfway, twins, said = replicas(small), replicas(small), replicas(small), []
    settings = {"rates": RATES, "seeds": range(4), "batch": 6}

    def watch(ensemble):
        if ensemble.steps_done == 4:
            ensemble.write([0, 2])
            said.extend([gap(models[::2], halfway[::2]), gap(models[1::2], replicas(small)[1::2]), ensemble.live])

    one_by_one(halfway, cross_entropy, vectors(), steps=4, **settings)
    one_by_one(twins, cross_entropy, vectors(), steps=8, **settings)
    fit_ensemble(models, cross_entropy, vectors(), steps=8, after_step=watch, chunk=chunk, **settings)
    assert said[0] < 1e-12 and said[1:] == [0, [0, 1, 2, 3]] and gap(models, twins) < 1e-12


def with_everything():
    return nn.Sequential(nn.Linear(12, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Dropout(0.4), nn.Linear(6, 5))


@pytest.mark.parametrize("chunk", [None, 1, 2, 3])
@pytest.mark.parametrize("loss", [cross_entropy, lambda outputs, labels: cross_entropy(outputs, labels)])
@pytest.mark.parametrize("make", [with_everything, lambda: Own(with_everything())])
def test_losses_on_are_those_of_every_live_model_in_evaluation_mode(make, loss, chunk):
    models, held_out, said = replicas(make), vectors(31, seed=5), {}

    def watch(ensemble):
        if ensemble.steps_done == 3:
            ensemble.stop([1])
        if ensemble.steps_done == 6:
            said.update(zip(ensemble.live, ensemble.losses_on(held_out), strict=True))
            ensemble.stop(ensemble.live)
            assert ensemble.losses_on(held_out).shape == (0,)

    settings = {"batch": 6, "rates": RATES, "steps": 9, "seeds": range(4), "chunk": chunk}
    fit_ensemble(models, loss, vectors(), after_step=watch, **settings)
    assert list(said) == [0, 2, 3] and all(m.training for model in models for m in model.modules())
    for r, value in said.items():
        assert value == pytest.approx(loss(models[r].eval()(held_out.x), held_out.y).item(), abs=1e-12)


@pytest.mark.parametrize("make", [with_everything, lambda: Own(with_everything())])
def test_asking_for_losses_changes_neither_buffers_nor_masks_nor_anything(make):
    asked, plain = replicas(make), replicas(make)
    settings = {"batch": 6, "rates": RATES, "steps": 6, "seeds": range(4)}
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        first = fit_ensemble(
            asked, cross_entropy, vectors(), after_step=lambda e: e.losses_on(vectors(31, seed=5)), **settings
        )
        torch.default_generator.manual_seed(0)
        second = fit_ensemble(plain, cross_entropy, vectors(), **settings)
    assert first == second and gap(asked, plain) == 0


def transparent(p):
    """A model that lets through what it is given, but for its dropout."""
    layer = nn.Linear(100, 100, bias=False)
    nn.init.eye_(layer.weight)
    return nn.Sequential(layer, nn.Dropout(p))


@pytest.mark.parametrize("p", [0.1, 0.5])
@pytest.mark.parametrize("wrap", [nn.Sequential, Own])
def test_dropout_draws_a_fair_mask_of_its_own_for_every_replica(wrap, p):
    stack = Stack(replicas(lambda: wrap(*transparent(p)), 3))
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        out = stack(torch.ones(3, 100, 100, dtype=torch.float64)).detach()
    assert set(out.unique().tolist()) == {0.0, 1 / (1 - p)}
    masks, n = (out > 0).double(), 100 * 100
    for mask in masks:
        assert abs(float(mask.sum()) - n * (1 - p)) < 4 * math.sqrt(n * p * (1 - p))
        assert float(mask.var(dim=0).mean()) == pytest.approx(p * (1 - p), rel=0.1)
    agree = p**2 + (1 - p) ** 2
    for a, b in itertools.combinations(masks, 2):
        assert abs(float((a == b).sum()) - n * agree) < 4 * math.sqrt(n * agree * (1 - agree))
    assert torch.equal(stack.evaluate(torch.ones(7, 100).double()), torch.ones(3, 7, 100).double())


@pytest.mark.parametrize("wrap", [nn.Sequential, Own])
def test_with_dropout_identical_replicas_part_and_average_to_fit(wrap):
    def make():
        torch.default_generator.manual_seed(0)
        return wrap(nn.Linear(12, 8), nn.Tanh(), nn.Dropout(0.5), nn.Linear(8, 5))

    count, settings = 100, {"batch": 23, "steps": 1}
    with torch.random.fork_rng(devices=[]):
        models = replicas(make, count)
        torch.default_generator.manual_seed(1)
        done = fit_ensemble(models, cross_entropy, vectors(), rates=[0.5] * count, seeds=[3] * count, **settings)
        twins = replicas(make, count)
        torch.default_generator.manual_seed(2)
        alone = [fit(twin, cross_entropy, vectors(), rate=0.5, seed=3, **settings) for twin in twins]
    ours, theirs = (np.array([one.losses[0] for one in fits]) for fits in (done, alone))
    assert len(set(ours)) == count
    assert abs(ours.mean() - theirs.mean()) < 4 * math.sqrt((ours.var() + theirs.var()) / count)
    assert 0.7 < ours.std() / theirs.std() < 1.4  # 3.5 standard errors of a ratio of two from 100


@pytest.mark.parametrize("make", [*ROUTES, MODELS["cnn with BatchNorm1d"]])
def test_without_dropout_the_global_streams_stay_and_a_second_call_is_identical(make):
    settings = {"batch": 6, "rates": RATES, "steps": 6, "seeds": range(4)}
    first, second = replicas(make), replicas(make)
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()
    one = fit_ensemble(first, cross_entropy, vectors(), **settings)
    assert torch.equal(torch.get_rng_state(), before) and np.array_equal(np.random.get_state()[1], numpy_before)
    torch.rand(3)
    assert one == fit_ensemble(second, cross_entropy, vectors(), **settings) and gap(first, second) == 0


def test_the_data_and_the_subsets_are_left_alone():
    data, subsets = vectors(), torch.arange(20).view(2, 10)
    x, chosen = data.x.clone(), subsets.clone()
    settings = {"batch": 6, "rates": RATES[:2], "steps": 6, "seeds": range(2)}
    fit_ensemble(replicas(small, 2), cross_entropy, data, subsets=subsets, **settings)
    assert torch.equal(data.x, x) and torch.equal(subsets, chosen)


@pytest.mark.parametrize("before", ["register_forward_pre_hook", "register_forward_hook"])
def test_hooks_are_refused_for_they_would_see_all_replicas_at_once(before):
    hooked = [small(), small()]
    getattr(hooked[1], before)(lambda m, x, *y: None)
    with pytest.raises(Refused, match=r"models\[1\] has hooks"):
        trained(hooked)


def test_the_gradients_left_over_in_a_model_are_no_part_of_its_training():
    def leave(number, model):
        cross_entropy(model(vectors().x), vectors().y).backward()

    assert_equals_fit(small, prepare=leave)


def trained(models=None, loss=cross_entropy, data=None, **settings):
    models = replicas(small, 2) if models is None else models
    given = {"batch": 6, "rates": [0.1] * len(models), "steps": 3, "seeds": range(len(models)), **settings}
    return fit_ensemble(models, loss, data or vectors(), **given)


REFUSED = {
    "too few rates": ({"rates": [0.1]}, "models, rates and seeds have 2, 1 and 2"),
    "too few seeds": ({"seeds": [1]}, "models, rates and seeds have 2, 2 and 1"),
    "batch": ({"batch": 24}, "batch is 24; allowed: .* 1 to 23"),
    "batch 0": ({"batch": 0}, "batch is 0; allowed"),
    "batch of a subset": ({"batch": 8, "subsets": torch.arange(14).view(2, 7)}, "batch is 8; allowed: .* 1 to 7"),
    "micro-batch": ({"micro_batch": 7}, "micro_batch is 7; allowed: .* 1 to 6"),
    "steps 0": ({"steps": 0}, "steps is 0; allowed"),
    "steps": ({"steps": 2.5}, "steps is 2.5; allowed"),
    "chunk -1": ({"chunk": -1}, "chunk is -1; allowed"),
    "chunk": ({"chunk": 2.5}, "chunk is 2.5; allowed"),
    "chunk True": ({"chunk": True}, "chunk is True; allowed"),
    "rate": ({"rates": [0.1, -0.5]}, "rate is -0.5; allowed"),
    "rate nan": ({"rates": [0.1, math.nan]}, "rate is nan; allowed"),
    "rate None": ({"rates": [0.1, None]}, "rate is None; allowed"),
    "rate in a schedule": ({"rates": [0.1, lambda step: 1.0 - step]}, "rate is -1.0 at step 2; allowed"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_trained_is_refused_in_a_sentence_and_leaves_the_models_alone(name):
    settings, sentence = REFUSED[name]
    models, before = replicas(small, 2), replicas(small, 2)
    with pytest.raises(Refused, match=f"^{sentence}"):
        trained(models, **settings)
    assert gap(models, before) == 0


@pytest.mark.parametrize("rates", [[1, 2], np.array([0.1, 0.2]), (0, 0), [0.1, lambda step: 0.1 * (step + 1)]])
def test_rates_may_be_whole_numbers_arrays_and_schedules(rates):
    assert [len(one.losses) for one in trained(rates=rates)] == [3, 3]


OTHERS = {
    "type": lambda: Own(small()),
    "width": lambda: mlp(12, 7, 5),
    "depth": lambda: mlp(12, 6, 5, depth=2),
    "precision": lambda: mlp(12, 6, 5).float(),
    "mode": lambda: mlp(12, 6, 5).double().eval(),
    "frozen": lambda: mlp(12, 6, 5).double().requires_grad_(False),
}


@pytest.mark.parametrize("name", OTHERS)
def test_models_of_another_kind_are_refused_by_number(name):
    with pytest.raises(Refused, match=r"^models\[1\] differs from models\[0\] .*allowed: copies of one architecture"):
        trained([replicas(small, 1)[0], OTHERS[name]()])


def test_two_layers_with_one_weight_equal_fit():
    assert_equals_fit(lambda: tied(nn.Linear(6, 6), nn.Linear(6, 6)))


def test_flattening_examples_and_positions_together_equals_fit():
    assert_equals_fit(
        lambda: nn.Sequential(
            nn.Unflatten(1, (3, 4)),
            nn.Flatten(0, 1),
            nn.Linear(4, 2),
            nn.Unflatten(0, (-1, 3)),
            nn.Flatten(),
            nn.Linear(6, 5),
        )
    )


def test_a_batch_norm_that_averages_over_all_equals_fit_the_general_way():
    assert_equals_fit(lambda: Own(small(nn.BatchNorm1d(6, momentum=None))))


def test_batch_norms_that_have_seen_differently_many_batches_equal_fit():
    def aged(number, model):
        for _ in range(3 * number):
            model(vectors(seed=number).x)

    assert_equals_fit(lambda: small(nn.BatchNorm1d(6)), prepare=aged)
    assert_equals_fit(lambda: small(nn.BatchNorm1d(6, momentum=None)), prepare=aged)


def test_an_embedding_with_padding_equals_fit():
    def make():
        return nn.Sequential(nn.Embedding(7, 3, padding_idx=0), nn.Flatten(), nn.Linear(12, 7))

    assert_equals_fit(make, data=Data(written().x, written().y[:, 0]))


def test_ignored_targets_count_as_cross_entropy_counts_them():
    data = vectors()
    assert_equals_fit(small, data=Data(data.x, torch.where(torch.arange(23) % 3 == 0, -100, data.y)), batch=20)


def closed_over():
    model = nn.ModuleDict({"seen": nn.Linear(12, 5)})
    model.forward = lambda x: model["seen"](x)
    return model


def shortened():
    model = small()
    model.forward = lambda x: model[2](model[0](x))
    return model


@pytest.mark.parametrize("make", [closed_over, shortened])
def test_a_forward_set_on_the_model_itself_is_refused(make):
    assert outcome(make) == "refused"


def outcome(make, *given, **settings) -> str:
    try:
        assert_equals_fit(make, *given, **settings)
    except Refused:
        return "refused"
    return "equal"


HOOKS = {
    "backward": lambda number, model: model[1].register_full_backward_hook(lambda m, a, b: (2 * a[0],)),
    "before backward": lambda number, model: model[2].register_full_backward_pre_hook(lambda m, a: (2 * a[0],)),
    "parameter": lambda number, model: model[0].weight.register_hook(lambda g: 2 * g),
    "on one model": lambda number, model: number == 1 and model[1].register_forward_hook(lambda m, x, y: 2 * y),
}


@pytest.mark.parametrize("name", HOOKS)
def test_a_hook_is_refused(name):
    assert outcome(small, prepare=HOOKS[name]) == "refused"


def doing_gain(number, model):
    model.doing = lambda self, x: (number + 1) * self.layer(x)


UNLIKE = {
    "activations": (small, lambda number, model: number == 1 and model.__setitem__(1, nn.ReLU())),
    "BatchNorm momentum": (
        lambda: small(nn.BatchNorm1d(6)),
        lambda number, model: setattr(model[1], "momentum", 0.1 * (number + 1)),
    ),
    "mode of a layer": (lambda: small(nn.BatchNorm1d(6)), lambda number, model: model[1].train(number != 1)),
    "an attribute": (lambda: Doing(None), doing_gain),
}


@pytest.mark.parametrize("name", UNLIKE)
def test_models_that_differ_in_more_than_shapes_are_refused_and_own_functions_are_obeyed(name):
    make, differ = UNLIKE[name]
    assert outcome(make, prepare=differ) == ("equal" if name == "an attribute" else "refused")


def test_one_model_given_twice_is_refused():
    model = replicas(small, 1)[0]
    with pytest.raises(Refused):
        trained([model, model])


def test_models_that_share_a_layer_are_refused():
    first, second = replicas(small, 2)
    second[0] = first[0]
    with pytest.raises(Refused):
        trained([first, second])


def test_no_gradient_is_left_behind():
    models = replicas(small, 2)
    cross_entropy(models[0](vectors().x), vectors().y).backward()
    trained(models)
    assert all(p.grad is None for model in models for p in model.parameters())


def named_momentum(parameter, gradient, state, rate):
    velocity = gradient if state is None else 0.9 * state["velocity"] + gradient
    return parameter - rate * velocity, {"velocity": velocity}


def listed_momentum(parameter, gradient, state, rate):
    velocity = gradient if state is None else 0.9 * state[0] + gradient
    return parameter - rate * velocity, [velocity]


def tensor_clock(parameter, gradient, state, rate):
    time = torch.zeros(()) if state is None else state
    return parameter - rate * gradient / (1 + time), time + 1


@pytest.mark.parametrize("optimizer", [named_momentum, listed_momentum, tensor_clock])
def test_an_optimizer_s_state_may_be_any_container(optimizer):
    models, twins = replicas(small), replicas(small)
    settings = {"batch": 6, "rates": [0.1] * 4, "seeds": range(4), "optimizer": optimizer}
    watch = {"after_step": lambda ensemble: ensemble.stop([1] if ensemble.steps_done == 3 else [])}
    fit_ensemble(models, cross_entropy, vectors(), steps=8, **settings, **watch)
    one_by_one(twins, cross_entropy, vectors(), steps=8, **settings)
    assert gap(models[2:], twins[2:]) < 1e-11


RAW = {
    "no models": {"models": []},
    "no models in chunks": {"models": [], "chunk": 1},
    "chunk 0": {"chunk": 0},
    "one rate for all": {"rates": 0.1},
    "subsets for three": {"subsets": torch.arange(21).view(3, 7)},
    "subsets for one": {"subsets": torch.arange(7).view(1, 7)},
    "subsets without replicas": {"subsets": torch.arange(7)},
    "subsets too far": {"subsets": torch.arange(14).view(2, 7) + 20},
    "subsets below 0": {"subsets": torch.arange(14).view(2, 7) - 20},
    "subsets of floats": {"subsets": torch.arange(14.0).view(2, 7)},
    "subsets as a list": {"subsets": [[0, 1, 2, 3, 4, 5]] * 2},
    "one loss an example": {"loss": lambda o, y: cross_entropy(o, y, reduction="none")},
    "as many losses as replicas": {"loss": lambda o, y: cross_entropy(o, y, reduction="none")[:2], "chunk": 2},
    "nothing to train": {"models": [small().double().requires_grad_(False) for _ in range(2)]},
    "no parameters": {"models": [nn.Sequential(nn.Tanh()) for _ in range(2)]},
    "a lazy layer": {"models": [nn.Sequential(nn.LazyLinear(5)) for _ in range(2)]},
}


@pytest.mark.parametrize("name", RAW)
def test_what_cannot_be_used_is_refused_in_a_sentence(name):
    with pytest.raises(Refused):
        trained(**RAW[name])


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.recurrent, self.head = nn.GRU(3, 6, batch_first=True), nn.Linear(6, 5)

    def forward(self, x):
        return self.head(self.recurrent(x.unflatten(1, (4, 3)))[0][:, -1])


def branching(self, x):
    return self.layer(x) if x.sum() > 0 else self.scale * self.layer(x)


UNKNOWN_TO_VMAP = {
    "recurrent": {"make": Recurrent},
    "a branch on numbers": {"make": lambda: Doing(branching)},
    "a loss that chooses examples": {"make": small, "loss": lambda o, y: cross_entropy(o[y > 0], y[y > 0])},
    "outputs in a tuple": {
        "make": lambda: Doing(lambda self, x: (self.layer(x), x)),
        "loss": lambda o, y: cross_entropy(o[0], y),
        "chunk": 1,
    },
}


@pytest.mark.parametrize("name", UNKNOWN_TO_VMAP)
def test_what_vmap_cannot_train_is_trained_one_by_one_and_a_tuple_is_refused(name):
    assert outcome(**UNKNOWN_TO_VMAP[name]) == ("refused" if name == "outputs in a tuple" else "equal")


def test_subsets_without_examples_are_refused(monkeypatch):
    def endless(*given):
        raise AssertionError("the search for a first batch in no examples would never end")

    monkeypatch.setattr(chunks, "epochs", endless)
    with pytest.raises(Refused):
        trained(subsets=torch.zeros(2, 0, dtype=torch.long))


def test_any_iterable_names_the_replicas_to_write():
    models, before = replicas(small), replicas(small)

    def watch(ensemble):
        ensemble.write(replica for replica in (2, 0))
        assert all(gap([models[r]], [before[r]]) > 0 for r in (0, 2))

    trained(models, after_step=watch)
