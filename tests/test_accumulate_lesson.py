"""Lesson 02: its rule of three classes, its runs on a small scale, its verdicts, figures and panel."""

import functools
import logging

import numpy as np
import pytest
import torch

from tutorlib.errors import Refused
from tutorlib.experiments import accumulate_gradients as lesson
from tutorlib.measure.ladder import mean_loss
from tutorlib.nn.optimizers import adamw, sgd
from tutorlib.plots import style
from tutorlib.plots.accumulate_gradients import MARKS, plot_ladder, plot_tokens
from tutorlib.plots.weights_panel import quarters
from tutorlib.records import Machine, RunRecord
from tutorlib.results import Results
from tutorlib.store import Store
from tutorlib.study import find_trial, study
from tutorlib.theory.equality import (
    IN_DISTRIBUTION,
    NOT_EQUAL,
    NOT_SETTLED,
    TO_ROUNDING,
    classify,
    mean_shift,
    spread_ratio,
    squared_mean,
)
from tutorlib.theory.token_weights import token_weights
from tutorlib.trials import accumulate_gradients as trials
from tutorlib.trials import ragged_tokens
from tutorlib.verdicts.accumulate_gradients import BREAKERS, CURES, VERDICTS, ladder_verdicts, token_verdicts
from tutorlib.verdicts.claims import CLAIMS
from tutorlib.widgets.accumulate_gradients import PANELS, WeightsPanel

torch.set_num_threads(1)

MACHINE = Machine("cpu", "made up", 1, "3.12.1", "2.6.0", "0.1.0")


# The rule


def test_within_every_tolerance_is_rounding_and_beyond_most_is_not_equal():
    assert classify([1e-16, 2e-16], [1e-15, 1e-15]) == TO_ROUNDING
    assert classify([0.1, 1e-16, 0.2], 3 * [1e-15]) == NOT_EQUAL
    assert classify([0.1, 1e-16], 2 * [1e-15]) == NOT_SETTLED


def routes(rng, seeds, mean=0.0, spread=1.0, draws=12, dimensions=300):
    """Per seed: what two random routes measure, the second with its mean moved and its spread scaled."""
    truth = rng.standard_normal(dimensions)
    shifts, spreads = [], []
    for _ in range(seeds):
        one, other = (0.5 * rng.standard_normal((draws, dimensions)) for _ in range(2))
        one, other = truth + one, (1 + mean) * truth + spread * other
        shifts.append(mean_shift(one, other))
        spreads.append(spread_ratio(one, other))
    return shifts, spreads


@pytest.mark.parametrize(
    "mean, spread, expected", [(0, 1, IN_DISTRIBUTION), (0.5, 1, NOT_EQUAL), (0, 1.4, NOT_EQUAL), (0, 0.7, NOT_EQUAL)]
)
def test_the_rule_tells_equal_distributions_from_a_moved_mean_and_from_another_spread(mean, spread, expected):
    rng = np.random.default_rng(0)
    found = [classify(8 * [0.5], 8 * [1e-15], *routes(rng, 8, mean, spread)) for _ in range(40)]
    assert found.count(expected) >= 39


@pytest.mark.parametrize("mean, spread", [(0.15, 1), (0, 1.25**0.5), (0, 1.25**-0.5)])
def test_a_difference_as_large_as_the_margin_is_rarely_called_equal(mean, spread):
    rng = np.random.default_rng(1)
    found = [classify(8 * [0.5], 8 * [1e-15], *routes(rng, 8, mean, spread)) for _ in range(200)]
    assert found.count(IN_DISTRIBUTION) <= 10 + 3 * (200 * 0.05 * 0.95) ** 0.5  # a test at the 5 % level


def test_the_squared_mean_is_the_average_over_pairs_of_different_draws_and_unbiased():
    rng = np.random.default_rng(2)
    draws = rng.standard_normal((5, 3))
    pairs = [draws[i] @ draws[j] for i in range(5) for j in range(5) if i != j]
    assert squared_mean(draws) == pytest.approx(np.mean(pairs))
    many = [squared_mean(0.3 + rng.standard_normal((4, 10))) for _ in range(20_000)]
    assert abs(np.mean(many) - 10 * 0.3**2) < 4 * np.std(many) / np.sqrt(len(many))


def test_draws_that_do_not_pair_up_are_refused():
    for bad in (np.zeros(3), np.zeros((1, 3)), np.zeros((2, 2, 2))):
        with pytest.raises(Refused, match="draws have shape"):
            spread_ratio(bad, bad)
    with pytest.raises(Refused, match="the same draws"):
        mean_shift(np.ones((3, 2)), np.ones((4, 2)))


# The runs, on a small scale


@functools.cache
def measured(folder, model):
    points = tuple(p for p in lesson.LADDER.points if p["model"] == model)
    held = {**lesson.LADDER.held, "draws": 12}
    return study(lesson.LADDER.at(points=points, seeds=3, held=held), "cpu", records=Store(folder / f"{model}.jsonl"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("ladder")


@pytest.mark.parametrize("rung", [rung for rung in lesson.RUNGS if "dropout" not in rung])
@pytest.mark.parametrize("model", lesson.MODELS)
def test_every_rung_is_what_was_expected_of_it(model, rung, folder):
    for optimizer in lesson.OPTIMIZERS:
        found = lesson.class_of(measured(folder, model), model, optimizer, rung)
        assert found == lesson.EXPECTED[rung]


@pytest.mark.parametrize("model", lesson.MODELS)
def test_dropout_has_the_same_mean_and_spread_and_another_rate_has_not(model, folder):
    for optimizer in lesson.OPTIMIZERS:
        spread = [
            np.exp(np.mean([np.log(r["spread"]) for r in measured(folder, model) if r["rung"] == rung
                            and r["optimizer"] == optimizer]))
            for rung in ("dropout", "another dropout rate")
        ]  # fmt: skip
        assert 0.75 < spread[0] < 1.3 < spread[1]
        assert all(r["distance"] > 0.05 for r in measured(folder, model) if r["rung"] == "dropout")


def test_without_division_sgd_steps_k_times_as_far_and_adamw_hardly_notices(folder):
    rows = [r for r in measured(folder, "mlp") if r["rung"] == "no division"]
    assert all(r["distance"] == pytest.approx(3) for r in rows if r["optimizer"] == "SGD")
    assert all(1e-6 < r["distance"] < 0.02 for r in rows if r["optimizer"] == "AdamW")


def test_a_last_window_divided_by_the_full_k_is_the_mean_of_its_parts_times_their_share(folder):
    rows = [r for r in measured(folder, "mlp") if r["rung"] == "last window by full K" and r["optimizer"] == "SGD"]
    assert all(0.3 < r["distance"] < 0.9 for r in rows)  # 2 of 4 parts: half the length, and parts of 8 and 2 alike


def test_a_run_measures_the_same_again():
    (run, other) = lesson.OTHER_PLANS.at(seeds=1).runs()[4:6]
    assert trials.rungs([run, other], "cpu") == trials.rungs([run, other], "cpu")


def test_ragged_targets_leave_one_in_every_part_and_touch_nothing_else():
    y = torch.arange(64).view(16, 4)
    cut = trials.ragged(y, 4, seed=0)
    kept = cut != -100
    assert torch.equal(cut[kept], y[kept]) and kept.view(4, -1).any(1).all() and not kept.all()
    assert (kept.int().diff(dim=1) <= 0).all()  # the first few of every example


@functools.cache
def token_runs():
    runs = [run for run in lesson.TOKENS.at(seeds=1, held={**lesson.TOKENS.held, "trained": 3}).runs()]
    return runs, ragged_tokens.tokens(runs, "cpu")


def test_ragged_text_weighs_as_the_closed_form_says_and_the_cure_is_exact():
    for run, answer in zip(*token_runs(), strict=True):
        assert answer["cured"] < 1e-5
        naive_is_true = run.settings["micro_batch"] == 32
        assert (answer["naive"] < 1e-5) is naive_is_true and (answer["ratio"] == 1) is naive_is_true
        assert answer["short"] >= 1 >= answer["long"] or naive_is_true


def test_the_mean_of_means_reports_the_loss_that_its_weights_give():
    lengths = ragged_tokens.log_normal_lengths(32, 120, 1.0, 512, [0, 7])
    runs, answers = token_runs()
    model = ragged_tokens.start(512, 32, 0, 3, 0, "cpu")
    x, y = ragged_tokens.pieces(lengths, 0)
    with torch.no_grad():
        own = [float(mean_loss(model(x[i : i + 1]), y[i : i + 1])) for i in range(32)]
    for run, answer in zip(runs, answers, strict=True):
        weights = token_weights(lengths, run.settings["micro_batch"])
        assert answer["reported"] == pytest.approx((weights * lengths * own).sum() / lengths.sum(), rel=1e-5)
        assert answer["loss"] == pytest.approx((lengths * own).sum() / lengths.sum(), rel=1e-5)


# Verdicts on made-up records


def made_up(experiment, values, seeds=8):
    runs = experiment.at(seeds=seeds).runs()
    return Results(experiment, tuple(RunRecord(run, "ok", values(run), MACHINE, "0" * 16) for run in runs))


@functools.cache
def ladder(wrong=()):
    """What the lesson expects, but for the rungs in ``wrong``, which are the opposite."""

    def values(run):
        rung, rng = run.settings["rung"], np.random.default_rng(run.seed)
        equal = (lesson.EXPECTED[rung] == TO_ROUNDING) is (rung not in wrong)
        found = {"distance": 1e-16 if equal else 0.3, "tolerance": 1e-15, "floor": 1e-16}
        if "dropout" in rung:
            same = (rung == "dropout") is (rung not in wrong)
            noise = rng.normal(0, 0.01, 2)
            found |= {"distance": 0.3, "shift": noise[0], "spread": (1 if same else 2.6) * np.exp(noise[1])}
        if rung == "no division" and run.settings["optimizer"] == "AdamW" and rung not in wrong:
            found["distance"] = 1e-3
        return found

    return made_up(lesson.LADDER, values, seeds=6)


def words(verdicts):
    return {v.says: v.verdict for v in verdicts}


def test_the_expected_ladder_gives_the_expected_words():
    found = words(ladder_verdicts(ladder()))
    assert (
        found["8 × 4, three models: equal to batch 32"]
        == found[CLAIMS["D3-22"]]
        == found[CLAIMS["D4-07"]]
        == "holds if"
    )
    assert {found[says] for says in CURES.values()} == {"holds"}
    assert {found[says] for says in BREAKERS.values()} == {found[CLAIMS["D1-11"]]} == {"does not hold"}
    assert found["… with dropout, in distribution"] == "holds"
    assert found["… with another dropout rate on one side"] == "does not hold"


@pytest.mark.parametrize("rung", [rung for rung in lesson.RUNGS if "float16" not in rung or rung == lesson.RUNGS[3]])
def test_every_verdict_can_come_out_the_other_way(rung):
    before, after = words(ladder_verdicts(ladder())), words(ladder_verdicts(ladder((rung,))))
    changed = {says for says in before if before[says] != after[says]}
    assert changed
    says = {**CURES, **BREAKERS}.get(rung)
    assert says is None or changed == {says}


def test_every_verdict_names_a_claim_and_the_lesson_is_on_the_command_line():
    from tutorlib.__main__ import LESSONS

    assert all(v.claim in CLAIMS for v in ladder_verdicts(ladder()))
    assert LESSONS["02"].VERDICTS is VERDICTS
    assert all(callable(find_trial(experiment.trial)) for (experiment,), _ in VERDICTS)
    assert trials.OPTIMIZERS == {"SGD": sgd, "AdamW": adamw} and set(trials.RUNGS) == set(lesson.RUNGS)


def tokens(harm=True):
    def values(run):
        m, rng = run.settings["micro_batch"], np.random.default_rng(run.seed)
        away = (1 / m if harm else 0.0) if m < 32 else 0.0
        noise = 1 + rng.normal(0, 0.02)
        return {
            "short": 1 + 3 * away * noise,
            "long": 1 - 0.6 * away * noise,
            "ratio": 1 + 20 * away * noise,
            "padding": 0.5 * (m > 1) * harm,
            "padded": 1.0,
            "loss": 3.0,
            "reported": 3.0 * noise,
            "cosine": 1 - 0.2 * away * noise,
            "naive": 0.5 * away,
            "cured": 1e-7,
        }

    return made_up(lesson.TOKENS, values)


def test_the_token_verdicts_say_harm_where_there_is_some_and_none_where_lengths_are_equal():
    ragged, level = words(token_verdicts(tokens())), words(token_verdicts(tokens(harm=False)))
    assert ragged["not counting them leaves the gradient within 1 %"] == "does not hold"
    assert ragged[CLAIMS["D3-20"]] == "holds if"
    assert (
        level["not counting them leaves the gradient within 1 %"] == "holds"
        and level[CLAIMS["D3-20"]] == "does not hold"
    )
    assert sum(word == "does not hold" for word in level.values()) >= 5


# Figures and the panel


@pytest.mark.parametrize("recorded", [False, True])
def test_the_ladder_is_drawn_with_a_shape_for_every_class(recorded):
    results = ladder()
    axes = plot_ladder(Results(results.experiment, results.records, recorded=recorded), guess=(0.1, 1))
    drawn = [line for line, *_ in axes.containers if hasattr(line, "get_marker")]
    rows = {line.get_ydata()[0]: line for line in drawn}
    for row, rung in enumerate(lesson.RUNGS):
        for shift in (-0.18, 0.18):
            assert rows[row + shift].get_marker() == MARKS[lesson.EXPECTED[rung]]
    assert {line.get_markerfacecolor() == "white" for line in drawn} == {recorded}
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert "your guess" in labels and "tolerance of rounding" in labels and "not equal" in labels
    assert "{" not in axes.figure.get_supxlabel() and style.png(axes).startswith(b"\x89PNG")


def test_a_rung_on_which_the_models_disagree_has_a_star():
    results = ladder()
    records = tuple(
        RunRecord(r.run, "ok", {**r.values, "distance": 0.5}, MACHINE, r.source)
        if (r["rung"], r["model"]) == ("float64", "gpt")
        else r
        for r in results
    )
    axes = plot_ladder(Results(results.experiment, records))
    rows = {line.get_ydata()[0]: line for line, *_ in axes.containers if hasattr(line, "get_marker")}
    assert rows[-0.18].get_marker() == MARKS[NOT_SETTLED]


def test_the_token_figure_has_labels_a_guess_and_both_gradients():
    axes = plot_tokens(tokens(), guess=(2, 4))
    beside = axes.figure.axes[1]
    assert axes.get_xlabel() and axes.get_ylabel() and beside.get_ylabel()
    assert "your guess" in axes.get_legend_handles_labels()[1]
    assert beside.get_legend_handles_labels()[1] == ["mean of means", "targets counted"]
    assert style.png(axes).startswith(b"\x89PNG")


def test_quarters_share_the_update_from_the_shortest_text_to_the_longest():
    assert quarters(np.array([40, 10, 30, 20]), np.array([0.4, 0.1, 0.3, 0.2])).tolist() == [0.1, 0.2, 0.3, 0.4]


@pytest.mark.parametrize("panel_type", PANELS)
def test_every_control_moves_the_figure_and_the_sentence(panel_type, caplog):
    with caplog.at_level(logging.WARNING):
        panel = panel_type()
        assert len(panel.controls) <= 5
        for control in panel.controls.values():
            options, before, seen = [value for _, value in control.options], control.value, set()
            for value in (options[0], options[len(options) // 2], options[-1]):
                control.value = value
                seen.add((panel.picture, panel.sentence.value))
            assert len(seen) == 3, f"{control.description} changes nothing"
            control.value = before
    assert not [record for record in caplog.records if "Exception in" in record.getMessage()]


def test_the_panel_says_what_the_closed_form_says():
    panel = WeightsPanel()
    panel.controls["spread"].value = 0.0
    assert "largest ÷ smallest 1." in panel.sentence.value
    panel.controls["spread"].value, panel.controls["division"].value = 1.0, "by all tokens"
    assert panel.sentence.value.count("<b>1</b>") == 2
    panel.controls["division"].value, panel.controls["micro_batch"].value = "by padded length", 8
    assert "Padding fills" in panel.sentence.value
