"""Figures draw what was measured: their data and their words, not their pixels."""

import numpy as np
import pytest

from tutorlib import store
from tutorlib.experiments.measure_the_noise import ARROWS, BATCHES, FOUR_PLANS, VARIANCE
from tutorlib.plots import style
from tutorlib.plots.measure_the_noise import plot_plans, plot_variance
from tutorlib.plots.noise_panels import minibatch_means, plot_arrows, plot_batches, plot_walks
from tutorlib.records import Machine, RunRecord
from tutorlib.results import Results
from tutorlib.theory.statistics import Estimate
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
