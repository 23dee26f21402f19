"""The schema: one line of JSON there and back, refusals that name the field, columns that pair up by seed."""

import dataclasses
import itertools
import json
import math
import pickle

import numpy as np
import pytest

from tutorlib.__main__ import LESSONS
from tutorlib.records import Experiment, Machine, Run, RunRecord, Verdict, grid
from tutorlib.results import Results, column

MACHINE = Machine("cpu", "A processor", 2, "3.12.1", "2.6.0", "0.1.0", commit="abc")
RUN = Run("walk", {"batch": 8, "rate": 0.1, "replacement": True, "problem": "Σ “quoted”\nand broken"}, 3)
RECORD = RunRecord(RUN, "ok", {"variance": 0.1 + 0.2, "draws": (1.0, 2.5), "empty": ()}, MACHINE, "f00", 1.5)
EXPERIMENT = Experiment(
    "walk",
    "How far?",
    "lesson.walk",
    grid(batch=(1, 8), replacement=(True, False)),
    "{examples:,} digits",
    held={"examples": 1024, "draws": 32},
    full={"draws": 256},
    seeds=3,
    base_seed=2,
)
VERDICT = Verdict("D0-06", "says", "holds if", "slope", -1.0, -1.1, -0.9, "one model", "−0.5", "a low rate")
LINES = (MACHINE, RUN, RECORD, EXPERIMENT, VERDICT)
NOT_FINITE = (math.nan, math.inf, -math.inf)


def kind(line):
    return type(line).__name__


@pytest.mark.parametrize("line", LINES, ids=kind)
def test_a_line_of_json_and_back_is_the_same_object(line):
    written = line.to_json()
    assert "\n" not in written
    again = type(line).from_json(written)
    assert again == line and type(again) is type(line)
    assert again.to_json() == written


def test_what_was_a_tuple_comes_back_as_a_tuple_and_a_bool_as_a_bool():
    again = RunRecord.from_json(RECORD.to_json())
    assert again.values["draws"] == (1.0, 2.5) and again.values["variance"] == 0.1 + 0.2
    assert again.run.settings["replacement"] is True and isinstance(again.run, Run)


@pytest.mark.parametrize("line", LINES, ids=kind)
def test_an_unknown_field_is_refused_by_name(line):
    raw = {**json.loads(line.to_json()), "colour": 1}
    with pytest.raises(ValueError, match=f"{kind(line)}.*colour"):
        type(line).from_json(json.dumps(raw))


@pytest.mark.parametrize(
    "line, name",
    [
        (line, f.name)
        for line in LINES
        for f in dataclasses.fields(line)
        if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    ],
    ids=str,
)
def test_a_missing_field_is_refused_by_name(line, name):
    raw = json.loads(line.to_json())
    del raw[name]
    with pytest.raises(ValueError, match=f"{kind(line)}.*{name}"):
        type(line).from_json(json.dumps(raw))


def test_a_field_missing_inside_a_nested_line_is_refused_by_name():
    raw = json.loads(RECORD.to_json())
    del raw["machine"]["threads"]
    with pytest.raises(ValueError, match=r"Machine.*threads"):
        RunRecord.from_json(json.dumps(raw))


@pytest.mark.parametrize("written", ["[1]", "3", "null", '"ok"', '{"run":', ""])
def test_what_is_not_a_json_object_is_refused(written):
    with pytest.raises(ValueError):
        RunRecord.from_json(written)


@pytest.mark.parametrize("number", NOT_FINITE)
@pytest.mark.parametrize(
    "make, field",
    [
        (lambda x: Run("walk", {"rate": x}, 0), "settings"),
        (lambda x: dataclasses.replace(RECORD, values={"variance": x}), "variance"),
        (lambda x: dataclasses.replace(RECORD, values={"draws": (1.0, x)}), "draws"),
        (lambda x: dataclasses.replace(RECORD, values={"draws": [1.0, x]}), "draws"),
        (lambda x: dataclasses.replace(RECORD, values={"one": np.float64(x)}), "one"),
        (lambda x: dataclasses.replace(EXPERIMENT, held={"rate": x}), "held"),
        (lambda x: dataclasses.replace(EXPERIMENT, full={"rate": x}), "full"),
        (lambda x: dataclasses.replace(EXPERIMENT, points=({"rate": x},)), "points"),
        (lambda x: dataclasses.replace(VERDICT, estimate=x), "estimate"),
        (lambda x: dataclasses.replace(VERDICT, low=x), "low"),
        (lambda x: dataclasses.replace(VERDICT, high=x), "high"),
    ],
)
def test_a_number_that_is_not_finite_is_refused_by_name(make, field, number):
    with pytest.raises(ValueError, match=field):
        make(number)


@pytest.mark.parametrize("number", NOT_FINITE)
def test_seconds_that_are_not_finite_are_never_written(number):
    with pytest.raises(ValueError):
        dataclasses.replace(RECORD, seconds=number).to_json()


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
def test_nan_and_infinity_are_refused_when_read(word):
    with pytest.raises(ValueError, match=word):
        RunRecord.from_json(RECORD.to_json().replace("2.5", word))


def test_a_written_number_too_large_for_a_float_is_refused_by_name():
    with pytest.raises(ValueError, match="draws"):
        RunRecord.from_json(RECORD.to_json().replace("2.5", "1e999"))


@pytest.mark.parametrize("value", [None, {"a": 1}, object(), 1j, (1, 2)])
def test_a_setting_that_json_cannot_write_is_refused_by_name(value):
    with pytest.raises(ValueError, match="rate"):
        Run("walk", {"rate": value}, 0)


@pytest.mark.parametrize("word", ["", "OK", "crashed"])
def test_an_outcome_outside_the_list_is_refused(word):
    with pytest.raises(ValueError, match=r"outcome.*ok, diverged, out_of_memory"):
        dataclasses.replace(RECORD, outcome=word)


def test_a_verdict_outside_the_list_is_refused():
    with pytest.raises(ValueError, match=r"verdict.*does not hold"):
        dataclasses.replace(VERDICT, verdict="true")


@pytest.mark.parametrize(
    "word, condition", [("holds if", ""), ("holds", "the rate is low"), ("does not hold", "the rate is low")]
)
def test_a_condition_and_the_words_holds_if_come_together(word, condition):
    with pytest.raises(ValueError, match=r"D0-06.*condition"):
        dataclasses.replace(VERDICT, verdict=word, condition=condition)


@pytest.mark.parametrize("seeds", [0, -1, 2.5, "3"])
def test_an_experiment_has_at_least_one_seed(seeds):
    with pytest.raises(ValueError, match="seeds"):
        dataclasses.replace(EXPERIMENT, seeds=seeds)


@pytest.mark.parametrize("line", LINES, ids=kind)
def test_no_field_can_be_changed(line):
    for f in dataclasses.fields(line):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(line, f.name, getattr(line, f.name))


@pytest.mark.parametrize(
    "mapping",
    [
        RUN.settings,
        RECORD.values,
        RECORD.run.settings,
        EXPERIMENT.held,
        EXPERIMENT.full,
        EXPERIMENT.points[0],
        EXPERIMENT.runs()[0].settings,
        EXPERIMENT.at("full").held,
    ],
)
def test_no_mapping_inside_a_line_can_be_changed(mapping):
    with pytest.raises(TypeError):
        mapping["batch"] = 4
    with pytest.raises((TypeError, AttributeError)):
        mapping.clear()


def test_changing_the_mapping_a_run_was_made_from_does_not_change_the_run():
    settings, values = {"batch": 8}, {"draws": [1.0]}
    run, record = Run("walk", settings, 0), RunRecord(RUN, "ok", values, MACHINE, "f00")
    settings["batch"] = 9
    values["draws"].append(2.0)
    assert run.settings["batch"] == 8 and record.values["draws"] == (1.0,)


def test_the_key_of_a_run_does_not_depend_on_the_order_of_its_settings():
    settings = {"batch": 8, "rate": 0.1, "replacement": True}
    runs = [Run("walk", dict(order), 3) for order in itertools.permutations(settings.items())]
    assert len(runs) == 6 and len({run.key for run in runs}) == 1
    assert all(run == runs[0] for run in runs)


def test_the_key_of_a_run_survives_being_written_and_read():
    assert Run.from_json(RUN.to_json()).key == RUN.key
    assert len(RUN.key) == 16 and int(RUN.key, 16) >= 0


def test_runs_that_differ_in_anything_have_different_keys():
    settings = {"batch": 8, "rate": 0.1}
    runs = [
        Run("walk", settings, 3),
        Run("walks", settings, 3),
        Run("walk", settings, 4),
        Run("walk", {"batch": 8}, 3),
        Run("walk", {}, 3),
        Run("walk", {**settings, "rate": 0.2}, 3),
        Run("walk", {**settings, "more": 0}, 3),
        Run("walk", {"batch": "8", "rate": 0.1}, 3),
        Run("walk", {"batch": 0.1, "rate": 8}, 3),
    ]
    assert len({run.key for run in runs}) == len(runs)
    for a, b in itertools.product(runs, runs):
        assert (a == b) == (a.key == b.key)


@pytest.mark.parametrize("a, b", [(1, 1.0), (1, True), (0.0, False)])
def test_runs_have_one_key_exactly_when_they_are_equal_whatever_the_number_type(a, b):
    first, second = Run("walk", {"rate": a}, 0), Run("walk", {"rate": b}, 0)
    assert (first == second) == (first.key == second.key)


def test_a_record_answers_with_a_value_or_else_a_setting():
    assert RECORD["variance"] == 0.1 + 0.2 and RECORD["batch"] == 8
    with pytest.raises(KeyError, match=r"colour.*variance.*batch"):
        RECORD["colour"]


def test_an_experiment_runs_every_point_at_a_seed_before_the_next_seed():
    runs = EXPERIMENT.runs()
    assert [run.seed for run in runs] == [seed for seed in (2000, 2001, 2002) for _ in range(4)]
    assert len({run.key for run in runs}) == 12
    assert [run.settings["batch"] for run in runs[:4]] == [1, 1, 8, 8]
    assert all(run.settings["draws"] == 32 and run.experiment == "walk" for run in runs)


def test_the_full_budget_replaces_held_settings_and_nothing_else():
    full = EXPERIMENT.at("full")
    assert dict(full.held) == {"examples": 1024, "draws": 256} and full.points == EXPERIMENT.points
    assert EXPERIMENT.at("quick") == EXPERIMENT and EXPERIMENT.at(seeds=1).seeds == 1
    with pytest.raises(ValueError, match=r"budget.*quick.*full"):
        EXPERIMENT.at("huge")


def test_the_small_print_names_what_is_held():
    assert EXPERIMENT.small_print == "1,024 digits"


WIDE = EXPERIMENT.at(points=grid(batch=(1, 8), rate=(0.1, 0.2, 0.3)), together=("seed", "rate"), seeds=24)


@pytest.mark.parametrize("line", [*LINES, WIDE, *WIDE.groups()[0][:2]], ids=kind)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_line_between_processes_comes_back_equal_and_frozen(line, protocol):
    again = pickle.loads(pickle.dumps(line, protocol))
    assert again == line and type(again) is type(line) and again.to_json() == line.to_json()
    assert getattr(again, "key", "") == getattr(line, "key", "")
    with pytest.raises(dataclasses.FrozenInstanceError):
        again.anything = 1


def test_without_together_a_group_is_one_run():
    assert EXPERIMENT.groups() == [[run] for run in EXPERIMENT.runs()]


def test_without_the_seed_in_together_a_group_is_one_seed():
    groups = WIDE.at(together=("rate",)).groups()
    assert [group[0].seed for group in groups] == [seed for seed in range(2000, 2024) for _ in (1, 8)]
    assert all([run.settings["rate"] for run in group] == [0.1, 0.2, 0.3] for group in groups)


@pytest.mark.parametrize("base_seed", [2, 3])  # 3,000 is no multiple of sixteen
def test_a_group_is_sixteen_seeds_at_every_value_of_what_goes_together(base_seed):
    groups = WIDE.at(base_seed=base_seed).groups()
    assert [len(group) for group in groups] == [16 * 3, 16 * 3, 8 * 3, 8 * 3]
    for number, group in enumerate(groups):
        first, end = 1000 * base_seed + 16 * (number // 2), 1000 * base_seed + 24
        assert {run.settings["batch"] for run in group} == {(1, 8)[number % 2]}
        assert [(run.seed, run.settings["rate"]) for run in group] == list(
            itertools.product(range(first, min(first + 16, end)), (0.1, 0.2, 0.3))
        )


@pytest.mark.parametrize("seeds", [1, 15, 16, 17, 24, 32])
@pytest.mark.parametrize("together", [(), ("rate",), ("seed",), ("seed", "rate"), ("batch", "seed", "rate", "draws")])
def test_every_run_is_in_exactly_one_group_and_complete_seeds_come_first(together, seeds):
    experiment = WIDE.at(together=together, seeds=seeds)
    groups = experiment.groups()
    runs = [run for group in groups for run in group]
    assert len(runs) == len(experiment.runs()) and set(runs) == set(experiment.runs())
    first = [group[0].seed for group in groups]
    assert first == sorted(first)
    for group in groups:
        assert len({run.seed for run in group}) <= 16


@pytest.mark.parametrize("together, block", [(("rate",), 1), (("seed",), 16), (("seed", "rate"), 16)])
def test_more_seeds_are_more_groups_behind_the_same_ones(together, block):
    few, many = (WIDE.at(together=together, seeds=seeds).groups() for seeds in (block, 3 * block))
    assert many[: len(few)] == few and len(many) == 3 * len(few)


@pytest.mark.parametrize("rates, seeds", [(1, 16), (4, 16), (5, 8), (30, 8)])
def test_a_group_of_many_runs_a_seed_has_fewer_seeds(rates, seeds):
    experiment = EXPERIMENT.at(points=grid(rate=tuple(range(rates))), together=("seed", "rate"), seeds=20)
    sizes = [len(group) for group in experiment.groups()]
    assert sizes[0] == rates * seeds and sum(sizes) == 20 * rates


def test_a_grid_is_every_combination_with_the_last_axis_fastest():
    assert grid(a=(1, 2), b=("x", "y")) == (
        {"a": 1, "b": "x"},
        {"a": 1, "b": "y"},
        {"a": 2, "b": "x"},
        {"a": 2, "b": "y"},
    )


def measured(batch, seed, value=0.0, outcome="ok"):
    values = {"variance": value, "draws": (value, 1.0)} if outcome == "ok" else {}
    return RunRecord(Run("walk", {"batch": batch, "draw": "x"}, seed), outcome, values, MACHINE, "f00")


def test_any_field_of_an_experiment_can_be_replaced():
    for name, value in (("seeds", 1), ("base_seed", 5), ("points", ({"batch": 3},)), ("held", {"draws": 9})):
        assert EXPERIMENT.at(**{name: value}) == dataclasses.replace(EXPERIMENT, **{name: value})


def test_a_column_is_ordered_by_seed_whatever_the_order_of_the_records():
    records = [measured(batch, seed, 10.0 * seed + batch) for batch in (8, 1) for seed in (2, 0, 1)]
    assert column(records, "variance", batch=1).tolist() == [1.0, 11.0, 21.0]
    assert column(iter(records), "variance", batch=8).tolist() == [8.0, 18.0, 28.0]
    assert column(records, "draws", batch=8).tolist() == [[8.0, 1.0], [18.0, 1.0], [28.0, 1.0]]
    assert column(records, "batch", batch=8).tolist() == [8, 8, 8]


def test_a_seed_that_is_not_complete_is_dropped_from_every_column():
    records = [measured(batch, seed, float(seed)) for seed in range(3) for batch in (1, 8)][:-1]
    for batch in (1, 8):
        assert column(records, "variance", batch=batch).tolist() == [0.0, 1.0]


@pytest.mark.parametrize("outcome", ["diverged", "out_of_memory"])
def test_a_seed_with_a_run_that_ended_badly_is_dropped_from_every_column(outcome):
    outcomes = {(8, 1): outcome}
    records = [measured(b, s, float(s), outcomes.get((b, s), "ok")) for s in range(3) for b in (1, 8)]
    for batch in (1, 8):
        assert column(records, "variance", batch=batch).tolist() == [0.0, 2.0]


def test_a_run_recorded_twice_does_not_stand_in_for_one_that_is_missing():
    records = [measured(batch, seed, 1.0 * batch) for batch, seed in ((1, 0), (1, 0), (1, 1), (8, 1))]
    assert column(records, "variance", batch=1).tolist() == [1.0]
    assert column(records, "variance", batch=8).tolist() == [8.0]


def test_a_column_without_a_complete_seed_says_what_to_do():
    with pytest.raises(ValueError, match=r"no complete seed among 1 records.*batch.*run the exp"):
        column([measured(1, 0)], "variance", batch=2)
    with pytest.raises(ValueError, match="no complete seed"):
        column([], "variance")


def test_results_are_their_records_with_a_count_of_the_seeds_that_have_every_point():
    experiment = Experiment("walk", "?", "lesson.walk", grid(batch=(1, 8)), "", seeds=3)
    records = tuple(measured(batch, seed) for seed in range(3) for batch in (1, 8))[:-1]
    results = Results(experiment, records, stopped=True)
    assert tuple(results) == records and len(results) == 5 and results.seeds == 2
    assert column(results, "variance", batch=8).tolist() == [0.0, 0.0]


def test_results_say_where_they_come_from_and_what_has_no_number():
    experiment = Experiment("walk", "?", "lesson.walk", grid(batch=(1, 8)), "", seeds=1)
    records = (measured(1, 0), measured(8, 0, outcome="out_of_memory"))
    assert Results(experiment, records[:1]).provenance.startswith("live on cpu")
    assert Results(experiment, records, recorded=True).provenance.startswith("recorded on A processor")
    assert "1 runs out of memory" in Results(experiment, records).provenance
    assert Results(experiment, ()).provenance.startswith("nothing measured yet")


def test_experiments_that_share_a_name_and_so_a_cache_share_their_trial():
    trials = {}
    for lesson in LESSONS.values():
        for experiment in (*(e for judged, _ in lesson.VERDICTS for e in judged), *lesson.RECORDED):
            trials.setdefault(experiment.name, set()).add(experiment.trial)
    assert not {name: shared for name, shared in trials.items() if len(shared) > 1}
