"""The closed form of token weights against the loss itself: what each token's loss counts for in what is summed."""

import numpy as np
import pytest
import torch

from tutorlib.errors import Refused
from tutorlib.theory.token_weights import example_weights, log_normal_lengths, padding_share, token_weights


def naive_weights(lengths, micro_batch, division):
    """The derivative of what is summed by every token's own loss, over the fair 1/N, example by example."""
    losses = [torch.ones(n, dtype=torch.float64, requires_grad=True) for n in lengths]
    parts = [losses[i : i + micro_batch] for i in range(0, len(losses), micro_batch)]
    if division == "mean of means":
        total = sum(torch.cat(part).mean() for part in parts) / len(parts)
    elif division == "by padded length":
        total = sum(torch.nn.utils.rnn.pad_sequence(part).mean() for part in parts) / len(parts)
    else:
        total = sum(torch.cat(part).sum() for part in parts) / sum(lengths)
    total.backward()
    return [loss.grad * sum(lengths) for loss in losses]


@pytest.mark.parametrize("division", ["by all tokens", "mean of means", "by padded length"])
@pytest.mark.parametrize("micro_batch", [1, 2, 4, 7])
@pytest.mark.parametrize("seed", range(5))
def test_weights_are_the_derivatives_of_the_loss(seed, micro_batch, division):
    lengths = log_normal_lengths(7, 20, 1.0, 60, seed).tolist()
    found = token_weights(lengths, micro_batch, division)
    for weight, expected in zip(found, naive_weights(lengths, micro_batch, division), strict=True):
        assert expected.tolist() == pytest.approx([weight] * len(expected))


def test_two_texts_of_10_and_90_tokens_weigh_alike_so_a_token_of_the_short_one_weighs_nine_times_as_much():
    assert token_weights([10, 90], 1) == pytest.approx([5, 5 / 9])
    assert example_weights([10, 90], 1) == pytest.approx([0.5, 0.5])
    assert token_weights([10, 90], 2) == pytest.approx([1, 1])
    assert example_weights([10, 90], 1, "by all tokens") == pytest.approx([0.1, 0.9])


@pytest.mark.parametrize("micro_batch", [1, 3, 8, 20])
def test_a_mean_of_means_moves_weight_about_and_padding_loses_it(micro_batch):
    lengths = log_normal_lengths(20, 50, 1.0, 400, 1)
    assert example_weights(lengths, micro_batch).sum() == pytest.approx(1)
    left = example_weights(lengths, micro_batch, "by padded length").sum()
    assert left < 1 + 1e-12 and (left < 0.99) == (micro_batch > 1)
    assert padding_share([8, 2, 4, 4], 2) == pytest.approx(1 - 18 / 24)


def test_equal_lengths_weigh_alike_however_they_are_cut():
    for division in ("mean of means", "by padded length"):
        assert token_weights([5] * 6, 3, division) == pytest.approx(np.ones(6))


def test_an_empty_example_is_fine_beside_others_and_an_empty_part_is_refused():
    assert token_weights([0, 4, 4, 4], 2) == pytest.approx([1.5, 1.5, 0.75, 0.75])
    with pytest.raises(Refused, match="part 1 has no token"):
        token_weights([3, 0], 1)
    assert token_weights([3, 0], 1, "by all tokens") == pytest.approx([1, 1])


@pytest.mark.parametrize(
    "arguments, word",
    [
        (([], 1), "lengths"),
        (([0, 0], 1), "lengths"),
        (([-1, 2], 1), "lengths"),
        (([1.5], 1), "lengths"),
        (([np.nan], 1), "lengths"),
        (([1, 2], 0), "micro_batch"),
        (([1, 2], 1, "mean"), "division"),
    ],
)
def test_bad_input_is_refused_by_name(arguments, word):
    with pytest.raises(Refused, match=word):
        token_weights(*arguments)


def test_drawn_lengths_have_the_median_and_spread_asked_for():
    drawn = log_normal_lengths(20_000, 120, 1.0, 10**9, 0)
    assert np.median(drawn) == pytest.approx(120, rel=0.03) and np.log(drawn).std() == pytest.approx(1, rel=0.03)
    assert log_normal_lengths(1000, 120, 1.0, 512, 0).max() == 512 and log_normal_lengths(1000, 1, 2.0, 9, 0).min() == 1
