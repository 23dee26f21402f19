"""Lesson 09: the columns and verdicts of the sweep, its figures, and the adviser's panel at every value."""

import logging
import re

import numpy as np
import pytest

from tutorlib import store
from tutorlib.errors import Refused
from tutorlib.experiments import advice_columns as columns
from tutorlib.experiments import choose_your_batch as lesson
from tutorlib.measure.short_run import short_run
from tutorlib.nn.data import Data
from tutorlib.plots.choose_your_batch import plot_noise, plot_sweep
from tutorlib.plots.style import png
from tutorlib.records import Machine, RunRecord
from tutorlib.results import Results
from tutorlib.theory.advice import Advice
from tutorlib.theory.choice import choose_plan
from tutorlib.trials import choose_your_batch as trials
from tutorlib.verdicts import choose_your_batch as judge
from tutorlib.widgets.choose_your_batch import EXAMPLES, PANELS, AdviserPanel, show_card
from tutorlib.widgets.predict import Prediction

MACHINE = Machine("cpu", "a processor", 1, "3.12", "2.13", "0.1.0", "abc")


def made(experiment, values) -> Results:
    """Every run of an experiment with ``values(run)``."""
    return Results(experiment, tuple(RunRecord(run, "ok", values(run), MACHINE, "x") for run in experiment.runs()))


def wobble(run, size: float = 0.02) -> float:
    return float(np.exp(size * np.random.default_rng([run.seed, int(run.key[:8], 16)]).standard_normal()))


def law(run) -> dict:
    """Steps of S(B) with a bend at 100; the second rate of each grid is the best."""
    s = run.settings
    worse = 1 + 0.3 * abs(lesson.rates(s["model"], s["batch"]).index(s["rate"]) - 1)
    steps = 50 * (1 + 100 / s["batch"]) * worse * wobble(run)
    return {"steps": steps, "reached": 1}


def clock(run, fixed: float = 40) -> dict:
    """A pass costs as much as ``fixed`` examples."""
    s = run.settings
    return {"step": 1e-3 * (s["batch"] // s["micro_batch"] * (fixed + s["micro_batch"])) * wobble(run)}


SIZES = tuple(2**k for k in range(10))


def told(scale: float = 100.0, fixed: float = 40.0):
    def values(run) -> dict:
        signal = wobble(run) / scale
        known = {"read": 1024, "parameters": 10, "loader_seconds": 0.0, "coupled": 0, "noise_batch": 256, "draws": 16}
        passes = tuple(1e-3 * (fixed + size) for size in SIZES)
        noise = {"signals": (signal,) * 2, "lows": (signal / 2,) * 2, "highs": (2 * signal,) * 2}
        return known | noise | {
            "batch": 32, "sizes": SIZES, "passes": passes, "update": 0.0, "steps": (0, 9), "losses": (2.0, 1.0),
            "seconds": 1.0, "examples": 1024,
        }  # fmt: skip

    return values


@pytest.fixture(scope="module")
def lawful():
    return made(lesson.SWEEP, law), made(lesson.SECONDS, clock), made(lesson.ADVICE, told())


@pytest.fixture(scope="module")
def shipped():
    return tuple(store.recorded(each) for each in (lesson.SWEEP, lesson.SECONDS, lesson.ADVICE))


def word(rows, claim: str, *contains: str) -> list[str]:
    return [r.verdict for r in rows if r.claim == claim and all(part in r.measured for part in contains)]


def test_steps_are_those_of_the_rate_that_the_other_seeds_chose(lawful):
    steps = columns.steps_of(lawful[0], "mlp", 64, 64)
    assert steps == pytest.approx(50 * (1 + 100 / 64), rel=0.1) and len(steps) == 4
    assert columns.edges(lawful[0], "mlp") == []


def test_a_plan_s_time_is_steps_times_the_seconds_of_its_pieces(lawful):
    found = columns.times(lawful[0], lawful[1], "gpt")
    assert set(found) == set(lesson.pairs("gpt"))
    assert found[64, 16] == pytest.approx(50 * (1 + 100 / 64) * 4 * 0.056, rel=0.15)
    cnn = columns.times(lawful[0], lawful[1], "cnn")
    assert set(cnn) == set(lesson.trained("cnn")), "with BatchNorm only what was trained is timed"


@pytest.fixture(scope="module")
def rows(lawful):
    return judge.swept_verdicts(*lawful)


def test_an_adviser_that_knows_the_laws_is_within_twenty_percent(rows):
    assert word(rows, "E14", "MLP") == ["holds", "holds"]
    assert word(rows, "E14", "GPT")[0] == "holds"


def test_a_wrong_adviser_and_a_batch_that_was_not_swept_do_not_hold(lawful):
    sweep, seconds, _ = lawful
    blind = made(lesson.ADVICE, told(scale=0.5, fixed=8.0))
    plans = columns.advised_pairs(blind, "mlp")
    rows = judge.advised_verdicts(sweep, seconds, blind)
    expected = "does not hold" if plans[0][0] >= 8 else "inconclusive at this budget"
    assert word(rows, "E14", "MLP")[0] == expected
    far = made(lesson.ADVICE, told(scale=1e6))
    assert word(judge.advised_verdicts(sweep, seconds, far), "E14", "GPT")[0] == "inconclusive at this budget"
    with pytest.raises(Refused, match="those of the sweep"):
        columns.nearest(columns.times(sweep, seconds, "gpt"), (4096, 8))


def test_one_knob_costs_where_it_misses_and_not_where_one_batch_is_best_at_all(lawful, rows):
    assert "holds" in word(rows, "D1-44", "the most examples a second")
    flat = made(lesson.SWEEP, lambda run: {**law(run), "steps": law(run)["steps"] / (1 + 100 / run.settings["batch"])})
    free = made(lesson.SECONDS, lambda run: {"step": 0.01 * wobble(run)})
    alone = judge.knob_verdicts(flat, free, lawful[2])
    assert word(alone, "D1-44", "the fewest steps") == ["does not hold"]


def test_batch_32_with_little_memory_is_judged_by_time_both_ways(lawful, rows):
    sweep, _, advice = lawful
    assert set(word(rows, "D0-21")) == {"holds"}  # by the law accumulation buys no time
    dear = made(lesson.SECONDS, lambda run: {"step": clock(run)["step"] + 10})
    assert set(word(judge.knob_verdicts(sweep, dear, advice), "D0-21")) == {"does not hold"}


def test_the_logged_batch_holds_if_there_is_one_rank():
    assert [row.verdict for row in judge.logged_verdicts()] == ["holds if", "does not hold"]


def grown(factor: float) -> Results:
    return made(
        lesson.NOISE,
        lambda run: {"losses": (2.0,) * 5, "signals": tuple(wobble(run) / 70 / factor ** (k / 3) for k in range(5))},
    )


def test_noise_that_grows_does_not_hold_and_noise_that_stays_holds():
    assert [row.verdict for row in judge.noise_verdicts(grown(5))] == ["does not hold"] * 2
    assert [row.verdict for row in judge.noise_verdicts(grown(1))] == ["holds"] * 2
    assert png(plot_noise(grown(5), (100, 300))).startswith(b"\x89PNG")


def test_the_trials_measure_what_the_instruments_do():
    run = next(r for r in lesson.NOISE.at(held={"steps": 8, "looks": 3}).runs() if r.settings["model"] == "mlp")
    measured = trials.noise(run, "cpu")
    model, data, held_out, chosen = trials.problem(run, "cpu")
    assert len(held_out) == 512 and chosen.min() >= 512 and len(set(chosen.tolist())) == 1024
    own = Data(data.x[chosen], data.y[chosen])
    looks = short_run(
        model, trials.LOSSES["mlp"], own, trials.handed_in(run, "cpu")[3], batch=32, steps=8, looks=3, seed=run.seed
    )
    assert measured["signals"] == tuple(look.signal.value for look in looks)


def test_what_ships_is_judged_and_drawn(shipped):
    rows = judge.swept_verdicts(*shipped)
    assert len(rows) == 14 and all(r.would_change and r.held for r in rows)
    assert png(plot_sweep(*shipped, (32, 128))).startswith(b"\x89PNG")
    assert all(str(columns.advised(record).plan.batch) for record in shipped[2])


@pytest.fixture(autouse=True)
def no_swallowed_errors(caplog):
    """ipywidgets logs what a click handler raises and goes on; here that is a failure."""
    with caplog.at_level(logging.WARNING):
        yield
    assert not [record.getMessage() for record in caplog.records if "Exception in" in record.getMessage()]


@pytest.fixture(scope="module")
def panel():
    return AdviserPanel()


def test_every_value_of_every_control_changes_what_is_said(panel):
    assert 2 <= len(panel.controls) <= 5 and PANELS == (AdviserPanel,)
    panel.controls["model"].value = EXAMPLES["cnn"]
    for name, control in panel.controls.items():
        before, seen = panel.values, set()
        for _, value in control.options:
            control.value = value
            assert panel.picture.startswith(b"\x89PNG") and panel.image.value == panel.picture
            seen.add((panel.sentence.value, panel.paste.value))
        # memory that is more than enough says the same twice, and so does the batch that is advised anyway
        least = {"memory": 3, "wanted": len(control.options) - 1}.get(name, len(control.options))
        assert len(seen) >= least, name
        for other, value in before.items():
            panel.controls[other].value = value


def test_what_the_panel_says_is_the_plan_s(panel):
    panel.controls["wanted"].value = 64
    panel.controls["trainer"].value = "DeepSpeed"
    choice = panel.choice(**panel.values)
    plan = choice.plan
    assert f"Batch 64 = micro-batch {plan.micro_batch} × accumulation {plan.accumulation}" in panel.sentence.value
    assert '"train_batch_size": 64' in panel.paste.value and "recorded" in panel.sentence.value
    panel.controls["ranks"].value = 8
    panel.controls["wanted"].value = 4
    assert panel.sentence.value.startswith("✗ wanted is 4") and panel.paste.value == ""
    panel.controls["wanted"].value = 0
    assert not panel.sentence.value.startswith("✗")
    panel.controls["ranks"].value = 1


def test_the_button_measures_the_chosen_example_here(panel, monkeypatch):
    from tutorlib.measure import adviser

    answer, heard = panel.advice[EXAMPLES["gpt"]], []

    def measured(model, loss, loader, optimizer, budget_s, say):
        say("noise along a short run")
        heard.append(panel.heard.value)
        return answer

    monkeypatch.setattr(adviser, "advise", measured)
    panel.controls["model"].value = EXAMPLES["mlp"]
    panel.button.click()
    assert heard == ["noise along a short run …"] and panel.heard.value == "done" and not panel.button.disabled
    assert "measured here" in panel.sentence.value and panel.advice[EXAMPLES["mlp"]] == answer

    def refused(*given, **named):
        raise Refused("model does not train")

    monkeypatch.setattr(adviser, "advise", refused)
    panel.button.click()
    assert panel.heard.value == "✗ model does not train" and not panel.button.disabled


def test_your_own_advice_comes_first_and_the_card_is_shown():
    own = Advice.of(told()(lesson.ADVICE.runs()[0]), "SGD")
    panel = AdviserPanel(own)
    assert panel.values["model"] == "your own" and "measured here" in panel.sentence.value
    panel.button.click()
    assert "advise" in panel.heard.value
    shown = show_card(own, name="my net")
    assert shown.picture.startswith(b"\x89PNG") and shown.text.startswith("Figure: # A batch for my net")
    assert f"Batch {choose_plan(own).plan.batch:,}" in shown.text


def test_the_sweep_s_figure_counts_seeds_and_marks_the_best(shipped):
    figure = plot_sweep(*shipped).figure
    for axes, model in zip(figure.axes, ("mlp", "cnn", "gpt"), strict=True):
        counts = [int(text.get_text().split(" of ")[0]) for text in axes.texts]
        assert sum(counts) == 4 and {text.get_text()[-4:] for text in axes.texts} == {"of 4"}
        (star,) = [line for line in axes.lines if line.get_marker() == "*"]
        best = columns.soonest(columns.times(*shipped[:2], model))
        assert star.get_xdata()[0] == best[0]
        (little,) = [line for line in axes.lines if line.get_marker() == "_" and line.get_linestyle() == ":"]
        assert len(little.get_xdata()) >= 3 and min(little.get_xdata()) == 32


def test_no_row_says_nothing_but_dots(rows):
    assert all(row.says.strip("… ") for row in rows if row.claim == "E14")
    assert len({row.says for row in rows if row.claim == "E14"}) == 6


def test_a_locked_prediction_reaches_the_figure(shipped):
    guess = Prediction("soonest at", options=(8, 16, 32, 64))
    axes = plot_sweep(*shipped, guess.guess)
    assert not [p for p in axes.patches if p.get_label() == "your guess"]
    axes = plot_sweep(*shipped, (16, 64))
    assert [p for p in axes.patches if p.get_label() == "your guess"]
    assert re.search("recorded", axes.figure.get_supxlabel())
