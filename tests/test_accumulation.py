"""Accumulation is the big batch where it can be, refuses where it cannot, and the ladder tells which is which."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss

from tutorlib.errors import Refused
from tutorlib.measure import ladder
from tutorlib.measure.accumulation import IGNORED, accumulate, counted
from tutorlib.measure.ladder import MERGE, Routes, clipped, distance, flat_gradient, mean_loss, split, update
from tutorlib.nn.models import make
from tutorlib.nn.optimizers import adamw, sgd

torch.set_num_threads(1)

MODELS = {
    "mlp": ({"inputs": 6, "width": 8, "classes": 4}, lambda rng, n: torch.randn(n, 6, generator=rng).double()),
    "cnn": ({"channels": 4, "classes": 4}, lambda rng, n: torch.randn(n, 40, generator=rng).double()),
    "gpt": (
        {"vocabulary": 12, "context": 7, "width": 8, "heads": 2, "blocks": 1},
        lambda rng, n: torch.randint(12, (n, 7), generator=rng),
    ),
}


def problem(name="mlp", examples=12, seed=0, ragged=False):
    sizes, draw = MODELS[name]
    rng = torch.Generator().manual_seed(seed)
    model, x = make(name, seed, **sizes).double(), draw(rng, examples)
    y = torch.randint(4, x.shape if name == "gpt" else (examples,), generator=rng)
    if ragged:
        y[torch.rand(y.shape, generator=rng) < 0.5] = IGNORED
        y.view(examples, -1)[0, 0] = 1
    return model, x, y


def naive_gradient(model, x, y):
    """Target by target: the sum of every counted target's own gradient, over their number."""
    total, count = 0.0, 0
    for i in range(len(x)):
        scores = model(x[i : i + 1])
        for score, target in zip(scores.flatten(0, -2), y[i].flatten(), strict=True):
            if target == IGNORED:
                continue
            loss = -score.log_softmax(-1)[target]
            parts = torch.autograd.grad(loss, list(model.parameters()), retain_graph=True)
            total, count = total + torch.cat([part.flatten() for part in parts]), count + 1
    return total / count


@pytest.mark.parametrize("micro_batch", [1, 5, 12])
@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_accumulated_gradients_are_the_mean_over_every_counted_target(name, ragged, micro_batch):
    model, x, y = problem(name, ragged=ragged)
    window = accumulate(model, split(x, y, micro_batch), mean_loss)
    expected = naive_gradient(model, x, y)
    assert distance(flat_gradient(model), expected) < 1e-12
    assert window.targets == int((y != IGNORED).sum())
    assert window.loss == pytest.approx(mean_loss(model(x), y).item(), rel=1e-12)
    assert window.length == pytest.approx(float(expected.norm()), rel=1e-12)


@pytest.mark.parametrize("optimizer", [sgd, adamw])
@pytest.mark.parametrize("name", MODELS)
def test_in_double_precision_one_update_is_the_same_to_a_millionth_of_a_millionth(name, optimizer):
    model, x, y = problem(name, examples=32)
    whole = ladder.accumulated(model, [(x, y)], mean_loss)
    # The softmax of attention does not feel a key bias: its gradient is 0, and AdamW would step by rounding / ε.
    felt = (whole.abs() > 1e-14) | (whole == 0)
    assert int((~felt).sum()) <= (8 if name == "gpt" else 0)
    for micro_batch in (1, 4, 5, 16):
        parts = ladder.accumulated(model, split(x, y, micro_batch), mean_loss)
        assert distance(update(parts[felt], optimizer), update(whole[felt], optimizer)) < 1e-12
        assert distance(update(parts, optimizer), update(whole, optimizer)) < 1e-10


def test_a_part_without_targets_adds_nothing_and_a_window_without_targets_is_refused():
    model, x, y = problem()
    y[4:8] = IGNORED
    accumulate(model, split(x, y, 4), mean_loss)
    assert distance(flat_gradient(model), naive_gradient(model, x, y)) < 1e-12
    with pytest.raises(Refused, match="no counted target"):
        accumulate(model, split(x, torch.full_like(y, IGNORED), 4), mean_loss)
    with pytest.raises(Refused, match="no counted target"):
        accumulate(model, [], mean_loss)


def test_the_gradient_of_an_earlier_window_is_dropped_and_parameters_do_not_move():
    model, x, y = problem()
    before = copy.deepcopy(model.state_dict())
    accumulate(model, split(x, y, 4), mean_loss)
    once = flat_gradient(model)
    accumulate(model, split(x, y, 4), mean_loss)
    assert torch.equal(flat_gradient(model), once)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_clipping_comes_once_after_the_last_part():
    model, x, y = problem()
    whole = ladder.accumulated(model, [(x, y)], mean_loss)
    clip = 0.5 * float(whole.norm())
    window = accumulate(model, split(x, y, 4), mean_loss, clip=clip)
    assert window.length == pytest.approx(2 * clip) and float(flat_gradient(model).norm()) == pytest.approx(clip, 1e-5)
    assert distance(flat_gradient(model), clipped(whole, clip)) < 1e-5
    assert torch.equal(ladder.accumulated(model, [(x, y)], mean_loss, clip=1e9), whole)
    with pytest.raises(Refused, match="clip is 0"):
        accumulate(model, split(x, y, 4), mean_loss, clip=0)


def test_targets_that_are_numbers_count_by_examples_and_a_count_of_your_own_is_used():
    model, x, _ = problem()
    y = torch.randn(12, 4).double()
    assert counted(y) == 12
    whole = ladder.accumulated(model, [(x, y)], mse_loss)
    assert distance(ladder.accumulated(model, split(x, y, 5), mse_loss), whole) < 1e-12
    weight, classes = torch.tensor([1.0, 2.0, 3.0, 4.0]).double(), torch.arange(12) % 4

    def weighted(scores, targets):
        return cross_entropy(scores, targets, weight=weight)

    whole = ladder.accumulated(model, [(x, classes)], weighted)
    accumulate(model, split(x, classes, 5), weighted, count=lambda t: float(weight[t].sum()))
    assert distance(flat_gradient(model), whole) < 1e-12
    with pytest.raises(Refused, match="class weights"):
        accumulate(model, split(x, classes, 5), weighted)


def summed(scores, targets):
    return cross_entropy(scores, targets, reduction="sum")


@pytest.mark.parametrize("micro_batch", [1, 2, 5])
@pytest.mark.parametrize("loss", [summed, ladder.negatives_loss, ladder.balance_loss])
def test_a_loss_that_is_no_mean_over_targets_is_refused(loss, micro_batch):
    model, x, y = problem(seed=3)
    model[-1].weight.data *= 20  # else every example goes to one expert, and the balance is a mean after all
    with pytest.raises(Refused, match="allowed: a mean over the targets"):
        accumulate(model, split(x, y, micro_batch), loss)
    accumulate(model, [(x, y)], loss)  # one part is the batch itself


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("seed", range(8))
def test_a_mean_loss_is_never_refused_for_its_rounding(seed, dtype):
    model, x, y = problem(examples=64, seed=seed, ragged=True)
    model, x = model.to(dtype), x.to(dtype)
    for scale in (1e-3, 1.0, 1e3):
        done = accumulate(model, split(scale * x, y, 16), mean_loss)
        whole = accumulate(model, [(scale * x, y)], mean_loss)
        assert done.targets == whole.targets and done.loss == pytest.approx(whole.loss, rel=0.02)


@pytest.mark.parametrize("layer", [nn.BatchNorm1d(8), nn.BatchNorm1d(8, track_running_stats=False).eval()])
def test_batchnorm_on_the_statistics_of_the_batch_is_refused_by_name(layer):
    model, x, y = problem()
    model.insert(1, layer.double())
    with pytest.raises(Refused, match=r"layer '1' \(BatchNorm1d\)"):
        accumulate(model, split(x, y, 4), mean_loss)
    accumulate(model, [(x, y)], mean_loss)


def test_frozen_batchnorm_accumulates():
    model, x, y = problem()
    model.insert(1, nn.BatchNorm1d(8).double().eval())
    whole = ladder.accumulated(model, [(x, y)], mean_loss)
    assert distance(ladder.accumulated(model, split(x, y, 5), mean_loss), whole) < 1e-12


MISTAKES = {  # what each one's distance from the true update of SGD is, worked out by hand
    "no division": lambda g, n, true: (g.sum(0), 2.0),
    "mean of means": lambda g, n, true: ((g[0] + g[1] + g[2]) / 3, None),
    "division by full K": lambda g, n, true: (g.sum(0) / 6, 0.5),
}


@pytest.mark.parametrize("merge", MISTAKES)
def test_a_merge_is_the_mistake_it_is_named_after(merge):
    model, x, y = problem(ragged=merge == "mean of means")
    y[[0, 4, 8]] = 1
    g, n = ladder.part_gradients(model, split(x, y, 4), mean_loss)
    true = naive_gradient(model, x, y)
    expected, far = MISTAKES[merge](g, n, true)
    assert torch.allclose(MERGE[merge](g, n, 6), expected)
    assert distance(MERGE["weighted"](g, n, 6), true) < 1e-12
    found = distance(MERGE[merge](g, n, 6), true)
    assert found == pytest.approx(far) if far else found > 0.01


@pytest.mark.parametrize("accumulator, digits", [(torch.bfloat16, 8), (torch.float16, 11)])
def test_a_half_precision_sum_of_ones_stops_where_its_digits_end(accumulator, digits):
    total = ladder.running_sum(torch.ones(3000, 1), accumulator)
    assert float(total) == 2**digits


def test_slack_bounds_what_rounding_does_to_a_step():
    g, slack = torch.tensor([0.5, 1e-9, -2.0]).double(), torch.tensor([0.01, 1e-8, 0.1]).double()
    routes = Routes(g, g, (g,), slack)
    rng = np.random.default_rng(0)
    for optimizer in (sgd, adamw):
        centre, bound = update(g, optimizer), routes.tolerance(optimizer)
        far = [
            distance(update(g + slack * torch.from_numpy(rng.uniform(-1, 1, 3)), optimizer), centre) for _ in range(300)
        ]
        assert 0.5 * bound < max(far) <= bound


def test_the_noise_floor_widens_the_tolerance():
    g = torch.ones(4).double()
    noisy = Routes(g, g, (g, 1.01 * g), 0 * g)
    assert noisy.floor(sgd) == pytest.approx(0.01) and noisy.tolerance(sgd) == pytest.approx(0.08)


def test_reordering_a_batch_measures_rounding_and_not_the_order_of_parts():
    model, x, y = problem(examples=16)

    def last_part_only(parts):
        return ladder.accumulated(model, parts[-1:], mean_loss)

    routes = ladder.two_routes(last_part_only, [(x, y)], split(x, y, 4), torch.zeros(1).double(), torch.float64, 0)
    assert routes.distance(sgd) > 0.1 and routes.tolerance(sgd) < 1e-13


def test_random_routes_leave_the_random_stream_alone_and_repeat_with_their_seed():
    def mask():
        return torch.rand(5)

    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    one, other = (ladder.random_routes(mask, mask, 4, seed=7) for _ in range(2))
    assert torch.equal(torch.rand(1), expected)
    assert torch.equal(one.whole, other.whole) and not torch.equal(one.whole, one.parts)
