"""The plan panel: every control at every value, figure, sentence, numbers and text; what is drawn is the plan's."""

import json
import re

import pytest
from matplotlib.collections import PatchCollection

from tutorlib.plots.plan_panel import LAST, SQUARES, drawn, plot_plan
from tutorlib.theory.flags import TRAINERS, flags
from tutorlib.theory.plan import WINDOWS, Plan
from tutorlib.widgets.start_here import PANELS, PRESETS, PlanPanel, Preset

PLAN_D = "the documents' plan D: 4 × 8"


@pytest.fixture(scope="module")
def panel():
    return PlanPanel()


def test_every_value_of_every_control_changes_what_is_seen_and_said(panel):
    assert len(panel.controls) <= 5 and PANELS == (PlanPanel,)
    for name, control in panel.controls.items():
        before, seen = panel.values, set()
        for _, value in control.options:
            control.value = value
            assert panel.picture.startswith(b"\x89PNG") and panel.image.value == panel.picture
            seen.add((panel.picture, panel.sentence.value, panel.numbers.value, panel.paste.value))
        assert len(seen) == len(control.options), f"{name} changes nothing at some value"
        for other, value in before.items():
            panel.controls[other].value = value


def test_the_panel_opens_on_a_plan_that_leaves_nothing_over_and_so_gives_no_bet_away(panel):
    assert "Batch 80, as wanted." in panel.sentence.value and "Every window is full." in panel.sentence.value
    assert not re.search(r"31[23]", panel.sentence.value + panel.numbers.value + panel.paste.value)


def test_the_figure_itself_moves_with_every_control(panel):
    panel.controls["preset"].value = PLAN_D
    for name, control in panel.controls.items():
        before, pictures = panel.values, set()
        for value in (control.options[0][1], control.options[len(control.options) // 2][1], control.options[-1][1]):
            control.value = value
            pictures.add(panel.picture)
        assert len(pictures) >= (2 if name == "trainer" else 3), name
        for other, value in before.items():
            panel.controls[other].value = value


def test_sentence_numbers_and_text_are_those_of_the_plan(panel):
    for trainer in TRAINERS:
        panel.controls["trainer"].value = trainer
        for preset in list(PRESETS)[3:7]:
            panel.controls["preset"].value = preset
            plan = panel.plan(**panel.values)
            assert plan.window == TRAINERS[trainer].window
            assert f"<b>{plan.updates_per_epoch:,}</b> updates" in panel.sentence.value
            assert f"{plan.updates_per_epoch:,}, {plan.updates:,}<" in panel.numbers.value
            assert f"{plan.samples_seen:,}, {plan.samples_used:,}<" in panel.numbers.value
            assert panel.paste.value == flags(plan, trainer)
            assert (TRAINERS[trainer].says in panel.sentence.value) == bool(plan.leftover_micro_batches)
            assert f"batch {plan.batch:,} =" in panel.axes.get_title(loc="left")


def test_a_preset_sets_the_plan_in_one_frame(panel, monkeypatch):
    panel.controls["preset"].value = "the documents' plan A: 32 × 1"
    frames = []
    monkeypatch.setattr(PlanPanel, "say", lambda self, **values: frames.append(values) or "said")
    panel.controls["preset"].value = "the documents' five devices: 4 × 4 × 5"
    assert len(frames) == 1 and [frames[0][n] for n in ("micro_batch", "accumulation", "ranks")] == [4, 4, 5]


def test_the_documents_half_is_said_and_where_it_goes():
    panel = PlanPanel()
    panel.controls["preset"].value = PLAN_D
    assert "Batch 32, as wanted. 10,000 ÷ 32 is 312.5;" in panel.sentence.value and "<b>313</b>" in panel.sentence.value
    assert "The last window has 4 of its 8 micro-batches" in panel.sentence.value
    panel.controls["preset"].value = "plan A with drop_last"
    assert "<b>312</b>" in panel.sentence.value and ">0, 16<" in panel.numbers.value
    assert "drop_last keeps 16 examples out of each epoch" in panel.sentence.value
    panel.controls["preset"].value = "the documents' plan A: 32 × 1"
    assert "16 examples, each counts 2 ×" in panel.numbers.value
    assert "The last micro-batch has 16 examples, not 32: each of them counts 2 times" in panel.sentence.value
    panel.controls["preset"].value = "200 examples, 32 wanted"
    panel.controls["micro_batch"].value, panel.controls["accumulation"].value = 8, 5
    assert panel.sentence.value.endswith("Every window is full.")


def test_a_batch_that_ranks_cannot_reach_is_said_in_one_sentence():
    panel = PlanPanel()
    panel.controls["preset"].value = PLAN_D
    panel.controls["ranks"].value = 5
    assert (
        "You wanted 32, no multiple of 5 ranks; nearest are 30 (3 × 2 × 5) and 35 (1 × 7 × 5)." in panel.sentence.value
    )
    panel.controls["ranks"].value = 2
    assert "Batch 64. You wanted 32, which is 4 × 4 × 2." in panel.sentence.value


def test_a_loop_of_your_own_on_several_ranks_divides_the_examples_itself():
    panel = PlanPanel()
    panel.controls["trainer"].value, panel.controls["ranks"].value = "a loop that zeroes every epoch", 5
    assert "DistributedSampler(dataset" in panel.paste.value and "DistributedDataParallel" in panel.paste.value
    panel.controls["ranks"].value = 1
    assert "Distributed" not in panel.paste.value and "shuffle=True" in panel.paste.value


def test_your_own_data_may_have_any_sizes_and_a_plan_that_leaves_nothing_is_refused_in_a_sentence():
    panel = PlanPanel(Preset(Plan(100, 7, 6, ranks=1, drop_last=True), wanted=42, tokens=10))
    assert panel.values["preset"] == "your own" and "Batch 42, as wanted" in panel.sentence.value
    assert "420 tokens" in panel.numbers.value and "<b>3</b> updates" in panel.sentence.value
    before = panel.picture
    panel.controls["ranks"].value, panel.controls["micro_batch"].value = 8, 64
    assert panel.sentence.value.startswith("✗ drop_last leaves none of 100 examples")
    assert panel.paste.value == panel.numbers.value == ""
    panel.controls["micro_batch"].value, panel.controls["ranks"].value = 7, 1
    assert panel.picture == before and panel.paste.value


def test_what_is_pasted_can_be_selected(panel):
    assert type(panel.paste).__name__ == "Textarea" and panel.paste in panel.widget.children
    panel.controls["trainer"].value = "DeepSpeed"
    assert json.loads(panel.paste.value)["train_batch_size"] == panel.plan(**panel.values).batch


def test_at_most_so_many_squares_and_always_the_end():
    for total in (1, 2, 24, SQUARES - 1, SQUARES, SQUARES + 1, 313, 2500, 100_000):
        for end in (0, 1, 12, 40, 200):
            places = drawn(total, end)
            assert 1 in places and total in places and len(places) <= SQUARES
            assert list(places.values()) == sorted(set(places.values())) and max(places.values()) < SQUARES
            assert list(places) == sorted(places) and (len(places) == total if total <= SQUARES else True)
            if total > SQUARES:
                assert set(range(total - min(end, SQUARES - 12) + 1, total + 1)) <= set(places)
                assert sum(n + 1 not in places for n in places) == 2, "one gap, and the end"


def squares(axes):
    """Patches per collection: full windows and the last one, for each row."""
    return [len(c.get_paths()) for c in axes.collections if isinstance(c, PatchCollection)]


def triangles(axes):
    return [len(line.get_xdata()) for line in axes.lines if line.get_marker() == "v"]


@pytest.mark.parametrize("window", WINDOWS)
def test_a_short_epoch_is_drawn_square_by_square_and_step_by_step(window):
    for plan in (Plan(45, 2, 4, epochs=2, window=window), Plan(45, 2, 4, epochs=3, window=window)):
        axes = plot_plan(plan)
        total, left = plan.micro_batches_per_epoch, [plan.leftover_micro_batches] * 2
        if window == "carried":
            left = [plan.waiting(1), plan.waiting(2)]
        assert squares(axes) == [total - left[0], left[0], total - left[1], left[1]]
        assert triangles(axes) == [len(plan.updates_of(0)), len(plan.updates_of(1))]
        words = " ".join(text.get_text() for text in axes.texts)
        last = LAST[window][1].format(full=4) if plan.epochs > 2 or window not in ("carried", "leaked") else "lost"
        assert last in words and ("(3 of epoch 1)" in words) == (window in ("carried", "leaked"))


def test_windows_look_different_without_colour():
    looks = [
        (look.get("hatch"), look.get("facecolor"), look.get("alpha"), look.get("edgecolor"))
        for look, _ in LAST.values()
    ]
    assert len(set(looks)) == len(looks) == len(WINDOWS)


def test_a_step_with_another_count_than_the_full_one_says_its_count():
    words = [text.get_text() for text in plot_plan(Plan(10_000, 4, 8, epochs=2, window="leaked")).texts]
    assert "8" in words and "12 (4 of epoch 1)" in words
    words = [text.get_text() for text in plot_plan(Plan(10_000, 4, 8, epochs=2, window="shrunk")).texts]
    assert words.count("4") == 2 and "last 4: stepped, but divided by 8" in words


def test_a_short_last_micro_batch_is_a_lower_square():
    axes = plot_plan(Plan(10_000, 32))
    heights = [path.vertices[:, 1].max() for c in axes.collections for path in c.get_paths()]
    assert min(heights) == pytest.approx(max(heights) / 2) == heights[-1]


def test_text_is_one_line_each_and_says_what_is_done():
    for trainer in TRAINERS.values():
        assert "\n" not in trainer.says and re.match(r"(steps|counts|starts) ", trainer.says)
