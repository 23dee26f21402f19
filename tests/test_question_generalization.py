"""Lesson 06: its trials equal their definitions, its verdicts can fail, its figures show what was measured."""

import functools

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from tutorlib.checks.question_generalization import check_fair_comparison, paired_difference
from tutorlib.experiments import diagonal_net, fine_tune, label_noise, stream
from tutorlib.experiments import question_generalization as lesson
from tutorlib.measure.diagonal_net import sparse_regression
from tutorlib.measure.fit import fit
from tutorlib.nn.data import Data
from tutorlib.nn.models import make
from tutorlib.plots import question_generalization as plots
from tutorlib.plots.diagonal_net import plot_diagonal
from tutorlib.plots.fine_tune import plot_fine_tune, plot_forgotten
from tutorlib.plots.label_noise import plot_labels
from tutorlib.plots.stream import plot_stream
from tutorlib.records import Machine, Run, RunRecord
from tutorlib.results import Results, column
from tutorlib.study import find_trial
from tutorlib.theory.statistics import mean_interval, t_quantile
from tutorlib.trials import diagonal_net as diagonal_trials
from tutorlib.trials import fine_tune as fine_trials
from tutorlib.trials import question_generalization as trials
from tutorlib.trials import stream as stream_trials
from tutorlib.trials.mind_the_batchnorm import MOMENTUM, chosen, dealt, problem
from tutorlib.verdicts import question_generalization as verdicts
from tutorlib.verdicts.claims import CLAIMS
from tutorlib.widgets.verdicts import show_verdicts

MACHINE = Machine("cpu", "made up", 1, "3.12.1", "2.6.0", "0.1.0")
SMALL = {"data": "digits", "held_out": 200, "examples": 60, "width": 16, "wrong": 30, "batch": 6, "steps": 12}
EXPERIMENTS = [experiment for experiments, _ in verdicts.VERDICTS for experiment in experiments]


def made_up(experiment, values):
    records = (RunRecord(run, "ok", values(run), MACHINE, "0" * 16) for run in experiment.runs())
    return Results(experiment, tuple(records))


def runs(seeds=(0, 1), **settings):
    return [Run("x", {**SMALL, **settings}, seed) for seed in seeds]


def test_a_trial_is_fit_on_the_seed_s_own_examples_and_the_share_of_wrong_answers():
    these = runs((3, 4), rate=0.05)
    values = trials.errors(these, "cpu")[1]
    data = problem("digits", "cpu")
    held_out, own = (rows[1] for rows in dealt(these, data, 200, 60))
    assert not set(held_out.tolist()) & set(own.tolist())
    given, model = trials.mislabelled(chosen(data, own), 30, 4), make("mlp", 4, width=16)
    fit(model, cross_entropy, given, batch=6, rate=0.05, steps=12, seed=4, optimizer=MOMENTUM)
    for name, (x, y) in {"error": (data.x[held_out], data.y[held_out]), "train": (given.x, given.y)}.items():
        wrong = [int(model(image[None]).argmax() != label) for image, label in zip(x, y, strict=True)]
        assert values[name] == pytest.approx(100 * np.mean(wrong), abs=0.6)


@pytest.mark.parametrize("wrong", [0, 30, 90])
def test_exactly_that_many_labels_are_wrong_and_the_images_stay(wrong):
    data = problem("digits", "cpu")
    moved = trials.mislabelled(data, wrong, seed=2)
    assert int((moved.y != data.y).sum()) == round(len(data) * wrong / 100)
    assert torch.equal(moved.x, data.x) and 0 <= int(moved.y.min()) and int(moved.y.max()) <= 9
    if wrong == 90:  # then a label says nothing: every class is as frequent among the images of every other
        table = torch.zeros(10, 10).index_put_((data.y, moved.y), torch.ones(len(data)), accumulate=True)
        assert float((table / table.sum(1, keepdim=True)).max()) < 0.2
    if wrong:
        assert not torch.equal(moved.y, trials.mislabelled(data, wrong, seed=3).y)


@pytest.mark.parametrize("kind, batch", [("minibatch", 1), ("minibatch", 4), ("gaussian", 4)])
def test_random_weights_have_mean_one_and_the_variance_of_the_batch(kind, batch):
    drawn = diagonal_trials.weights_of(kind, batch)(np.random.default_rng(1), (20_000, 40))
    assert drawn.mean() == pytest.approx(1, abs=0.01)
    variance = 40 / batch * (1 - 1 / 40) if kind == "minibatch" else 40 / batch
    assert drawn.var() == pytest.approx(variance, rel=0.03)
    if kind == "minibatch":
        assert np.allclose(drawn.sum(axis=1), 40)


def recovered(noise, batch, *rates, seeds=(0, 1), **changes):
    held = {**diagonal_net.RECOVER.held, "steps": 300, "noise": noise, "batch": batch, **changes}
    return diagonal_trials.recover([Run("x", {**held, "rate": rate}, seed) for rate in rates for seed in seeds], "cpu")


def test_the_full_batch_of_the_diagonal_net_is_gradient_descent_without_noise():
    task = sparse_regression([0, 1])
    for seed, values in enumerate(recovered("none", 40, 0.02, start=0.2)):
        x, y, u, v = task.x[seed], task.y[seed], np.full(100, 0.2), np.full(100, 0.2)
        for _ in range(300):
            slope = x.T @ (x @ (u**2 - v**2) - y) / 40  # of the loss, by w = u² − v²
            u, v = u - 0.02 * 2 * u * slope, v + 0.02 * 2 * v * slope
        w = u**2 - v**2
        assert values["error"] == pytest.approx(((w - task.truth[seed]) ** 2).sum())
        assert values["loss"] == pytest.approx(((x @ w - y) ** 2).mean() / 2)


def test_an_arm_is_the_same_whoever_is_measured_beside_it_and_each_arm_answers_for_itself():
    arms, rates = (("minibatch", 1), ("none", 40), ("gaussian", 1)), (0.02, 0.01)
    together = [values for arm in arms for values in recovered(*arm, *rates)]
    alone = [recovered(*arm, rate, seeds=(seed,))[0] for arm in arms for rate in rates for seed in (0, 1)]
    assert [values["error"] for values in together] == pytest.approx([values["error"] for values in alone])
    assert len({round(values["error"], 6) for values in together}) == 12


@pytest.mark.parametrize("noise, batch", [("minibatch", 1), ("gaussian", 1)])
def test_arms_that_differ_in_rate_alone_draw_the_same_noise(noise, batch):
    once, twice = (recovered(noise, batch, rate, steps=3) for rate in (1e-6, 2e-6))  # so small that w moves on a line
    assert [5 - values["error"] for values in twice] == pytest.approx([2 * (5 - v["error"]) for v in once], rel=1e-3)
    assert {*diagonal_net.RECOVER.together} == {"seed", "rate"}, "a call draws one kind of noise"


def test_a_diagonal_net_measures_the_distance_to_the_truth_and_says_when_it_diverged():
    (still,), (lost,) = recovered("none", 40, 1e-12, seeds=(0,)), recovered("minibatch", 1, 5.0, seeds=(0,))
    assert still["error"] == pytest.approx(5, abs=1e-6)  # w is still 0, and five coordinates should be 1
    x = sparse_regression([0]).x[0]
    assert x.shape == (40, 100) and still["loss"] == pytest.approx((x[:, :5].sum(1) ** 2).mean() / 2, rel=1e-6)
    assert type(lost).__name__ == "Diverged"


def test_a_stream_is_fit_for_one_epoch_and_its_fresh_examples_were_not_seen():
    settings = {"examples": 64, "seen": 64, "width": 8, "batch": 16, "rate": 0.1}
    values = stream_trials.once_or_often([Run("x", settings, seed) for seed in (5, 6)], "cpu")[1]
    data, model = stream_trials.taught(6, 128, "cpu"), make("mlp", 6, inputs=20, width=8)
    assert len(torch.unique(data.x, dim=0)) == 128 and not torch.equal(data.x, stream_trials.taught(5, 128, "cpu").x)
    own = Data(data.x[:64], data.y[:64])
    fit(model, cross_entropy, own, batch=16, rate=0.1, steps=4, seed=6, optimizer=MOMENTUM)
    with torch.no_grad():
        assert values["train"] == pytest.approx(float(cross_entropy(model(own.x), own.y)), rel=1e-4)
        assert values["loss"] == pytest.approx(float(cross_entropy(model(data.x[64:]), data.y[64:])), rel=1e-4)


def test_the_teacher_uses_every_class_and_belongs_to_the_seed():
    first, other = (stream_trials.taught(seed, 4000, "cpu").y for seed in (0, 1))
    assert all(min(np.bincount(y.numpy(), minlength=10)) > 10 for y in (first, other))
    teacher = make("mlp", stream_trials.TEACHER_SEED + 1, inputs=20, width=32)
    same_x = torch.from_numpy(np.random.default_rng([1, 9]).standard_normal((4000, 20))).float()
    assert torch.equal(teacher(2 * same_x).argmax(1), other)


FINE = {**fine_tune.TUNED.held, "first_steps": 60, "width": 16, "batch": 8, "steps": 6}


def test_fine_tuning_starts_from_the_pretrained_net_and_shares_no_example(monkeypatch):
    seen, real = [], fine_trials.train
    monkeypatch.setattr(
        fine_trials, "train", lambda models, data, these, rows, *a, **k: seen.append((data, rows)) or real(
            models, data, these, rows, *a, **k
        )
    )  # fmt: skip
    these = [Run("x", {**FINE, "rate": 1e-9}, seed) for seed in (0, 1)]
    values = fine_trials.tuned(these, "cpu")
    (first, others), (second, own) = seen
    held_out, *_ = dealt(these, problem("digits", "cpu"), 600, 240, 800)
    for rows in zip(held_out.tolist(), own.tolist(), others.tolist(), strict=True):
        assert len(set().union(*rows)) == 600 + 240 + 800
    assert torch.equal(second.x.view(-1, 8, 8)[:, :, 0], first.x.view(-1, 8, 8)[:, :, 7])
    assert torch.equal(first.y, second.y)
    for each in values:  # at no rate nothing is learnt and nothing forgotten
        assert each["error"] == each["before"] and each["forgot"] == 0 and each["before"] > each["known"]


def test_training_on_costs_what_was_known():
    (values,) = fine_trials.tuned([Run("x", {**FINE, "rate": 0.1, "steps": 90}, 0)], "cpu")
    assert values["error"] < values["before"] - 10 and values["forgot"] > 10 and values["known"] > values["forgot"]


def test_budgets_hold_what_they_say_and_every_arm_has_a_rate():
    seen = {name: {b * steps for b, steps in plan.items()} for name, plan in lesson.BUDGETS.items()}
    assert seen[lesson.SAME_RATE] == seen[lesson.OWN_RATE] == {10 * 500} and seen[lesson.EXAMPLES] == {100 * 500}
    assert set(lesson.BUDGETS[lesson.UPDATES].values()) == {500}
    for data in lesson.RATES:
        assert len({lesson.rate(data, lesson.SAME_RATE, b) for b in lesson.BATCHES}) == 1
        assert lesson.rate(data, lesson.SAME_RATE, 10) == lesson.rate(data, lesson.OWN_RATE, 10)
    assert {b * steps for b, steps in label_noise.STEPS.items()} == {30 * 500}
    for budget, epochs in ((fine_tune.SAME_RATE, 3), (fine_tune.OWN_RATE, 3), (fine_tune.LONGER, 30)):
        assert {b * steps for b, (steps, _) in fine_tune.BUDGETS[budget].items()} == {240 * epochs}
    for data in ("digits", "mnist1d"):
        held = {"digits": lesson.DIGITS, "mnist1d": lesson.MNIST1D}[data].held
        assert held["held_out"] + held["examples"] <= len(problem(data, "cpu"))


def test_every_experiment_names_a_trial_and_no_point_is_run_twice():
    for experiment in EXPERIMENTS:
        assert callable(find_trial(experiment.trial)) and experiment.small_print and experiment.side_by_side
        assert len({run.key for run in experiment.runs()}) == len(experiment.runs())


def noise(run, sd=0.2):
    return float(np.random.default_rng([run.seed, len(str(dict(run.settings)))]).normal(0, sd))


def told(judge, results):
    return {(v.claim, v.says, v.measured): v.verdict for v in judge(results)}


def words(told_rows, claim):
    return {word for (name, *_), word in told_rows.items() if name == claim}


def audit_as_found(run, sign=1.0, late=0.0):
    """A large batch is worse where it lacks updates, and by 0.7 + ``late`` points in the end; ``sign`` −1 turns it."""
    s = run.settings
    size = np.log10(s["batch"] / 10) * sign
    lacking = {500: 0.0, 50: 1.5, 10: 1.5, 5000: -1.0, 100: -1.0}[s["steps"]]
    best = lesson.RATES["digits"][s["batch"], s["steps"]] == s["rate"] or s["rate"] == lesson.CALM
    error = 10 + lacking * size + (0.0 if best else 20 * size) + 0.8 * size * (s["steps"] in (100, 5000))
    error -= size * (s["steps"] == 500)
    error += (1.0 + late) * (s["steps"] == 100) * sign + (0.6 * sign if s["rate"] == lesson.CALM else 0.0)
    return {"error": error + noise(run), "train": 20 + error + noise(run)}


def test_verdicts_on_the_budgets_can_hold_and_can_fail():
    right = told(verdicts.digits_verdicts, made_up(lesson.DIGITS, audit_as_found))
    wrong = told(verdicts.digits_verdicts, made_up(lesson.DIGITS, functools.partial(audit_as_found, sign=-1)))
    late = told(verdicts.digits_verdicts, made_up(lesson.DIGITS, functools.partial(audit_as_found, late=2.0)))
    for claim in ("D0-16", "D1-08"):
        assert words(right, claim) == words(wrong, claim) == {"does not hold"} and words(late, claim) == {"holds"}
    for way, words_of in (("per example", (right, wrong)), ("per update", (wrong, right))):
        row = [{word for (_, says, _), word in rows.items() if says.endswith(way)} for rows in words_of]
        assert row == [{"does not hold"}, {"holds"}]
    bad = [{word for (_, says, _), word in rows.items() if "training error is" in says} for rows in (right, wrong)]
    assert bad == [{"holds"}, {"does not hold"}]
    within = {says: word for (_, says, _), word in right.items() if "within" in says}
    assert within["… when both are the same within half a point"] == "does not hold"
    assert within["… or within a point"] == "holds"
    assert words(right, "D2-20") == {"holds if"} and words(wrong, "D2-20") == {"does not hold"}
    assert words(right, "D0-24") == {"holds if"} and words(wrong, "D0-24") == {"does not hold"}
    assert words(right, "D2-08") == {"holds if"} and words(wrong, "D2-08") == {"does not hold"}
    owed = [{word for (_, says, _), word in rows.items() if "loses some of" in says} for rows in (right, wrong)]
    assert owed == [{"holds"}, {"does not hold"}]
    late = made_up(lesson.DIGITS, lambda run: {"error": 5.0, "train": 5.0 * (run.settings["steps"] == 100)})
    late = [w for (_, says, _), w in told(verdicts.digits_verdicts, late).items() if "training error is" in says]
    assert late == ["inconclusive at this budget"]  # the row is about ten epochs
    flat = made_up(lesson.DIGITS, lambda run: {"error": 5 + noise(run), "train": noise(run)})
    flat = told(verdicts.digits_verdicts, flat)
    assert "holds" not in words(flat, "D0-16")
    same = {word for (_, says, _), word in flat.items() if "within" in says}
    assert same == {"holds"}


def labels_as_found(run, learns=1.0):
    s = run.settings
    hurt = 10 * learns if (s["wrong"], s["batch"], s["rate"]) == (30, 10, label_noise.SAME) else 0.0
    clean = -2 * learns * (s["batch"] == 10) if not s["wrong"] else 0.0
    hurt += 20 * learns * (s["wrong"] == 30 and (s["batch"], s["rate"]) == (500, label_noise.SAME))
    return {"error": 11 + hurt + clean + noise(run), "train": 33 - hurt / 2 + noise(run)}


def test_verdicts_on_wrong_labels_can_hold_and_can_fail():
    judge = verdicts.label_verdicts
    right = told(judge, made_up(label_noise.LABELS, labels_as_found))
    turned = told(judge, made_up(label_noise.LABELS, functools.partial(labels_as_found, learns=-1)))
    for claim in ("D2-09", "D1-41", "D0-02", "D2-02"):
        assert words(right, claim) == {"does not hold"} and words(turned, claim) == {"holds"}
    assert words(right, "E06") == {"holds"} and "does not hold" in words(turned, "E06")
    stops = [{word for (_, says, _), word in rows.items() if "learned enough" in says} for rows in (right, turned)]
    assert stops == [{"holds"}, {"does not hold"}]


@pytest.mark.parametrize("missed, off, expected", [(0, 0, {"holds"}), (9, -4, {"does not hold"})])
def test_verdicts_on_random_labels_can_hold_and_can_fail(missed, off, expected):
    def values(run):
        return {"train": abs(missed + noise(run)), "error": 90 + off + noise(run)}

    rows = told(verdicts.random_verdicts, made_up(label_noise.RANDOM, values))
    assert words(rows, "E31") == expected


def distance_as_found(run, helps=1.0):
    """Noise pulls the distance down, in proportion to rate ÷ batch."""
    s = run.settings
    strength = 0.0 if s["batch"] == 40 else s["rate"] / 0.04 / s["batch"]
    return {"error": 0.5 * float(np.exp(-1.2 * helps * strength**1.5 + noise(run, 0.02))), "loss": 1e-5}


def weaker_without_the_batch(run):
    found = distance_as_found(run)
    return found | {"error": found["error"] * (1.18 if run.settings["noise"] == "gaussian" else 1.0)}


def fair_to_the_full_batch(s):
    distance = 0.1 if (s["batch"], s["rate"]) == (40, diagonal_net.SHORT) else 0.5 if s["batch"] == 40 else 0.2
    return {"error": distance, "loss": 1e-5}


def test_verdicts_on_the_diagonal_net_can_hold_and_can_fail():
    right = told(verdicts.noise_verdicts, made_up(diagonal_net.RECOVER, distance_as_found))
    assert words(right, "D2-05") == {"holds if"} and words(right, "E07") == words(right, "E08") == {"holds"}
    none = told(verdicts.noise_verdicts, made_up(diagonal_net.RECOVER, functools.partial(distance_as_found, helps=0)))
    assert words(none, "D2-05") == {"does not hold"}
    controls = {word for (_, _, measured), word in none.items() if "control" in measured}
    assert controls == {"holds"}
    spoilt = made_up(diagonal_net.RECOVER, lambda run: distance_as_found(run) | {"loss": 0.1})
    assert "does not hold" in words(told(verdicts.noise_verdicts, spoilt), "E07")
    weaker = told(verdicts.noise_verdicts, made_up(diagonal_net.RECOVER, weaker_without_the_batch))
    assert [word for (_, says, _), word in weaker.items() if "and as much" in says] == ["does not hold"]
    slow = made_up(diagonal_net.RECOVER, lambda run: fair_to_the_full_batch(run.settings))  # it does best at a low rate
    slow = {says: word for (_, says, _), word in told(verdicts.noise_verdicts, slow).items()}
    assert slow["noise helps, whatever rate the full batch takes"] == "does not hold"
    loud = made_up(diagonal_net.RECOVER, lambda run: {"error": 0.2 * run.settings["rate"] / 0.005, "loss": 1e-5})
    assert [word for (_, says, _), word in told(verdicts.noise_verdicts, loud).items() if "high rate" in says] == [
        "does not hold"
    ]


def stream_as_found(run, gap=0.0):
    s = run.settings
    seen = 0.6 * (1.4 if s["batch"] == 4096 else 1.0) * (1 + noise(run, 0.005))
    ratio = (6.0 if s["batch"] == 16 else 3.0) if s["examples"] == stream.FEW else 1.03 + gap * np.log2(s["batch"] / 8)
    if gap and s["examples"] == stream.FEW:
        ratio = 8.0 if s["batch"] == 256 else 1.0
    seen *= 2 if not gap and (s["batch"], s["examples"]) == (256, stream.FEW) else 1
    return {"train": seen, "loss": seen * ratio * (1 + noise(run, 0.003))}


def test_verdicts_on_the_stream_can_hold_and_can_fail():
    right = told(verdicts.stream_verdicts, made_up(stream.STREAM, stream_as_found))
    assert words(right, "D2-01") in ({"does not hold"}, {"inconclusive at this budget"})
    assert words(right, "E32") == {"holds"}
    wider = told(verdicts.stream_verdicts, made_up(stream.STREAM, functools.partial(stream_as_found, gap=0.2)))
    assert words(wider, "D2-01") == {"holds"} and "does not hold" in words(wider, "E32")
    fitted = [word for (_, says, _), word in wider.items() if says == "… and has fitted less"]
    assert fitted == ["does not hold"]


@pytest.mark.parametrize("helps", [True, False])
def test_verdicts_on_widths_can_hold_and_can_fail(helps):
    def values(run):
        s = run.settings
        wide, full, large = s["width"] == 256, s["batch"] == 500, s["batch"] == 100
        gap = (0.5 if wide else 5.0) if helps else 3.0
        depth = (2.0 if helps else -3.0) * wide
        train = 40 + (10.0 if helps else -30.0) * wide + noise(run)
        return {"error": 70 + gap * full + depth + (3 if helps else -1) * large + noise(run), "train": train}

    rows = told(verdicts.width_verdicts, made_up(lesson.WIDER, values))
    for claim in ("D2-03", "D2-11", "D2-16"):
        assert words(rows, claim) == ({"holds"} if helps else {"does not hold"})
    assert words(rows, "E21") == ({"does not hold"} if helps else {"holds"})
    assert words(rows, "D2-22") == ({"holds"} if helps else {"does not hold"})
    more = [word for (claim, *_), word in rows.items() if claim == "D2-14"]  # overfits more, is worse for it
    assert more == (["does not hold", "holds"] if helps else ["holds", "does not hold"])
    assert words(rows, "D2-15") == ({"does not hold"} if helps else {"holds"})


def tuned_as_found(run, turn=1.0, slow=0.0):
    s = run.settings
    lacking = {3: 20.0, 15: 6.0, 90: 4.0, 30: 2.0, 150: slow, 900: 0.0}[s["steps"]]
    lacking -= 3 * (s["batch"] == 240 and s["steps"] == 90)
    lacking += 9 * (s["steps"] == 15 and s["rate"] == 0.042)
    forgot = 60 * turn * s["rate"] ** 0.5 if s["rate"] in (0.042, 0.5) else 25.0
    forgot -= 5 * (s["batch"] == 48 and s["rate"] == 0.042)
    forgot += 12 * turn * (s["batch"] == 8 and s["rate"] == 0.06)
    return {"error": 25 + turn * lacking + noise(run), "train": 15 + turn * lacking + noise(run), "forgot": forgot}


def test_verdicts_on_fine_tuning_can_hold_and_can_fail():
    judge = verdicts.fine_tune_verdicts
    right = told(judge, made_up(fine_tune.TUNED, tuned_as_found))
    turned = told(judge, made_up(fine_tune.TUNED, functools.partial(tuned_as_found, turn=-1)))
    slow = told(judge, made_up(fine_tune.TUNED, functools.partial(tuned_as_found, slow=3.0)))
    assert words(right, "D0-14") == {"holds if"} and words(right, "E22") == words(right, "D0-16") == {"holds"}
    assert words(turned, "D0-14") == words(turned, "D0-16") == {"does not hold"}
    assert words(slow, "D1-15") == words(slow, "D0-17") == {"does not hold"}
    for claim in ("D0-12", "D0-18"):  # at as many updates, at as many epochs
        found = [[word for (name, *_), word in rows.items() if name == claim] for rows in (right, turned)]
        assert found == [["does not hold", "holds if"], ["holds", "does not hold"]]
    for claim in ("D1-15", "D0-17"):  # after 3 epochs, after 30
        assert [word for (name, *_), word in right.items() if name == claim] == ["does not hold", "holds if"]
    for part in ("better than all 240", "a higher rate forgets more", "at one rate, more updates do"):
        assert [word for (_, says, _), word in turned.items() if part in says] == ["does not hold"]


def test_every_row_on_a_claim_has_its_words():
    for _, judge in verdicts.VERDICTS:
        assert judge.__doc__
    assert {"D0-16", "D2-09"} <= set(CLAIMS)


def test_rows_that_fold_up_are_rows_and_say_a_settled_word():
    values = {
        "four_budgets_digits": audit_as_found,
        "wrong_labels": labels_as_found,
        "random_labels": lambda run: {"train": abs(noise(run)), "error": 90 + noise(run)},
        "diagonal_net": distance_as_found,
        "once_or_often": stream_as_found,
        "width_and_batch": lambda run: {"error": float(run.settings["width"]), "train": noise(run)},
        "fine_tune": tuned_as_found,
        "sharpness": lambda run: dict.fromkeys(("loss", "sharpness", "adaptive", "error"), 2 + noise(run)),
        "rescaled": lambda run: dict.fromkeys(("outputs", "sharpness", "box", "adaptive", "error"), 1.0),
    }
    rows = {
        row[:2]
        for (experiment,), judge in verdicts.VERDICTS
        if experiment.name in values
        for row in told(judge, made_up(experiment, values[experiment.name]))
    }
    assert {(claim, says) for claim, _, says in verdicts.FOLDED} <= rows
    assert {word for _, word, _ in verdicts.FOLDED} == {"holds", "holds if", "does not hold"}


def test_a_row_that_says_another_word_than_its_lesson_stays_open_and_the_text_has_every_row():
    right = verdicts.label_verdicts(made_up(label_noise.LABELS, labels_as_found))
    turned = verdicts.label_verdicts(made_up(label_noise.LABELS, functools.partial(labels_as_found, learns=-1)))
    for rows, folded in ((right, {"D1-41", "D0-02", "E06"}), (turned, set())):
        shown, plain = show_verdicts(rows, fold=verdicts.FOLDED), show_verdicts(rows)
        assert shown.text == plain.text and "<details>" not in plain.html
        above, _, below = shown.html.partition("<details><summary>")
        assert {claim for claim in ("D2-09", "D1-41", "D0-02", "E06") if f">{claim}<" in below} == folded
        assert (above + below).count("<code") == len(rows) and above.startswith("<table>")
        assert ("… and 3 more rows: D0-02, D1-41, E06</summary>" in shown.html) == bool(folded)


def points(axes):
    return [tuple(np.round(line.get_xydata()[0], 6)) for line, *_ in axes.containers]


def test_the_figure_of_the_budgets_shows_every_batch_under_every_budget_and_its_paired_difference():
    results = made_up(lesson.DIGITS, audit_as_found)
    mnist1d = made_up(lesson.MNIST1D, lambda run: {"error": 66 + noise(run), "train": 0.0})
    axes = plots.plot_budgets(results, mnist1d, (4, 6))
    _, beside, below, right = axes.figure.axes
    assert len(points(axes)) == 14 and len(points(beside)) == 12 and len(points(right)) == 8
    cells = [[lesson.cell(results, "digits", b, batch) for batch in (10, 100, 500)] for b in lesson.BUDGETS]
    assert [y for _, y in points(axes)][:12] == pytest.approx([each.mean() for row in cells for each in row], abs=1e-6)
    gaps = [each - row[0] for row in cells for each in row[1:]]
    gaps.append(cells[3][2] - column(results, "error", batch=10, rate=lesson.CALM))
    low = [gap for gap in gaps if mean_interval(gap).low < plots.TOP]
    assert [y for _, y in points(below)] == pytest.approx([gap.mean() for gap in low], abs=1e-6)
    arrows = [text.get_text() for text in below.texts]
    assert arrows == [f"{gap.mean():.0f}" for gap in gaps if mean_interval(gap).low >= plots.TOP] and arrows
    bars = [np.ptp(bar[2][0].get_segments()[0][:, 1]) for bar in below.containers]
    assert bars == pytest.approx([mean_interval(gap).high - mean_interval(gap).low for gap in low])
    assert "your guess" not in beside.get_legend_handles_labels()[1]
    assert "your guess" in axes.get_legend_handles_labels()[1]
    fitted = [line for line in axes.lines if line.get_marker() == "_" and len(line.get_xdata()) == 1]
    assert {round(float(line.get_ydata()[0]), 6) for line in fitted} >= {
        round(lesson.cell(results, "digits", lesson.EXAMPLES, 500, "train").mean(), 6)
    }


def test_a_figure_of_what_is_judged_has_a_row_for_every_such_verdict():
    found = made_up(diagonal_net.RECOVER, distance_as_found)
    axes = plot_diagonal(found, (0.1, 0.2))
    rows = [v for v in verdicts.noise_verdicts(found) if v.measured.startswith("distance² to the truth, ")]
    beside = axes.figure.axes[1]
    assert len(points(axes)) == len(diagonal_net.ARMS) and len(rows) == 7
    assert points(beside) == [(round(v.estimate, 6), -y) for y, v in enumerate(rows)]
    names = [label.get_text().replace("\n", " ") for label in beside.get_yticklabels()]
    assert names == [v.measured.removeprefix("distance² to the truth, ") for v in rows]
    fine = made_up(fine_tune.TUNED, tuned_as_found)
    tuned, forgotten = plot_fine_tune(fine, (5, 9)), plot_forgotten(fine)
    judged = {v.measured: v.estimate for v in verdicts.fine_tune_verdicts(fine)}
    for figure, prefix in ((tuned, "error, "), (forgotten, "forgotten, ")):
        expected = [round(value, 6) for name, value in judged.items() if name.startswith(prefix)]
        assert [x for x, _ in points(figure.figure.axes[1])] == pytest.approx(expected, abs=1e-6) and expected
    assert len(points(tuned)) == sum(len(plans) for plans in fine_tune.BUDGETS.values())
    assert len(points(forgotten)) == len(fine_tune.TUNED.points)


def test_the_other_figures_show_what_was_measured():
    random = made_up(label_noise.RANDOM, lambda run: {"train": 0.0, "error": 90 + noise(run)})
    noisy = made_up(label_noise.LABELS, labels_as_found)
    labels = plot_labels(noisy, random, (5, 10))
    _, middle, right = labels.figure.axes
    assert len(points(labels)) == 9 and len(points(middle)) == 6 and len(points(right)) == 2
    gap = label_noise.found(noisy, 30, 100, label_noise.SAME) - label_noise.found(noisy, 30, 10, label_noise.SAME)
    assert points(middle)[2][1] == pytest.approx(gap.mean(), abs=1e-6)
    (band,) = [each for each in labels.collections if each.get_label() == "your guess"]
    assert {y for _, y in band.get_paths()[0].vertices} == {5, 10}  # an error, not a difference
    once = made_up(stream.STREAM, stream_as_found)
    axes = plot_stream(once, (1, 1.1))
    assert [len(points(each)) for each in axes.figure.axes] == [6, 4, 3, 2]
    ratio = stream.loss(once, 4096) / stream.loss(once, 4096, name="train")
    assert points(axes.figure.axes[2])[-1][1] == pytest.approx(np.exp(np.log(ratio).mean()), abs=1e-6)
    widths = made_up(
        lesson.WIDER, lambda run: {"error": float(run.settings["width"] + run.settings["batch"]), "train": 5}
    )
    axes = plots.plot_widths(widths, (1, 2))
    assert sorted(y for _, y in points(axes)) == sorted(w + b for w in lesson.WIDTHS for b in lesson.BATCHES)
    assert [y for _, y in points(axes.figure.axes[1])] == [90] * 3 + [490] * 3
    assert [y for _, y in points(axes.figure.axes[2])] == [w + 95 for w in lesson.WIDTHS]


def fair(small, large, margin):
    both = sorted(small.keys() & large.keys())
    differences = [large[seed] - small[seed] for seed in both]
    wide, narrow = mean_interval(differences), mean_interval(differences, level=0.90)
    if narrow.within(-margin, margin):
        return wide.value, "same"
    return wide.value, "different" if wide.low > margin or wide.high < -margin else "cannot say"


def best_seed(small, large, margin):
    value = min(large.values()) - min(small.values())
    return value, "different" if abs(value) > margin else "same"


def unpaired(small, large, margin):
    both = sorted(small.keys() & large.keys())
    a, b = np.array([small[s] for s in both]), np.array([large[s] for s in both])
    value, half = b.mean() - a.mean(), 2 * np.sqrt(a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b))
    inside = abs(value) + half < margin
    return value, "same" if inside else "different" if abs(value) - half > margin else "cannot say"


def in_order(small, large, margin):
    short = min(len(small), len(large))
    pairs = zip(list(small.values())[:short], list(large.values())[:short], strict=True)
    return fair({i: a for i, (a, _) in enumerate(pairs)}, dict(enumerate(list(large.values())[:short])), margin)


def not_significant(small, large, margin):
    value, _ = fair(small, large, margin)
    wide = mean_interval(paired_difference(small, large))
    return value, "same" if 0 in wide else "different"


def by_its_mean(small, large, margin):
    value, _ = fair(small, large, margin)
    return value, "same" if abs(value) < margin else "different"


def turned(small, large, margin):
    value, word = fair(small, large, margin)
    return -value, word


def normal(small, large, margin):
    return formula(small, large, margin, narrow=1.645, wide=1.96)


def formula(small, large, margin, narrow=None, wide=None, ddof=1, levels=(0.90, 0.95), size=abs):
    differences = paired_difference(small, large)
    error = differences.std(ddof=ddof) / len(differences) ** 0.5
    narrow, wide = narrow or t_quantile(levels[0], len(differences) - 1), wide or t_quantile(levels[1], len(small) - 1)
    if size(differences.mean()) + narrow * error < margin:
        return differences.mean(), "same"
    return differences.mean(), "different" if size(differences.mean()) - wide * error > margin else "cannot say"


def half_signed(small, large, margin):
    mean, word = fair(small, large, margin)
    return mean, "cannot say" if word == "different" and mean < 0 else word


def zipped(small, large, margin):
    differences = np.array(list(large.values())) - np.array(list(small.values()))
    return fair(dict.fromkeys(range(len(differences)), 0.0), dict(enumerate(differences)), margin)


def test_the_right_comparison_is_solved():
    assert check_fair_comparison(fair).solved and check_fair_comparison(formula).solved


@pytest.mark.parametrize(
    "wrong, words",
    [
        (best_seed, "You compared the best seeds"),
        (unpaired, "of the spread of two separate means"),
        (in_order, "Subtract seed by seed"),
        (not_significant, "p > 0.05 is not 'the same'"),
        (by_its_mean, "of the mean alone"),
        (turned, "small minus large"),
        (normal, "Student's t is wider"),
        (functools.partial(formula, ddof=0), "take ddof=1"),
        (functools.partial(formula, levels=(0.95, 0.95)), "of the 95 % interval for both words"),
        (functools.partial(formula, levels=(0.90, 0.90)), "of the 90 % interval for both words"),
        (functools.partial(formula, size=float), "without a look at the sign"),
        (half_signed, "the sign counts in 'different'"),
        (zipped, "ValueError: operands could not be broadcast"),
        (zipped, "A run was lost in `large`: match by seed"),
        (lambda *a: 1 / 0, "0 of 1 checks pass\n  ✗ it runs: an error of your code, ZeroDivisionError"),
        (lambda *a: (float("nan"), "same"), "the word is one of same, different, cannot say"),
    ],
)
def test_the_usual_mistakes_are_named_and_a_reason_is_given_once(wrong, words):
    check = check_fair_comparison(wrong)
    assert not check.solved and str(check).count(words) == 1
    assert str(check).count("the answer of") + str(check).count("the answer where") <= 1  # of several, the likeliest


@pytest.mark.parametrize("answer, shown", [((0.0, "equal"), "(0.0, 'equal')"), (0.0, "0.0"), (None, "nothing")])
def test_what_is_no_answer_is_shown(answer, shown):
    assert str(check_fair_comparison(lambda *a: answer)).count(f"you returned {shown}, expected") == 10


def test_a_paired_difference_keeps_shared_seeds_in_their_order():
    assert paired_difference({2: 1.0, 0: 5.0, 7: 0.0}, {0: 6.0, 2: 4.0, 9: 1.0}).tolist() == [1.0, 3.0]
    assert column(made_up(lesson.DIGITS, audit_as_found), "error", batch=500, steps=10, rate=1.4).shape == (24,)
