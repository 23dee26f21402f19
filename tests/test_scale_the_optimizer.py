"""Lesson 07: its trials equal their definitions, its verdicts can fail, its figures show what was measured."""

import functools
import math

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from tutorlib.experiments import half_life, raise_the_batch, warm_up
from tutorlib.measure.fit import fit
from tutorlib.nn.data import Data, text
from tutorlib.nn.models import make
from tutorlib.nn.optimizers import adamw, sgd
from tutorlib.plots import scale_the_optimizer as plots
from tutorlib.records import Machine, Run, RunRecord
from tutorlib.results import Results
from tutorlib.study import find_trial
from tutorlib.trials import half_life as memory_trials
from tutorlib.trials import raise_the_batch as schedule_trials
from tutorlib.trials import warm_up as warm_trials
from tutorlib.trials.mind_the_batchnorm import MOMENTUM, problem
from tutorlib.trials.stream import taught
from tutorlib.verdicts import scale_the_optimizer as verdicts
from tutorlib.verdicts.claims import CLAIMS

MACHINE = Machine("cpu", "made up", 1, "3.12.1", "2.6.0", "0.1.0")
OWN = (warm_up.WARM_UP, half_life.HALF_LIFE, raise_the_batch.SCHEDULES)
WARM = {"batch": 64, "steps": 6, "warm": 4, "width": 8, "depth": 2, "low": 0.01}
MEMORY = {"examples": 64, "held_out": 50, "batch": 4, "width": 8}
SCHEDULE = {"examples": 600, "fresh": 200, "width": 8, "batch": 4, "rate": 0.2}


def made_up(experiment, values):
    records = (RunRecord(run, "ok", values(run.settings, run.seed), MACHINE, "0" * 16) for run in experiment.runs())
    return Results(experiment, tuple(records))


def jitter(seed, *also, sd=0.02):
    return float(np.random.default_rng([seed, *str(also).encode()]).normal(0, sd))


def told(rows):
    return {v.says: v.verdict for v in rows}


def loss_of(model, data):
    with torch.no_grad():
        return float(cross_entropy(model(data.x), data.y))


@pytest.mark.parametrize("experiment", OWN, ids=lambda e: e.name)
def test_an_experiment_names_its_trial_and_its_small_print_has_no_braces_left(experiment):
    assert callable(find_trial(experiment.trial)) and "{" not in experiment.small_print
    assert len(set(experiment.runs())) == len(experiment.runs()), "a point is there twice"


@pytest.mark.parametrize(
    "kind, rates",
    [("none", [0.5] * 6), ("gradual", [0.1, 0.2, 0.3, 0.4, 0.5, 0.5]), ("constant", [0.1] * 4 + [0.5] * 2)],
)
def test_a_warm_up_climbs_in_a_line_jumps_or_is_not_there(kind, rates):
    assert [warm_trials.warmed_up(kind, 0.5, 0.1, 4)(step) for step in range(6)] == pytest.approx(rates)


@pytest.mark.parametrize("kind", warm_up.KINDS)
def test_a_warmed_up_run_is_fit_with_that_schedule_and_its_loss_on_all_digits(kind):
    runs = [Run("x", {**WARM, "kind": kind, "rate": rate}, seed) for rate in (0.1, 0.3) for seed in (3, 4)]
    found, data = warm_trials.final_loss(runs, "cpu")[3], problem("digits", "cpu")
    model = make("mlp", 4, width=8, depth=2, norm="layer")
    pace = warm_trials.warmed_up(kind, 0.3, 0.01, 4)
    fit(model, cross_entropy, data, batch=64, rate=pace, steps=6, seed=4, optimizer=MOMENTUM)
    assert found["loss"] == pytest.approx(min(loss_of(model, data), math.log(10)), rel=1e-4)
    assert found["failed"] == float(found["loss"] > 2)


def test_a_run_that_diverged_or_is_worse_than_chance_counts_as_chance_and_as_failed():
    for rate in (30.0, 1e30):
        (found,) = warm_trials.final_loss([Run("x", {**WARM, "kind": "none", "rate": rate}, 0)], "cpu")
        assert found == {"loss": math.log(10), "failed": 1.0}


def test_beta2_at_batch_b_forgets_half_of_as_many_examples_at_every_batch():
    memories = [batch * math.log(0.5) / math.log(half_life.half_life(batch)) for batch in (1, 8, 64, 256)]
    assert memories == pytest.approx([256 * math.log(0.5) / math.log(0.95)] * 4)
    assert half_life.half_life(256) == 0.95


def test_a_language_model_is_fit_with_its_beta2_on_its_own_places_of_the_text():
    runs = [
        Run("x", {**MEMORY, "beta2": b, "rate": rate}, s) for b in (0.5, 0.9) for rate in (0.01, 0.03) for s in (5, 6)
    ]
    found = memory_trials.held_out_loss(runs, "cpu")
    assert len({round(each["loss"], 6) for each in found}) == 8
    places = np.random.default_rng([6, 7]).permutation(len(text()) - 6)[:114]
    codes, table = [min(ord(c), 127) for c in text()], torch.randn(128, 8, generator=torch.Generator().manual_seed(0))

    def cut(places):
        x = torch.stack([torch.cat([table[codes[p + k]] for k in range(6)]) for p in places.tolist()])
        return Data(x, torch.tensor([codes[p + 6] for p in places.tolist()]))

    model = make("mlp", 6, inputs=48, width=8, classes=128)
    optimizer = functools.partial(adamw, beta2=0.9)
    fit(model, cross_entropy, cut(places[50:]), batch=4, rate=0.03, steps=16, seed=6, optimizer=optimizer)
    assert found[7]["loss"] == pytest.approx(loss_of(model, cut(places[:50])), rel=1e-4)


def test_held_out_places_are_never_trained_on():
    places = np.random.default_rng([6, 7]).permutation(len(text()) - 6)[:114]
    assert not set(places[:50]) & set(places[50:])


@pytest.mark.parametrize(
    "plan, phases",
    [
        ("left", [(0.2, 4), (0.2, 4), (0.2, 4)]),
        ("lower", [(0.2, 4), (0.04, 4), (0.008, 4)]),
        ("raise", [(0.2, 4), (0.2, 20), (0.2, 100)]),
    ],
)
def test_a_schedule_is_three_fits_on_three_thirds_of_a_stream(plan, phases):
    found = schedule_trials.phases([Run("x", {**SCHEDULE, "plan": plan}, seed) for seed in (1, 2)], "cpu")[1]
    data, model = taught(2, 800, "cpu"), make("mlp", 2, inputs=20, width=8)
    for third, (rate, batch) in enumerate(phases):
        part = Data(*(each[200 * third : 200 * (third + 1)] for each in (data.x, data.y)))
        fit(model, cross_entropy, part, batch=batch, rate=rate, steps=200 // batch, seed=2, optimizer=sgd)
    fresh = Data(data.x[600:], data.y[600:])
    assert found["updates"] == sum(200 // batch for _, batch in phases)
    assert found["loss"] == pytest.approx(loss_of(model, fresh), rel=1e-4)
    with torch.no_grad():
        wrong = 100 * float((model(fresh.x).argmax(1) != fresh.y).float().mean())
    assert found["error"] == pytest.approx(wrong, abs=0.6)


LOST = {
    "raise_the_batch.phases": {**SCHEDULE, "plan": "raise", "rate": 1e30},
    "half_life.held_out_loss": {**MEMORY, "rate": 1e38, "beta2": 0.9},
}


@pytest.mark.parametrize("trial, settings", LOST.items())
def test_a_diverged_run_is_an_outcome(trial, settings):
    (found,) = find_trial(trial)([Run("x", settings, 0)], "cpu")
    assert type(found).__name__ == "Diverged"


def like_warm_up(s, seed, helps=0, gentle=("gradual",)):
    high, gentle = s["rate"] >= warm_up.HIGH, s["kind"] in gentle
    if helps:  # everywhere, or nowhere
        loss, failed = 0.4 * 2 ** (-helps * gentle), gentle == (helps < 0) and seed % 2
    else:
        bad = high and not gentle and s["depth"] == warm_up.DEEP
        loss, failed = 0.2 * (1 + high) * (1 + 1.5 * bad), bad and seed % 2
    return {"loss": loss * math.exp(jitter(seed, s["kind"], s["rate"])), "failed": float(failed)}


def test_verdicts_on_a_warm_up_can_hold_and_can_fail():
    right = told(verdicts.warm_up_verdicts(made_up(warm_up.WARM_UP, like_warm_up)))
    fifth = [word for says, word in right.items() if "fifth" in says]
    assert fifth == ["does not hold"] * 2 and sorted(right.values())[2:] == ["holds"] * 3
    for helps, word in ((1, "holds"), (-1, "does not hold")):
        found = told(verdicts.warm_up_verdicts(made_up(warm_up.WARM_UP, functools.partial(like_warm_up, helps=helps))))
        assert set(found.values()) == {word}
    either = functools.partial(like_warm_up, gentle=("gradual", "constant"))
    found = told(verdicts.warm_up_verdicts(made_up(warm_up.WARM_UP, either)))
    assert found["… if it is gradual"] != "holds" and found["… and saves runs"] == "holds"


def like_half_life(s, seed, wrong=False, library=0.0):
    batch, short = s["batch"], s["beta2"] == half_life.FIXED and s["batch"] < half_life.LARGE
    loss = 2.8 + 0.1 * short + 0.1 * (s["rate"] != half_life.point(batch, s["beta2"])["rate"])
    if s["width"] == half_life.WIDE:
        loss = 2.8 + 0.1 * (s["rate"] != half_life.WIDE_RATE)
    if wrong:
        other = s["beta2"] in (half_life.FIXED, half_life.LIBRARY) and batch != half_life.SMALL
        loss = 2.8 + 0.1 * other * (batch >= half_life.LARGE) + 0.2 * (batch == half_life.SMALL)
        loss += 0.1 * (s["beta2"] == half_life.LIBRARY)
    loss += library * (s["beta2"] == half_life.LIBRARY)
    return {"loss": loss + jitter(seed, batch, s["rate"], s["beta2"], sd=0.003)}


def test_verdicts_on_a_memory_can_hold_and_can_fail():
    right = told(verdicts.half_life_verdicts(made_up(half_life.HALF_LIFE, like_half_life)))
    assert set(right.values()) == {"holds"} and len(right) == 9
    wrong = told(
        verdicts.half_life_verdicts(made_up(half_life.HALF_LIFE, functools.partial(like_half_life, wrong=True)))
    )
    assert set(wrong.values()) == {"does not hold"}
    other = told(
        verdicts.half_life_verdicts(made_up(half_life.HALF_LIFE, functools.partial(like_half_life, library=0.1)))
    )
    late = {says for says, word in other.items() if word == "does not hold"}
    assert late == {"the library's 0.999 does as well at batch 1", "… and does no harm at batch 256"}


def like_schedules(s, seed, wrong=False, early=1.0):
    large = s["batch"] == raise_the_batch.LARGE
    error = 20.0 + 5 * (s["plan"] == "left") + early * large + 2 * large * (s["plan"] == "raise")
    if wrong:
        error = 20.0 + 2 * (s["plan"] == "raise") * (1 - 2 * large) - large
    batches = [s["batch"] * (5**k if s["plan"] == "raise" else 1) for k in range(3)]
    updates = sum(5000 // batch for batch in batches) + wrong
    return {"error": error + jitter(seed, s["plan"], s["batch"], sd=0.1), "loss": 0.5, "updates": updates}


def test_verdicts_on_schedules_can_hold_and_can_fail():
    right = told(verdicts.schedule_verdicts(made_up(raise_the_batch.SCHEDULES, like_schedules)))
    assert right.pop("late in training a very large batch costs nothing") == "holds if"
    assert set(right.values()) == {"holds"} and len(right) == 4
    for early, word, side in (
        (0.2, "does not hold", "above"),
        (0.5, "inconclusive at this budget", "clearly above or"),
    ):
        rows = verdicts.schedule_verdicts(
            made_up(raise_the_batch.SCHEDULES, functools.partial(like_schedules, early=early))
        )
        assert rows[-1].verdict == word and f"a difference {side}" in rows[-1].would_change
    wrong = told(
        verdicts.schedule_verdicts(made_up(raise_the_batch.SCHEDULES, functools.partial(like_schedules, wrong=True)))
    )
    assert set(wrong.values()) == {"does not hold"}


def test_every_verdict_of_the_lesson_is_on_a_known_claim_or_experiment():
    likes = zip(OWN, (like_warm_up, like_half_life, like_schedules), strict=True)
    for experiment, values in likes:
        (judge,) = (judge for experiments, judge in verdicts.VERDICTS if experiments == (experiment,))
        for verdict in judge(made_up(experiment, values)):
            assert verdict.claim in CLAIMS or verdict.claim in ("E18", "E19", "E20")


FIGURES = {
    warm_up.WARM_UP.name: (plots.plot_warm_up, like_warm_up, (30, 60)),
    "half_life": (plots.plot_half_life, like_half_life, (0.05, 0.1)),
    "raise_the_batch": (plots.plot_schedules, like_schedules, (-0.2, 0.2)),
}


def points_of(axes):
    return [tuple(xy) for first, *_ in axes.containers for xy in first.get_xydata()]


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_shows_each_point_at_its_measured_height_and_the_guess(name):
    plot, values, guess = FIGURES[name]
    experiment = next(e for e in OWN if e.name == name)
    axes = plot(made_up(experiment, values), guess)
    drawn = points_of(axes)
    count = {warm_up.WARM_UP.name: 15, "half_life": 12, "raise_the_batch": 5}[name]
    assert len(drawn) == count
    bands = [part for each in axes.figure.axes for part in each.collections if part.get_label() == "your guess"]
    assert len(bands) == 1 and any("guess" in t.get_text() for a in axes.figure.axes if a.get_legend()
                                   for t in a.get_legend().get_texts())  # fmt: skip
    assert not [1 for each in plot(made_up(experiment, values)).figure.axes for c in each.collections
                if c.get_label() == "your guess"]  # fmt: skip
    if name == "raise_the_batch":
        assert sorted(x for x, _ in drawn) == [31, 75, 775, 1875, 1875]
        assert dict(drawn)[775.0] == pytest.approx(20, abs=0.2) and max(y for _, y in drawn) == pytest.approx(
            25, abs=0.2
        )
    if name == "half_life":
        assert sum(y > 2.85 for _, y in drawn) == 2  # 0.95 at batches 1 and 8
    if name == warm_up.WARM_UP.name:
        assert max(y for _, y in drawn) == pytest.approx(0.2 * 2 * 2.5, rel=0.05)
        shares = [line.get_ydata() for line in axes.figure.axes[1].lines if line.get_marker() == "o"]
        assert list(shares[0][-2:]) == [50, 50] and max(shares[0][:3]) == 0
