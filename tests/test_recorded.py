"""What ships as recorded: readable, named, and the same as measured now."""

import pytest

from tutorlib import store
from tutorlib.experiments.measure_the_noise import ARROWS, VARIANCE
from tutorlib.trials import measure_the_noise

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
