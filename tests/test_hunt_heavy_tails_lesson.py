"""Lesson 08 in hand: its verdicts can fail, its figures show what was measured, its panels move, its check catches."""

import dataclasses

import numpy as np
import pytest
from panels import ends_and_middle, idle_controls

from tutorlib import store
from tutorlib.checks.hunt_heavy_tails import TOP, check_hill
from tutorlib.experiments import bought_noise as bought
from tutorlib.experiments import escape_times as escapes
from tutorlib.experiments import hunt_heavy_tails as lesson
from tutorlib.plots import hunt_heavy_tails as figures
from tutorlib.plots.escape_panel import STEP, STEPS, walk
from tutorlib.plots.tail_panel import fitted, rows, samples
from tutorlib.records import Machine, RunRecord
from tutorlib.results import Results
from tutorlib.theory import escape as law
from tutorlib.theory.tails import excess_kurtosis, hill
from tutorlib.trials import hunt_heavy_tails as trials
from tutorlib.verdicts import hunt_heavy_tails as verdicts
from tutorlib.verdicts.bought_noise import bought_verdicts, jump_verdicts, price_verdicts
from tutorlib.verdicts.claims import CLAIMS
from tutorlib.verdicts.escape_times import escape_verdicts
from tutorlib.widgets.hunt_heavy_tails import NETS, PANELS, EscapePanel, TailPanel

MACHINE = Machine("cpu", "made up", 1, "3.12.1", "2.6.0", "0.1.0")


def made_up(experiment, values):
    records = []
    for run in experiment.runs():
        found = values(run)
        records.append(RunRecord(run, "ok" if found else "diverged", found or {}, MACHINE, "0" * 16))
    return Results(experiment, tuple(records))


def jitter(run, sd=0.02):
    return float(np.exp(np.random.default_rng([run.seed, len(str(run.settings))]).normal(0, sd)))


def told(rows):
    return {(v.claim, v.says): v.verdict for v in rows}


HILLS = {
    "gaussian": (9, 8, 6, 5, 3.4),
    "gaussian length, 50-d": (33, 30, 26, 23, 19),
    "student 3": (3, 2.7, 2.6, 2.4, 2.1),
}


def like_the_laws(run, broken=False):
    name = run.settings["law"]
    alpha = 2.0 if broken else lesson.STABLE.get(name, 2.0)
    scales = [np.log(b) / (alpha * 1.6 if broken else alpha) for b in lesson.BATCHES]
    infinite, mixed = name == "stable 1.5", name == "gaussians of many sizes"
    return {
        "kurtosis": 0.0,
        "settles": jitter(run) * (0.3 if infinite and not broken else 2.0 if broken else 1.0),
        "hill": tuple(h * jitter(run) for h in ((3,) * 5 if broken else HILLS.get(name, (1.5,) * 5))),
        "log_scales": tuple(s * jitter(run) for s in scales),
        "pooled": (1.0 if mixed and not broken else 2.0) * jitter(run),
    }


def test_verdicts_on_the_instruments_can_hold_and_can_fail():
    right = told(verdicts.reading_verdicts(made_up(lesson.READINGS, like_the_laws)))
    assert set(right.values()) == {"holds"} and len(right) == 10
    wrong = told(verdicts.reading_verdicts(made_up(lesson.READINGS, lambda run: like_the_laws(run, broken=True))))
    assert list(wrong.values()).count("does not hold") >= 8


def growing(slopes, run):
    """Log scales of sums that grow by these 1/α, a little differently in every run."""
    return tuple(np.concatenate([[0], np.cumsum(np.array(slopes) * np.log(lesson.FACTOR))]) + 0.01 * jitter(run))


SLOPES = {"gaussian": [0.5] * 4, "student 3": [0.58, 0.54, 0.51, 0.49], "gaussians of many sizes": [1, 0.8, 0.6, 0.5]}


def like_rows(run, bent=False):
    law, noise = run.settings["law"], jitter(run)
    slope = SLOPES.get(law) or [1 / float(law.split()[1])] * 4
    if bent:
        slope = [1.2, 0.8, 0.6, 0.5] if law.startswith("stable") else [0.5] * 4
    index = 6.0 if law == "gaussian" else 1.5 if bent else 4.4
    return {
        "directed": (50.0, 12.5, 3.1, 0.8, (3.0 if bent else 0.2) * noise),
        "hill": (1.6, 2.3, 3.0, 4.0, index * noise),
        "log_scales": growing(slope, run),
        "settles": 0.5 * noise,
    }


def test_verdicts_on_the_controls_can_hold_and_can_fail():
    right = list(told(verdicts.control_verdicts(made_up(lesson.CONTROLS, like_rows))).values())
    assert right == ["holds", "holds", "holds", "holds", "does not hold", "holds"]
    bent = made_up(lesson.CONTROLS, lambda run: like_rows(run, bent=True))
    wrong = list(told(verdicts.control_verdicts(bent)).values())
    assert wrong == ["does not hold"] * 4 + ["holds", "does not hold"]


def like_gradients(run, stable=False):
    late = run.settings["steps"] > 0
    kappa = 60.0 if late else 0.2
    batches = np.array(lesson.BATCHES)
    directed = np.full(5, 60.0) if stable else kappa / batches
    slope = [1 / 1.5] * 4 if stable else [1.2, 0.8, 0.6, 0.5] if late else [0.5] * 4
    noise = jitter(run)
    return {
        "of_examples": 200.0,
        "of_directions": kappa,
        "hill_of_examples": tuple(np.array([1.5] * 5 if stable else [2.7, 2.1, 1.3, 1.0, 0.7]) * noise),
        "settles": (0.25 if stable else 0.8) * noise,
        "kurtosis": tuple((200 * np.ones(5) if stable else 200 / batches) * noise),
        "directed": tuple(directed * noise),
        "hill": tuple(np.array([1.3, 2.3, 3.4, 4.6, 5.3]) * noise),
        "log_scales": growing(slope, run),
        "pooled": 1.2 * noise,
        "pooled_gaussian": (2.0 if stable else 1.2),
    }


def test_verdicts_on_gradient_noise_can_hold_and_can_fail():
    controls = made_up(lesson.CONTROLS, like_rows)
    finite = told(verdicts.noise_verdicts(made_up(lesson.NOISE, like_gradients), controls))
    stable = told(
        verdicts.noise_verdicts(made_up(lesson.NOISE, lambda run: like_gradients(run, stable=True)), controls)
    )
    changed = {key for key in finite if finite[key] != stable[key]}
    assert finite["D1-35", CLAIMS["D1-35"]] == "holds if" and stable["D1-35", CLAIMS["D1-35"]] == "does not hold"
    assert finite["D1-32", "… at the start, in single coordinates"] == "does not hold"
    said = "sums keep their shape, as α-stable ones do"
    assert (finite["D1-34", said], stable["D1-34", said]) == ("does not hold", "holds")
    said = "… though that index alone does not tell it from α = 1.9"
    assert (finite["D1-34", said], stable["D1-34", said]) == ("holds", "does not hold")
    assert stable["D1-33", "… and the same at every threshold, as on a power law"] == "holds"
    assert len(changed) >= 7, "half of the rows would have said something else of stable noise"


def like_walkers(run, same=False):
    s, held = run.settings, escapes.ESCAPE.held
    climb = law.gaussian_time(s["height"], s["width"], held["temperature"])
    hopped = 0.02 * jitter(run) if same else 0.05 * jitter(run) * (s["height"] == escapes.LOW)
    if s["noise"] == "levy" and not same:
        slower = 1.5 if s["scale"] == escapes.LARGE and s["height"] == escapes.HIGH else 1.0
        time = law.levy_time(s["width"], held["alpha"], s["scale"]) * slower
        return {"time": time * jitter(run), "stayed": 0.0, "hopped": hopped}
    early = 0.5 if s["step"] == 0.005 else 0.8
    sooner = early if s["batch"] == 1 and s["height"] == escapes.HIGH and not same else 1.0
    return {"time": climb * sooner * jitter(run), "stayed": 0.0, "hopped": hopped}


FAILING = {"to Gaussian noise a rim's height is nothing (control)", "… a middle one, too", "… and a low one"}


def test_verdicts_on_escape_can_hold_and_can_fail():
    words = told(escape_verdicts(made_up(escapes.ESCAPE, like_walkers)))
    assert {says for (_, says), word in words.items() if word == "does not hold"} == FAILING and len(words) == 13
    assert [word for word in words.values() if not word.startswith("holds")] == ["does not hold"] * 3
    same = told(escape_verdicts(made_up(escapes.ESCAPE, lambda run: like_walkers(run, same=True))))
    assert same["D1-34", "jumps do not care how high a barrier is"] == "does not hold"
    assert same["D0-07", "… out of a small pit, and seldom out of a deeper one"] != "holds"
    assert list(same.values()).count("does not hold") >= 4


ERRORS = dict(
    zip((arm["arm"] for arm in bought.ARMS), (0.64, 0.7, 0.48, 0.48, 0.485, 0.5, 0.8, 0.75, 0.53), strict=True)
)


def like_the_arms(run, **other):
    return {"error": {**ERRORS, **other}[run.settings["arm"]] * jitter(run), "loss": 0.0}


def bought_words(**other):
    measured = (
        made_up(experiment, lambda run: like_the_arms(run, **other)) for experiment in (bought.BUY, bought.TWICE)
    )
    return told(bought_verdicts(*measured))


def test_verdicts_on_bought_noise_can_hold_and_can_fail():
    words = bought_words()
    assert {says for (_, says), word in words.items() if not word.startswith("holds")} == {
        "… and a higher rate buys it without noise (control)",
        "it takes a heavy tail: t₃ of the same variance buys more",
        "noise of the same size in all directions buys part of it",
        "… and with the right size in every parameter it does",
    }
    for claim in ("D1-36", "D1-39"):
        assert bought_words(**{bought.GAUSSIAN: 0.6})[claim, CLAIMS[claim]] == "does not hold"
    assert bought_words(**{bought.ISOTROPIC: 0.5})["D1-37", CLAIMS["D1-37"]] == "does not hold"
    assert bought_words(**{bought.PENALTY: 0.6})["E28", "a penalty buys more than half of it"] == "does not hold"
    nothing = bought_words(**{bought.SMALL: 0.64})
    assert nothing["D1-36", CLAIMS["D1-36"]].startswith("inconclusive"), "no share of a gain that is not there"


def test_studies_that_stopped_at_different_seeds_are_judged_on_those_they_share():
    def few(results, seeds):
        return dataclasses.replace(results, records=tuple(r for r in results if r.run.seed < seeds))

    arms = made_up(bought.BUY, like_the_arms)
    jumps = made_up(bought.JUMPS, lambda run: {"error": 0.3 * jitter(run), "loss": 0.0})
    one, other = jump_verdicts(few(arms, 8), jumps), jump_verdicts(few(arms, 8), few(jumps, 8))
    assert one == other != jump_verdicts(arms, jumps)
    noise, laws = made_up(lesson.NOISE, like_gradients), made_up(lesson.CONTROLS, like_rows)
    assert verdicts.noise_verdicts(few(noise, 5), laws) == verdicts.noise_verdicts(few(noise, 5), few(laws, 5))


def test_a_diverged_run_has_lost():
    def values(run, alive=True):
        if run.settings["arm"] == bought.WILD and alive:
            return None
        return {"error": 0.3 * jitter(run), "loss": 0.0}

    arms = made_up(bought.BUY, like_the_arms)
    words = list(told(jump_verdicts(arms, made_up(bought.JUMPS, values))).values())
    assert words == ["holds", "does not hold", "holds"]
    fine = list(told(jump_verdicts(arms, made_up(bought.JUMPS, lambda run: values(run, alive=False)))).values())
    assert fine[-1] == "does not hold"
    worse = made_up(bought.JUMPS, lambda run: {"error": 0.8 * jitter(run), "loss": 0.0})
    assert jump_verdicts(arms, worse)[0].verdict == "does not hold"
    ends = bought.ends(made_up(bought.JUMPS, values), bought.WILD)
    assert set(ends.values()) == {np.inf} and len(ends) == bought.JUMPS.seeds


@pytest.mark.parametrize("weighted, word", [(1.0, "does not hold"), (2.0, "holds")])
def test_the_price_of_noise_can_hold_and_can_fail(weighted, word):
    prices = made_up(bought.PRICE, lambda run: {"weighted": weighted * jitter(run), "isotropic": 2.5 * jitter(run)})
    assert [v.verdict for v in price_verdicts(prices)] == [word, "holds"]


def points(axes):
    return sorted(tuple(np.round(line.get_xydata()[0], 4)) for line, *_ in axes.containers)


def test_the_figures_show_every_point_and_the_guess():
    axes, beside = figures.plot_readings(made_up(lesson.READINGS, like_the_laws), (5, 7)).figure.axes
    assert len(points(axes)) == 30 and len(points(beside)) == 6
    assert any(patch.get_label() == "your guess" for patch in axes.patches)
    noise = made_up(lesson.NOISE, like_gradients)
    axes, beside = figures.plot_noise(noise, made_up(lesson.CONTROLS, like_rows), (0.1, 0.5)).figure.axes
    assert len(points(beside)) == 6 * 4 and (64.0, 0.5) in points(beside)
    assert (256.0, round(float(np.mean([r["directed"][4] for r in noise if r["steps"] == 600])), 4)) in points(axes)
    assert all(y > figures.VISIBLE for _, y in points(axes)) and len(points(axes)) == 26
    axes, beside = figures.plot_escape(made_up(escapes.ESCAPE, like_walkers), (40, 60)).figure.axes
    assert len(points(axes)) == 14 and len(points(beside)) == 6
    (axes,) = figures.plot_bought(made_up(bought.BUY, like_the_arms), (0.8, 1)).figure.axes
    drawn = [x for x, _ in sorted(points(axes), key=lambda point: point[1])]
    assert drawn == pytest.approx([e / 0.64 for e in list(ERRORS.values())[1:]], rel=0.05)


@pytest.mark.parametrize("panel_type", PANELS)
def test_every_control_moves_the_panel_at_both_ends_and_the_middle(panel_type):
    panel = panel_type()
    assert len(panel.controls) <= 5 and idle_controls(panel, ends_and_middle) == []


def test_more_heat_lets_more_walkers_out_and_paths_end_on_the_rim():
    cold, hot = (np.isfinite(walk(1.5, t, t / 2, 1.0, 1.0, 1)[1]).mean(axis=1) for t in (0.1, 0.4))
    assert cold[0] < 0.1 and hot[0] > 0.5 and hot[1] > cold[1]
    paths, left = walk(1.5, 0.3, 0.15, 1.0, 1.0, 2)
    for noise in range(2):
        for path, when in zip(paths[:, noise].T, left[noise], strict=False):
            steps = round(when / STEP) if np.isfinite(when) else STEPS
            assert np.isfinite(path[:steps]).all() and not np.isfinite(path[steps:]).any()
            assert steps == STEPS or path[steps - 1] == 0.0


def test_the_escape_panel_stays_where_its_law_holds_and_says_where_not():
    times = [walk(1.5, 0.2, 0.1, height, 1.0, 3)[1][1] for height in (0.5, 1.5)]
    low, high = (np.isfinite(left).mean() for left in times)
    assert abs(low - high) < 4 * (0.25 * 2 / 100) ** 0.5, "at the first setting a Lévy walker does not see the height"
    assert "whatever the height" in EscapePanel().say(1.5, 0.2, 1.0, 1.0, 1)
    assert "counts a little" in EscapePanel().say(1.5, 0.4, 1.0, 1.0, 1)


def test_the_tail_panel_averages_what_was_recorded_and_says_the_index():
    results = store.recorded(lesson.ROWS)
    assert {(r["model"], r["steps"]) for r in results} == set(NETS.values())
    for net in NETS.values():
        assert rows(net).mean() == pytest.approx(0, abs=1e-3) and rows(net).std() == pytest.approx(1, abs=1e-3)
    late = ("mlp", 600)
    assert excess_kurtosis(rows(late)) > 10 > excess_kurtosis(rows(("mlp", 0)))
    found = fitted(late, 1, 0.05, 1)
    once = samples(late, 1, 1)["gradient noise"]
    np.testing.assert_allclose(once, np.abs(rows(late)) / np.median(np.abs(rows(late))))  # every example once
    assert found["gradient noise"] == hill(once, 51)
    assert found["gradient noise"].value < fitted(late, 256, 0.05, 1)["gradient noise"].value
    panel = TailPanel()
    assert f"{found['gradient noise'].value:.1f}" in panel.sentence.value


def test_the_recorded_rows_are_what_a_run_measures_now():
    record = next(r for r in store.recorded(lesson.ROWS) if (r["model"], r["steps"]) == ("mlp", 0))
    (fresh,) = trials.rows([record.run], "cpu")
    assert fresh["rows"] == pytest.approx(record["rows"], abs=2e-3) and len(record["rows"]) == 1024


def right(values, top):
    values = np.abs(values)
    if values.ndim == 2:
        return 1 / np.mean([1 / right(column, top) for column in values.T])
    ordered = np.sort(values)[::-1]
    return 1 / np.mean(np.log(ordered[:top] / ordered[top]))


def spoiled(change):
    """The right estimator with one thing changed, column by column."""

    def estimate(values, top):
        if values.ndim == 2:
            return 1 / np.mean([1 / estimate(column, top) for column in values.T])
        return change(values, np.sort(np.abs(values))[::-1], top)

    return estimate


MISTAKES = [
    (lambda v, s, top: 1 / np.mean(np.log(s[:-1] / s[-1])), "you used all the values"),
    (lambda v, s, top: 1 / np.mean(s[:top] / s[top] - 1), "you forgot the logarithm"),
    (lambda v, s, top: 1 / np.mean(s[:top] / s[top]), "you forgot the logarithm"),
    (lambda v, s, top: 1 / np.mean(np.log(np.sort(v)[::-1][:top] / np.sort(v)[::-1][top])), "tied to the sign"),
    (lambda v, s, top: np.mean(np.log(s[:top] / s[top])), "that is 1/α"),
    (lambda v, s, top: 1 / np.mean(np.log(s[:top] / s[top - 1])), "the first value below"),
    (lambda v, s, top: 1 / np.mean(np.log(s[:top])), "depends on the unit"),
    (lambda v, s, top: 1 / np.mean(np.log(s[:TOP] / s[TOP])), "take `top` as it is given"),
    (lambda v, s, top: 42.0, "you returned 42.000"),
    (lambda v, s, top: None, "return one number; this is None"),
    (lambda v, s, top: s[:top], "return one number; this is an array of shape (100,)"),
    (lambda v, s, top: 1 / 0, "ZeroDivisionError"),
]


@pytest.mark.parametrize("change, words", MISTAKES)
def test_a_usual_mistake_is_caught_by_name(change, words):
    check = check_hill(spoiled(change))
    assert not check.solved and words in repr(check)


def test_a_threshold_one_off_is_told_as_that_alone():
    told = repr(check_hill(spoiled(lambda v, s, top: 1 / np.mean(np.log(s[:top] / s[top - 1])))))
    for lie in ("as it is given", "another unit", "tied to the sign"):
        assert lie not in told


def test_pooled_columns_are_caught_and_the_right_estimator_is_solved():
    check = check_hill(lambda values, top: right(np.ravel(values), top))
    assert not check.solved and "you pooled the columns" in repr(check) and len(check.lines) == 6
    assert sum(passed for passed, _ in check.lines) == 5
    assert check_hill(right).solved
