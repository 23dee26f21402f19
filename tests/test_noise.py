"""Gradient noise: the instruments against naive twins and known answers, what they leave alone and refuse."""

import math
import warnings

import numpy as np
import pytest
import torch
from naive import exact_minibatch_variance, naive_exact_noise, naive_micro_batch, naive_two_batch
from scipy.stats import sem
from torch import nn
from torch.nn import functional as F
from torch.nn.functional import cross_entropy
from torch.nn.utils import parametrizations, prune

from tutorlib.errors import Refused
from tutorlib.measure import per_example
from tutorlib.measure.noise import exact_noise, gradient_sampler, micro_batch_noise, spread, two_batch_noise
from tutorlib.measure.per_example import per_example_squares
from tutorlib.nn.data import Data, digits, mnist1d
from tutorlib.nn.models import GPT, cnn, make, mlp, next_token_loss
from tutorlib.theory.noise import two_batch_estimates
from tutorlib.trials.measure_the_noise import gaussian_problem

torch.set_num_threads(1)  # the models are so small that a second thread only waits


def vectors(examples=9, inputs=12, classes=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(examples, inputs, generator=generator, dtype=torch.float64)
    return Data(x, torch.randint(0, classes, (examples,), generator=generator))


def written(examples=6, time=5, vocabulary=7):
    tokens = torch.randint(0, vocabulary, (examples, time + 1), generator=torch.Generator().manual_seed(0))
    return Data(tokens[:, :-1], tokens[:, 1:])


def images(*layers):
    """A net on 12 numbers seen as a 3 × 4 image."""
    return nn.Sequential(nn.Unflatten(1, (1, 3, 4)), *layers, nn.Flatten(), nn.LazyLinear(5))


def sequence(positions, width, out):
    """The same linear layer at every position of a sequence."""
    return nn.Sequential(
        nn.Linear(12, positions * width),
        nn.Unflatten(1, (positions, width)),
        nn.Linear(width, out),
        nn.Tanh(),
        nn.Flatten(),
        nn.Linear(positions * out, 5),
    )


def frozen(model, *names):
    for name in names:
        model.get_parameter(name).requires_grad_(False)
    return model


def two_layers(first=None, second=None):
    return nn.Sequential(first or nn.Linear(12, 5), second or nn.Tanh(), nn.Linear(5, 5))


class Odd(nn.Module):
    """Two square layers and a forward that a test writes itself."""

    def __init__(self, forward, bias=True):
        super().__init__()
        self.a, self.b, self.run = nn.Linear(12, 12, bias=bias), nn.Linear(12, 5, bias=bias), forward

    def forward(self, x):
        return self.run(self, x)


class Standardized(nn.Conv2d):
    """A convolution whose weight is centred before it is used."""

    def forward(self, x):
        return F.conv2d(x, self.weight - self.weight.mean(), self.bias)


class Sentences(nn.Module):
    """Embedding, LayerNorm and a linear layer on every token."""

    def __init__(self):
        super().__init__()
        self.token, self.norm, self.out = nn.Embedding(7, 6), nn.LayerNorm(6), nn.Linear(6, 7)

    def forward(self, tokens):
        return self.out(self.norm(self.token(tokens)))


def tied():
    model = nn.Sequential(nn.Linear(12, 12), nn.Tanh(), nn.Linear(12, 12), nn.Tanh(), nn.Linear(12, 5))
    model[2].weight = model[0].weight
    return model


def pruned():
    model = two_layers()
    prune.random_unstructured(model[0], "weight", amount=0.5)
    return model


def moved_weight_norm():
    """The older weight normalization, after its two parts have moved as they do in training."""
    model = two_layers(first=nn.utils.weight_norm(nn.Linear(12, 5)))
    with torch.no_grad():
        model[0].weight_v.mul_(3.0)
        model[0].weight_g.mul_(0.5)
    return model


FAST = {
    "perceptron": lambda: mlp(12, 8, 5),
    "perceptron of depth 2": lambda: mlp(12, 8, 5, depth=2),
    "no hidden layer": lambda: nn.Linear(12, 5),
    "no biases": lambda: two_layers(nn.Linear(12, 5, bias=False)),
    "convolutional net": lambda: cnn(12, 3, 5),
    "convolutional net, odd length": lambda: nn.Sequential(nn.Linear(12, 13), cnn(13, 3, 5)),
    "convolution without bias": lambda: images(nn.Conv2d(1, 2, 2, bias=False), nn.Tanh()),
    "convolution, stride": lambda: images(nn.Conv2d(1, 2, 2, stride=(1, 2)), nn.Tanh()),
    "convolution, padding": lambda: images(nn.Conv2d(1, 2, (3, 2), padding=(2, 1)), nn.Tanh()),
    "convolution, dilation": lambda: images(nn.Conv2d(1, 2, 2, dilation=(1, 2)), nn.Tanh()),
    "convolution, all three": lambda: images(nn.Conv2d(1, 2, 2, (2, 1), (1, 3), (2, 3)), nn.Tanh()),
    "two convolutions": lambda: images(nn.Conv2d(1, 3, 2), nn.Tanh(), nn.Conv2d(3, 2, (1, 2)), nn.Tanh()),
    "sequence, short and wide": lambda: sequence(2, 12, 12),
    "sequence, long and narrow": lambda: sequence(10, 3, 2),
    "first layer frozen": lambda: frozen(two_layers(), "0.weight", "0.bias"),
    "last layer frozen": lambda: frozen(two_layers(), "2.weight", "2.bias"),
}
ANY_ROUTE = {
    "one weight frozen": lambda: frozen(two_layers(), "0.weight"),
    "one bias frozen": lambda: frozen(two_layers(), "2.bias"),
    "weight in two layers": tied,
    "weight used outside its layer": lambda: Odd(lambda m, x: m.b(torch.tanh(m.a(x)) @ m.a.weight)),
    "bias used outside its layer": lambda: Odd(lambda m, x: m.b(torch.tanh(m.a(x)) * m.a.bias)),
    "frozen weight, bias used outside its layer": lambda: frozen(
        Odd(lambda m, x: m.b(torch.tanh(m.a(x)) * m.a.bias)), "a.weight"
    ),
    "layer called twice": lambda: Odd(lambda m, x: m.b(torch.tanh(m.a(torch.tanh(m.a(x)))))),
    "layer called by keyword": lambda: Odd(lambda m, x: m.b(input=torch.tanh(m.a(input=x)))),
    "layer called in vain": lambda: Odd(lambda m, x: (m.a(x), m.b(x))[1]),
    "layer never called": lambda: Odd(lambda m, x: m.b(x)),
    "convolution in groups": lambda: images(nn.Conv2d(1, 4, 2), nn.Conv2d(4, 4, (1, 2), groups=2), nn.Tanh()),
    "convolution, padding by name": lambda: images(nn.Conv2d(1, 2, 3, padding="same"), nn.Tanh()),
    "convolution, reflected": lambda: images(nn.Conv2d(1, 2, 2, padding=1, padding_mode="reflect")),
    "convolution, transposed": lambda: images(nn.ConvTranspose2d(1, 2, 2), nn.Tanh()),
    "convolution of centred weights": lambda: images(Standardized(1, 2, 2), nn.Tanh()),
    "ReLU in place": lambda: two_layers(second=nn.ReLU(inplace=True)),
    "ReLU in place after a frozen weight": lambda: frozen(two_layers(second=nn.ReLU(inplace=True)), "0.weight"),
    "hard tanh in place": lambda: two_layers(second=nn.Hardtanh(-0.2, 0.3, inplace=True)),
    "BatchNorm in eval mode": lambda: two_layers(second=nn.BatchNorm1d(5)).eval(),
    "GroupNorm": lambda: two_layers(second=nn.GroupNorm(1, 5)),
    "Dropout in eval mode": lambda: two_layers(second=nn.Dropout(0.5)).eval(),
    "weight normalization": lambda: two_layers(first=parametrizations.weight_norm(nn.Linear(12, 5))),
    "older weight normalization": moved_weight_norm,
    "pruned": pruned,
}


def made(build, examples):
    """A model in float64 with the same random weights every time, its lazy layers filled in."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = build()
        training = model.training
        with torch.no_grad():
            model.eval()(examples.float() if examples.is_floating_point() else examples)
    return model.train(training).double()


def expect_the_naive_answer(model, loss, data):
    found, naive = exact_noise(model, loss, data), naive_exact_noise(model, loss, data)
    assert found.trace == pytest.approx(naive.trace, rel=1e-10, abs=0)
    assert found.grad_sq == pytest.approx(naive.grad_sq, rel=1e-10, abs=0)
    assert naive.trace > 1e-6 and naive.grad_sq > 1e-6


@pytest.mark.parametrize("name", FAST)
def test_exact_noise_is_the_naive_answer_on_the_fast_route(name):
    data = vectors()
    model = made(FAST[name], data.x)
    assert per_example_squares(model, cross_entropy, data).route == "fast"
    expect_the_naive_answer(model, cross_entropy, data)


@pytest.mark.parametrize("name", ANY_ROUTE)
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_exact_noise_is_the_naive_answer_by_whatever_route(name):
    data = vectors()
    expect_the_naive_answer(made(ANY_ROUTE[name], data.x), cross_entropy, data)


@pytest.mark.parametrize("build", [lambda: GPT(7, 5, 8, 2, 1), Sentences], ids=["GPT", "embedding"])
@pytest.mark.filterwarnings("ignore:There is a performance drop")
def test_exact_noise_is_the_naive_answer_on_text(build):
    data = written()
    model = made(build, data.x)
    assert per_example_squares(model, next_token_loss, data).route == "general"
    expect_the_naive_answer(model, next_token_loss, data)


def test_measuring_a_gpt_warns_of_nothing():
    data = written()
    model = made(lambda: GPT(7, 5, 8, 2, 1), data.x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert exact_noise(model, next_token_loss, data).trace > 0


def test_exact_noise_is_the_naive_answer_for_a_squared_error():
    data = vectors()
    data = Data(data.x, torch.sin(data.x[:, :5]))
    expect_the_naive_answer(made(FAST["perceptron"], data.x), F.mse_loss, data)


@pytest.mark.parametrize("time_first", [lambda m, x: m.a(x), lambda m, x: torch.tanh(m.a(x))])
def test_examples_along_the_second_axis_are_not_taken_for_positions(time_first):
    """As many examples as time steps, handed to the layer as (time, examples, …)."""

    def forward(m, x):
        steps = x.unflatten(1, (9, 12)).transpose(0, 1)
        return m.b(time_first(m, steps).mean(0))

    data = vectors(examples=9, inputs=9 * 12)
    expect_the_naive_answer(made(lambda: Odd(forward), data.x), cross_entropy, data)


@pytest.mark.parametrize("scale", [1e-8, 1e8])
@pytest.mark.parametrize("name", ["weight used outside its layer", "bias used outside its layer", "layer called twice"])
def test_the_unit_of_the_loss_decides_nothing(name, scale):
    data = vectors()
    model = made(ANY_ROUTE[name], data.x)
    found = exact_noise(model, lambda o, y: scale * cross_entropy(o, y), data)
    naive = naive_exact_noise(model, cross_entropy, data)
    assert found.trace / scale**2 == pytest.approx(naive.trace, rel=1e-8)
    assert found.grad_sq / scale**2 == pytest.approx(naive.grad_sq, rel=1e-8)


@pytest.mark.parametrize("numbers", [1, 300, 2**24])
def test_the_size_of_the_chunks_changes_nothing(monkeypatch, numbers):
    monkeypatch.setattr(per_example, "CHUNK_NUMBERS", numbers)
    data = vectors()
    expect_the_naive_answer(made(ANY_ROUTE["GroupNorm"], data.x), cross_entropy, data)


@pytest.mark.parametrize("build", [FAST["perceptron"], FAST["convolutional net"], ANY_ROUTE["GroupNorm"]])
def test_per_example_squares_and_mean_are_those_of_each_gradient(build):
    data = vectors()
    model = made(build, data.x)
    found, rows = per_example_squares(model, cross_entropy, data), []
    for i in range(len(data)):
        value = cross_entropy(model(data.x[i : i + 1]), data.y[i : i + 1])
        parts = torch.autograd.grad(value, list(model.parameters()))
        rows.append(torch.cat([part.flatten() for part in parts]))
    rows = torch.stack(rows)
    assert found.squares.shape == (9,)
    assert torch.allclose(found.squares, rows.square().sum(1), rtol=1e-10, atol=0)
    assert torch.allclose(found.mean, rows.mean(0), rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("build", [FAST["perceptron"], ANY_ROUTE["GroupNorm"]], ids=["fast", "general"])
def test_what_is_measured_in_float64_is_answered_in_float64(build):
    data = vectors()
    found = per_example_squares(made(build, data.x), cross_entropy, data)
    assert found.squares.dtype == found.mean.dtype == torch.float64


@pytest.mark.parametrize("name, examples", [("mlp", digits), ("cnn", mnist1d)], ids=["mlp", "cnn"])
def test_the_models_of_the_course_take_the_fast_route_in_float32_too(name, examples):
    model, data = make(name, 0), examples(200)
    found = per_example_squares(model, cross_entropy, data)
    assert found.route == "fast" and found.squares.dtype == torch.float32
    exact = per_example_squares(model.double(), cross_entropy, Data(data.x.double(), data.y))
    assert torch.allclose(found.squares.double(), exact.squares, rtol=1e-4, atol=0)
    assert float((found.mean.double() - exact.mean).norm()) < 1e-4 * float(exact.mean.norm())


def test_exact_noise_predicts_the_variance_of_every_minibatch_there_is():
    data = vectors(examples=5)
    model = made(FAST["perceptron"], data.x)
    rows = []
    for i in range(5):
        value = cross_entropy(model(data.x[i : i + 1]), data.y[i : i + 1])
        parts = torch.autograd.grad(value, list(model.parameters()))
        rows.append(np.concatenate([part.flatten().numpy() for part in parts]))
    noise = exact_noise(model, cross_entropy, data)
    for batch in (1, 2, 3):
        enumerated = exact_minibatch_variance(rows, batch, replacement=True)
        assert noise.variance(batch) == pytest.approx(enumerated, rel=1e-10)
        enumerated = exact_minibatch_variance(rows, batch, replacement=False)
        assert noise.variance(batch, 5) == pytest.approx(enumerated, rel=1e-10)


def test_a_minibatch_of_all_examples_without_replacement_is_the_full_gradient():
    data = vectors()
    model = made(FAST["perceptron"], data.x)
    sample = gradient_sampler(model, cross_entropy, data, 0, replacement=False)
    full = per_example_squares(model, cross_entropy, data).mean
    assert torch.allclose(sample(9), full, rtol=1e-12, atol=1e-14)
    assert not torch.allclose(sample(8), full, rtol=1e-3)


def test_a_minibatch_gradient_is_that_of_the_examples_the_seed_draws():
    data = vectors()
    model = made(FAST["perceptron"], data.x)
    for replacement in (True, False):
        first, again, other = (gradient_sampler(model, cross_entropy, data, seed, replacement) for seed in (3, 3, 4))
        pairs = [(first(4), again(4), other(4)) for _ in range(3)]
        assert all(torch.equal(a, b) and not torch.equal(a, c) for a, b, c in pairs)
        assert not torch.equal(pairs[0][0], pairs[1][0])
    chosen = torch.from_numpy(np.random.default_rng(3).integers(9, size=4))
    value = cross_entropy(model(data.x[chosen]), data.y[chosen])
    expected = torch.cat([g.flatten() for g in torch.autograd.grad(value, list(model.parameters()))])
    sample = gradient_sampler(model, cross_entropy, data, 3)
    assert torch.allclose(sample(4), expected, rtol=1e-12, atol=1e-14)


def test_spread_is_the_mean_squared_distance_and_the_mean_cosine():
    centre = torch.tensor([3.0, 4.0])
    squares, cosine = spread(iter([torch.tensor([3.0, 0.0]), torch.tensor([6.0, 8.0])]), centre)
    assert squares == pytest.approx((16 + 25) / 2) and cosine == pytest.approx((0.6 + 1) / 2)


def samplers():
    """The same sequence of minibatch gradients twice: of a model, and of the problem in closed form."""
    data = vectors()
    model = made(FAST["perceptron"], data.x)
    yield gradient_sampler(model, cross_entropy, data, 5), gradient_sampler(model, cross_entropy, data, 5)
    yield gaussian_problem(5)[0], gaussian_problem(5)[0]


@pytest.mark.parametrize("small, big", [(1, 8), (2, 5)])
def test_two_batch_noise_is_its_naive_twin(small, big):
    for sample, again in samplers():
        found, naive = two_batch_noise(sample, small, big, 6).noise, naive_two_batch(again, small, big, 6)
        assert (found.trace, found.grad_sq) == pytest.approx((naive.trace, naive.grad_sq), rel=1e-10)
        assert found.scale == pytest.approx(naive.scale, rel=1e-9)


@pytest.mark.parametrize("micro_batch, accumulation", [(1, 8), (2, 3), (4, 2)])
def test_micro_batch_noise_is_its_naive_twin(micro_batch, accumulation):
    for sample, again in samplers():
        found = micro_batch_noise(sample, micro_batch, accumulation, 6).noise
        naive = naive_micro_batch(again, micro_batch, accumulation, 6)
        assert (found.trace, found.grad_sq) == pytest.approx((naive.trace, naive.grad_sq), rel=1e-10)


def test_micro_batch_noise_is_the_two_batch_formula_on_the_parts_and_their_mean():
    for sample, again in samplers():
        found = micro_batch_noise(sample, 3, 4, 5)
        for draw in range(5):
            parts = [again(3) for _ in range(4)]
            small_sq = np.mean([float(part.square().sum()) for part in parts])
            big_sq = float((sum(parts) / 4).square().sum())
            expected = two_batch_estimates(small_sq, big_sq, 3, 12)
            assert (found.trace_draws[draw], found.grad_sq_draws[draw]) == pytest.approx(expected, rel=1e-10)


def estimates(route):
    sample, truth = gaussian_problem(11)
    if route == "two batches":
        return two_batch_noise(sample, 8, 128, 1500), truth
    return micro_batch_noise(sample, 8, 16, 500), truth


def z(draws, truth):
    return abs(np.mean(draws) - truth) / sem(draws)


@pytest.mark.parametrize("route", ["two batches", "micro-batches"])
def test_both_estimators_are_unbiased_where_the_answer_is_known(route):
    draws, truth = estimates(route)
    assert z(draws.trace_draws, truth.trace) < 4 and z(draws.grad_sq_draws, truth.grad_sq) < 4
    assert z(draws.trace_draws, 1.2 * truth.trace) > 4 and z(draws.grad_sq_draws, 1.5 * truth.grad_sq) > 4
    assert truth.scale in draws.scale


def test_the_problem_in_closed_form_has_the_noise_it_says():
    sample, truth = gaussian_problem(3, dimensions=4)
    assert truth.trace == pytest.approx(1 + 1 / 2 + 1 / 3 + 1 / 4)
    assert truth.grad_sq == pytest.approx(4 * 0.05**2)
    draws = np.stack([sample(2).numpy() for _ in range(2000)])
    assert (np.abs(draws.mean(axis=0) - 0.05) / sem(draws)).max() < 4
    squares = 2 * ((draws - 0.05) ** 2).sum(axis=1)
    assert z(squares, truth.trace) < 4 < z(squares, 1.2 * truth.trace)


def test_two_batch_noise_works_on_a_model_too():
    data = vectors(examples=64)
    model = made(FAST["perceptron"], data.x)
    draws = two_batch_noise(gradient_sampler(model, cross_entropy, data, 2), 1, 16, 400)
    truth = exact_noise(model, cross_entropy, data)
    assert z(draws.trace_draws, truth.trace) < 4 and z(draws.grad_sq_draws, truth.grad_sq) < 4


def state(model, data):
    """Everything that an instrument could have touched."""
    tensors = [*model.state_dict().values(), *(p.grad for p in model.parameters()), data.x, data.y]
    modes = [module.training for module in model.modules()]
    hooks = [len(module._forward_hooks) for module in model.modules()]
    return [t.clone() for t in tensors], modes + hooks, torch.get_rng_state()


def same_state(a, b):
    return all(map(torch.equal, a[0], b[0])) and a[1] == b[1] and torch.equal(a[2], b[2])


def sampled(model, loss, data, replacement=True):
    return gradient_sampler(model, loss, data, 1, replacement)


INSTRUMENTS = {
    "per_example_squares": per_example_squares,
    "exact_noise": exact_noise,
    "gradient_sampler": lambda *given: sampled(*given)(3),
    "gradient_sampler without replacement": lambda *given: sampled(*given, replacement=False)(3),
    "two_batch_noise": lambda *given: two_batch_noise(sampled(*given), 1, 4, 3),
    "micro_batch_noise": lambda *given: micro_batch_noise(sampled(*given), 1, 4, 3),
}


@pytest.mark.parametrize("instrument", INSTRUMENTS)
@pytest.mark.parametrize(
    "build",
    [FAST["perceptron"], FAST["convolutional net"], ANY_ROUTE["BatchNorm in eval mode"], ANY_ROUTE["ReLU in place"]],
    ids=["perceptron", "convolutional net", "BatchNorm", "ReLU in place"],
)
def test_no_instrument_leaves_a_trace_in_the_model_or_in_the_random_stream(instrument, build):
    data = vectors()
    model = made(build, data.x)
    for p in model.parameters():
        p.grad = torch.full_like(p, 0.5)
    before = state(model, data)
    INSTRUMENTS[instrument](model, cross_entropy, data)
    assert same_state(before, state(model, data))
    with torch.no_grad():
        next(model.parameters()).add_(1.0)
    assert not same_state(before, state(model, data))


@pytest.mark.parametrize("instrument", INSTRUMENTS)
def test_running_statistics_stay_where_they_were_even_in_training_mode(instrument):
    data = vectors()
    model = made(lambda: two_layers(second=nn.BatchNorm1d(5)), data.x)
    before = [buffer.clone() for buffer in model.buffers()]
    try:
        INSTRUMENTS[instrument](model, cross_entropy, data)
    except ValueError:
        pass
    assert all(map(torch.equal, before, model.buffers()))


def expect_refusal(match, build=FAST["perceptron"], loss=cross_entropy, data=None, instrument=exact_noise):
    data = data or vectors()
    with pytest.raises(ValueError, match=match):
        instrument(made(build, data.x), loss, data)


@pytest.mark.parametrize("affine", [True, False])
def test_batchnorm_in_training_mode_is_refused_and_the_layer_named(affine):
    words = r"looks across the batch at layer '1' \(BatchNorm1d\).*model\.eval\(\)"
    expect_refusal(words, lambda: two_layers(second=nn.BatchNorm1d(5, affine=affine)))


def centred(m, x):
    scores = m.b(m.a(x))
    return scores - scores.mean(0)


def test_a_model_that_centres_over_the_batch_is_refused_without_any_batchnorm():
    expect_refusal("looks across the batch at its own forward", lambda: Odd(centred))


@pytest.mark.parametrize("inplace", [False, True])
def test_dropout_in_training_mode_is_refused_and_the_layer_named(inplace):
    words = r"random at layer '1' \(Dropout\).*dropout rate to 0"
    expect_refusal(words, lambda: two_layers(second=nn.Dropout(0.3, inplace)))


@pytest.mark.parametrize("layer, words", [(nn.Dropout(0.5), "random"), (nn.BatchNorm1d(5), "across")])
def test_a_last_layer_that_starts_at_zero_does_not_hide_a_layer_that_is_refused(layer, words):
    def build():
        model = two_layers(second=layer)
        nn.init.zeros_(model[2].weight)
        return model

    expect_refusal(words, build)


def test_a_loss_that_sums_is_refused():
    expect_refusal("loss sums over the examples", loss=lambda o, y: cross_entropy(o, y, reduction="sum"))


def test_a_loss_that_sums_is_refused_even_where_it_is_nearly_zero():
    data = vectors(examples=50)
    model = made(FAST["no hidden layer"], data.x)
    near = model(data.x).detach() + 1e-4 * torch.sin(data.x[:, :5])  # a regression that is nearly fitted
    with pytest.raises(ValueError, match="loss sums over the examples"):
        exact_noise(model, lambda o, y: F.mse_loss(o, y, reduction="sum"), Data(data.x, near))
    expect_the_naive_answer(model, lambda o, y: 1e4 * F.mse_loss(o, y), Data(data.x, near))


def test_a_loss_for_every_example_is_refused():
    expect_refusal(r"loss returned shape \(4,\)", loss=lambda o, y: cross_entropy(o, y, reduction="none"))


def test_targets_that_broadcast_against_the_outputs_are_refused_with_both_shapes():
    data = vectors()
    words = r"outputs of shape \(4, 1\) with targets of shape \(4,\).*targets\[:, None\]"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns too
        expect_refusal(words, lambda: nn.Linear(12, 1), F.mse_loss, Data(data.x, data.x[:, 0]))


class Odds(nn.Linear):
    """NaN or half precision, where the inputs are neither."""

    def __init__(self, change):
        super().__init__(12, 5)
        self.change = change

    def forward(self, x):
        return self.change(super().forward(x))


@pytest.mark.parametrize(
    "change, loss, words",
    [
        (lambda o: o / 0, cross_entropy, "model's outputs have NaN or infinity"),
        (lambda o: o.bfloat16(), lambda o, y: cross_entropy(o, y) + o.sum() ** 2, "bfloat16, too coarse.*float32"),
        (lambda o: o, lambda o, y: cross_entropy(o, y).item(), "loss returned a float"),
        (lambda o: o, lambda o, y: cross_entropy(o, y + 5), "IndexError: Target .* out of bounds"),
        (lambda o: o, lambda o, y: 0 * o.sum(), "gradient of the loss is zero"),
    ],
)
def test_a_loss_is_refused_for_what_is_wrong_with_it(change, loss, words):
    expect_refusal(words, lambda: Odds(change), loss)


@pytest.mark.parametrize("instrument", [exact_noise, per_example_squares])
def test_things_that_are_no_data_model_or_loss_are_refused(instrument):
    data, model = vectors(), made(FAST["perceptron"], vectors().x)
    for given, words in {
        (model, cross_entropy, (data.x, data.y)): r"data is a tuple; allowed: tutorlib.nn.data.Data\(x, y\)",
        ("model", cross_entropy, data): "model is a str",
        (model, None, data): "loss is None",
        (model, cross_entropy, Data(data.x.float(), data.y)): "x is torch.float32 and the model torch.float64",
    }.items():
        with pytest.raises(Refused, match=words):
            instrument(*given)


def test_one_example_has_no_noise():
    data = vectors()
    expect_refusal("data has 1 example", data=Data(data.x[:1], data.y[:1]))


WEIGHTS = torch.tensor([1.0, 2.0, 4.0, 8.0, 16.0], dtype=torch.float64)


def weighted(outputs, targets):
    return cross_entropy(outputs, targets, weight=WEIGHTS)


def test_a_class_weighted_loss_is_refused():
    expect_refusal(r"plain mean over examples.*class weights", loss=weighted)


def test_a_class_weighted_loss_is_refused_on_data_sorted_by_class_too():
    data = vectors(examples=40)
    order = torch.argsort(data.y, stable=True)
    expect_refusal("class weights", loss=weighted, data=Data(data.x[order], data.y[order]))


@pytest.mark.parametrize("instrument", [exact_noise, per_example_squares])
def test_nan_in_the_data_is_refused_and_the_example_named(instrument):
    data = vectors()
    data.x[6, 2] = math.nan
    expect_refusal("first in example 6", data=data, instrument=instrument)


@pytest.mark.parametrize("instrument", [exact_noise, per_example_squares, gradient_sampler])
def test_a_model_without_a_trainable_parameter_is_refused(instrument):
    data = vectors()
    model = made(FAST["perceptron"], data.x).requires_grad_(False)
    with pytest.raises(ValueError, match="no trainable parameter"):
        instrument(model, cross_entropy, data, *([0] if instrument is gradient_sampler else []))


def test_data_without_examples_are_refused():
    data = vectors()
    with pytest.raises(ValueError):
        exact_noise(made(FAST["perceptron"], data.x), cross_entropy, Data(data.x[:0], data.y[:0]))


@pytest.mark.parametrize(
    "replacement, batch", [(True, 0), (True, -1), (True, 2.5), (True, "2"), (False, 0), (False, 2.5), (False, 10)]
)
def test_an_impossible_minibatch_is_refused_by_name(replacement, batch):
    data = vectors()
    sample = gradient_sampler(made(FAST["perceptron"], data.x), cross_entropy, data, 0, replacement)
    with pytest.raises(ValueError, match=rf"^batch is .*whole number from 1{'' if replacement else ' to 9'}"):
        sample(batch)


def test_with_replacement_a_minibatch_may_be_larger_than_the_data():
    data = vectors()
    model = made(FAST["perceptron"], data.x)
    assert sampled(model, cross_entropy, data)(100).shape == (12 * 8 + 8 + 8 * 5 + 5,)


def never(batch):
    raise AssertionError("measured before it was refused")


@pytest.mark.parametrize(
    "small, big, draws, words",
    [
        (8, 8, 4, "small < big"),
        (8, 1, 4, "small < big"),
        (0, 8, 4, "small is 0"),
        (1, 2.5, 4, "big is 2.5"),
        (1, 8, 0, "draws is 0"),
        (1, 8, -1, "draws is -1"),
        (1, 8, 2.5, "draws is 2.5"),
        (1, 8, True, "draws is True"),
    ],
)
def test_two_batch_noise_refuses_before_it_measures(small, big, draws, words):
    with pytest.raises(ValueError, match=words):
        two_batch_noise(never, small, big, draws)


@pytest.mark.parametrize(
    "micro_batch, accumulation, draws, words",
    [
        (8, 1, 4, "allowed"),
        (8, 0, 4, "accumulation is 0"),
        (8, 2.5, 4, "accumulation is 2.5"),
        (1, 8, 0, "draws is 0"),
        (0, 4, 4, "is 0; allowed"),
        (2.5, 4, 4, "is 2.5; allowed"),
    ],
)
def test_micro_batch_noise_refuses_before_it_measures(micro_batch, accumulation, draws, words):
    with pytest.raises(ValueError, match=words):
        micro_batch_noise(never, micro_batch, accumulation, draws)
