"""The landscape panel: what it draws was recorded whole, moves with every control, and a rescaling cannot fool it."""

import itertools
import subprocess
import sys

import numpy as np
import pytest
from panels import idle_controls

from tutorlib import store
from tutorlib.experiments.curvature import FIRST, LANDSCAPE, LINE, PLACES, REACH, RESCALES, RULERS
from tutorlib.plots.landscape_panel import MIDDLE, plot_landscape, surface, width_of_valley
from tutorlib.trials import landscape as trials
from tutorlib.verdicts import curvature as verdicts
from tutorlib.widgets.landscape import PANELS, LandscapePanel

RECORDS = store.recorded(LANDSCAPE).records
SOLUTIONS = [
    dict(zip(("batch", "rate"), each, strict=True)) for each in sorted({(r["batch"], r["rate"]) for r in RECORDS})
]


def record(batch, rate, rescale=1.0, ruler="length"):
    wanted = {"batch": batch, "rate": rate, "rescale": rescale, "ruler": ruler}
    (found,) = [r for r in RECORDS if wanted.items() <= r.run.settings.items()]
    return found


def test_the_whole_experiment_is_recorded_on_one_machine():
    assert verdicts.RECORDED == (LANDSCAPE,)
    assert sorted(r.run.key for r in RECORDS) == sorted(run.key for run in LANDSCAPE.runs())
    assert {r.outcome for r in RECORDS} == {"ok"} and len({(r.machine, r.source) for r in RECORDS}) == 1
    assert all(len(r["slice"]) == len(PLACES) ** 2 and len(r["line"]) == LINE for r in RECORDS)


def test_what_is_recorded_is_what_a_run_measures_now():
    ((group),) = [g for g in LANDSCAPE.groups() if g[0].settings["batch"] == 256 and g[0].settings["rate"] == 0.3]
    for run, fresh in zip(group, trials.slices(group, "cpu"), strict=True):
        (old,) = [r for r in RECORDS if r.run == run]
        for name in ("slice", "line"):  # decades: two processors do not train to the same rounding
            assert fresh[name] == pytest.approx(old[name], abs=0.1)
        assert fresh["adaptive"] == pytest.approx(old["adaptive"], rel=0.1)


def test_every_slice_is_lowest_near_its_middle_which_is_the_target_and_doubles_inside():
    assert PLACES == tuple(-p for p in reversed(PLACES)) and PLACES[MIDDLE] == 0 and PLACES[-1] == 1
    for each in RECORDS:
        height, target = surface(each), np.log10(each["target"])
        assert height[MIDDLE, MIDDLE] <= target + 1e-3 and height.min() > target - 0.1
        assert 0 < width_of_valley(each) < REACH[each["ruler"]][0] and height.max() > target + 0.5


def test_the_line_begins_at_the_first_solution_and_ends_at_its_own():
    for each in RECORDS:
        at_home = surface(each)[MIDDLE, MIDDLE]
        assert each["line"][-1] == pytest.approx(at_home, abs=2e-3)
        assert each["line"][0] == pytest.approx(surface(record(**FIRST))[MIDDLE, MIDDLE], abs=2e-3)
    assert np.ptp(record(**FIRST)["line"]) == 0, "from the first solution to itself nothing changes"
    assert np.ptp(record(**FIRST, rescale=4.0)["line"]) > 0.2, "to its rescaled self there is a hill"


@pytest.mark.parametrize("where", SOLUTIONS, ids=str)
def test_rescaling_moves_the_slice_by_length_and_leaves_the_one_by_own_size(where):
    as_found = {ruler: record(**where, ruler=ruler) for ruler in RULERS}
    for rescale in RESCALES:
        by_length, by_size = (record(**where, rescale=rescale, ruler=ruler) for ruler in RULERS)
        assert by_size["slice"] == pytest.approx(as_found["own size"]["slice"], abs=0.004)
        for name in ("adaptive", "error"):
            assert by_length[name] == pytest.approx(as_found["length"][name], rel=1e-3)
        moved = np.abs(np.subtract(by_length["slice"], as_found["length"]["slice"])).max()
        assert moved > 0.05 or rescale == 1
    assert record(**where, rescale=0.25)["sharpness"] > 3 * as_found["length"]["sharpness"]
    assert width_of_valley(record(**where, rescale=0.25)) < 0.7 * width_of_valley(as_found["length"])


def test_the_valley_along_the_sharpest_direction_is_as_wide_as_its_eigenvalue_says():
    for each in RECORDS:
        top = each["sharpness" if each["ruler"] == "length" else "adaptive"]
        at_home = 10 ** surface(each)[MIDDLE, MIDDLE]
        assert width_of_valley(each) == pytest.approx(np.sqrt(2 * at_home / top), rel=0.25)


def test_every_value_of_every_control_draws_and_says_something():
    (maker,) = PANELS
    panel = maker()
    assert maker is LandscapePanel and len(panel.controls) <= 5 and idle_controls(panel) == []


def test_the_panel_says_what_its_records_hold_at_every_setting():
    panel = LandscapePanel()
    choices = [[value for _, value in control.options] for control in panel.controls.values()]
    for values in itertools.product(*choices):
        settings = dict(zip(panel.controls, values, strict=True))
        said, right = panel.say(**settings), record(**settings)
        assert f"λ is <b>{right['sharpness']:.1f}</b> (left {record(**FIRST)['sharpness']:.1f})" in said
        assert f"within {width_of_valley(right):.2g} of the right" in said
        assert ("no output has changed" in said) is (settings["rescale"] != 1)
        twin = settings["rescale"] != 1 and FIRST.items() <= settings.items()
        assert ("both compute the same function" in said) is twin


def test_the_slice_on_the_right_has_the_ring_of_the_left_one_too():
    left, right = record(**FIRST), record(256, 0.1)
    first, second, line = plot_landscape(left, right).figure.axes
    assert len(second.collections) == len(first.collections) + 1
    assert list(line.lines[0].get_ydata()) == list(right["line"])
    assert first.get_title(loc="left") == "batch 8, η 0.1" and second.get_title(loc="left") == "batch 256, η 0.1"


def test_the_panel_opens_and_moves_without_torch():
    code = (
        "import sys; from tutorlib.widgets.landscape import LandscapePanel; panel = LandscapePanel(); "
        "panel.controls['rescale'].value = 4.0; print('torch' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.stdout.strip() == "False", answer.stderr
