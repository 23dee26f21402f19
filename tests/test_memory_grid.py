"""The grid of predicted and measured memory: tiny points measured here, the summary on made-up records."""

import dataclasses
import functools

import pytest
import torch
from torch.nn.functional import cross_entropy

from tutorlib.__main__ import main
from tutorlib.errors import Refused
from tutorlib.experiments.memory_grid import EIGHT_BIT_GRID, MEMORY_GRID, SMALL_GRID, part, point
from tutorlib.measure.memory import truth
from tutorlib.measure.memory.predict import predict
from tutorlib.nn.models import make
from tutorlib.records import Machine, Run, RunRecord
from tutorlib.store import Store
from tutorlib.study import study
from tutorlib.theory.memory import static_bytes
from tutorlib.theory.shapes import SHAPES
from tutorlib.trials import OutOfMemory
from tutorlib.trials import memory_grid as trial
from tutorlib.verdicts.memory_grid import Goal, summary, wrongly_told

GIB, MIB = 2**30, 2**20
HERE = {"python": "3", "torch": "2", "tutorlib": "0", "threads": 1, "name": "made up"}
TINY = (point("small mlp", 2, 0, "fp32", optimizer="SGD"), point("small llama", 1, 32, "fp32", accumulation=2))


def test_tiny_points_are_measured_by_the_profiler_beside_their_prediction_and_stored(monkeypatch, tmp_path):
    store = Store(tmp_path / "grid.jsonl")
    study(SMALL_GRID.at(points=TINY[:1]), "cpu", records=store)  # in a process of its own
    monkeypatch.setattr(trial, "fresh", lambda function, *arguments: function(*arguments))
    results = study(SMALL_GRID.at(points=TINY), "cpu", records=store)
    assert [r.outcome for r in results] == ["ok"] * 2 and len(store.load()) == 2
    names = {"predicted", "predicted_first", "predicted_reserved", "allocated", "first_allocated"}
    for record in results:
        assert set(record.values) == names and record["first_allocated"] <= record["allocated"]
        assert record["predicted"] == pytest.approx(record["allocated"], rel=1e-3)
        assert record["predicted_first"] == pytest.approx(record["first_allocated"], rel=1e-3)
    assert [row.met for row in summary(results)] == [True] * 4
    assert {row.what for row in summary(results)} == {"allocated", "first allocated"}
    assert summary(store.load()) == summary(results)


def test_running_out_is_an_outcome_that_keeps_what_was_predicted(monkeypatch, tmp_path):
    def full(*steps, **how):
        raise RuntimeError("out of memory: a card's words")

    monkeypatch.setattr(trial, "fresh", lambda function, *arguments: function(*arguments))
    monkeypatch.setattr(trial, "profiled_peak", full)
    monkeypatch.setattr(trial.devices, "free_memory", lambda device: 1000)
    (record,) = study(SMALL_GRID.at(points=TINY[:1]), "cpu", records=Store(tmp_path / "grid.jsonl"))
    assert record.outcome == "out_of_memory" and record["predicted"] > 1000 == record["room"]
    assert record["predicted_fits"] == 0 and wrongly_told([record]) == [] and summary([record]) == []
    with pytest.raises(OutOfMemory, match="out of memory"):
        trial.both_peaks(record.run, "cpu")


def test_another_error_comes_through(monkeypatch):
    def broken(*steps, **how):
        raise RuntimeError("a mistake")

    monkeypatch.setattr(trial, "profiled_peak", broken)
    with pytest.raises(RuntimeError, match="a mistake"):
        trial.peaks({**SMALL_GRID.held, **TINY[0]}, "cpu")


def test_a_devices_peaks_are_those_of_all_steps_and_of_the_first_alone(monkeypatch):
    told = iter([{"allocated": 5, "reserved": 8}, {"allocated": 7, "reserved": 8}, {"allocated": 7, "reserved": 9}])
    monkeypatch.setattr(truth.devices, "peak_memory", lambda device: next(told))
    found = truth.device_peak(functools.partial(trial.made, dict(TINY[0])), "cpu", steps=3)
    assert found == {"allocated": 7, "reserved": 9, "first_allocated": 5, "first_reserved": 8}


def test_every_point_of_the_grids_has_a_model_and_an_optimizer_and_is_there_once():
    for grid in (MEMORY_GRID, EIGHT_BIT_GRID, SMALL_GRID):
        assert len({run.key for run in grid.runs()}) == len(grid.points)
        for name in {p["model"] for p in grid.points}:
            largest = max((p for p in grid.points if p["model"] == name), key=lambda p: p["time"])
            model, _, batch = trial.built(largest, "meta")
            assert len(batch[0]) == len(batch[1]) == largest["micro_batch"] and batch[0].is_meta
            assert largest["time"] in (0, batch[0].shape[-1]) and next(model.parameters()).is_meta
        assert all(callable(trial.optimizer(p, stand_in=True)) for p in grid.points)
    counts = {name: sum(p.numel() for p in trial.built(point(name, 1, 256), "meta")[0].parameters()) for name in SHAPES}
    assert counts == {name: shape.parameters for name, shape in SHAPES.items()}


def test_the_grid_has_what_it_was_asked_to_have():
    points = MEMORY_GRID.points
    assert {p["model"] for p in points} == {"gpt2", "gpt2-medium", "llama-1b", "resnet50", "vit-b", "mlp"}
    assert {256, 512, 1024, 2048, 4096} <= {p["time"] for p in points}
    text = [p for p in points if p["time"]]
    for name, values in {
        "precision": {"fp32", "autocast"},
        "attention": {"fused", "math"},
        "checkpointing": {False, True},
        "optimizer": {"SGD", "AdamW", "fused AdamW"},
        "accumulation": {1, 4},
    }.items():
        assert {p[name] for p in text} == values
    assert {p["optimizer"] for p in EIGHT_BIT_GRID.points} == {"8-bit AdamW"}


def test_parts_have_every_point_once_and_the_same_runs():
    parts = [part(MEMORY_GRID, which, 7) for which in range(1, 8)]
    keys = [run.key for each in parts for run in each.runs()]
    assert sorted(keys) == sorted(run.key for run in MEMORY_GRID.runs())
    for which, of in ((0, 2), (3, 2), (1, 1000)):
        with pytest.raises(Refused, match=f"part {which} of {of}; allowed"):
            part(MEMORY_GRID, which, of)


def test_the_stand_in_owns_what_the_arithmetic_of_8_bit_state_says():
    model, batch = make("mlp", 0, width=512, depth=2), (torch.zeros(1, 64), torch.zeros(1, dtype=torch.long))
    state = predict(model, cross_entropy, batch, trial.EightBit).parts()["optimizer state"]
    large = sum(p.numel() for p in model.parameters() if p.numel() >= 4096)
    small = sum(p.numel() for p in model.parameters()) - large
    assert state == static_bytes(large, optimizer="8-bit AdamW").optimizer_state + 8 * small


def test_8_bit_without_its_package_is_one_sentence(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "bitsandbytes.optim", None)
    with pytest.raises(Refused, match="bitsandbytes, and it is not installed"):
        trial.optimizer({"optimizer": "8-bit AdamW"})


def made_up(model, measured, error, device="a card", outcome="ok", **more):
    values = {"predicted": measured * (1 + error), "predicted_first": measured, "first_allocated": measured}
    values |= {"allocated": measured} if outcome == "ok" else {}
    settings = {**SMALL_GRID.held, **point(model, 1), "number": len(COUNT)}
    COUNT.append(0)
    return RunRecord(Run("grid", settings, 0), outcome, values | more, Machine(device=device, **HERE), "source")


COUNT: list = []


def row(records, family, what="allocated"):
    return next(each for each in summary(records) if (each.family, each.what) == (family, what))


def test_the_summary_has_median_and_worst_error_and_where():
    records = [made_up("gpt2", 4 * GIB, error) for error in (0.01, -0.02, 0.02, -0.04, 0.0)]
    found = row(records, "transformers")
    assert (found.points, found.median, found.worst) == (5, pytest.approx(0.02), pytest.approx(-0.04))
    assert found.met and "gpt2, micro-batch 1, autocast, AdamW" in found.where
    assert str(found).startswith("transformers, allocated, 5 points: median 2.00%, worst -4.00% (gpt2")
    assert str(found).endswith("goal each within 5 %, half within 3 %: met")


@pytest.mark.parametrize(
    ("model", "device", "size", "errors", "met"),
    [
        ("gpt2", "a card", 4 * GIB, (0.0, 0.0, 0.049), True),
        ("gpt2", "a card", 4 * GIB, (0.0, 0.0, -0.051), False),
        ("vit-b", "a card", 4 * GIB, (0.031, -0.031, 0.0), False),
        ("vit-b", "a card", 4 * GIB, (0.029, -0.029, 0.045), True),
        ("mlp", "a card", 4 * GIB, (0.051,), False),
        ("mlp", "a card", GIB // 2, (0.12,), True),  # 61 MiB
        ("mlp", "a card", GIB // 2, (-0.13,), False),  # 67 MiB
        ("resnet50", "a card", 4 * GIB, (0.099, -0.099), True),
        ("resnet50", "a card", 4 * GIB, (0.0, -0.101), False),
        ("small gpt2", "cpu", MIB, (0.0009,), True),
        ("small mlp", "cpu", MIB, (-0.0011,), False),
        ("small resnet", "cpu", MIB, (0.019,), True),
        ("small resnet", "cpu", MIB, (-0.021,), False),
    ],
)
def test_a_goal_is_met_or_said_not_to_be(model, device, size, errors, met):
    (found, _) = summary([made_up(model, size, error, device) for error in errors])
    assert found.met is met and str(found).endswith(": met" if met else ": NOT MET")


def test_first_step_and_reserved_memory_have_rows_of_their_own():
    good = made_up("gpt2", GIB, 0.0, reserved=2 * GIB, predicted_reserved=2.19 * GIB)
    bad = dataclasses.replace(
        good, values={**good.values, "predicted_reserved": 2.21 * GIB, "predicted_first": 2 * GIB}
    )
    assert row([good], "transformers", "reserved").met and not row([bad], "transformers", "reserved").met
    assert row([good], "transformers", "first allocated").met and not row([bad], "transformers", "first allocated").met
    assert row([bad], "transformers").met
    assert str(Goal(0.05, slack=64 * MIB)) == "each within max(5 %, 64 MiB)"


def test_what_was_said_to_fit_and_ran_out_is_told_and_so_is_its_opposite():
    told = [
        made_up("gpt2", GIB, 0.0, outcome=outcome, predicted_fits=fits)
        for outcome in ("ok", "out_of_memory")
        for fits in (0, 1)
    ]
    first, second = wrongly_told(told)
    assert first.endswith("said to run out, and it ran") and second.endswith("said to fit, and it ran out")
    assert row(told, "transformers").points == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--only", "nothing"], "only is 'nothing'; allowed: 'arrows'"),
        (["--only", "arrows", "--part", "3", "2"], "part 3 of 2"),
    ],
)
def test_recording_says_what_it_cannot_record(arguments, said, capsys):
    with pytest.raises(SystemExit):
        main(["record", *arguments])
    assert said in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU would record")
def test_without_a_gpu_the_grid_is_left_as_it_is(capsys):
    main(["record", "--only", "memory_grid"])
    assert "memory_grid: left as it is" in capsys.readouterr().out


def test_parts_are_put_together_and_replace_the_record_when_it_is_whole(monkeypatch, tmp_path, capsys):
    import tutorlib.__main__ as command

    small = SMALL_GRID.at(name="memory_grid", points=tuple(point("small mlp", b, 0, "fp32") for b in (1, 2)))
    monkeypatch.setattr(command.memory_grid, "MEMORY_GRID", small)
    monkeypatch.setattr(command, "PACKAGE", tmp_path)
    monkeypatch.setattr(trial, "fresh", lambda function, *arguments: function(*arguments))
    monkeypatch.setattr(trial.devices, "free_memory", lambda device: GIB)
    main(["record", "--only", "memory_grid", "--part", "1", "2"])
    assert "part 1 of 2 is in memory_grid.new" in capsys.readouterr().out
    assert not (tmp_path / "recorded" / "memory_grid.jsonl").exists()
    main(["record", "--only", "memory_grid", "--part", "2", "2"])
    assert "perceptrons, allocated, 2 points" in capsys.readouterr().out
    assert len(Store(tmp_path / "recorded" / "memory_grid.jsonl").load()) == 2
