"""What ships as recorded: readable, named, and the same as measured now."""

import numpy as np
import pytest

from tutorlib import store
from tutorlib.__main__ import LESSONS
from tutorlib.experiments.measure_the_noise import ARROWS, VARIANCE
from tutorlib.experiments.memory_grid import EIGHT_BIT_GRID, MEMORY_GRID
from tutorlib.experiments.race_two_speeds import CLOCK, CURVES, PROBLEM
from tutorlib.measure.race import look_at
from tutorlib.trials import measure_the_noise, race_two_speeds

FILES = sorted((store.PACKAGE / "recorded").glob("*.jsonl"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_recorded_line_reads_and_names_its_machine(path):
    records = store.Store(path).load()
    assert records and all(r.run.experiment == path.stem for r in records)
    assert all(r.machine.name and r.machine.torch and r.machine.commit != "unknown" for r in records)


def test_the_recorded_arrows_are_what_a_run_measures_now():
    (record,) = store.recorded(ARROWS)
    fresh = measure_the_noise.arrows(record.run, "cpu")
    for name, sign_free in (("along", False), ("across", True)):
        old, new = record[name], fresh[name]
        flip = -1 if sign_free and old[0] * new[0] < 0 else 1  # a principal direction has no sign
        assert new == pytest.approx([flip * value for value in old], abs=2e-4)
    assert fresh["trace"] == pytest.approx(record["trace"], rel=1e-4)


def test_asking_for_a_record_that_does_not_ship_says_so():
    with pytest.raises(ValueError, match="no recorded runs of 'variance_against_batch'"):
        store.recorded(VARIANCE)


RECORDED = [experiment for lesson in LESSONS.values() for experiment in lesson.RECORDED]
# Recorded on a GPU and of no lesson; running out of memory is one of their outcomes.
GRIDS = [grid for grid in (MEMORY_GRID, EIGHT_BIT_GRID) if grid.name in {path.stem for path in FILES}]


def test_every_file_that_ships_belongs_to_an_experiment():
    assert {path.stem for path in FILES} == {experiment.name for experiment in RECORDED + GRIDS}


@pytest.mark.parametrize("experiment", RECORDED + GRIDS, ids=lambda experiment: experiment.name)
def test_what_ships_is_the_whole_experiment_as_it_is_now(experiment):
    results = store.recorded(experiment)
    assert sorted(r.run.key for r in results) == sorted(run.key for run in experiment.runs())
    outcomes = {r.outcome for r in results} - ({"out_of_memory"} if experiment in GRIDS else set())
    assert outcomes == {"ok"} and results.recorded
    assert results.seeds == experiment.seeds and results.provenance.startswith("recorded on ")
    assert len({(r.machine, r.source) for r in results}) == 1, "one machine and one version of the instruments"


def test_recorded_curves_are_looked_at_as_a_run_is_and_end_below_the_target():
    for record in store.recorded(CURVES):
        assert record["at"] == tuple(sorted(look_at(record["steps"]))) and len(record["losses"]) == len(record["at"])
        assert min(record["losses"]) > 0 and record["losses"][0] > 1
    for point in CURVES.points:
        several = [r["losses"] for r in store.recorded(CURVES) if point.items() <= r.run.settings.items()]
        assert len(several) == CURVES.seeds and np.exp(np.log(several).mean(axis=0)).min() < PROBLEM["target"]


def test_the_shortest_recorded_curves_are_what_a_run_measures_now():
    records = [r for r in store.recorded(CURVES) if r["optimizer"] == "Adam" and r["batch"] >= 128]
    for record in records[:4]:
        (fresh,) = race_two_speeds.curves([record.run], "cpu")
        assert fresh["at"] == record["at"] and fresh["losses"] == pytest.approx(record["losses"], abs=0.02)


def test_a_recorded_step_is_at_least_as_long_as_its_parts():
    for record in store.recorded(CLOCK):
        assert 0 < record["forward"] < record["step"] and 0 < record["backward"] < record["step"] < 60
