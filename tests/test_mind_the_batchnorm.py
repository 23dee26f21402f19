"""Lesson 03: its trials equal their definitions, its verdicts can fail, its figures show what was measured."""

import copy
import functools

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from tutorlib.checks.mind_the_batchnorm import check_freeze_batchnorm
from tutorlib.errors import Refused
from tutorlib.experiments import mind_the_batchnorm as lesson
from tutorlib.measure.fit import fit
from tutorlib.nn.batchnorm import FrozenBatchNorm, freeze_batchnorm
from tutorlib.nn.data import Data
from tutorlib.nn.models import make
from tutorlib.plots.mind_the_batchnorm import plot_errors, plot_ghost, plot_mnist1d, plot_statistics
from tutorlib.plots.statistics_panel import channel, plot_channel
from tutorlib.records import Machine, Run, RunRecord
from tutorlib.results import Results
from tutorlib.study import find_trial
from tutorlib.theory import batch_statistics as law
from tutorlib.trials import mind_the_batchnorm as trials
from tutorlib.verdicts import mind_the_batchnorm as verdicts
from tutorlib.verdicts.claims import CLAIMS
from tutorlib.widgets.mind_the_batchnorm import StatisticsPanel

MACHINE = Machine("cpu", "made up", 1, "3.12.1", "2.6.0", "0.1.0")
SMALL = {**lesson.ERRORS.held, "steps": 6, "examples": 64, "batch": 16}


def made_up(experiment, values):
    records = (RunRecord(run, "ok", values(run), MACHINE, "0" * 16) for run in experiment.runs())
    return Results(experiment, tuple(records))


def runs(seeds=(0, 1), **settings):
    return [Run("x", {**SMALL, **settings}, seed) for seed in seeds]


@pytest.mark.parametrize("norm", ["batch", "group", "layer", "none"])
def test_a_trial_is_fit_and_the_share_of_wrong_answers(norm):
    (values,) = trials.errors(runs((5,), model="mlp", norm=norm, micro_batch=4, rate=0.05), "cpu")
    data = trials.problem("digits", "cpu")
    (apart,), (own,), _ = trials.dealt(runs((5,)), data, 512, 64, 64)
    held_out = trials.chosen(data, apart)
    model = make("mlp", 5, depth=2, norm=norm)
    settings = {"batch": 16, "micro_batch": 4, "rate": 0.05, "steps": 6, "seed": 5, "optimizer": trials.MOMENTUM}
    done = fit(model, cross_entropy, Data(data.x[own], data.y[own]), **settings)
    wrong = [int(model.eval()(x[None]).argmax() != y) for x, y in zip(held_out.x, held_out.y, strict=True)]
    assert values["error"] == pytest.approx(100 * np.mean(wrong), abs=0.2)
    late = np.array(done.losses[3:])
    assert values["jump"] == pytest.approx((late[1:] / late[:-1] - 1).max(), abs=1e-3) and "before" not in values
    if norm != "batch":
        assert values["recomputed"] == values["error"]


def test_nobody_trains_on_what_is_held_out_and_pretraining_has_examples_of_its_own(monkeypatch):
    seen = []

    def watched(models, data, runs, subsets, **changes):
        seen.append(subsets)
        return real(models, data, runs, subsets, **changes)

    real = trials.train
    monkeypatch.setattr(trials, "train", watched)
    trials.errors(runs(model="mlp", norm="frozen", micro_batch=4, rate=0.01), "cpu")
    before, after = seen
    held_out, *_ = trials.dealt(runs(), trials.problem("digits", "cpu"), 512, 64, 64)
    for a, b, c in zip(before.tolist(), after.tolist(), held_out.tolist(), strict=True):
        assert len({*a, *b, *c}) == 64 + 64 + 512
    assert set(held_out[0].tolist()) != set(held_out[1].tolist())


def test_a_pretrained_net_says_how_wrong_it_was_before_and_frozen_statistics_go_on_training_their_scale():
    slow = {"model": "mlp", "micro_batch": 16, "rate": 1e-9}
    for norm in ("frozen", "finetuned"):
        (values,) = trials.errors(runs((0,), norm=norm, **slow), "cpu")
        assert values["before"] == pytest.approx(values["error"], abs=0 if norm == "frozen" else 30)


def test_a_frozen_run_keeps_the_statistics_of_its_pretraining(monkeypatch):
    kept = []
    real = trials.outcomes
    monkeypatch.setattr(
        trials, "outcomes", lambda models, *rest, **more: kept.append(models) or real(models, *rest, **more)
    )
    for micro_batch in (2, 16):
        trials.errors(runs((0,), model="mlp", norm="frozen", micro_batch=micro_batch, rate=0.01), "cpu")
    ((small,), (whole,)) = kept
    assert isinstance(small[1], FrozenBatchNorm) and torch.equal(small[1].running_mean, whole[1].running_mean)
    torch.testing.assert_close(small[0].weight, whole[0].weight)


@pytest.mark.parametrize("norm", ["group", "layer", "none"])
def test_without_statistics_across_examples_the_micro_batch_changes_nothing(norm):
    many, one = (trials.errors(runs(model="cnn", norm=norm, micro_batch=m, rate=0.02), "cpu") for m in (2, 16))
    for a, b in zip(many, one, strict=True):
        assert a["error"] == pytest.approx(b["error"], abs=0.2) and a["jump"] == pytest.approx(b["jump"], abs=1e-2)


class Ghost(nn.BatchNorm1d):
    """Ghost batch normalization from its definition: every part of four is normalized by itself."""

    def forward(self, x):
        return torch.cat([super(Ghost, self).forward(part) for part in x.split(4)])


def test_accumulating_small_parts_is_ghost_batch_normalization():
    data = trials.problem("digits", "cpu")
    data = Data(data.x[:64].double(), data.y[:64])
    accumulated = make("mlp", 0, norm="batch").double()
    ghosts = copy.deepcopy(accumulated)
    ghosts[1].__class__ = Ghost
    for model, micro_batch in ((accumulated, 4), (ghosts, 16)):
        fit(model, cross_entropy, data, batch=16, micro_batch=micro_batch, rate=0.1, steps=8, seed=1)
    for ours, theirs in zip(accumulated.state_dict().values(), ghosts.state_dict().values(), strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("source", ["gaussian", "activations"])
def test_measured_statistics_lie_on_the_laws(source):
    values = trials.statistics(Run("x", {"source": source, "n": 8, "draws": 20_000, "eps": 1e-5}, 0), "cpu")
    assert values["mean_sd"] == pytest.approx(law.mean_sd(8), rel=0.03)
    assert values["variance_sd"] == pytest.approx(law.variance_sd(8, values["kurtosis"]), rel=0.04)
    assert (abs(values["kurtosis"]) > 0.1) == (source == "activations")
    if source == "gaussian":
        assert values["gain"] == pytest.approx(law.gain(8), rel=0.02)


def test_the_rungs_that_a_verdict_compares_differ_in_one_thing_and_a_rate_of_their_own():
    seen = [rung["batch"] * rung["steps"] for rung in lesson.RUNGS]
    assert seen == [4096] * 4 + [32768] * 3

    def changed(one, other):
        return {n for n in ("batch", "micro_batch", "steps") if lesson.RUNGS[one][n] != lesson.RUNGS[other][n]}

    assert changed(lesson.LARGE, lesson.TUNED) == set() and changed(lesson.TUNED, lesson.GHOSTS) == {"micro_batch"}
    assert changed(lesson.LONG, lesson.LONG_GHOSTS) == {"micro_batch"}
    assert lesson.RUNGS[lesson.SMALL]["rate"] == lesson.RUNGS[lesson.LARGE]["rate"]
    assert lesson.RUNGS[lesson.LONG]["steps"] == lesson.RUNGS[lesson.SMALL]["steps"]


def test_every_experiment_names_a_trial():
    for (experiment,), _ in verdicts.VERDICTS:
        assert callable(find_trial(experiment.trial)) and experiment.small_print


def test_the_recorded_task_has_signals_for_every_set_and_is_run_by_the_same_trial():
    held = lesson.ON_MNIST1D.held
    assert trials.problem("mnist1d", "cpu").x.shape == (6000, 40)
    assert held["held_out"] + 2 * held["examples"] <= 6000 and lesson.ON_MNIST1D.trial == lesson.ERRORS.trial
    for norm in ("batch", "group"):
        run = runs((0,), data="mnist1d", model="cnn", norm=norm, micro_batch=4, rate=0.04)
        assert 0 <= trials.errors(run, "cpu")[0]["error"] <= 100


def noise(run, sd=0.3):
    return float(np.random.default_rng([run.seed, len(str(run.settings))]).normal(0, sd))


def told(judge, results):
    return {(v.claim, v.says): v.verdict for v in judge(results)}


def like_the_law(run, off=1.0):
    n, kurtosis = run.settings["n"], -0.5 if run.settings["source"] == "activations" else 0.0
    values = {"mean_sd": law.mean_sd(n), "variance_sd": law.variance_sd(n, kurtosis), "gain": law.gain(n)}
    return {k: float(v * off * (1 + noise(run, 0.01))) for k, v in values.items()} | {
        "kurtosis": kurtosis,
        "signs": 0.97 if off == 1 else 0.5,
    }


def test_verdicts_on_statistics_can_fail():
    right = told(verdicts.statistics_verdicts, made_up(lesson.STATISTICS, like_the_law))
    assert set(right.values()) == {"holds"} and len(right) == 5
    wrong = told(verdicts.statistics_verdicts, made_up(lesson.STATISTICS, lambda run: like_the_law(run, 1.5)))
    assert [word for (claim, _), word in wrong.items() if claim == "E13"] == ["does not hold"] * 4
    calm = made_up(lesson.STATISTICS, lambda run: like_the_law(run) | {"variance_sd": 1 + noise(run, 0.01)})
    assert told(verdicts.statistics_verdicts, calm)["D1-19", "two examples give jittery statistics"] == "does not hold"
    one_off = made_up(lesson.STATISTICS, lambda run: like_the_law(run, 1.3 if run.settings["n"] == 64 else 1.0))
    laws = [
        w
        for (_, says), w in told(verdicts.statistics_verdicts, one_off).items()
        if "batch mean" in says or "kurtosis" in says
    ]
    assert laws == ["does not hold"] * 2  # one n that is off is not averaged away


def as_found(run, harm=14.0, cure=True):
    s = run.settings
    share = {2: 1.0, 4: 0.1}.get(s["micro_batch"], 0.0)
    hurt = share * harm if s["norm"] in ("batch", "finetuned") or not cure else 0.0
    error = 5 + noise(run) + (0.04 * hurt if s["model"] == "cnn" else hurt)
    return {"error": error, "recomputed": error, "jump": 0.2 + 0.02 * hurt + noise(run, 0.01), "before": 8 + noise(run)}


def told_of_errors(**found):
    records = made_up(lesson.ERRORS, functools.partial(as_found, **found))
    return told(verdicts.gap_verdicts, records) | told(verdicts.cure_verdicts, records)


def test_verdicts_on_errors_can_hold_and_can_fail():
    words = told_of_errors()
    assert words.pop(("E12", "fresh statistics mend half of it")) == "does not hold"
    assert words.pop(("D1-19", "… to NaN, in one run in four")) == "does not hold"
    assert words.pop(("D1-18", "… because the batch is larger than what a statistic sees")) != "holds"
    assert set(words.values()) == {"holds", "holds if"}
    harmless = told_of_errors(harm=0.0)
    assert harmless["E12", "at 4, too, it costs something"] != "holds"
    for claim in ("D1-16", "D1-17", "D1-24"):
        assert harmless[claim, CLAIMS[claim]] == "does not hold"
    failed = told_of_errors(cure=False)
    assert failed["D1-24", "… the gradient it fakes"] == "does not hold"
    assert failed["D1-20", "… and training on pays"] == "does not hold"
    assert not any(word.startswith("holds") for (claim, _), word in failed.items() if claim == "D1-42")


def test_verdicts_on_mnist1d_can_hold_and_can_fail():
    def words(**found):
        found = functools.partial(as_found, **{"harm": 150.0, **found})
        return told(verdicts.mnist1d_verdicts, made_up(lesson.ON_MNIST1D, found))

    assert set(words().values()) == {"holds"}
    assert {words(harm=0.0)["E12", f"on mnist1d, too, the {m} pays at 2"] for m in ("MLP", "CNN")} != {"holds"}
    assert words(cure=False)["E12", "… and GroupNorm does not"] == "does not hold"


@pytest.mark.parametrize(
    "lost, word", [(0, "does not hold"), (5, "does not hold"), (12, "inconclusive at this budget"), (22, "holds")]
)
def test_nan_is_counted_run_by_run(lost, word):
    points = [r for r in lesson.ERRORS.runs() if (r.settings["norm"], r.settings["micro_batch"]) == ("batch", 2)]
    assert len(points) == 48
    records = [
        RunRecord(run, "diverged" if i < lost else "ok", {} if i < lost else as_found(run), MACHINE, "0" * 16)
        for i, run in enumerate(points)
    ]
    found = verdicts.rare(records)
    assert found.verdict == word and found.estimate.value == lost / 48
    assert found.estimate.low <= lost / 48 <= found.estimate.high
    if not lost:
        assert found.estimate.high == pytest.approx(1 - 0.025 ** (1 / 48))


@pytest.mark.parametrize("ladder, word", [((3, 7, 5, 4, 2, 1, 2), "holds"), ((5, 4, 4.5, 5, 8, 9, 6), "does not hold")])
def test_verdicts_on_the_ladder_can_hold_and_can_fail(ladder, word):
    errors = dict(zip((rung["rung"] for rung in lesson.RUNGS), ladder, strict=True))

    def values(run):
        error = errors[run.settings["rung"]] + noise(run, 0.1)
        return {"error": error, "recomputed": error}

    assert set(told(verdicts.ghost_verdicts, made_up(lesson.GHOST, values)).values()) == {word}


def points(axes):
    return [tuple(np.round(line.get_xydata()[0], 6)) for line, *_ in axes.containers]


def test_the_error_figure_shows_every_point_and_the_published_curve():
    results = made_up(lesson.ERRORS, as_found)
    axes, middle, beside = plot_errors(results, (10, 15)).figure.axes
    expected = {(m, round(lesson.error(results, "mlp", "batch", m).mean(), 6)) for m in lesson.MICRO_BATCHES}
    assert expected <= set(points(axes)) and len(points(axes)) == 15 and len(points(middle)) == 4
    assert {tuple(line.get_ydata()) for line in beside.lines} == {
        tuple(curve.values()) for curve in lesson.PUBLISHED.values()
    }
    assert "your guess" in axes.get_legend_handles_labels()[1]


def test_the_figure_of_the_recorded_task_shows_every_point_of_both_nets():
    axes = plot_mnist1d(made_up(lesson.ON_MNIST1D, as_found))
    assert [len(points(each)) for each in axes.figure.axes] == [7, 7]


def test_the_statistics_and_ghost_figures_show_what_was_measured():
    axes = plot_statistics(made_up(lesson.STATISTICS, like_the_law))
    assert len(points(axes)) == 32 and len(points(axes.figure.axes[1])) == 16
    ladder = made_up(lesson.GHOST, lambda run: {"error": run.settings["rate"], "recomputed": 1.0})
    drawn = points(plot_ghost(ladder))
    assert [x for x, _ in drawn][::2] == pytest.approx([rung["rate"] for rung in lesson.RUNGS])


def test_the_channel_is_what_torch_s_batchnorm_makes_of_it():
    values, outputs, running = channel(4, 0.3, draw=1)
    layer = nn.BatchNorm1d(1, momentum=0.3, affine=False, dtype=torch.float64)
    layer.running_mean.fill_(1.0)
    for part, expected, kept in zip(values, outputs, running, strict=True):
        torch.testing.assert_close(layer(torch.from_numpy(part)[:, None])[:, 0], torch.from_numpy(expected))
        assert float(layer.running_mean) == pytest.approx(kept)


def test_the_panel_answers_every_control():
    panel = StatisticsPanel()
    assert len(panel.controls) <= 5 and "Every output is −1 or +1" in panel.sentence.value
    for control in panel.controls.values():
        before = panel.sentence.value, panel.picture
        control.value = control.options[-1][1]
        assert (panel.sentence.value, panel.picture) != before
    assert plot_channel(8, 0.1, 4, 1).get_title(loc="left") == "micro-batch 8"


def test_an_unknown_normalization_is_refused():
    with pytest.raises(Refused, match="allowed: none, batch, group, layer"):
        make("mlp", 0, norm="instance")


def only_gradients(model):
    for m in model.modules():
        if isinstance(m, nn.BatchNorm1d):
            m.requires_grad_(False)


def only_eval(model):
    for m in model.modules():
        if isinstance(m, nn.BatchNorm1d):
            m.eval()


def stays(model):
    for m in model.modules():
        if isinstance(m, nn.BatchNorm1d):
            m.eval()
            m.requires_grad_(False)
            m.train = lambda mode=True, m=m: m


def too_much(model):
    stays(model)
    model.requires_grad_(False)
    model[4].requires_grad_(True)


def forgets(model):
    stays(model)
    model[1].running_mean.zero_()


@pytest.mark.parametrize("right", [freeze_batchnorm, stays, lambda m: freeze_batchnorm(m, affine=False)])
def test_a_right_freeze_is_solved(right):
    check = check_freeze_batchnorm(right)
    assert check.solved, check


@pytest.mark.parametrize(
    "wrong, word",
    [
        (only_gradients, "requires_grad=False stops γ and β only"),
        (only_eval, "model.train() undid your eval()"),
        (lambda m: m.eval(), "model.train() undid your eval()"),
        (lambda m: None, "updates them in every forward"),
        (too_much, "you froze more than BatchNorm"),
        (forgets, "the outputs changed"),
        (lambda m: nn.Sequential(nn.Linear(6, 2)), "the outputs changed"),
        (lambda m: 1 / 0, "ZeroDivisionError"),
        (lambda: 0, "TypeError"),
    ],
)
def test_a_usual_mistake_is_caught_by_name(wrong, word):
    check = check_freeze_batchnorm(wrong)
    assert not check.solved and word in repr(check)


def test_the_check_leaves_the_random_stream_alone():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    check_freeze_batchnorm(stays)
    assert torch.equal(torch.get_rng_state(), before)
