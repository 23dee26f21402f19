"""The top eigenvalue is the dense Hessian's, whoever stands beside it; slices and rescalings are what they say."""

import itertools
import math

import numpy as np
import pytest
import torch
from test_ensemble import Own, replicas, vectors
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss

from tutorlib.errors import Refused
from tutorlib.experiments import curvature as lesson
from tutorlib.measure.box_sharpness import box_sharpness
from tutorlib.measure.curvature import Hessian, distance, lanczos, top_eigenvalue, top_eigenvalues
from tutorlib.measure.fit import fit
from tutorlib.measure.landscape import around, between, filter_normalised, losses_at, random_direction, weights
from tutorlib.nn.data import Data
from tutorlib.nn.models import GPT, make, next_token_loss
from tutorlib.nn.rescale import rescaled
from tutorlib.plots.curvature import plot_errors, plot_rescaled, plot_sharpness
from tutorlib.records import Machine, Run, RunRecord
from tutorlib.results import Results
from tutorlib.trials import Diverged
from tutorlib.trials import curvature as trials
from tutorlib.verdicts import curvature as verdicts

torch.set_num_threads(1)
MACHINE = Machine("cpu", "made up", 1, "3.12.1", "2.6.0", "0.1.0")


def signed(outputs, targets):
    """½ y (w·x)², averaged: its Hessian is Xᵀ diag(y) X / n, any symmetric matrix."""
    return (targets * outputs[:, 0].square()).mean() / 2


def bowl(eigenvalues, seed=0):
    """A model, a loss and data whose Hessian has these eigenvalues, in a random basis."""
    values = torch.tensor(eigenvalues, dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    basis = torch.linalg.qr(torch.randn(len(values), len(values), generator=generator, dtype=torch.float64))[0]
    model = nn.Linear(len(values), 1, bias=False).double()
    with torch.no_grad():
        model.weight.copy_(torch.randn(1, len(values), generator=generator, dtype=torch.float64))
    data = Data((len(values) * values.abs()).sqrt()[:, None] * basis.T, values.sign())
    return model, signed, data


def small(activation=nn.Tanh):
    return nn.Sequential(nn.Linear(12, 6), activation(), nn.Linear(6, 5))


def dense(model, loss, data):
    """The Hessian number by number: the gradient of every entry of the gradient."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    slopes = torch.autograd.grad(loss(model(data.x), data.y), parameters, create_graph=True)
    rows = []
    for entry in torch.cat([slope.flatten() for slope in slopes]):
        row = torch.autograd.grad(entry, parameters, retain_graph=True, materialize_grads=True)
        rows.append(torch.cat([part.flatten() for part in row]))
    return torch.stack(rows)


@pytest.mark.parametrize(
    "eigenvalues",
    [
        [5.0, 3.0, 1.0, 0.1, -2.0],
        [-0.5, -1.0, -7.0],  # a hilltop: the largest is not the longest
        [-9.0, 2.0, 1.5],
        [4.0, 4.0, 1.0],  # a top that is there twice
        [3.0] * 6,
        [2.0],
        [10.0**-k for k in range(12)],
    ],
)
def test_a_bowl_has_the_eigenvalues_it_was_made_with(eigenvalues):
    model, loss, data = bowl(eigenvalues)
    top = top_eigenvalue(model, loss, data)
    assert top.value == pytest.approx(max(eigenvalues), rel=1e-6)
    assert top.residual <= 1e-2 * abs(top.value) and top.products <= len(eigenvalues) + 1
    assert top.vector.norm().item() == pytest.approx(1, abs=1e-9)


def test_linear_regression_has_the_largest_eigenvalue_of_its_inputs_and_no_weights_change_it():
    data = Data(vectors().x, vectors().x[:, :1].sin())
    expected = 2 * torch.linalg.eigvalsh(data.x.T @ data.x / len(data))[-1].item()  # mse has no ½
    for model in replicas(lambda: nn.Linear(12, 1, bias=False), 3):
        assert top_eigenvalue(model, mse_loss, data).value == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("adaptive", [False, True])
@pytest.mark.parametrize("wrapped", [False, True])
def test_every_replica_has_the_top_of_its_own_dense_hessian(adaptive, wrapped):
    models, data = replicas(lambda: Own(*small()) if wrapped else small(), 4), vectors()
    subsets = torch.stack([torch.randperm(23, generator=torch.Generator().manual_seed(r))[:9] for r in range(4)])
    tops = top_eigenvalues(models, cross_entropy, data, subsets=subsets, adaptive=adaptive, tolerance=1e-10)
    for model, own, top in zip(models, subsets, tops, strict=True):
        matrix = dense(model, cross_entropy, Data(data.x[own], data.y[own]))
        size = weights(model).abs() if adaptive else torch.ones(len(matrix), dtype=torch.float64)
        matrix = size[:, None] * matrix * size
        assert top.value == pytest.approx(torch.linalg.eigvalsh(matrix)[-1].item(), rel=1e-8)
        assert top.residual == pytest.approx((matrix @ top.vector - top.value * top.vector).norm().item(), abs=1e-12)


def test_the_dense_hessian_is_the_one_of_torch_func():
    model, data = replicas(small, 1)[0], vectors()
    names = [name for name, _ in model.named_parameters()]
    sizes = [p.shape for p in model.parameters()]

    def at(flat):
        parts = flat.split([s.numel() for s in sizes])
        state = {name: part.view(s) for name, part, s in zip(names, parts, sizes, strict=True)}
        return cross_entropy(torch.func.functional_call(model, state, (data.x,)), data.y)

    torch.testing.assert_close(dense(model, cross_entropy, data), torch.func.hessian(at)(weights(model)))


@pytest.mark.parametrize("chunk", [1, 2, 3, None])
def test_replicas_beside_each_other_change_nothing(chunk):
    models, data = replicas(small, 5), vectors()
    together = top_eigenvalues(models, cross_entropy, data, chunk=chunk, tolerance=1e-9)
    for model, top in zip(models, together, strict=True):
        assert top.value == pytest.approx(top_eigenvalue(model, cross_entropy, data, tolerance=1e-9).value, rel=1e-7)


def test_too_few_products_are_told_by_the_residual_and_the_error():
    model, data = replicas(small, 1)[0], vectors()
    values = torch.linalg.eigvalsh(dense(model, cross_entropy, data))
    for products in (1, 2, 3, 5):
        top = top_eigenvalue(model, cross_entropy, data, products=products, tolerance=1e-12)
        assert float((values - top.value).abs().min()) <= top.residual * (1 + 1e-9)
        assert top.error > 1e-12 * top.value and top.products == products + 1


def test_the_error_is_of_the_size_of_the_true_one_where_the_gap_is_known():
    model, loss, data = bowl([*np.linspace(0, 1, 60), 1.5])
    for tolerance in (1e-3, 1e-6):
        top = top_eigenvalue(model, loss, data, tolerance=tolerance)
        assert abs(top.value - 1.5) <= 3 * top.error + 1e-12 and top.error <= tolerance * 1.5 and top.products < 40
    assert distance(0.1, np.array([1.0, 2.0])) == pytest.approx(0.01) and distance(0.1, np.array([2.0, 2.0])) == 0.1
    assert distance(0.1, np.array([1.99, 2.0])) == 0.1


def test_the_vectors_that_are_multiplied_are_orthonormal_to_rounding():
    model, loss, data = bowl([*np.linspace(0, 1, 79), 10.0])
    hessian = Hessian([model.float()], loss, data.x.float(), data.y.float(), True, False)
    seen, multiply = [], hessian.multiply
    hessian.multiply = lambda vectors: seen.append(vectors[0]) or multiply(vectors)
    lanczos(hessian, -1.0, 60, 0)  # a tolerance that nothing meets
    basis = torch.stack(seen[:-1])  # the last one is the answer's own
    torch.testing.assert_close(basis @ basis.T, torch.eye(60), atol=1e-5, rtol=0)


def test_a_loss_without_curvature_has_none():
    model, data = nn.Linear(12, 1).double(), Data(vectors().x, vectors().x[:, 0])
    top = top_eigenvalue(model, lambda outputs, targets: (outputs[:, 0] * targets).mean(), data)
    assert (top.value, top.residual, top.error) == (0, 0, 0)


def test_single_precision_gives_five_digits():
    model, data = replicas(small, 1)[0], vectors()
    exact = torch.linalg.eigvalsh(dense(model, cross_entropy, data))[-1].item()
    top = top_eigenvalue(model.float(), cross_entropy, Data(data.x.float(), data.y))
    assert top.value == pytest.approx(exact, rel=1e-5)


def test_curvature_of_a_gpt_with_attention_is_that_of_its_parts():
    tokens = torch.randint(0, 5, (6, 4), generator=torch.Generator().manual_seed(0))
    model = replicas(lambda: GPT(5, 3, 4, 1, 1), 1)[0]
    data = Data(tokens[:, :-1], tokens[:, 1:])
    value = top_eigenvalue(model, next_token_loss, data).value
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        assert value == pytest.approx(torch.linalg.eigvalsh(dense(model, next_token_loss, data))[-1].item(), rel=1e-5)


def test_it_agrees_with_curvlinops_and_scipy():
    curvlinops = pytest.importorskip("curvlinops")
    from scipy.sparse.linalg import eigsh

    model, data = make("mlp", 0), trials.Data(trials.problem("cpu").x[:64], trials.problem("cpu").y[:64])
    parameters = list(model.parameters())
    operator = curvlinops.HessianLinearOperator(model, nn.MSELoss(), parameters, [(data.x, data.y)])
    theirs = eigsh(operator.to_scipy(), k=1, which="LA", tol=1e-7, return_eigenvectors=False)[0]
    assert top_eigenvalue(model, mse_loss, data).value == pytest.approx(float(theirs), rel=1e-5)


def test_units_in_another_order_and_examples_twice_leave_it_alone_and_a_loss_times_three_triples_it():
    model, data = replicas(small, 1)[0], vectors()
    order = torch.randperm(6, generator=torch.Generator().manual_seed(1))
    other = small().double()
    with torch.no_grad():
        other[0].weight.copy_(model[0].weight[order]), other[0].bias.copy_(model[0].bias[order])
        other[2].weight.copy_(model[2].weight[:, order]), other[2].bias.copy_(model[2].bias)
    for adaptive in (False, True):
        before = top_eigenvalue(model, cross_entropy, data, adaptive=adaptive).value
        assert top_eigenvalue(other, cross_entropy, data, adaptive=adaptive).value == pytest.approx(before, rel=1e-6)
        twice = Data(data.x.repeat(2, 1), data.y.repeat(2))
        assert top_eigenvalue(model, cross_entropy, twice, adaptive=adaptive).value == pytest.approx(before, rel=1e-6)
        tripled = top_eigenvalue(model, lambda o, t: 3 * cross_entropy(o, t), data, adaptive=adaptive).value
        assert tripled == pytest.approx(3 * before, rel=1e-6)


@pytest.mark.parametrize("factor", [0.1, 3.0, 100.0])
def test_rescaling_moves_sharpness_and_neither_outputs_nor_adaptive_sharpness(factor):
    model, data = replicas(lambda: small(nn.ReLU), 1)[0], vectors()
    other, kept = rescaled(model, factor), weights(model).clone()
    torch.testing.assert_close(other(data.x), model(data.x), rtol=1e-9, atol=1e-12)
    plain = [top_eigenvalue(m, cross_entropy, data).value for m in (model, other)]
    adaptive = [top_eigenvalue(m, cross_entropy, data, adaptive=True).value for m in (model, other)]
    assert adaptive[1] == pytest.approx(adaptive[0], rel=1e-9) and abs(plain[1] / plain[0] - 1) > 0.2
    torch.testing.assert_close(other[0].bias, factor * model[0].bias)
    assert torch.equal(weights(model), kept) and torch.equal(other[2].bias, model[2].bias)


@pytest.mark.parametrize(
    "model, factor, words",
    [
        (small(), 2.0, "model is Linear, Tanh, Linear; allowed: Linear, ReLU, Linear"),
        (small(nn.ReLU), 0.0, "factor is 0.0"),
        (small(nn.ReLU), -1.0, "factor is -1.0"),
        (small(nn.ReLU), math.nan, "factor is nan"),
    ],
)
def test_what_cannot_be_rescaled_is_refused(model, factor, words):
    with pytest.raises(Refused, match=words):
        rescaled(model, factor)


def test_what_has_no_curvature_is_refused_with_the_name_of_what_is_wrong():
    data, models = vectors(), replicas(small, 2)
    with torch.no_grad():
        models[1][2].bias[3] = torch.nan
    with pytest.raises(Refused, match=r"models\[1\] has NaN or infinity in parameter '2.bias'"):
        top_eigenvalues(models, cross_entropy, data)
    for layer, words in ((nn.BatchNorm1d(6), "looks across the batch at layer '1'"), (nn.Dropout(0.5), "random at")):
        model = nn.Sequential(nn.Linear(12, 6), layer, nn.Tanh(), nn.Linear(6, 5)).double()
        with pytest.raises(Refused, match=words):
            top_eigenvalue(model, cross_entropy, data)
        exact = torch.linalg.eigvalsh(dense(model.eval(), cross_entropy, data))[-1].item()
        assert top_eigenvalue(model, cross_entropy, data).value == pytest.approx(exact, rel=1e-5)
    with pytest.raises(Refused, match="sums over the examples"):
        top_eigenvalue(models[0], lambda o, t: cross_entropy(o, t, reduction="sum"), data)
    with pytest.raises(Refused, match="loss is inf on the first examples"):
        top_eigenvalue(models[0], lambda o, t: (1e200 * o).square().mean(), data)
    with pytest.raises(Refused, match="gradient with NaN"):
        top_eigenvalue(models[0], lambda o, t: (0 * o).abs().sqrt().mean(), data)
    with pytest.raises(Refused, match="tolerance is 0"):
        top_eigenvalue(models[0], cross_entropy, data, tolerance=0)
    with pytest.raises(Refused, match="products is 0"):
        top_eigenvalue(models[0], cross_entropy, data, products=0)


def corners(model, loss, data, size):
    """Keskar's measure by looking at every corner of the box."""
    start, found = weights(model), []
    for signs in itertools.product((-1.0, 1.0), repeat=len(start)):
        point = start + size * (start.abs() + 1) * torch.tensor(signs, dtype=start.dtype)
        found.append(losses_at(model, point[None], loss, data)[0])
    here = loss(model(data.x), data.y).item()
    return 100 * (max(found) - here) / (1 + here)


def test_the_box_is_never_overrated_and_exact_where_every_corner_is_as_high():
    for seed in range(4):
        model, loss, data = bowl([5.0, 3.0, 1.0, 0.5, 0.2], seed)
        exact = corners(model, loss, data, 0.1)
        assert 0.99 * exact <= box_sharpness(model, loss, data, 0.1, seed=seed) <= exact * (1 + 1e-9)
    model, loss, data = bowl([4.0])  # one weight: the larger of two ends
    with torch.no_grad():
        model.weight.fill_(2.0)
    here, there = 0.5 * 4 * 2.0**2, 0.5 * 4 * 2.3**2
    assert box_sharpness(model, loss, data, 0.1) == pytest.approx(100 * (there - here) / (1 + here))
    with torch.no_grad():
        model.weight.fill_(0.0)  # at the minimum the gradient names no corner
    assert box_sharpness(model, loss, data, 0.1) == pytest.approx(100 * 0.5 * 4 * 0.1**2)
    with pytest.raises(Refused, match="size is -1"):
        box_sharpness(model, loss, data, -1)


@pytest.mark.parametrize("wrapped", [False, True])
def test_losses_at_other_weights_are_those_of_models_with_these_weights(wrapped):
    models, data = replicas(lambda: Own(*small()) if wrapped else small(), 4), vectors()
    found = losses_at(models[0], torch.stack([weights(m) for m in models]), cross_entropy, data)
    assert found == pytest.approx([cross_entropy(m(data.x), data.y).item() for m in models], rel=1e-9)
    with pytest.raises(Refused, match="points has shape"):
        losses_at(models[0], torch.zeros(2, 3), cross_entropy, data)


def test_the_line_between_two_bowls_is_a_parabola_from_one_to_the_other():
    model, loss, data = bowl([5.0, 3.0, 1.0])
    other = nn.Linear(3, 1, bias=False).double()
    places = np.linspace(0, 1, 5)
    found, step = between(model, other, loss, data, places), weights(other) - weights(model)
    begin, end = (loss(m(data.x), data.y).item() for m in (model, other))
    bend = (step @ dense(model, loss, data) @ step).item()
    assert found == pytest.approx((1 - places) * begin + places * end - bend / 2 * places * (1 - places))
    with pytest.raises(Refused, match="second has 2 parameters and first 3"):
        between(model, nn.Linear(2, 1, bias=False), loss, data, places)


def test_around_a_solution_a_row_is_a_height_and_the_sharpest_direction_bends_by_its_eigenvalue():
    model, loss, data = bowl([5.0, 3.0, 1.0])
    with torch.no_grad():
        model.weight.zero_()
    across, up = top_eigenvalue(model, loss, data).vector, torch.zeros(3, dtype=torch.float64)
    values = around(model, across, up, loss, data, (-1.0, 0.0, 0.5))
    assert values == pytest.approx(np.tile([2.5, 0.0, 0.625], (3, 1)), abs=1e-6)
    assert around(model, up, across, loss, data, (-1.0, 0.0, 0.5)) == pytest.approx(values.T, abs=1e-6)


def test_a_filter_normalised_direction_is_as_long_as_each_filter_and_sees_the_same_after_rescaling():
    model, data = replicas(lambda: small(nn.ReLU), 1)[0], vectors()
    direction = filter_normalised(model, 0)
    first, bias, last, bias2 = direction.split([72, 6, 30, 5])
    torch.testing.assert_close(first.view(6, 12).norm(dim=1), model[0].weight.norm(dim=1))
    torch.testing.assert_close(last.view(5, 6).norm(dim=1), model[2].weight.norm(dim=1))
    assert not bias.any() and not bias2.any() and not torch.equal(direction, filter_normalised(model, 1))
    other = rescaled(model, 7.0)
    slices = [
        around(m, filter_normalised(m, 0), filter_normalised(m, 1), cross_entropy, data, (-1, 0, 1))
        for m in (model, other)
    ]
    assert slices[0] == pytest.approx(slices[1], rel=1e-9)
    assert random_direction(model, 3).norm().item() == pytest.approx(1) and len(random_direction(model, 3)) == 113


def runs(rate=0.03, batch=16, seeds=(0, 1), **more):
    held = {**lesson.SHARPNESS.held, "examples": 32, "target": 0.3, "most_steps": 2000}
    return [Run("x", {**held, "batch": batch, "rate": rate, **more}, seed) for seed in seeds]


def test_a_run_ends_at_the_first_look_at_which_its_training_loss_is_at_the_target():
    group, data = runs(), trials.problem("cpu")
    for run, found in zip(group, trials.sharpness(group, "cpu"), strict=True):
        (own,), (held_out,) = trials.dealt([run.seed], 32)
        mine, model, losses = Data(data.x[own], data.y[own]), make("mlp", run.seed, width=32), []
        settings = {"batch": 16, "rate": 0.03, "seed": run.seed, "steps": found["steps"]}
        look = lambda m: losses.append(trials.squared_error(m(mine.x), mine.y).item())  # noqa: B023, E731
        fit(model, trials.squared_error, mine, after_step=look, **settings)
        looks = losses[trials.LOOK - 1 :: trials.LOOK]
        assert looks[-1] <= 0.3 < min(looks[:-1]) and found["loss"] == pytest.approx(looks[-1], rel=1e-4)
        assert found["sharpness"] == pytest.approx(top_eigenvalue(model, trials.squared_error, mine).value, rel=1e-2)
        wrong = (model(data.x[held_out]).argmax(1) != data.y[held_out].argmax(1)).double().mean().item()
        assert found["error"] == pytest.approx(100 * wrong, abs=0.2) and found["doubt"] <= trials.TOLERANCE
        assert len({*own.tolist(), *held_out.tolist()}) == 1797
    hopeless = trials.sharpness([*runs(seeds=(0,)), *runs(rate=1e6, seeds=(1,))], "cpu")
    assert isinstance(hopeless[1], Diverged) and hopeless[0]["sharpness"] > 0


def test_squared_error_is_half_the_sum_over_classes():
    outputs, targets = torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.tensor([[0.0, 0.0], [0.0, 2.0]])
    assert trials.squared_error(outputs, targets).item() == (5 + 4) / 2 / 2


def test_a_rescaled_net_keeps_its_outputs_and_the_control_does_not():
    held = {**lesson.RESCALED.held, "examples": 32, "steps": 20}
    points = ({"factor": 1, "undone": True}, {"factor": 10, "undone": True}, {"factor": 10, "undone": False})
    one, ten, control = trials.rescaled_net([Run("x", {**held, **point}, 3) for point in points], "cpu")
    assert ten["outputs"] < 1e-12 < 1 < control["outputs"] and ten["error"] == one["error"]
    assert ten["adaptive"] == pytest.approx(one["adaptive"], rel=1e-9) != control["adaptive"]
    assert ten["sharpness"] > 3 * one["sharpness"]


def made_up(experiment, values):
    return Results(experiment, tuple(RunRecord(r, "ok", values(r), MACHINE, "0" * 16) for r in experiment.runs()))


def nets(by_batch=0.1, by_rate=-0.8, gap=0.0, doubling=0.0, adaptive=0.0, loss=0.0):
    def values(run):
        s, wobble = run.settings, 1 + 0.01 * math.sin(7 * run.seed)
        scale = 1.2 * wobble * s["batch"] ** by_batch * s["rate"] ** by_rate
        size = wobble * s["batch"] ** adaptive * (1 + 0.2 * math.sin(run.seed + 50 * s["rate"]))
        error = 8 + wobble + gap * (s["batch"] == 256) + doubling * math.log2(scale)
        known = {"loss": 0.1 * wobble * s["batch"] ** loss, "steps": 9, "doubt": 0.0}
        return {"sharpness": scale, "adaptive": size, "error": error, **known}

    return made_up(lesson.SHARPNESS, values)


def words(judge, records):
    return {(v.claim, v.says): v.verdict for v in judge(records)}


@pytest.mark.parametrize(
    "says, changed",
    [
        ("control: the nets that are compared have the same training loss", {"loss": 0.1}),
        ("a larger batch ends sharper", {"by_batch": -0.1}),
        ("a larger rate ends flatter", {"by_rate": 0.8}),
        ("… and doubling the rate does more than halving the batch", {"by_batch": 0.9}),
        ("the full batch at the high rate is flatter than the small batch at the low one", {"by_batch": 0.5}),
        ("at 0.2 and 0.3 the full batch sits where the rate becomes unstable, λ = 2/η", {"by_batch": 0.5}),
        ("… and the small batch stays below it", {"by_batch": 1.0}),
        *(
            (f"at {rate}, in each weight's own size, the batches differ by less than a quarter", {"adaptive": 0.2})
            for rate in (0.1, 0.2, 0.3)
        ),
    ],
)
def test_every_sentence_on_sharpness_can_fail(says, changed):
    as_found = words(verdicts.sharpness_verdicts, nets())
    assert words(verdicts.sharpness_verdicts, nets(**changed))["E09", says] == "does not hold"
    assert as_found["E09", says] == "holds" or "the full batch sits" in says


def test_the_claims_hold_or_fail_with_what_was_measured():
    for changed, expected in (
        ({}, {"D2-06": "holds if", "D1-08": "does not hold"}),
        ({"by_batch": -0.1}, {"D2-06": "does not hold"}),
        ({"gap": 2.0}, {"D1-08": "holds"}),
    ):
        found = {v.claim: v.verdict for v in verdicts.claim_verdicts(nets(**changed))}
        assert expected.items() <= found.items()
    first = "a sharper minimum generalizes worse: half a point for a doubling"
    for doubling, word in ((1.0, "holds"), (0.0, "does not hold")):
        assert words(verdicts.claim_verdicts, nets(doubling=doubling))["D2-07", first] == word


def test_slopes_are_those_of_the_powers_that_were_put_in():
    by_batch, by_rate = lesson.log_slopes(nets(by_batch=0.3, by_rate=-0.7))
    assert by_batch == pytest.approx(np.full(24, 0.3)) and by_rate == pytest.approx(np.full(24, -0.7))
    assert lesson.cost_of_doubling(nets(doubling=0.4)) == pytest.approx(np.full(24, 0.4))
    assert lesson.table(nets(), "loss").shape == (24, 3, 3)


def rescalings(**changed):
    def values(run):
        s, factor = run.settings, run.settings["factor"]
        found = {"outputs": 1e-15, "sharpness": 2.0 + 0.3 * factor**2, "adaptive": 0.2, "box": 1.0 + 0.1 * factor}
        found |= {"error": 9.0} | {name: change(factor) for name, change in changed.items() if s["undone"]}
        return found if s["undone"] else found | {"outputs": 9.0 + 0.1 * run.seed}

    return made_up(lesson.RESCALED, lambda run: {name: v * (1 + 1e-9 * run.seed) for name, v in values(run).items()})


@pytest.mark.parametrize(
    "name, change, says",
    [
        ("outputs", lambda c: 1e-3 * (c > 1), "a ReLU net whose layers are rescaled computes the same"),
        ("sharpness", lambda c: 2.0 + 0.01 * c, "… its sharpness does change"),
        ("sharpness", lambda c: float(c), "… as c², once c is large"),
        ("box", lambda c: 1.0, "… and ε-sharpness grows, too"),
        ("adaptive", lambda c: 1 + 0.01 * c, "adaptive sharpness does not"),
        (
            "error",
            lambda c: 9.0 + c,
            "control: a net made 5 times as sharp or more by rescaling keeps its error, by construction",
        ),
    ],
)
def test_every_sentence_on_rescaling_can_fail(name, change, says):
    found = {v.says: v.verdict for v in verdicts.rescaling_verdicts(rescalings())}
    assert set(found.values()) == {"holds"}
    changed = {v.says: v.verdict for v in verdicts.rescaling_verdicts(rescalings(**{name: change}))}
    assert changed[says] == "does not hold"


def test_the_figures_show_every_point_that_was_measured_and_the_ratios_that_are_judged():
    axes = plot_sharpness(nets(), guess=(12, 20))
    beside = axes.figure.axes[1]
    heights = {round(float(line.get_ydata()[0]), 3) for line, *_ in axes.containers}
    table = np.exp(np.log(lesson.table(nets(), "sharpness")).mean(axis=0))
    assert len(axes.containers) == 9 and heights == {round(float(value), 3) for value in table.ravel()}
    ratios = [lesson.table(nets(), name) for name in ("sharpness", "adaptive")]
    ratios = [np.exp(np.log(values[:, -1] / values[:, 0]).mean(axis=0)) for values in ratios]
    assert [float(line.get_ydata()[0]) for line, *_ in beside.containers] == pytest.approx(np.concatenate(ratios))
    assert "your guess" in axes.get_legend_handles_labels()[1] and "24 seeds" in axes.figure.get_supxlabel()
    assert sum(np.ptp(line.get_ydata()) == 0 and line.get_ydata()[0] == 20 for line in axes.lines) == 1  # 2 ÷ 0.1
    axes = plot_errors(nets(doubling=1.0))
    assert [len(each.containers) for each in axes.figure.axes] == [9, 9]
    assert axes.get_title(loc="left").startswith("+1.0 [")
    (claimed,) = [line for line in axes.lines if line.get_label() == "half a point a doubling"]
    assert np.ptp(claimed.get_ydata()) == pytest.approx(1.0) and np.ptp(np.log2(claimed.get_xdata())) == pytest.approx(
        2
    )
    axes = plot_rescaled(rescalings())
    assert len(axes.containers) == 4 * len(lesson.FACTORS)
    assert axes.get_title(loc="left") == "every net here computes the same"
    (law,) = [line for line in axes.lines if line.get_label() == "c², for large c"]
    top = next(line for line, *_ in axes.containers if line.get_xdata()[0] == 100)
    assert law.get_ydata()[-1] == pytest.approx(top.get_ydata()[0]) and law.get_ydata()[0] == law.get_ydata()[-1] / 1e4
