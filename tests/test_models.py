"""The models: their sizes, their seeds, and what may not depend on what."""

import numpy as np
import pytest
import torch
from torch import nn

from tutorlib.nn.models import GPT, cnn, make, mlp, next_token_loss

SMALL_GPT = {"vocabulary": 11, "context": 9, "width": 8, "heads": 2, "blocks": 2}
SIZES = {"mlp": {}, "cnn": {}, "gpt": SMALL_GPT}


def parameters(model):
    return sum(p.numel() for p in model.parameters())


def test_the_perceptron_has_9610_parameters():
    assert parameters(mlp()) == 64 * 128 + 128 + 128 * 10 + 10 == 9610


@pytest.mark.parametrize("depth", [0, 1, 2, 3])
def test_a_perceptron_has_as_many_hidden_layers_as_asked_for(depth):
    if depth:
        model = mlp(inputs=5, width=7, classes=3, depth=depth)
        assert parameters(model) == 5 * 7 + 7 + (depth - 1) * (7 * 7 + 7) + 7 * 3 + 3
    else:
        model = mlp(inputs=5, width=5, classes=3, depth=0)
        assert parameters(model) == 5 * 3 + 3
    assert sum(isinstance(layer, nn.Tanh) for layer in model) == depth
    assert model(torch.zeros(4, 5)).shape == (4, 3)


@pytest.mark.parametrize("length", range(33, 49))
def test_the_convolutional_net_takes_signals_of_any_length(length):
    model = cnn(length=length, channels=3, classes=10)
    assert model(torch.zeros(4, length)).shape == (4, 10)


@pytest.mark.parametrize("name", SIZES)
def test_a_seed_decides_the_weights_whatever_the_global_stream(name):
    torch.manual_seed(1)
    first = make(name, 3, **SIZES[name])
    torch.manual_seed(2)
    again, other = make(name, 3, **SIZES[name]), make(name, 4, **SIZES[name])
    pairs = list(zip(first.parameters(), again.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b in pairs) and all(a is not b for a, b in pairs)
    assert any(not torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("name", SIZES)
def test_making_a_model_leaves_the_global_random_streams_alone(name):
    torch.manual_seed(5)
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()
    make(name, 3, **SIZES[name])
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], numpy_before)


@pytest.mark.parametrize("name", ["resnet", "", "MLP", None])
def test_an_unknown_model_is_refused_with_the_list_of_models(name):
    with pytest.raises(ValueError, match=r"model is .*allowed: mlp, cnn, gpt"):
        make(name, 0)


def some_tokens(examples=3, time=9, seed=0):
    return torch.randint(0, 11, (examples, time), generator=torch.Generator().manual_seed(seed))


def test_the_gpt_scores_every_token_of_every_example():
    model = make("gpt", 0, **SMALL_GPT)
    assert model(some_tokens()).shape == (3, 9, 11) and model(some_tokens(time=4)).shape == (3, 4, 11)
    assert parameters(GPT()) == 128 * 64 + 64 * 64 + 2 * (4 * 64 + 12 * 64 * 64 + 9 * 64) + 2 * 64


@pytest.mark.parametrize("changed", range(9))
def test_a_later_token_does_not_change_an_earlier_score(changed):
    model, tokens = make("gpt", 0, **SMALL_GPT).double(), some_tokens()
    other = tokens.clone()
    other[:, changed] = (other[:, changed] + 1) % 11
    before, after = model(tokens), model(other)
    assert torch.allclose(before[:, :changed], after[:, :changed], rtol=0, atol=1e-13)
    for time in range(changed, 9):  # … and every score from there on does see it
        assert not torch.allclose(before[:, time], after[:, time], rtol=0, atol=1e-6)


def test_the_order_of_earlier_tokens_matters_to_the_gpt():
    model, tokens = make("gpt", 0, **SMALL_GPT).double(), torch.tensor([[1, 2, 3, 4]])
    swapped = torch.tensor([[2, 1, 3, 4]])
    assert not torch.allclose(model(tokens)[:, -1], model(swapped)[:, -1], rtol=0, atol=1e-6)


def test_one_example_s_scores_do_not_depend_on_its_neighbours():
    model, tokens = make("gpt", 0, **SMALL_GPT).double(), some_tokens()
    assert torch.allclose(model(tokens)[1:2], model(tokens[1:2]), rtol=0, atol=1e-13)


def test_next_token_loss_is_the_mean_over_every_token():
    scores = torch.randn(3, 9, 11, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    targets, total = some_tokens(seed=2), 0.0
    for i in range(3):
        for t in range(9):
            total += float(torch.logsumexp(scores[i, t], 0) - scores[i, t, targets[i, t]])
    assert float(next_token_loss(scores, targets)) == pytest.approx(total / 27, rel=1e-12)
