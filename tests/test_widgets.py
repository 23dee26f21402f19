"""Every control of every panel, driven to both ends and the middle; a swallowed callback error fails the test."""

import itertools
import re
import time

import pytest
import test_two_speeds as two_speeds
from panels import ends_and_middle, idle_controls

from tutorlib.errors import Refused
from tutorlib.experiments import measure_the_noise
from tutorlib.plots.race_panel import AXES
from tutorlib.records import Experiment, Verdict
from tutorlib.results import Results
from tutorlib.store import Store
from tutorlib.study import study
from tutorlib.theory.trade_off import StepTime
from tutorlib.verdicts.measure_the_noise import walk_verdicts
from tutorlib.widgets import run as run_module
from tutorlib.widgets.measure_the_noise import PANELS, ArrowsPanel, WalkPanel
from tutorlib.widgets.panel import Panel, slider
from tutorlib.widgets.predict import Prediction
from tutorlib.widgets.race_two_speeds import DEVICES, RacePanel
from tutorlib.widgets.run import Progress, run, sentence
from tutorlib.widgets.show import WIDGET_VIEW
from tutorlib.widgets.verdicts import lines, show_verdicts, table


@pytest.mark.parametrize("panel_type", PANELS)
def test_every_control_moves_the_figure_and_the_sentence_at_both_ends_and_the_middle(panel_type):
    panel = panel_type()
    assert len(panel.controls) <= 5 and idle_controls(panel, ends_and_middle) == []


def test_a_callback_that_raises_is_not_swallowed():
    class Broken(ArrowsPanel):
        def say(self, batch, draw):
            if batch > 1:
                raise RuntimeError("broken")
            return "fine"

    with pytest.raises(RuntimeError, match="broken"):
        Broken().controls["batch"].value = 2


def test_the_arrows_shrink_as_one_over_root_batch():
    panel = ArrowsPanel()
    scatters = {}
    for batch in (1, 1024):
        panel.controls["batch"].value = batch
        scatters[batch] = float(panel.sentence.value.split("sd ")[1].split()[0])
    assert scatters[1] / scatters[1024] == pytest.approx(32, rel=0.25)


def test_the_walk_panel_says_when_the_scaled_rate_is_too_high():
    panel = WalkPanel()
    panel.controls["rate"].value = 0.5
    assert "too high" in panel.sentence.value
    panel.controls["rate"].value = 0.001
    assert "stable" in panel.sentence.value


def test_a_panel_shows_a_picture_without_a_kernel_and_the_widget_with_one():
    bundle = ArrowsPanel()._repr_mimebundle_()
    assert {"image/png", "text/plain", WIDGET_VIEW} <= set(bundle)
    assert bundle["text/plain"].startswith("Panel: ")


def test_a_panel_without_a_drawing_says_what_is_missing():
    with pytest.raises(TypeError, match="must say how to draw"):
        Panel("empty", only=slider("x", [1, 2], 1))


def test_a_prediction_locks_and_cannot_be_moved_afterwards():
    prediction = Prediction("How many?", (1, 2, 4, 8))
    assert prediction.guess is None
    prediction.range.value = (2, 8)
    prediction.reason.value = "<b>root</b>"
    prediction.button.click()
    assert prediction.guess == (2, 8) and prediction.range.disabled and prediction.button.disabled
    assert "&lt;b&gt;" in prediction.answer.value, "what a learner types is text, not HTML"


def test_a_prediction_refuses_options_out_of_order():
    with pytest.raises(ValueError, match="rising order"):
        Prediction("How many?", (2, 1))


def tiny() -> Experiment:
    experiment = measure_the_noise.WALK
    return experiment.at(
        seeds=2, points=experiment.points[:3], held={**experiment.held, "examples": 128, "destination_steps": 1}
    )


def test_run_shows_progress_and_says_what_it_ran(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("TUTORLIB_CACHE", str(tmp_path))
    shown = []
    monkeypatch.setattr(run_module, "display", shown.append)
    results = run(tiny())
    assert shown[0].bar.value == shown[0].bar.max == len(results) == 6
    assert capsys.readouterr().out == "6 runs, live on cpu, 2 seeds.\n"


def test_stop_keeps_what_was_measured_and_run_again_goes_on(tmp_path):
    experiment, store = tiny(), Store(tmp_path / "walk.jsonl")

    def stop_after_two(done, total):
        if done == 2:
            raise KeyboardInterrupt

    stopped = study(experiment, "cpu", stop_after_two, store)
    assert stopped.stopped and len(stopped) == 2 and "2 of 6 runs are kept" in sentence(stopped)
    whole = study(experiment, "cpu", records=store)
    assert [r.run for r in whole][:2] == [r.run for r in stopped] and len(whole) == 6 and len(store.load()) == 6


def test_progress_says_how_much_is_left(monkeypatch):
    progress = Progress(tiny())
    monkeypatch.setattr(time, "monotonic", lambda: progress.began + 10)
    progress.report(2, 6)
    assert "2 of 6 runs, about 20 s left" in progress.label.value


def test_verdicts_are_shown_with_claim_word_and_interval(tmp_path):
    whole = tiny().at(points=measure_the_noise.WALK.points)
    results = study(whole, "cpu", records=Store(tmp_path / "walk.jsonl"))
    verdicts = walk_verdicts(results)
    shown = show_verdicts(verdicts)
    for verdict in verdicts:
        assert verdict.claim in shown.html and verdict.verdict in shown.html
        assert f"{verdict.claim:<6} {verdict.verdict}" in lines(verdicts)


def verdict(held: str, would_change: str) -> Verdict:
    return Verdict("D0-06", "it <says>", "holds", "a slope", 1.0, 0.5, 2.0, held, would_change)


def test_a_table_says_once_what_rows_in_a_row_share():
    """What was held stands above its rows; what would have changed them, beside the first of those that share it."""
    rows = [verdict("one net", "a"), verdict("one net", "a"), verdict("one net", "b"), verdict("two nets", "b")]
    told = table([*rows, verdict("one net", "b")], "measured")
    assert re.findall(r"(Held: [a-z ]+|rowspan='\d')(?:><small>(.))?", told) == [
        *(("Held: one net", ""), ("rowspan='2'", "a"), ("rowspan='1'", "b")),
        *(("Held: two nets", ""), ("rowspan='1'", "b")),
        *(("Held: one net", ""), ("rowspan='1'", "b")),
    ]
    assert told.count("it &lt;says&gt;") == 5


def race_values():
    panel = RacePanel()
    names = list(panel.controls)
    choices = [[value for _, value in control.options] for control in panel.controls.values()]
    return panel, [dict(zip(names, values, strict=True)) for values in itertools.product(*choices)]


def test_every_value_of_every_control_of_the_race_draws_and_says_something():
    panel = RacePanel()
    assert len(panel.controls) <= 5 and idle_controls(panel) == []


def test_the_race_names_the_cheapest_batch_of_every_unit_at_every_setting():
    panel, settings = race_values()
    for values in settings:
        race, said = panel.races[values["optimizer"]], panel.say(**values)
        fixed = panel.pace.fixed
        price = panel.pace.per_example / DEVICES[values["device"]] / values["ranks"]
        seconds = {b: steps * (fixed + price * b) for b, steps in race.steps.items()}
        costs = {
            "steps": race.steps,
            "examples": {b: b * steps for b, steps in race.steps.items()},
            "FLOPs": {b: b * steps for b, steps in race.steps.items()},
            "seconds": seconds,
        }[values["unit"]]
        soonest = min(seconds, key=seconds.get)
        assert f"Counted in {values['unit']}, batch <b>{min(costs, key=costs.get)}</b> wins" in said
        soon = f"In seconds batch {soonest} is soonest of the nine, " if values["unit"] != "seconds" else "wins, "
        assert f"{soon}{seconds[soonest]:.2g} s" in said
        assert f"= {(race.law.critical * fixed / price) ** 0.5:.0f}, with B_crit" in said
        dollars = 1e6 * seconds[soonest] / 3600 * values["ranks"] * values["price"]
        assert f"${dollars:,.0f}." in said


def test_the_race_marks_the_batch_that_its_sentence_names():
    panel = RacePanel()
    for unit in AXES:
        panel.controls["unit"].value = unit
        _, beside = panel.axes.figure.axes
        best = max((m for m in beside.lines if m.get_marker() == "o"), key=lambda m: m.get_markersize())
        assert f"batch <b>{best.get_xdata()[0]}</b> wins" in panel.sentence.value
        assert unit in panel.axes.get_xlabel()


def test_a_live_clock_is_yours_and_sets_the_pace():
    assert "recorded" in RacePanel().sentence.value and "your clock" not in RacePanel().sentence.value
    mine = RacePanel(two_speeds.clock(small=StepTime(1e-3, 1e-5), update=0.0, spread=0.0))
    assert "your clock" in mine.sentence.value and "recorded" not in mine.sentence.value
    assert mine.pace.fixed == pytest.approx(1e-3) and mine.pace.per_example == pytest.approx(1e-5)
    assert "t₀/c 100" in mine.sentence.value


def test_a_clock_that_was_stopped_early_is_refused_or_used_as_far_as_it_goes():
    whole = two_speeds.clock(seeds=3)
    partial = Results(whole.experiment, tuple(whole)[:30], stopped=True)  # one whole seed
    assert "your clock" in RacePanel(partial).sentence.value
    with pytest.raises(Refused, match="no complete seed"):
        RacePanel(Results(whole.experiment.at(seeds=1), tuple(whole)[:3], stopped=True))
