"""Lesson 04: its trials count what they say, its verdicts can fail, its figures and checks show it."""

import functools

import numpy as np
import pytest
import torch

from tutorlib.__main__ import LESSONS
from tutorlib.checks.fit_the_memory import ASKED, check_bytes_per_parameter, check_off_lines
from tutorlib.errors import Refused
from tutorlib.experiments import documents_table as table
from tutorlib.experiments import fit_the_memory as lesson
from tutorlib.measure.memory.finder import OverBudget
from tutorlib.measure.memory.predict import predict
from tutorlib.measure.memory.target import GPU
from tutorlib.measure.memory.trace import KINDS
from tutorlib.nn.models import next_token_loss
from tutorlib.nn.transformers import GPT2, Llama
from tutorlib.plots.fit_the_memory import plot_plans, plot_saved, plot_table, plot_timeline
from tutorlib.plots.memory_checks import plot_peaks, plot_tries
from tutorlib.records import Machine, Run, RunRecord
from tutorlib.results import Results
from tutorlib.study import find_trial
from tutorlib.theory.memory import static_bytes
from tutorlib.theory.shapes import SHAPES, GPT2Shape, LlamaShape
from tutorlib.trials import documents_table as large
from tutorlib.trials import fit_the_memory as trials
from tutorlib.verdicts import fit_the_memory as verdicts
from tutorlib.verdicts.claims import CLAIMS
from tutorlib.verdicts.rules import all_below, near

MACHINE = Machine("cpu", "made up", 1, "3.12.1", "2.6.0", "0.1.0")
HOLDS, NOT = "holds", "does not hold"
DEEP = {"gpt2": GPT2Shape(64, 4, 3, 128, 64), "llama-3-8b": LlamaShape(64, 4, 2, 3, 160, 128, 64)}


def made_up(experiment, values):
    """Records of an experiment; ``values(run)`` is ``None`` where it ran out of memory."""
    records = []
    for run in experiment.runs():
        found = values(run)
        outcome = "out_of_memory" if found is None else "ok"
        records.append(RunRecord(run, outcome, found or {}, MACHINE, "0" * 16))
    return Results(experiment, tuple(records))


def told(judge, *results):
    return {(v.claim, v.says): v.verdict for v in judge(*results)}


# The trials


@pytest.mark.parametrize("kind", lesson.KINDS, ids=str)
def test_a_real_step_keeps_what_shapes_keep_and_hooks_see_all_of_it_but_the_loss(kind):
    values = trials.saved(Run("x", {**lesson.SHAPE, **kind, "micro_batch": 3, "time": 32}, 0), "cpu")
    assert values["real"] == values["shapes"] == values["hooks"] + 4


def test_the_formula_plus_what_it_leaves_out_is_every_byte_of_a_real_step():
    for kind, masks in ((lesson.KINDS[0], 2), (lesson.KINDS[1], 0)):
        run = Run("x", {**lesson.SHAPE, **kind, "micro_batch": 3, "time": 32}, 0)
        norms, loss = 5 * 2 * 4 * 3 * 32, 8  # mean and deviation of five norms; the loss, and the weight of its mean
        expected = lesson.by_formula(run) + norms + masks * 32 * 32 + loss
        assert trials.saved(run, "cpu")["real"] == pytest.approx(expected, abs=8)


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setattr(trials, "SHAPES", DEEP)

    def named(name, time, **options):
        with torch.device("meta"):
            model = (GPT2 if name == "gpt2" else Llama)(DEEP[name], **options)
            return model, next_token_loss, tuple(torch.empty(1, time, dtype=torch.long) for _ in range(2))

    monkeypatch.setattr(large, "named", named)
    return named


def tiny_run(model, recipe, accumulation=1):
    how = table.setting(model, recipe, micro_batch=3, accumulation=accumulation)
    return Run("x", {**how, "time": 64, "moments": 50}, 0)


EVERY_RECIPE = [(model, recipe) for model, tried in table.TRIED.items() for recipe in tried]


@pytest.mark.parametrize("model, recipe", EVERY_RECIPE)
def test_one_layer_and_two_tell_the_activations_of_all_to_the_byte(tiny, model, recipe):
    run = tiny_run(model, recipe)
    net, loss, batch = tiny(model, 64, **{key: run.settings[key] for key in ("attention", "checkpointing")})
    how = {"precision": run.settings["precision"], "target": GPU, "micro_batch": 3, "steps": 1}
    assert trials.layer(run, "cpu")["activations"] == predict(net, loss, batch, **how).activations


def test_gpt_2_itself_keeps_what_two_of_its_layers_tell():
    run = Run("x", table.setting("gpt2", table.SMALL, micro_batch=4), 0)
    whole = large.followed(Run("x", {**run.settings}, 0), accumulation=1, steps=1)
    assert trials.layer(run, "cpu")["activations"] == whole.activations


@pytest.mark.parametrize("model, recipe", [EVERY_RECIPE[0], EVERY_RECIPE[7]])
def test_a_plan_s_peak_is_that_of_two_whole_steps_with_all_their_parts(tiny, model, recipe):
    runs = [tiny_run(model, recipe, accumulation) for accumulation in (1, 3)]
    net, loss, batch = tiny(model, 64, **{key: runs[0].settings[key] for key in ("attention", "checkpointing")})
    for run, values in zip(runs, large.plan(runs, "cpu"), strict=True):
        how = {"precision": run.settings["precision"], "target": GPU, "micro_batch": 3}
        whole = predict(net, loss, batch, accumulation=run.settings["accumulation"], **how)
        assert (values["peak"], values["first_step"]) == (whole.peak, whole.first_step)
        assert values["activations"] == whole.activations


def test_the_parts_of_a_plan_are_the_bytes_of_its_recipe(tiny):
    (values,) = large.plan([tiny_run("gpt2", "fp32, fused")], "cpu")
    static = static_bytes(DEEP["gpt2"].parameters)
    for part in ("parameters", "gradients", "optimizer_state"):
        assert values[part] == pytest.approx(getattr(static, part), rel=0.15)  # 512 bytes is the least that is given
    assert values["inside_step"] > 0


def test_a_timeline_sums_to_the_trace_and_has_its_peak(tiny):
    run = tiny_run("gpt2", table.SMALL)
    values, trace = large.timeline(run, "cpu"), large.followed(run, 1, 2)
    sums = np.sum([values[kind] for kind in KINDS], axis=0)
    assert KINDS == table.ALIVE and sums.max() == trace.peak and len(values["starts"]) == 6
    assert sums[: values["starts"][3]].max() == trace.first_step == values["first_step"] < trace.peak
    assert set(sums) <= set(trace.live.tolist())


def test_a_try_runs_or_runs_out_of_memory_and_the_finder_agrees_with_trying_every_size():
    held = {**lesson.NET, "budget": 500_000}
    assert trials.one_try(Run("x", {**held, "steps": 2, "micro_batch": 8}, 0), "cpu") == {}
    assert trials.one_try(Run("x", {**held, "steps": 1, "micro_batch": 96}, 0), "cpu") == {}
    with pytest.raises(OverBudget, match="out of memory"):  # what one step survives, two need not
        trials.one_try(Run("x", {**held, "steps": 2, "micro_batch": 96}, 0), "cpu")
    values = trials.found(Run("x", {**lesson.NET, "budget": 445_000, "examples": 40, "wanted": 256}, 0), "cpu")
    assert 0 < values["found"] == values["largest"] < 40 and values["micro_batch"] * values["accumulation"] == 256
    nothing = trials.found(Run("x", {**lesson.NET, "budget": 100_000, "examples": 3, "wanted": 256}, 0), "cpu")
    assert nothing["found"] == nothing["largest"] == nothing["micro_batch"] == 0


@pytest.mark.parametrize("name", ["MLP", "GPT, checkpointing"])
def test_a_small_model_s_predicted_peak_is_what_its_step_takes(name, capfd):
    values = trials.peak(Run("x", {"model": name, "examples": 4, "accumulation": 1}, 0), "cpu")
    assert values["predicted"] == pytest.approx(values["measured"], rel=0.005)
    assert "profiler" not in capfd.readouterr().err  # it announces itself with the time of day


def test_every_experiment_names_a_trial_and_the_lesson_is_known():
    assert LESSONS["04"] is verdicts
    for experiments, _ in verdicts.VERDICTS:
        for experiment in experiments:
            assert callable(find_trial(experiment.trial)) and experiment.small_print


# The rules and the verdicts


def test_near_and_below_say_each_of_their_words():
    assert near(2, [1.6, 2.4], 0.25).verdict == HOLDS and near(2, [2, 2.6], 0.25).verdict == NOT
    assert near(2, [2, 1.4], 0.25).verdict == NOT and near(2, [2, 1.6, 2.4003], 0.25).estimate.value == 1.6
    assert all_below(1, [0.5, 0.9]).verdict == HOLDS and all_below(1, [0.5, 1.0]).verdict == NOT


def like_the_formula(run, change=lambda s, value: value, shapes=0):
    real = change(run.settings, 1.004 * lesson.by_formula(run))
    return {"real": real, "shapes": real + shapes, "hooks": real - 4}


LINE = ("D4-14", CLAIMS["D4-14"])
SQUARE, FUSED = ("D3-13", CLAIMS["D3-13"]), ("D3-13", "… with batch × length where attention is fused")
NONE = ("D3-13", "… of which fused attention keeps none")
SOFTMAX = ("D3-13", "… plus batch × length² for every softmax that is kept")
ON_SHAPES = ("E23", "on shapes alone a forward pass keeps what it keeps for real")
FORMULA = ("E23", "34 + 5as/h, its terms taken for this setting, is what a real step keeps")
FIFTH = ("E23", "checkpointing keeps less than a fifth, in a model of two blocks")


def test_verdicts_on_kept_bytes_hold_on_the_formula():
    words = told(verdicts.saved_verdicts, made_up(lesson.SAVED, like_the_formula))
    assert words.pop(SQUARE) == NOT and set(words.values()) == {HOLDS} and len(words) == 8


@pytest.mark.parametrize(
    "doctored, changed",
    [
        ({"shapes": 1}, {ON_SHAPES: NOT}),
        ({"change": lambda s, v: v + 1e5}, {FORMULA: NOT}),
        ({"change": lambda s, v: v * s["micro_batch"] ** 0.01}, {LINE: NOT}),
        ({"change": lambda s, v: 9.0 * s["micro_batch"] * s["time"] ** 2}, {SQUARE: HOLDS, FUSED: NOT, NONE: NOT}),
        ({"change": lambda s, v: v + 0.05 * s["micro_batch"] * s["time"] ** 2}, {SQUARE: NOT, FUSED: HOLDS, NONE: NOT}),
        ({"change": lambda s, v: v * (2 if s["attention"] == "math" else 1)}, {SOFTMAX: NOT, FUSED: HOLDS}),
        ({"change": lambda s, v: v * (1.5 if s["checkpointing"] else 1)}, {FIFTH: NOT, LINE: HOLDS}),
    ],
)
def test_a_verdict_on_kept_bytes_can_fail(doctored, changed):
    words = told(verdicts.saved_verdicts, made_up(lesson.SAVED, functools.partial(like_the_formula, **doctored)))
    assert {key: words[key] for key in changed} == changed


def test_verdicts_on_layers_follow_their_coefficients():
    def values(run, others=1.0):
        s = run.settings
        own = (s["precision"], s["attention"], s["dropout"]) == ("bf16", "math", 0.1)
        bare = 2.0 if "checkpointing" in s else 64.0 if s["attention"] == "math" else 34.0
        wide = {"bf16": 1.0, "autocast": 1.25, "fp32": 1.9}[s["precision"]]
        return {"coefficient": 114.0 if own else bare * wide * others, "formula": 114.0, "activations": 1}

    words = list(told(verdicts.layer_verdicts, made_up(lesson.LAYERS, values)).values())
    assert words == [HOLDS, NOT, HOLDS, NOT, HOLDS]
    constant = made_up(lesson.LAYERS, lambda run: {"coefficient": 34.0, "formula": 34.0})
    assert list(told(verdicts.layer_verdicts, constant).values()) == [HOLDS, HOLDS, HOLDS, HOLDS, NOT]
    twice = made_up(lesson.LAYERS, functools.partial(values, others=2.0))
    assert list(told(verdicts.layer_verdicts, twice).values()) == [HOLDS, NOT, NOT, NOT, NOT]


@pytest.mark.parametrize("off, words", [((), [HOLDS, HOLDS]), (("CNN",), [HOLDS, NOT]), (("GPT, math",), [NOT, HOLDS])])
def test_one_model_that_is_off_fails_the_prediction(off, words):
    def values(run):
        return {"predicted": 80 if run.settings["model"] in off else 100, "measured": 100}

    assert list(told(verdicts.peak_verdicts, made_up(lesson.PEAKS, values)).values()) == words


def a_plan(run, state=1.0, loss=2, share=1.0, step=16.0, floor=0.0):
    """Bytes of a plan from arithmetic: static parts, activations in proportion to the batch, the loss's gradients."""
    s = run.settings
    static = static_bytes(SHAPES[s["model"]].parameters, table.THEIRS[s["model"]])
    half = s["precision"] == "bf16"
    scores = s["micro_batch"] * s["time"] * SHAPES[s["model"]].vocabulary * (2 if half else 4)
    each = (26e9 if half else 0.25e9 if s["checkpointing"] else 0.55e9) * share
    found = {
        "parameters": static.parameters,
        "gradients": static.gradients,
        "optimizer_state": static.optimizer_state * state,
        "activations": each * s["micro_batch"],
        "inside_step": step * 1e9,
    }
    there = found["gradients"] if s["accumulation"] > 1 else 0
    passes = found["parameters"] + found["optimizer_state"] + there + found["activations"] + loss * scores
    return found | {"peak": max(passes, floor), "first_step": passes - found["optimizer_state"]}


def plans(**doctored):
    return made_up(table.PLANS, functools.partial(a_plan, **doctored))


def static_words(**doctored):
    return [(v.claim, v.verdict) for v in verdicts.static_verdicts(plans(**doctored))]


def test_verdicts_on_static_parts_can_hold_and_can_fail():
    assert static_words() == [
        ("D3-14", "holds if"),
        ("D3-15", "holds if"),
        ("D3-16", NOT),
        ("D3-16", "holds if"),
        ("D3-16", NOT),
        ("D3-12", NOT),
        ("D3-12", "holds if"),
        *((claim, HOLDS) for claim in ("D4-10", "D4-11", "D4-12", "D4-13")),
    ]
    half = dict(enumerate(static_words(state=0.5)))
    assert half[3] == ("D3-16", NOT) and half[8] == ("D4-11", NOT) and half[10] == ("D4-13", HOLDS)
    assert static_words(step=0.5)[4] == ("D3-16", HOLDS)
    assert static_words(loss=0, share=9.0)[5] == ("D3-12", HOLDS)  # nothing but the four
    assert static_words(loss=5)[6] == ("D3-12", NOT)


def test_a_state_that_follows_the_batch_is_seen():
    def values(run):
        return a_plan(run, state=1 + 0.01 * (run.settings["micro_batch"] == 32))

    words = {v.claim: v.verdict for v in verdicts.static_verdicts(made_up(table.PLANS, values))}
    assert words["D4-13"] == NOT and words["D4-11"] == HOLDS


def plan_words(**doctored):
    return told(verdicts.plan_verdicts, plans(**doctored))


def test_verdicts_on_plans_can_hold_and_can_fail():
    words = plan_words()
    assert words["D3-23", "8 × 1 → 4 × 2 halves the memory"] == NOT
    assert words["D3-23", "… it halves the activations"] == HOLDS
    assert words["D3-10", CLAIMS["D3-10"]] == HOLDS and words["D4-08", CLAIMS["D4-08"]] == HOLDS
    assert words["D4-06", "memory falls from plan to plan"] == HOLDS
    assert words["D4-06", "… in proportion to the micro-batch"] == NOT
    assert words["D4-21", CLAIMS["D4-21"]] == "holds if" and words["D4-21", "… on a card of 24 GB"] == NOT
    batch_alone = plan_words(share=200.0)  # activations dwarf the rest
    assert batch_alone["D3-23", "8 × 1 → 4 × 2 halves the memory"] == HOLDS
    assert batch_alone["D4-06", "… in proportion to the micro-batch"] == HOLDS
    assert batch_alone["D4-21", CLAIMS["D4-21"]] == NOT
    flat = plan_words(floor=1e13)
    assert {word for (claim, _), word in flat.items() if claim in ("D3-10", "D3-24", "D4-06", "D4-08")} == {NOT}


def kept(run, large=26.0, small=0.8, fixed=0.0):
    s = run.settings
    wide = {"fp32": 1.0, "autocast": 0.75, "bf16": 1.0}[s["precision"]] * (2 if s["attention"] == "math" else 1)
    each = (large if s["model"] == "llama-3-8b" else small) * wide * (0.09 if s["checkpointing"] else 1)
    once = fixed if s["precision"] == "autocast" else 0
    return {"activations": (each * s["micro_batch"] + once) * 1e9, "coefficient": 1.0, "formula": 1.0}


def activation_words(**doctored):
    found = verdicts.activation_verdicts(made_up(table.ACTIVATIONS, functools.partial(kept, **doctored)))
    return [(v.claim, v.verdict) for v in found]


def test_verdicts_on_activations_can_hold_and_can_fail():
    found = activation_words(small=0.82, fixed=1.0)
    assert found == [
        ("D3-17", NOT),
        ("D3-18", NOT),
        ("D3-18", "holds if"),
        ("D4-14", NOT),
        ("D4-15", NOT),
        ("D4-15", NOT),
        ("D4-16", NOT),
        ("D4-16", NOT),
        ("D4-16", HOLDS),
    ]
    theirs = activation_words(large=10.0, small=0.5)
    assert {word for _, word in theirs} == {HOLDS, "holds if"}


def tried(run, one=120, two=72):
    return {} if run.settings["micro_batch"] <= (one if run.settings["steps"] == 1 else two) else None


def finder_words(off=0, product=256, **limits):
    tries = made_up(lesson.TRIES, functools.partial(tried, **limits))
    values = {"found": 77 + off, "largest": 77, "micro_batch": 64, "accumulation": product // 64}
    found = made_up(lesson.FOUND, lambda run: values)
    return [v.verdict for v in verdicts.finder_verdicts(tries, found)]


def test_verdicts_on_the_finder_can_hold_and_can_fail():
    assert finder_words() == [HOLDS, HOLDS, NOT] and finder_words(one=72) == [HOLDS, HOLDS, HOLDS]
    assert finder_words(off=1)[0] == NOT and finder_words(product=320)[1] == NOT
    assert finder_words(two=0)[2] == NOT  # nothing survives the second step


def a_timeline(run, first=1.0):
    rising = (1.0, 2.0, 1.0, 1.5, 1.0, 1.0, 1.0, 3.0, 1.0, 2.0, 1.0, 1.0)
    values = {kind: tuple(0.0 for _ in rising) for kind in table.ALIVE} | {"activations": rising}
    return values | {"starts": (0, 2, 4, 6, 8, 10), "first_step": first}


@pytest.mark.parametrize("first, word", [(2.0, NOT), (3.0, HOLDS)])
def test_the_first_step_may_or_may_not_show_the_peak(first, word):
    results = made_up(table.TIMELINE, functools.partial(a_timeline, first=first))
    assert [v.verdict for v in verdicts.timeline_verdicts(results)] == [word]


def test_every_claim_that_is_judged_has_a_gloss_and_a_row_of_its_own():
    rows = {row.claim for row in table.ROWS}
    assert rows < set(CLAIMS) and len({row.name for row in table.ROWS}) == len(table.ROWS) == 11


def test_a_study_that_is_not_complete_is_refused():
    with pytest.raises(Refused, match="0 records at"):
        lesson.one(made_up(table.PLANS, a_plan), model="gpt2", micro_batch=3)


# The figures


def points(axes):
    return [tuple(first.get_xydata()[0]) for first, *_ in axes.containers]


def test_the_figure_of_kept_bytes_shows_every_point_and_the_formula():
    results = made_up(lesson.SAVED, like_the_formula)
    axes = plot_saved(results, (3, 5))
    beside = axes.figure.axes[1]
    assert len(points(axes)) == len(points(beside)) == 12
    expected = lesson.saved(results, lesson.LENGTHS, over="time", **lesson.KINDS[1]) / 2**20
    assert {(x, round(y, 6)) for x, y in zip(lesson.LENGTHS, expected, strict=True)} <= {
        (x, round(y, 6)) for x, y in points(beside)
    }
    dashed = [line for line in axes.lines if line.get_linestyle() == "--" and len(line.get_xdata())]
    assert len(dashed) == 3 and dashed[0].get_ydata()[0] == pytest.approx(points(axes)[0][1] / 1.004)
    assert "your guess" in [text.get_text() for text in beside.get_legend().get_texts()]


def test_the_table_figure_crosses_what_is_more_than_a_quarter_off():
    results = made_up(table.ACTIVATIONS, functools.partial(kept, large=10.0, small=0.5))
    axes = plot_table(results, (8, 12))
    crosses = [tuple(line.get_xydata()[0]) for line in axes.lines if line.get_marker() == "x"]
    expected = [
        value
        for row in table.ROWS
        for value in table.ours(results, row).values()
        if abs(value / row.gigabytes - 1) > table.NEAR
    ]
    assert sorted(x for x, _ in crosses) == pytest.approx(sorted(expected)) and len(crosses) > 10
    said = [line.get_xdata()[0] for line in axes.lines if len(line.get_xdata()) == 2]
    assert said == [row.gigabytes for row in table.ROWS]


def test_the_timeline_stacks_every_kind_and_names_both_peaks():
    results = made_up(table.TIMELINE, lambda run: {k: v for k, v in scaled(a_timeline(run)).items()})
    axes = plot_timeline(results, (2, 2.5))
    texts = [text.get_text() for text in axes.texts]
    assert "2.00 GB" in texts and "3.00 GB" in texts and texts.count("step()") == 2
    assert len(axes.collections) >= 6 and "your guess" in axes.get_legend_handles_labels()[1]


def test_the_highest_moment_of_a_timeline_is_told_by_kind():
    (record,) = made_up(table.TIMELINE, lambda run: scaled(a_timeline(run)))
    found = table.highest(record)
    assert found["activations"] == 3.0 and sum(found.values()) == 3.0 and tuple(found) == table.ALIVE


def test_the_figure_of_peaks_shows_every_ratio_and_its_number():
    off = {"CNN": 66}
    results = made_up(lesson.PEAKS, lambda run: {"predicted": off.get(run.settings["model"], 100), "measured": 100})
    axes = plot_peaks(results, (60, 70))
    assert sorted(x for x, _ in points(axes)) == [66] + 8 * [100]
    assert [text.get_text() for text in axes.texts].count("66.0") == 1
    assert "your guess" in axes.get_legend_handles_labels()[1]


def test_the_figure_of_tries_shows_what_ran_and_what_did_not():
    axes = plot_tries(made_up(lesson.TRIES, tried), (64, 80))
    drawn = {(line.get_marker(), line.get_ydata()[0]): list(line.get_xdata()) for line in axes.lines}
    assert max(drawn["o", 0]) == 120 and max(drawn["o", 1]) == 72
    assert min(drawn["x", 0]) == 128 and sum(map(len, drawn.values())) == 40


def test_the_plans_figure_writes_the_share_beside_every_dot():
    axes = plot_plans(plans(), (50, 60)).figure.axes[1]
    told = [float(text.get_text().removesuffix(" %")) for text in axes.texts]
    assert told == pytest.approx([y for _, y in points(axes)], abs=0.5) and len(told) == 3


def scaled(values):
    return {k: tuple(1e9 * x for x in v) if k in table.ALIVE else v for k, v in values.items()}


# The checks


def right_bytes(recipe):
    return {"fp32": 16, "bf16": 8, "bf16, fp32 state": 12, "mixed": 16}[recipe]


def from_parts(parameter, gradient, moments, master):
    """What a learner writes who counts these parts: functions of (weights' bytes, state's bytes, is there a master)."""

    def function(recipe):
        weights = 4 if recipe == "fp32" else 2
        state = 2 if recipe == "bf16" else 4
        return parameter * weights + gradient(weights) + moments(weights, state) + master * 4 * (recipe == "mixed")

    return function


def test_the_model_solution_of_bytes_per_parameter_passes_and_the_stub_fails():
    solution = from_parts(1, lambda w: w, lambda w, s: 2 * s, 1)
    assert check_bytes_per_parameter(right_bytes).solved and check_bytes_per_parameter(solution).solved
    assert check_bytes_per_parameter(lambda recipe: static_bytes(1, recipe).total).solved
    stub = check_bytes_per_parameter(lambda recipe: 4)
    assert not stub.solved and len(stub.lines) == len(ASKED)


@pytest.mark.parametrize(
    "wrong, word",
    [
        (from_parts(1, lambda w: w, lambda w, s: 2 * s, 0), "the fp32 master copy is missing"),
        (from_parts(1, lambda w: w, lambda w, s: s, 1), "the second moment is missing"),
        (from_parts(1, lambda w: 4, lambda w, s: 2 * s, 1), "counts gradients in fp32"),
        (from_parts(1, lambda w: 2, lambda w, s: 2 * s, 1), "counts gradients in two bytes"),
        (from_parts(1, lambda w: w, lambda w, s: 2 * w, 1), "the weights' own precision"),
        (from_parts(1, lambda w: 0, lambda w, s: 2 * s, 1), "the gradients are missing"),
        (from_parts(2, lambda w: 4, lambda w, s: 2 * s, 1), "autocast's fp32 weights and gradients, and a master copy"),
        (lambda recipe: 8 * right_bytes(recipe), "that is in bits"),
        (lambda recipe: (4, 4, 8), "you returned (4, 4, 8), expected 16; return the sum"),
        (lambda recipe: None, "you returned nothing"),
        (lambda recipe: "16", "you returned '16'"),
        (lambda: 0, "TypeError"),
        (lambda recipe: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_a_usual_mistake_in_bytes_per_parameter_has_its_own_sentence(wrong, word):
    check = check_bytes_per_parameter(wrong)
    assert not check.solved and word in repr(check)


OFF = {"8B: activations, B = 1", "8B: activations, B = 4"}
ACTIVATIONS = made_up(table.ACTIVATIONS, kept)


def right_lines(recipe):
    """A model solution: arithmetic for what is static, the measured gigabytes for the rest."""
    found = static_bytes(SHAPES["llama-3-8b"].parameters, recipe)
    claimed = {"parameters": 16, "gradients": 16, "optimizer": 32}
    ours = {
        "parameters": found.parameters,
        "gradients": found.gradients,
        "optimizer": found.optimizer_state + found.master_weights,
    }
    return OFF | {f"8B: {part}" for part, gb in claimed.items() if abs(ours[part] / 1e9 / gb - 1) > 0.25}


def test_the_model_solution_of_the_off_lines_passes_and_the_stub_fails():
    assert check_off_lines(right_lines, ACTIVATIONS).solved
    assert check_off_lines(lambda recipe: sorted(right_lines(recipe)), ACTIVATIONS).solved
    assert not check_off_lines(lambda recipe: set(), ACTIVATIONS).solved
    assert right_lines("mixed") == OFF | {"8B: optimizer"}


def test_what_is_off_is_read_off_the_results():
    theirs = made_up(table.ACTIVATIONS, functools.partial(kept, large=10.0))
    assert not check_off_lines(right_lines, theirs).solved
    assert check_off_lines(lambda recipe: right_lines(recipe) - OFF, theirs).lines[0][0]


@pytest.mark.parametrize(
    "wrong, word",
    [
        (lambda recipe: right_lines(recipe) - {"8B: optimizer"}, "two moments in fp32 and an fp32 master copy"),
        (lambda recipe: right_lines(recipe) - {"8B: activations, B = 4"}, "right as a factor; look at the gigabytes"),
        (lambda recipe: right_lines(recipe) - {"8B: gradients"}, "in fp32 a number takes four bytes"),
        (
            lambda recipe: right_lines(recipe) | {"8B: parameters"},
            "'8B: parameters' is about right (16.1 GB against 16: 1.0 times)",
        ),
        (
            lambda recipe: {"8B: parameters"} & right_lines(recipe),
            "B = 1' is off (26.0 GB against 10: 2.6 times); '8B: a",
        ),
        (lambda recipe: {"gradients"}, "no line is called 'gradients'"),
        (lambda recipe: None, "you returned nothing"),
        (lambda recipe: 3, "expected a set of names"),
        (lambda: set(), "TypeError"),
    ],
)
def test_a_usual_mistake_in_the_off_lines_has_its_own_sentence(wrong, word):
    check = check_off_lines(wrong, ACTIVATIONS)
    assert not check.solved and word in repr(check)
