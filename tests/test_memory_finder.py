"""The largest micro-batch against trying every size, in an artificial budget; everything is left as it was."""

import copy
import functools
import multiprocessing
import random
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils._pytree import tree_flatten

from tutorlib.errors import Refused
from tutorlib.measure.memory import finder
from tutorlib.measure.memory.finder import Budget, Found, largest_micro_batch, left_as_it_was, runs
from tutorlib.measure.memory.line import largest_working
from tutorlib.measure.memory.step import resized
from tutorlib.nn.models import make

SGD = functools.partial(torch.optim.SGD, lr=0.1)
MOMENTUM = functools.partial(torch.optim.SGD, lr=0.1, momentum=0.9)


def rows(examples=3, inputs=64):
    return torch.randn(examples, inputs), torch.zeros(examples, dtype=torch.long)


def test_searching_gives_the_largest_that_works_from_any_guess_and_never_one_that_was_not_tried():
    for limit in (1, 2, 7, 100):
        for most in {0, 1, 2, 5, 6, 99, 100, 200}:
            for guess in (-3, 1, 4, 100, 10_000):
                tried = {}

                def works(n, most=most, tried=tried):
                    tried[n] = n <= most
                    return tried[n]

                found = largest_working(works, guess, limit)
                assert found == min(most, limit) and all(1 <= n <= limit for n in tried)
                assert not found or tried[found]


def test_a_right_guess_costs_two_tries_and_one_at_the_end_of_the_data():
    calls = []
    assert largest_working(lambda n: calls.append(n) or n <= 37, 37, 1000) == 37 and calls == [37, 38]
    calls.clear()
    assert largest_working(lambda n: calls.append(n) or True, 99, 99) == 99 and calls == [99]


MODELS = [
    (functools.partial(make, "mlp", 0, width=width, depth=depth), 64, optimizer, slack)
    for (width, depth), (optimizer, slack) in zip(
        [(8, 1), (32, 1), (64, 2), (128, 1), (16, 4), (256, 1), (48, 3), (100, 2), (24, 1), (72, 1)],
        [(SGD, 1.1), (torch.optim.AdamW, 1.02), (MOMENTUM, 1.05), (SGD, 1.3), (torch.optim.AdamW, 1.5)] * 2,
        strict=True,
    )
] + [
    (functools.partial(make, "cnn", 0, channels=channels), 40, optimizer, slack)
    for channels, (optimizer, slack) in zip(
        (1, 2, 3, 4, 6, 8, 10, 12, 16, 20),
        [(torch.optim.AdamW, 1.2), (SGD, 1.6), (MOMENTUM, 1.4), (SGD, 1.05), (torch.optim.AdamW, 0.5)] * 2,
        strict=True,
    )
]


def trained(model, batch, optimizer):
    """The user's own optimizer after a step, and the gradients of the next."""
    owned = optimizer(model.parameters())
    for _ in range(2):
        F.cross_entropy(model(batch[0]), batch[1]).backward()
        owned.step()
    return owned


def same_tree(one, other):
    first, second = tree_flatten(one), tree_flatten(other)
    pairs = zip(first[0], second[0], strict=True)
    alike = (torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b for a, b in pairs)
    return first[1] == second[1] and all(alike)


@pytest.mark.parametrize("case", range(20))
def test_the_finder_agrees_with_trying_every_size_and_leaves_everything_bit_for_bit(case):
    make_model, inputs, optimizer, slack = MODELS[case]
    model, batch, examples = make_model(), rows(inputs=inputs), 9
    budget = slack * 4 * (4 + 64 + 256) * 4 + slack * 16 * sum(p.numel() for p in model.parameters())
    fits = [
        n
        for n in range(1, examples + 1)
        if runs(model, F.cross_entropy, resized(batch, n), optimizer, budget, "fp32", 2)
    ]
    owned, before = trained(model, batch, optimizer), state_of(model)
    gradients, held = [p.grad.clone() for p in model.parameters()], copy.deepcopy(owned.state_dict())
    found = largest_micro_batch(model, F.cross_entropy, batch, optimizer, examples=examples, budget=budget)
    assert_same(before, state_of(model))
    assert all(torch.equal(p.grad, g) for p, g in zip(model.parameters(), gradients, strict=True))
    assert same_tree(held, owned.state_dict())
    assert fits == list(range(1, len(fits) + 1)) and found.micro_batch == len(fits)
    assert not found.micro_batch or found.tries[found.micro_batch]
    assert len(found.tries) <= 3


def state_of(model):
    tensors = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    return tensors, [module.training for module in model.modules()], torch.get_rng_state()


def assert_same(before, after):
    assert all(torch.equal(value, after[0][name]) for name, value in before[0].items())
    assert before[1] == after[1] and torch.equal(before[2], after[2])


class Restless(nn.Module):
    """Dropout, running statistics, and draws from the streams of Python and numpy."""

    def __init__(self):
        super().__init__()
        self.inner, self.norm, self.drop = nn.Linear(64, 10), nn.BatchNorm1d(10), nn.Dropout(0.5)

    def forward(self, x):
        random.random(), np.random.random()
        return self.drop(self.norm(self.inner(x)))


@pytest.mark.parametrize("budget", [2e4, 1e9])
def test_model_gradients_optimizer_modes_and_random_streams_are_left_bit_for_bit(budget):
    model, batch = Restless(), rows(4)
    optimizer = MOMENTUM(model.parameters())
    F.cross_entropy(model(batch[0]), batch[1]).backward()
    optimizer.step()
    model.norm.eval()
    gradients, held = [p.grad for p in model.parameters()], copy.deepcopy(optimizer.state_dict())
    values = [gradient.clone() for gradient in gradients]
    before, streams = state_of(model), (random.getstate(), np.random.get_state()[1].tolist())
    largest_micro_batch(model, F.cross_entropy, batch, examples=50, budget=budget)
    assert_same(before, state_of(model))
    assert (random.getstate(), np.random.get_state()[1].tolist()) == streams
    assert all(p.grad is g and torch.equal(g, v) for p, g, v in zip(model.parameters(), gradients, values, strict=True))
    now = optimizer.state_dict()
    assert all(
        torch.equal(held["state"][i]["momentum_buffer"], now["state"][i]["momentum_buffer"]) for i in held["state"]
    )


def test_an_error_that_is_not_about_memory_comes_through_and_leaves_the_model_as_it_was():
    model, batch = make("mlp", 0), rows()
    before = state_of(model)

    def broken(out, y):
        model.get_parameter("0.weight").data.zero_()
        raise RuntimeError("a mistake of the user's own")

    with pytest.raises(RuntimeError, match="of the user's own"):
        runs(model, broken, batch, SGD, 1e9, "fp32", 2)
    assert_same(before, state_of(model))
    with pytest.raises(KeyError), left_as_it_was(model, torch.device("cpu")):
        model.get_parameter("0.weight").data.zero_()
        raise KeyError
    assert_same(before, state_of(model))


def test_two_whole_steps_are_tried_since_one_step_needs_less():
    model, batch = make("mlp", 0, width=256), resized(rows(), 2000)
    need = {}
    for steps in (1, 2):
        most = largest_working(
            lambda kib, steps=steps: (
                not runs(model, F.cross_entropy, batch, torch.optim.AdamW, kib * 1024, "fp32", steps)
            ),
            2000,
            100_000,
        )
        need[steps] = most * 1024
    size = 4 * sum(p.numel() for p in model.parameters())
    assert need[2] - need[1] == pytest.approx(2 * size, rel=0.02)


def test_running_out_is_an_answer_and_the_memory_is_given_back():
    model, batch = make("mlp", 0), resized(rows(), 1000)
    found = largest_micro_batch(model, F.cross_entropy, batch, examples=1000, budget=1000)
    assert found.micro_batch == 0 and found.tries == {1: False}
    ledger = Budget(1e6)
    with pytest.raises(finder.OverBudget, match=r"out of memory: .* of a budget of 1,000,000"), ledger:
        [torch.zeros(100_000) for _ in range(3)]
    ledger = Budget(1e6)
    with ledger:
        for _ in range(100):
            torch.zeros(100_000)
    assert ledger.now == 0


def test_the_size_is_capped_at_the_data_even_where_more_would_fit():
    found = largest_micro_batch(make("mlp", 0), F.cross_entropy, rows(), SGD, examples=99, budget=1e12)
    assert found.micro_batch == 99 and found.tries == {99: True}


def test_a_model_that_cannot_be_predicted_is_tried_from_one_example_up():
    class Steered(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(64, 10)

        def forward(self, x):
            return self.inner(x) if x.sum() > -1e9 else x

    found = largest_micro_batch(Steered(), F.cross_entropy, rows(), SGD, examples=50, budget=1.2e4)
    assert found.predicted is None and found.tries[found.micro_batch] and not found.tries[found.micro_batch + 1]


def one_rank(rank, meeting, budget):
    torch.distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
    found = largest_micro_batch(make("mlp", 0), F.cross_entropy, rows(), SGD, examples=500, budget=budget)
    torch.distributed.destroy_process_group()
    return found.micro_batch, found.predicted, found.tries[found.micro_batch]


def test_ranks_agree_on_the_smallest_size_and_each_has_run_it(tmp_path):
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as ranks:
        waiting = [ranks.submit(one_rank, rank, tmp_path / "meeting", (1 + rank) * 1.5e5) for rank in range(2)]
        (first, told, ran), (second, more, ran_too) = (each.result() for each in waiting)
    assert first == second == told < more and ran and ran_too


def test_the_wanted_batch_is_kept_by_a_divisor_that_fits():
    assert Found(10, {}, 10).keep(64) == (8, 8)
    assert Found(10, {}, 10).keep(7) == (7, 1)
    assert Found(10, {}, 10).keep(13) == (1, 13)
    with pytest.raises(Refused, match="not even one example fits"):
        Found(0, {}, 0).keep(8)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"budget": None}, "budget is None on cpu"),
        ({"examples": 0}, "examples is 0"),
        ({"steps": 1}, "steps is 1; allowed: at least 2"),
        ({"precision": "bf16"}, "Cast the model yourself"),
    ],
)
def test_bad_input_is_a_sentence(change, said):
    with pytest.raises(Refused, match=said):
        largest_micro_batch(make("mlp", 0), F.cross_entropy, rows(), **{"examples": 5, "budget": 1e9, **change})
