"""Figures draw what was measured: their data and their words, not their pixels."""

import functools

import numpy as np
import pytest
import test_two_speeds as two_speeds

from tutorlib import store
from tutorlib.experiments.measure_the_noise import ARROWS, BATCHES, FOUR_PLANS, VARIANCE
from tutorlib.experiments.race_two_speeds import CLOCK, CURVES
from tutorlib.experiments.two_speeds_columns import step_law
from tutorlib.nn.models import mlp
from tutorlib.plots import style
from tutorlib.plots.measure_the_noise import plot_plans, plot_variance
from tutorlib.plots.noise_panels import minibatch_means, plot_arrows, plot_batches, plot_walks
from tutorlib.plots.race_panel import AXES, PARAMETERS, Race, decades, first_below, plot_race, price_of
from tutorlib.plots.race_two_speeds import (
    mean_trade_off,
    plot_clock,
    plot_noise,
    plot_rates,
    plot_steps,
    plot_time,
    plot_warm_up,
)
from tutorlib.records import Machine, RunRecord
from tutorlib.results import Results
from tutorlib.theory.statistics import Estimate
from tutorlib.theory.trade_off import StepTime
from tutorlib.widgets.show import show

MACHINE = Machine("cuda", "Some GPU", 1, "3", "2", "0")


def made_up(experiment, values, recorded=False):
    records = tuple(RunRecord(run, "ok", values(run), MACHINE, "0" * 16) for run in experiment.at(seeds=3).runs())
    return Results(experiment, records, recorded=recorded)


@pytest.fixture
def variance():
    return made_up(VARIANCE, lambda run: {"variance": (9 + run.seed) / run.settings["batch"], "trace": 10.0})


def points(axes):
    return np.array([line.get_xydata()[0] for line, *_ in axes.containers])


def test_the_variance_figure_shows_every_batch_at_its_measured_noise(variance):
    drawn = points(plot_variance(variance))
    expected = [(b, np.exp(np.mean(np.log([np.sqrt((9 + s) / b) for s in range(3)])))) for b in BATCHES]
    assert {tuple(np.round(row, 6)) for row in drawn} == {tuple(np.round(row, 6)) for row in expected}


def test_the_guess_is_a_band_and_absent_until_locked(variance):
    for guess, expected in ((None, False), ((5, 20), True)):
        labels = plot_variance(variance, guess).get_legend_handles_labels()[1]
        assert ("your guess" in labels) is expected


def test_recorded_is_hollow_and_live_is_filled_and_the_small_print_says_which(variance):
    recorded = Results(variance.experiment, variance.records, recorded=True)
    for results, face, words in (
        (variance, False, "live on cuda, 3 seeds"),
        (recorded, True, "recorded on Some GPU, 3 seeds"),
    ):
        axes = plot_variance(results)
        faces = {line.get_markerfacecolor() == "white" for line, *_ in axes.containers}
        assert faces == {face}
        assert words in axes.figure.get_supxlabel().replace("\n", " ")


def test_the_words_of_a_figure_list_its_points(variance):
    text = show(plot_variance(variance)).text
    assert text.startswith("Figure: noise") and text.count("(") >= len(BATCHES) and "(1.00, 3.16)" in text


def test_plans_are_drawn_in_units_of_the_first(variance):
    results = made_up(
        FOUR_PLANS, lambda run: {"variance": 8.0 / (run.settings["micro_batch"] * run.settings["accumulation"])}
    )
    assert points(plot_plans(results))[:, 0] == pytest.approx([1, 1, 0.5, 0.5])


def test_a_larger_batch_is_darker():
    light, dark = (sum(style.batch_colour(batch)[:3]) for batch in (1, 1024))
    assert light > dark


def test_the_same_figure_is_the_same_bytes():
    assert len({style.png(plot_walks(0.01, 128, 2, 3.0, 1)) for _ in range(2)}) == 1


def test_a_point_outside_its_interval_does_not_break_the_figure():
    (axes,) = style.figure()
    style.point(axes, 1, Estimate(1.0, 1.0, 1.0))
    assert style.png(axes).startswith(b"\x89PNG")


def test_panels_average_the_gradients_they_show():
    cloud = np.arange(20.0).reshape(10, 2)
    tips = minibatch_means(cloud, 10_000, draw=1, count=5)
    assert tips == pytest.approx(np.tile(cloud.mean(axis=0), (5, 1)), abs=0.3)


def test_the_pictures_of_the_lesson_draw():
    record = store.recorded(ARROWS).records[-1]
    assert style.png(plot_batches(record)) != style.png(
        plot_arrows(np.stack([record["along"], record["across"]], 1), 4, 1)
    )


LESSON_05 = {  # every figure with its made-up records and a guess
    "steps": (plot_steps, [two_speeds.sgd], (1.4, 2.8)),
    "clock": (plot_clock, [two_speeds.clock], (1, 4)),
    "time": (plot_time, [two_speeds.sgd, two_speeds.clock], None),
    "rates": (plot_rates, [two_speeds.sgd, two_speeds.adam], (4, 16)),
    "noise": (plot_noise, [two_speeds.sgd, two_speeds.adam, two_speeds.noise], (16, 64)),
    "warm-up": (plot_warm_up, [two_speeds.warm_up], (2, 8)),
}


@pytest.fixture(scope="module")
def made():
    return functools.cache(lambda make: make())


@pytest.mark.parametrize("recorded", [False, True])
@pytest.mark.parametrize("name", LESSON_05)
def test_a_figure_of_lesson_05_has_labels_and_says_where_its_points_are_from(name, recorded, made):
    plot, makes, guess = LESSON_05[name]
    given = [Results(r.experiment, r.records, recorded=recorded) for r in map(made, makes)]
    axes = plot(*given, **({"guess": guess} if guess else {}))
    assert axes.get_xlabel() and (axes.get_ylabel() or len(axes.get_yticklabels()) == 4)
    assert {line.get_markerfacecolor() == "white" for line, *_ in axes.containers} == {recorded}
    small_print = axes.figure.get_supxlabel().replace("\n", " ")
    assert f"{'recorded on made up' if recorded else 'live on cpu'}, 5 seeds" in small_print and "{" not in small_print
    assert ("your guess" in axes.get_legend_handles_labels()[1]) is bool(guess)
    assert not recorded or style.png(axes).startswith(b"\x89PNG")


def test_points_and_law_of_the_steps_figure_lie_on_the_law(made):
    axes = plot_steps(made(two_speeds.sgd))
    law, drawn = two_speeds.LAWS["SGD"], points(axes)
    assert drawn[:, 0].tolist() == list(two_speeds.BATCHES)
    assert drawn[:, 1] == pytest.approx(law.steps(drawn[:, 0]), rel=0.06)
    fitted = mean_trade_off(made(two_speeds.sgd), "SGD")
    assert fitted.critical == pytest.approx(law.critical, rel=0.15)


def test_the_time_figure_draws_steps_times_seconds(made):
    drawn = points(plot_time(made(two_speeds.sgd), made(two_speeds.clock)))
    expected = two_speeds.LAWS["SGD"].steps(drawn[:, 0]) * (2e-4 + 5e-5 + 1.5e-6 * drawn[:, 0])
    assert drawn[:, 1] == pytest.approx(expected, rel=0.06)


def test_the_time_figure_says_that_its_seconds_are_recorded(made):
    seconds = made(two_speeds.clock)
    axes = plot_time(made(two_speeds.sgd), Results(seconds.experiment, seconds.records, recorded=True))
    assert "recorded" in axes.figure.get_supxlabel()


def test_a_curve_passes_its_target_on_a_straight_line_in_log_loss():
    at, loss = np.array([1, 2, 4, 8]), np.array([4.0, 2.0, 0.5, 0.1])
    assert first_below(at, loss, 1.0) == pytest.approx(3) and first_below(at, loss, 0.5) == 4
    assert first_below(at, np.array([4.0, 0.5, 2.0, 0.1]), 1.0) == pytest.approx(1 + np.log(4) / np.log(8))


@pytest.mark.parametrize("target", [0.05, 4.0, 10.0])
def test_a_curve_that_is_above_or_below_its_target_throughout_is_refused(target):
    with pytest.raises(ValueError, match="does not pass"):
        first_below(np.array([1, 2, 4]), np.array([4.0, 2.0, 0.1]), target)


@pytest.mark.parametrize(
    "low, high, labels",
    [
        (1, 1000, ["1", "10", "100", "1,000"]),
        (0.5, 20_000, ["1", "10", "100", "1,000", "10,000"]),
        (1e-3, 0.5, ["1e-3", "1e-2", "1e-1"]),
        (0.9, 1.1e6, ["1", "100", "10,000", "1e6"]),
        (2, 5, []),
    ],
)
def test_decades_are_plain_powers_of_ten_between_the_limits(low, high, labels):
    found = decades(low, high)
    assert list(found.values()) == labels and all(low <= value <= high for value in found)
    assert [float(label.replace(",", "")) for label in labels] == pytest.approx(list(found))


def test_prices_convert_steps_into_every_unit():
    pace = StepTime(2e-4, 1e-6)
    prices = {unit: price_of(8, 100, pace, unit) for unit in AXES}
    assert prices == pytest.approx({"steps": 100, "examples": 800, "FLOPs": 6 * 9610 * 800, "seconds": 0.0208})
    assert sum(p.numel() for p in mlp().parameters()) == PARAMETERS


@pytest.mark.parametrize("unit", AXES)
def test_the_race_draws_nine_curves_and_marks_the_cheapest_batch(unit):
    race, pace = Race.read(store.recorded(CURVES), "SGD"), step_law(store.recorded(CLOCK))
    axes, beside = plot_race(race, pace, unit).figure.axes
    assert unit in axes.get_xlabel() and axes.get_ylabel() and beside.get_xlabel() and unit in beside.get_title("left")
    curves = {line.get_label(): line.get_xydata() for line in axes.lines if line.get_linestyle() == "-"}
    assert set(curves) == {str(b) for b in two_speeds.BATCHES}
    marked = {float(line.get_xdata()[0]): line for line in beside.lines if line.get_marker() == "o"}
    costs = {b: float(line.get_ydata()[0]) for b, line in marked.items()}
    assert costs == pytest.approx({b: float(price_of(b, race.steps[b], pace, unit)) for b in two_speeds.BATCHES})
    assert {line.get_markerfacecolor() for line in marked.values()} == {"white"}  # hollow: recorded
    assert max(marked, key=lambda b: marked[b].get_markersize()) == min(costs, key=costs.get)
    for label, drawn in curves.items():  # where a curve passes 0.2 is the cost beside it
        k = int((drawn[:, 1] <= 0.2).argmax())
        at = np.interp(-np.log(0.2), -np.log(drawn[k - 1 : k + 1, 1]), drawn[k - 1 : k + 1, 0])
        assert at == pytest.approx(costs[float(label)], rel=1e-6)
