"""Lesson 05: its runs on a small scale, its columns and its verdicts on made-up records that obey or break the laws."""

import math

import numpy as np
import pytest
import torch
from naive import naive_exact_noise, naive_fit
from torch.nn.functional import cross_entropy

from tutorlib.errors import Refused
from tutorlib.experiments import race_two_speeds as lesson
from tutorlib.experiments import two_speeds_columns as columns
from tutorlib.measure.fit import fit
from tutorlib.measure.noise import exact_noise
from tutorlib.nn.data import Data
from tutorlib.nn.models import make
from tutorlib.nn.optimizers import adamw
from tutorlib.records import Machine, RunRecord, Verdict
from tutorlib.results import Results
from tutorlib.store import Store
from tutorlib.study import study
from tutorlib.theory.trade_off import StepTime, TradeOff, critical_from_noise
from tutorlib.trials.race_two_speeds import all_digits, ramp, subset
from tutorlib.verdicts.claims import CLAIMS
from tutorlib.verdicts.race_two_speeds import VERDICTS, noise_verdicts, warm_up_verdicts
from tutorlib.verdicts.seconds_against_batch import clock_verdicts, race_verdicts
from tutorlib.verdicts.steps_against_batch import price_verdicts, rate_verdicts, step_verdicts

torch.set_num_threads(1)

MACHINE = Machine("cpu", "made up", 1, "3.12.1", "2.6.0", "0.1.0")
HOLDS, IF, NOT, UNKNOWN = "holds", "holds if", "does not hold", "inconclusive at this budget"
BATCHES = lesson.BATCHES


# The runs, on a small scale


def small(experiment, points, seeds=2, **held):
    return experiment.at(points=tuple(points), seeds=seeds, held={**experiment.held, **held})


TINY = {
    "steps": small(lesson.SGD, [{"batch": 8, "rate": r} for r in (0.1, 0.4)], examples=64, most_steps=9, target=2.2),
    "noise": small(
        lesson.NOISE_ALONG, [{"optimizer": "SGD", "rate": 0.3}], examples=48, every=3, most_steps=60, target=2.1
    ),
    "branches": small(
        lesson.BRANCHES,
        [{"optimizer": o, "rate": r * k, "factor": k} for o, r in (("SGD", 0.3), ("Adam", 0.01)) for k in (1, 2)],
        examples=48,
        branch_examples=32,
        checkpoint=3,
    ),
    "curves": small(
        lesson.CURVES,
        [{"optimizer": name, "batch": 4, "rate": 0.01, "steps": 14} for name in ("SGD", "Adam")],
        examples=48,
    ),
    "cliff": small(lesson.CLIFF, [{"rate": r} for r in (0.02, 0.5, 1e39)], examples=48, batch=8, steps=9, target=2.2),
    "warm_up": small(
        lesson.WARM_UP,
        [{"rate": r, "warm_up": w} for r in (0.01, 0.08) for w in ("none", "gradual", "constant")],
        examples=48,
        batch=16,
        width=8,
        depth=2,
        steps=5,
        ramp_steps=3,
    ),
    "clock": small(lesson.CLOCK, [{**lesson.SMALL, "batch": b} for b in (1, 64)], repeats=2),
}
KEYS = {
    "steps": {"steps", "reached", "diverged"},
    "noise": {"scales", "losses", "predicted"},
    "branches": {"scale", "loss"},
    "curves": {"at", "losses"},
    "cliff": {"before", "after", "arrived"},
    "warm_up": {"loss"},
    "clock": {"forward", "backward", "step"},
}


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    folder, done = tmp_path_factory.mktemp("records"), {}

    def records(name, fresh=False):
        if fresh or name not in done:
            place = Store(folder / f"{name}{fresh}.jsonl")
            done[name] = study(TINY[name], "cpu", records=place)
        return done[name].records

    return records


@pytest.mark.parametrize("name", TINY)
def test_a_trial_measures_every_point_of_every_seed_with_these_keys(name, measured):
    records = measured(name)
    assert [r.run for r in records] == TINY[name].runs()
    assert {r.outcome for r in records} == {"ok"} and all(set(r.values) == KEYS[name] for r in records)


@pytest.mark.parametrize("name", [name for name in TINY if name != "clock"])
def test_the_same_run_measures_the_same_again(name, measured):
    before = [r.values for r in measured(name)]
    assert [r.values for r in measured(name, fresh=True)] == before


def own_examples(settings, seed):
    data, held_out = all_digits(settings["held_out"], "cpu")
    chosen = subset(seed, settings["examples"], settings["held_out"])
    return Data(data.x[chosen], data.y[chosen]), held_out


@torch.no_grad()
def held_out_loss(model, held_out):
    return float(cross_entropy(model(held_out.x), held_out.y))


def test_steps_end_at_the_target_or_at_the_last_step(measured):
    for record in measured("steps"):
        assert 0 < record["steps"] <= 9 and record["diverged"] == 0
        own, held_out = own_examples(record.run.settings, record.run.seed)
        losses, model = [], make("mlp", record.run.seed)

        def watch(trained, losses=losses, held_out=held_out):
            losses.append(held_out_loss(trained, held_out))

        fit(model, cross_entropy, own, batch=8, rate=record["rate"], steps=9, seed=record.run.seed, after_step=watch)
        arrived = [step for step, value in enumerate(losses, start=1) if value <= 2.2]
        assert bool(record["reached"]) == bool(arrived and arrived[0] < record["steps"] + 1)
    assert any(r["reached"] for r in measured("steps"))


def test_the_noise_on_the_way_is_the_exact_noise_of_the_seeds_own_examples(measured):
    for record in measured("noise"):
        s, seed = record.run.settings, record.run.seed
        own, held_out = own_examples(s, seed)
        model = make("mlp", seed)
        naive_fit(model, cross_entropy, own, s["batch"], s["rate"], 1, seed)
        assert record["scales"][0] == pytest.approx(naive_exact_noise(model, cross_entropy, own).scale, rel=1e-3)
        assert record["losses"][0] == pytest.approx(held_out_loss(model, held_out), rel=1e-4)
        last = make("mlp", seed)
        naive_fit(last, cross_entropy, own, s["batch"], s["rate"], 3 * (len(record["scales"]) - 1), seed)
        assert record["scales"][-1] == pytest.approx(exact_noise(last, cross_entropy, own).scale, rel=1e-3)


def test_the_noise_is_measured_until_the_target_and_no_longer(measured):
    for record in measured("noise"):
        *before, last = record["losses"]
        assert last <= 2.1 < min(before) and len(record["scales"]) == len(record["losses"]) > 2
        assert record["predicted"] == critical_from_noise(record["scales"], 8)


def test_a_noisy_run_that_misses_its_target_has_no_number(tmp_path):
    never = small(TINY["noise"], TINY["noise"].points, most_steps=6, target=1e-3)
    assert {r.outcome for r in study(never, "cpu", records=Store(tmp_path / "x"))} == {"diverged"}


@pytest.mark.parametrize("name", ["noise", "curves"])
def test_a_run_that_diverges_at_once_is_an_outcome_of_its_trial(name, tmp_path):
    hopeless = small(TINY[name], [{**TINY[name].points[0], "rate": 1e39}])
    assert {r.outcome for r in study(hopeless, "cpu", records=Store(tmp_path / "x"))} == {"diverged"}


def test_branches_are_two_fits_in_a_row_and_once_the_batch_is_going_on(measured):
    for record in measured("branches"):
        s, seed, k = record.run.settings, record.run.seed, record["factor"]
        own, held_out = own_examples(s, seed)
        optimizer = {"optimizer": adamw} if s["optimizer"] == "Adam" else {}
        model = make("mlp", seed)
        fit(model, cross_entropy, own, batch=8, rate=s["rate"] / k, steps=3, seed=seed, **optimizer)
        assert record["scale"] == pytest.approx(exact_noise(model, cross_entropy, own).scale, rel=1e-3)
        fit(model, cross_entropy, own, batch=8 * k, rate=s["rate"], steps=4 // k, seed=(seed, k), **optimizer)
        assert record["loss"] == pytest.approx(held_out_loss(model, held_out), rel=1e-4)


def test_every_branch_has_a_trunk_and_the_rate_tuned_for_its_batch():
    for point in lesson.BRANCHES.points:
        tuned = lesson.CENTRES[point["optimizer"]][BATCHES.index(8 * point["factor"])]
        assert point["rate"] == tuned
    assert {p["optimizer"] for p in lesson.BRANCHES.points if p["factor"] == 1} == {"SGD", "Adam"}


def test_a_cliff_is_the_loss_before_and_after_a_run_and_where_it_first_arrived(measured):
    for record in measured("cliff"):
        own, held_out = own_examples(record.run.settings, record.run.seed)
        model, losses = make("mlp", record.run.seed), []
        assert record["before"] == pytest.approx(held_out_loss(model, held_out), rel=1e-4)

        def watch(trained, losses=losses, held_out=held_out):
            losses.append(held_out_loss(trained, held_out))

        fit(model, cross_entropy, own, batch=8, rate=record["rate"], steps=9, seed=record.run.seed, after_step=watch)
        assert record["after"] == pytest.approx(held_out_loss(model, held_out), rel=1e-3)
        assert record["arrived"] == next((k for k, loss in enumerate(losses, start=1) if loss <= 2.2), 0)
    assert {bool(r["arrived"]) for r in measured("cliff")} == {True, False}


def test_a_curve_is_the_held_out_loss_of_the_run_alone(measured):
    for record in measured("curves"):
        s, seed = record.run.settings, record.run.seed
        own, held_out = own_examples(s, seed)
        losses, model = [], make("mlp", seed)

        def watch(trained, losses=losses, held_out=held_out):
            losses.append(held_out_loss(trained, held_out))

        optimizer = {"optimizer": adamw} if s["optimizer"] == "Adam" else {}
        settings = {"batch": 4, "rate": 0.01, "steps": 14, "seed": seed}
        fit(model, cross_entropy, own, after_step=watch, **settings, **optimizer)
        assert record["at"] == (*range(1, 13), 13, 14) and record["losses"] == pytest.approx(losses, abs=2e-4)


def test_a_curve_is_rounded_to_four_digits(measured):
    assert all(value == round(value, 4) for record in measured("curves") for value in record["losses"])


def test_warm_up_trains_at_the_rates_of_its_ramp(measured):
    for record in measured("warm_up"):
        s, seed = record.run.settings, record.run.seed
        own, held_out = own_examples(s, seed)
        model = make("mlp", seed, width=8, depth=2)
        rate = ramp(s["warm_up"], s["rate"], 3)
        fit(model, cross_entropy, own, batch=16, rate=rate, steps=5, seed=seed, optimizer=adamw)
        after = held_out_loss(model, held_out)
        assert record["loss"] == pytest.approx(after, rel=1e-3)


def test_the_clock_times_a_positive_step_and_its_parts(measured):
    for record in measured("clock"):
        assert 0 < record["forward"] and 0 < record["backward"] and record["step"] > 0


@pytest.mark.parametrize("steps", [1, 4, 12])
def test_a_ramp_ends_at_its_rate(steps):
    gradual, constant = ramp("gradual", 0.08, steps), ramp("constant", 0.08, steps)
    assert [gradual(k) for k in range(steps)] == pytest.approx([0.08 * (k + 1) / steps for k in range(steps)])
    assert [constant(k) for k in range(steps)] == pytest.approx([0.01] * steps)
    assert gradual(steps) == constant(steps) == gradual(10**6) == ramp("none", 0.08, steps) == 0.08


@pytest.mark.parametrize("examples, held_out", [(1024, 512), (1285, 512), (1, 1796), (1797, 0)])
def test_a_subset_holds_no_example_twice_and_none_that_is_held_out(examples, held_out):
    for seed in range(20):
        chosen = subset(seed, examples, held_out).tolist()
        assert len(set(chosen)) == examples == len(chosen) and held_out <= min(chosen) and max(chosen) < 1797


def test_a_subset_is_the_seeds_own_and_the_held_out_examples_are_everyones():
    assert subset(3, 100, 512).tolist() == subset(3, 100, 512).tolist() != subset(4, 100, 512).tolist()
    data, held_out = all_digits(512, "cpu")
    assert len(data) == 1797 and torch.equal(data.x[:512], held_out.x) and torch.equal(data.y[:512], held_out.y)


# Made-up records


_runs: dict = {}


def made_up(experiment, values, seeds=5):
    """Records of every run of an experiment; the runs, which know their keys, are made once."""
    rng, shorter = np.random.default_rng(1), experiment.at(seeds=seeds)
    several = _runs.setdefault((experiment.name, seeds), None) or shorter.runs()
    _runs[experiment.name, seeds] = several
    made = [RunRecord(run, "ok", values(run.settings, run.seed, rng), MACHINE, "made up") for run in several]
    return Results(shorter, tuple(made))


def near(rng, value, spread=0.02):
    return float(value * math.exp(spread * rng.standard_normal()))


LAWS = {"SGD": TradeOff(75, 35), "Adam": TradeOff(20, 150)}
SMALL, DEEP = StepTime(2e-4, 1.5e-6), StepTime(3e-4, 2e-5)


def runs(optimizer, critical=None, law=None, tilt=0.0, curvature=0.6, spread=0.02, seeds=5):
    """Steps on the law at the grid's middle times (batch/4)^``tilt``; off it they grow, from 1.5 times on beaten."""
    law = law or TradeOff(LAWS[optimizer].steps_min, critical or LAWS[optimizer].critical).steps

    def values(s, seed, rng):
        best = lesson.CENTRES[optimizer][BATCHES.index(s["batch"])] * (min(s["batch"], 16) / 4) ** tilt
        worse = math.exp(curvature * math.log(s["rate"] / best) ** 2)
        steps = near(rng, float(law(s["batch"])) * min(worse, 1.5), spread)
        return {"steps": steps, "reached": int(worse < 1.5), "diverged": 0}

    return made_up(lesson.SGD if optimizer == "SGD" else lesson.ADAM, values, seeds)


def sgd(**changes):
    return runs("SGD", **changes)


def adam(**changes):
    return runs("Adam", **changes)


def clock(small=SMALL, deep=DEEP, backward=0.6, update=5e-5, spread=0.01, seeds=5):
    def values(s, seed, rng):
        passes = near(rng, float((small if s["width"] == 128 else deep).seconds(s["batch"])), spread)
        return {"forward": passes * (1 - backward), "backward": passes * backward, "step": passes + update}

    return made_up(lesson.CLOCK, values, seeds)


def noise(sgd=35.0, adam=45.0, seeds=5):
    def values(s, seed, rng):
        return {"scales": (1.0,), "losses": (1.0,), "predicted": near(rng, {"SGD": sgd, "Adam": adam}[s["optimizer"]])}

    return made_up(lesson.NOISE_ALONG, values, seeds)


def branches(sgd=900.0, adam=0.85, seeds=5):
    def values(s, seed, rng):
        worse = {"SGD": sgd, "Adam": adam}[s["optimizer"]]
        return {"scale": 30.0, "loss": near(rng, 0.3 * worse ** (s["factor"] >= 8))}

    return made_up(lesson.BRANCHES, values, seeds)


def cliff(wild=30.0, late=3.0, seeds=5):
    """``wild`` is the loss at rate 7.6 after ÷ before, ``late`` the steps at rate 0.38 ÷ those at 1.05."""

    def values(s, seed, rng):
        after = {0.38: 0.05, 1.05: 0.04, 3.0: 0.9, 7.6: wild}[s["rate"]]
        arrived = {0.38: round(40 * late), 1.05: 40}.get(s["rate"], 0)
        return {"before": 2.3, "after": near(rng, 2.3 * after), "arrived": arrived}

    return made_up(lesson.CLIFF, values, seeds)


def warm_up(none=4.0, constant=2.0, best=0.85, seeds=5):
    def values(s, seed, rng):
        worse = {"gradual": 1.0, "none": none if s["rate"] > 0.04 else best, "constant": constant}[s["warm_up"]]
        return {"loss": near(rng, 0.3 * worse)}

    return made_up(lesson.WARM_UP, values, seeds)


# The columns


def test_a_rate_that_was_beaten_counts_as_never_arrived():
    steps = columns.finishes(sgd(spread=0), "SGD", 8)
    assert steps.shape == (5, 7) and np.isinf(steps[:, [0, 6]]).all() and np.isfinite(steps[:, 1:6]).all()


def test_a_seed_does_not_choose_its_own_rate():
    steps = np.full((5, 3), 100.0)
    steps[:, 1] = 90
    steps[2] = (1, 500, 100)  # all by its own luck
    assert columns.chosen_rates(steps).tolist() == [1, 1, 1, 1, 1]
    twins = np.array([[1.0, 3.0], [3.0, 1.0], [3.0, 1.0], [1.0, 3.0]])  # the other three always disagree
    assert columns.chosen_rates(twins).tolist() == [1, 0, 0, 1]


def test_the_rates_are_the_same_whatever_a_seed_did_itself():
    rng = np.random.default_rng(0)
    steps = rng.gamma(5, 20, (6, 7))
    for seed in range(6):
        changed = steps.copy()
        changed[seed] = rng.permutation(changed[seed]) * rng.gamma(1, 1, 7)
        assert columns.chosen_rates(changed)[seed] == columns.chosen_rates(steps)[seed]


def test_a_rate_beaten_on_most_seeds_never_wins():
    steps = np.array([[100.0, 1.0], [100, np.inf], [100, np.inf], [100, np.inf], [100, 1.0]])
    assert columns.chosen_rates(steps).tolist() == [0] * 5


@pytest.mark.parametrize("seeds", [1, 2])
def test_fewer_than_three_seeds_cannot_choose_for_each_other(seeds):
    with pytest.raises(Refused, match="at least 3"):
        columns.chosen_rates(np.ones((seeds, 7)))


def test_tuned_steps_are_those_of_the_best_rate_or_the_bound_where_it_was_beaten():
    results = sgd(spread=0)
    assert columns.tuned_steps(results, "SGD") == pytest.approx(np.tile(LAWS["SGD"].steps(BATCHES), (5, 1)), rel=1e-3)
    middle, beaten = lesson.rates("SGD", 8)[3], []
    for record in results.records:
        lost = (record["batch"], record["rate"], record.run.seed) == (8, middle, 2)
        values = {"steps": 777.0, "reached": 0, "diverged": 0} if lost else record.values
        beaten.append(RunRecord(record.run, "ok", values, MACHINE, "made up"))
    tuned = columns.tuned_steps(beaten, "SGD")
    assert columns.beaten(results, "SGD") == 0 and columns.beaten(beaten, "SGD") == 1
    assert tuned[2, BATCHES.index(8)] == 777 and (tuned[[0, 1, 3], BATCHES.index(8)] < 777).all()


def test_a_best_rate_at_the_edge_of_its_grid_is_flagged():
    assert columns.on_the_edge(sgd(spread=0), "SGD") == []
    pushed = sgd(spread=0, tilt=0.9)  # the best moves off the middle with the batch, up to 16
    assert columns.on_the_edge(pushed, "SGD") == [1, 16, 32, 64, 128, 512]


@pytest.mark.parametrize("shift", [-0.5, -0.2, 0.0, 0.25])
def test_the_best_rate_is_the_vertex_of_an_exact_parabola(shift):
    def values(s, seed, rng):
        middle = lesson.CENTRES["SGD"][BATCHES.index(s["batch"])]
        off = math.log(s["rate"] / middle) - shift - 0.01 * seed
        return {"steps": 100 * math.exp(0.3 * off**2), "reached": 1, "diverged": 0}

    found = columns.best_rates(made_up(lesson.SGD, values), "SGD")
    expected = np.outer(np.exp(shift + 0.01 * np.arange(5)), lesson.CENTRES["SGD"])
    assert found == pytest.approx(expected, rel=1e-9)


def test_the_best_rate_is_the_best_one_tried_where_a_parabola_says_nothing():
    log_rates = np.log([1.0, 2.0, 4.0, 8.0])
    inf = math.inf
    for steps, expected in (([9, 5, inf, inf], 2.0), ([inf, 3, inf, inf], 2.0), ([5, 9, 9, 4], 8.0)):
        assert math.exp(columns._lowest(log_rates, np.array(steps, dtype=float))) == pytest.approx(expected)


@pytest.mark.parametrize("exponent", [0.5, 1.0])
def test_the_best_rate_grows_by_its_power_of_the_batch(exponent):
    def values(s, seed, rng):
        best = lesson.CENTRES["SGD"][2] * (min(s["batch"], 16) / 4) ** exponent
        return {"steps": 100 * math.exp(0.3 * math.log(s["rate"] / best) ** 2), "reached": 1, "diverged": 0}

    results = made_up(lesson.SGD, values)
    assert columns.rate_exponents(results, "SGD", 16) == pytest.approx([exponent] * 5, rel=1e-6)
    assert columns.rate_exponents(results, "SGD", 2) == pytest.approx([exponent] * 5, rel=1e-6)


def test_per_batch_is_one_number_a_seed():
    found = columns.per_batch(sgd(), "SGD")
    assert tuple(found) == BATCHES and all(len(steps) == 5 for steps in found.values())


def by_seed(s, seed, rng):
    return {"forward": 1.0 + seed, "backward": 1.0, "step": 10.0 ** (seed + 1)}


@pytest.mark.parametrize("lost_steps, lost_seconds", [(None, None), (3, None), (None, 3)])
def test_seconds_to_the_target_are_steps_times_seconds_of_the_same_seed(lost_steps, lost_seconds):
    seconds = made_up(lesson.CLOCK, by_seed)

    def without(results, seed):
        return Results(results.experiment, tuple(r for r in results if r.run.seed != seed))

    found = columns.seconds_to_target(without(sgd(spread=0), lost_steps), without(seconds, lost_seconds), "SGD")
    kept = [seed for seed in range(5) if seed not in (lost_steps, lost_seconds)]
    expected = LAWS["SGD"].steps(32) * 10.0 ** (np.array(kept) + 1)
    assert found[32] == pytest.approx(expected, rel=1e-3)


def test_parts_are_the_forward_and_the_backward_pass():
    found = columns.parts(made_up(lesson.CLOCK, by_seed), 8, **lesson.DEEP)
    assert found == pytest.approx(2.0 + np.arange(5))


# The verdicts

JUDGES = {
    "step": lambda **c: step_verdicts(sgd(**c)),
    "price": lambda cliff_={}, **c: price_verdicts(sgd(**c), cliff(**cliff_)),
    "rate": lambda a={}, b={}, c={}: rate_verdicts(sgd(**a), adam(**b), cliff(**c)),
    "noise": lambda noise_={}, branches_={}: noise_verdicts(sgd(), adam(), noise(**noise_), branches(**branches_)),
    "warm_up": lambda **c: warm_up_verdicts(warm_up(**c)),
    "clock": lambda **c: clock_verdicts(clock(**c)),
    "race": lambda law=None, **c: race_verdicts(sgd(law=law), clock(**c)),
}
LAWFUL = {
    "step": {"D1-04": [IF], "E14": [HOLDS, HOLDS, HOLDS]},
    "price": {"D0-26": [IF], "D1-26": [IF, NOT], "D1-27": [IF, IF]},
    "rate": {"D2-23": [IF, NOT, NOT], "E17": [HOLDS], "D3-06": [NOT]},
    "noise": {"E15": [HOLDS, NOT, NOT, NOT, HOLDS, HOLDS]},
    "warm_up": {"E19": [HOLDS, HOLDS, NOT]},
    "clock": {
        "D1-03": [IF, NOT],
        "D1-40": [IF],
        "D3-26": [IF],
        "D4-17": [NOT, NOT],
        "D4-18": [NOT, HOLDS],
        "D4-19": [NOT, HOLDS],
    },
    "race": {
        "D1-02": [HOLDS],
        "D1-05": [HOLDS, HOLDS],
        "E25": [HOLDS],
        "D2-04": [IF],
        "D2-10": [IF, NOT],
        "D2-21": [IF, NOT],
        "D3-05": [IF],
        "D3-07": [IF, NOT],
    },
}


_judged: dict = {}


def judged(judge, changes):
    """The verdicts of these made-up records; several rows ask about the same ones."""
    key = judge, repr(changes)
    if key not in _judged:
        _judged[key] = JUDGES[judge](**changes)
    return _judged[key]


def words(verdicts):
    said = {}
    for v in verdicts:
        said.setdefault(v.claim, []).append(v.verdict)
    return said


@pytest.mark.parametrize("judge", JUDGES)
def test_records_that_follow_the_law_are_judged_as_in_the_lesson(judge):
    assert words(judged(judge, {})) == LAWFUL[judge]


FREE, FLAT = StepTime(0.0, 1e-5), StepTime(2e-4, 2e-8)  # no fixed part, no price an example


def bump(factor, *at):
    """The law, except that these batches need ``factor`` times the steps."""
    return lambda batch: LAWS["SGD"].steps(batch) * (factor if batch in at else 1)


STEEP = {"law": lambda batch: 1e4 * batch**-1.2}
BROKEN = [
    ("step", {"critical": 2000}, "D1-04", 0, NOT),
    ("step", {"critical": 2}, "E14", 0, NOT),
    ("step", {"critical": 2000}, "E14", 1, NOT),
    ("step", {"critical": 8}, "E14", 2, NOT),
    ("step", {"critical": 120}, "E14", 2, NOT),
    ("price", {"critical": 2000}, "D0-26", 0, NOT),
    ("price", STEEP, "D1-26", 0, NOT),
    ("price", {"law": lambda batch: 10 * batch**0.1}, "D1-26", 1, HOLDS),
    ("price", {"cliff_": {"wild": 0.5}}, "D1-27", 0, NOT),
    ("price", {"cliff_": {"late": 1.1}}, "D1-27", 1, NOT),
    ("rate", {"a": {"tilt": -0.4}}, "D2-23", 0, NOT),
    ("rate", {"c": {"wild": 0.5}}, "D2-23", 1, HOLDS),
    ("rate", {"b": {"tilt": 0.5}}, "D2-23", 2, HOLDS),
    ("rate", {"b": {"tilt": 0.5}}, "E17", 0, NOT),
    ("rate", {"b": {"critical": 35}}, "D3-06", 0, HOLDS),
    ("noise", {"noise_": {"sgd": 100}}, "E15", 0, NOT),
    ("noise", {"noise_": {"adam": 150}}, "E15", 1, HOLDS),
    ("noise", {"branches_": {"sgd": 0.9}}, "E15", 2, HOLDS),
    ("noise", {"branches_": {"sgd": 0.9}}, "E15", 3, HOLDS),
    ("noise", {"branches_": {"adam": 1.5}}, "E15", 4, NOT),
    ("noise", {"branches_": {"adam": 1.5}}, "E15", 5, NOT),
    ("warm_up", {"none": 1.0}, "E19", 0, NOT),
    ("warm_up", {"constant": 1.0}, "E19", 1, NOT),
    ("warm_up", {"best": 1.3}, "E19", 2, HOLDS),
    ("clock", {"small": FREE, "update": 0.0}, "D1-03", 0, NOT),
    ("clock", {"deep": FLAT}, "D1-03", 1, HOLDS),
    ("clock", {"small": FREE}, "D1-40", 0, NOT),
    ("clock", {"small": FREE}, "D3-26", 0, NOT),
    ("clock", {"backward": 0.5}, "D4-17", 0, HOLDS),
    ("clock", {"backward": 0.5}, "D4-17", 1, HOLDS),
    ("clock", {"small": FREE}, "D4-18", 0, HOLDS),
    ("clock", {"deep": FLAT}, "D4-18", 1, NOT),
    ("clock", {"small": FREE}, "D4-19", 0, HOLDS),
    ("clock", {"deep": FLAT}, "D4-19", 1, NOT),
    ("race", {"small": FLAT}, "D1-02", 0, NOT),
    ("race", {"small": FREE, "update": 0.0}, "D1-05", 0, NOT),
    ("race", {"small": FLAT}, "D1-05", 1, NOT),
    ("race", {"small": FREE, "update": 0.0}, "D2-04", 0, NOT),
    ("race", {"law": bump(5, 64)}, "E25", 0, NOT),
    ("race", {"law": TradeOff(75, 0.5).steps}, "D2-10", 0, NOT),
    ("race", {"small": FLAT}, "D2-10", 1, HOLDS),
    ("race", {"small": FREE, "update": 0.0}, "D2-21", 0, NOT),
    ("race", {"law": bump(10, 1)}, "D2-21", 1, HOLDS),
    ("race", {"small": FREE, "update": 0.0}, "D3-05", 0, NOT),
    ("race", {"small": FREE, "update": 0.0}, "D3-07", 0, NOT),
    ("race", {"small": FLAT}, "D3-07", 1, HOLDS),
]


@pytest.mark.parametrize("judge, changes, claim, number, word", BROKEN)
def test_records_that_break_the_law_change_the_word(judge, changes, claim, number, word):
    assert LAWFUL[judge][claim][number] != word
    assert words(judged(judge, changes))[claim][number] == word


def test_every_row_is_broken_by_something():
    rows = {
        (judge, claim, k) for judge, said in LAWFUL.items() for claim, each in said.items() for k in range(len(each))
    }
    assert rows == {(judge, claim, k) for judge, _, claim, k, _ in BROKEN}


def test_steps_in_proportion_throughout_are_judged_and_not_refused():
    said = words(step_verdicts(sgd(law=lambda batch: 4000 / batch, spread=0.005)))
    assert said["D1-04"] == [NOT] and said["E14"][:2] == [HOLDS, NOT]


@pytest.mark.parametrize("judge", JUDGES)
def test_every_row_names_a_claim_and_an_interval_and_survives_writing(judge):
    for v in judged(judge, {}):
        assert v.claim in CLAIMS or (v.claim.startswith("E") and v.says)
        assert v.low <= v.estimate <= v.high and v.measured and v.held and v.would_change
        assert Verdict.from_json(v.to_json()) == v


def test_noise_too_wide_to_judge_is_inconclusive():
    assert set(words(step_verdicts(sgd(spread=0.9)))["E14"][:2]) == {UNKNOWN}
    assert words(clock_verdicts(clock(spread=3.0)))["D4-18"] == [UNKNOWN] * 2


@pytest.mark.parametrize(
    "judge",
    [
        lambda: step_verdicts(sgd(seeds=2)),
        lambda: price_verdicts(sgd(seeds=2), cliff(seeds=2)),
        lambda: rate_verdicts(sgd(seeds=2), adam(seeds=2), cliff(seeds=2)),
        lambda: noise_verdicts(sgd(seeds=2), adam(seeds=2), noise(seeds=2), branches(seeds=2)),
        lambda: race_verdicts(sgd(seeds=2), clock(seeds=2)),
        lambda: warm_up_verdicts(warm_up(seeds=2)),
    ],
    ids=["step", "price", "rate", "noise", "race", "warm_up"],
)
def test_two_seeds_cannot_choose_a_rate_and_are_refused_in_one_sentence(judge):
    with pytest.raises(Refused, match="at least 3, for a rate is chosen on the other seeds"):
        judge()


def test_two_seeds_are_enough_for_the_clock_and_one_is_inconclusive():
    assert len(clock_verdicts(clock(seeds=2))) == len(clock_verdicts(clock()))
    assert {v.verdict for v in clock_verdicts(clock(seeds=1))} == {UNKNOWN}


def test_a_rate_left_low_that_never_arrives_is_stuck_and_not_inconclusive():
    assert words(price_verdicts(sgd(), cliff(late=0.0)))["D1-27"][1] in (HOLDS, IF)


def test_a_device_whose_steps_take_equally_long_is_judged_and_not_refused():
    idle = clock(small=StepTime(2e-4, -5e-9))  # a GPU with a small net: what is left of the slope is noise
    assert words(race_verdicts(sgd(), idle))["D1-02"] == [NOT]


def lose(results, seed):
    """The same records, one run of this seed without a number."""
    first = next(r for r in results if r.run.seed == seed)
    lost = RunRecord(first.run, "diverged", {}, MACHINE, "made up")
    return Results(results.experiment, tuple(lost if r is first else r for r in results))


def without(results, seed):
    return Results(results.experiment, tuple(r for r in results if r.run.seed != seed))


@pytest.mark.parametrize(
    "judge, made",
    [
        (step_verdicts, [sgd]),
        (price_verdicts, [sgd, cliff]),
        (warm_up_verdicts, [warm_up]),
        (clock_verdicts, [clock]),
        (race_verdicts, [sgd, clock]),
    ],
    ids=["step", "price", "warm_up", "clock", "race"],
)
def test_a_seed_lost_everywhere_takes_itself_out_of_every_verdict(judge, made):
    given = [make() for make in made]
    assert judge(*(lose(r, 3) for r in given)) == judge(*(without(r, 3) for r in given))


@pytest.mark.parametrize(
    "judge, made",
    [
        (rate_verdicts, [sgd, lambda: lose(adam(), 3), cliff]),
        (noise_verdicts, [sgd, adam, lambda: lose(noise(), 3), branches]),
        (race_verdicts, [sgd, lambda: lose(clock(), 3)]),
        (race_verdicts, [lambda: lose(sgd(), 3), clock]),
    ],
    ids=["rate", "noise", "race clock", "race steps"],
)
def test_a_seed_lost_in_one_experiment_leaves_the_others_to_judge_by(judge, made):
    given = [make() for make in made]
    assert [v.verdict for v in judge(*given)] == [v.verdict for v in judge(*(without(r, 3) for r in given))]


def test_every_experiment_of_the_lesson_is_judged():
    judged = {e.name for experiments, _ in VERDICTS for e in experiments}
    assert judged == {
        e.name
        for e in (
            lesson.SGD,
            lesson.ADAM,
            lesson.NOISE_ALONG,
            lesson.BRANCHES,
            lesson.WARM_UP,
            lesson.CLOCK,
            lesson.CLIFF,
        )
    }
    assert len({judge for _, judge in VERDICTS}) == len(JUDGES)
