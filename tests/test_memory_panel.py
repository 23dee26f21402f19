"""The memory panel: its record against the predictor, its lines against hand counts, every control, figure and word."""

import functools
import itertools
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from tutorlib import store
from tutorlib.errors import Refused
from tutorlib.experiments.memory_columns import Lines
from tutorlib.experiments.memory_lines import MEMORY_LINES, PICTURES, PRECISIONS, TEXT
from tutorlib.measure.memory.named import OPTIMIZERS, named, report
from tutorlib.measure.memory.predict import predict
from tutorlib.measure.memory.target import GPU
from tutorlib.nn.models import next_token_loss
from tutorlib.nn.transformers import GPT2
from tutorlib.plots.memory_panel import GIB, LOOKS, Bar, plot_memory
from tutorlib.results import Results
from tutorlib.theory.memory import CARDS, KINDS, static_bytes
from tutorlib.theory.memory_line import Length, MemoryLine, Place
from tutorlib.theory.recipes import CHANGES, RECIPES, Recipe
from tutorlib.theory.shapes import SHAPES, GPT2Shape
from tutorlib.trials import memory_lines as trial
from tutorlib.widgets.fit_the_memory import BATCHES, MIB, PANELS, MemoryPanel, times

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def lines():
    return Lines.read(store.recorded(MEMORY_LINES))


@pytest.fixture
def panel():
    return MemoryPanel()


@functools.cache
def followed(model, time, micro_batch, recipe, accumulation=1):
    options = {"attention": recipe.attention, "checkpointing": recipe.checkpointing} if model in TEXT else {}
    made, loss, example = named(model, time, **options)
    how = {"precision": recipe.precision, "target": GPU, "accumulation": accumulation}
    return predict(made, loss, example, OPTIMIZERS[recipe.optimizer], micro_batch=micro_batch, **how)


# The record against the predictor


UNRECORDED = [
    ("gpt2", 384, 5, Recipe(), 1),
    ("gpt2", 640, 6, Recipe(attention="math"), 1),
    ("gpt2", 512, 3, Recipe(optimizer="momentum"), 2),
    ("gpt2", 1024, 1, Recipe("bf16", optimizer="fused AdamW"), 1),
    ("gpt2", 256, 40, Recipe("fp32", checkpointing=True), 1),
    ("vit-b", 1, 24, Recipe("bf16"), 1),
    ("resnet50", 1, 256, Recipe(), 2),
    ("llama-1b", 2048, 3, Recipe("fp32", checkpointing=True), 1),
]


@pytest.mark.parametrize(("model", "time", "micro_batch", "recipe", "accumulation"), UNRECORDED)
def test_a_point_that_was_not_recorded_agrees_with_the_predictor_within_a_thousandth(
    lines, model, time, micro_batch, recipe, accumulation
):
    trace = followed(model, 1024 if time == 1 else time, micro_batch, recipe, accumulation)
    parts = lines.line(model, recipe).parts(micro_batch, time, accumulation)
    assert parts.sum() == pytest.approx(trace.peak, rel=1e-3)
    for kind, here, there in zip(KINDS, parts, trace.parts().values(), strict=True):
        assert here == pytest.approx(there, abs=1e-3 * trace.peak), kind


@pytest.mark.parametrize("attention", ["fused", "math"])
def test_the_largest_micro_batch_of_a_card_is_the_command_line_s_or_one_or_a_fourteenth_more(lines, attention):
    told = report("gpt2", micro_batch=8, attention=attention)["largest"]
    line = lines.line("gpt2", Recipe(attention=attention))
    for card, room in CARDS.items():  # the command line predicts what it prints, the panel reads its line
        ours = line.largest(room * MIB, 1024)
        assert told[card] <= ours <= max(told[card] + 1, told[card] * 15 / 14) and told[card] > 2


def test_a_record_is_what_the_trial_measures_now():
    (record,) = [
        r
        for r in store.recorded(MEMORY_LINES)
        if {"model": "gpt2", "precision": "bf16", "checkpointing": False}.items() <= r.run.settings.items()
    ]
    (fresh,) = trial.lines([record.run], "cpu")
    assert set(fresh) == set(record.values)
    for name, value in fresh.items():
        assert value == pytest.approx(record[name], rel=1e-6), name


def test_parts_sum_to_the_peaks_that_the_fitted_line_goes_through():
    records = list(store.recorded(MEMORY_LINES))
    assert len(records) == len(MEMORY_LINES.points) == 38
    for r in records:
        for size in ("small", "large"):
            passes = np.reshape(r[f"places_{size}"], (-1, len(KINDS))).sum(axis=1)
            assert max(passes) == pytest.approx(r["fixed"] + r["per_example"] * r[size], rel=1e-9)
        assert sum(r["step"]) == r["floor"] and 1 <= r["reserved"] < 1.35


def test_what_is_allocated_depends_on_batch_times_length_alone_where_attention_is_fused():
    long, short = followed("gpt2", 1024, 16, Recipe()), followed("gpt2", 512, 32, Recipe())
    assert long.peak == short.peak and long.reserved == short.reserved


def test_no_part_is_ever_less_than_nothing(lines):
    for model, recipe in itertools.product((*TEXT, *PICTURES), RECIPES):
        if line := lines.line(model, recipe):
            for time, batch, pieces in itertools.product(times(model), BATCHES, (1, 2)):
                parts = line.parts(batch, time, pieces)
                assert parts.min() >= 0, (model, recipe, time, batch)


def test_the_record_has_every_recipe_of_a_text_and_the_precisions_of_an_image(lines):
    for model in TEXT:
        assert all(lines.line(model, recipe) for recipe in RECIPES)
    for model in PICTURES:
        assert {r.precision for r in RECIPES if lines.line(model, r)} == set(PRECISIONS)
        assert lines.line(model, Recipe(checkpointing=True)) is lines.line(model, Recipe(attention="math")) is None


# The line, by hand


def parts(**sizes):
    return np.array([sizes.get(kind.split()[0], 0.0) for kind in KINDS])


def test_two_lengths_give_back_any_square_and_its_mask():
    def through(s):
        return Length(s, parts(activations=7.0 + 2 * s * s), parts(activations=5.0 * s + 3 * s * s, logits=11.0 * s))

    place = Place((through(4), through(16)))
    for s in (1, 4, 9, 16, 50):
        assert np.allclose(place.at(s).fixed, through(s).fixed) and np.allclose(
            place.at(s).per_example, through(s).per_example
        )


def made_up(reserved=1.0):
    early = Length.through(10, 2, 4, parts(parameters=4, activations=20), parts(parameters=4, activations=40))
    late = Length.through(
        10, 2, 4, parts(parameters=4, gradients=30, activations=2), parts(parameters=4, gradients=30, activations=4)
    )
    step = parts(parameters=4, gradients=4, optimizer=8, workspace=5)
    return MemoryLine((Place((early,)), Place((late,))), step, reserved)


def test_a_peak_is_the_largest_of_its_places_and_the_step():
    line = made_up()
    assert line.parts(2, 10).sum() == 36 and line.parts(2, 10)[KINDS.index("gradients")] == 30  # late
    assert line.parts(9, 10).sum() == 94 and line.parts(9, 10)[KINDS.index("gradients")] == 0  # early
    assert line.parts(18, 5).sum() == 94  # as many tokens
    assert line.parts(9, 10, accumulation=3).sum() == 98  # gradients stay
    bare = MemoryLine(line.places[:1], line.step, 1.0)
    assert np.array_equal(bare.parts(1, 10), line.step) and bare.largest(20, 10) == 0


def test_what_is_reserved_decides_and_not_what_is_allocated(lines):
    assert made_up().largest(94, 10) == 9 and made_up(1.2).largest(94, 10) == 7
    line, recipe = lines.line("gpt2", Recipe()), Recipe()
    trace = followed("gpt2", 1024, 16, recipe)
    assert line.bytes(16, 1024) == pytest.approx(trace.reserved, rel=1e-9) and trace.reserved > 1.02 * trace.peak
    assert line.largest(trace.peak, 1024) < 16 <= line.largest(trace.reserved + 1, 1024)


def test_another_optimizer_changes_the_state_and_takes_no_room_to_step():
    line = made_up().with_optimizer("8-bit AdamW", 1000, "fp32")
    state = static_bytes(1000, "fp32", "8-bit AdamW").optimizer_state
    assert state == 2 * 1000 * (1 + 4 / 256)
    assert line.step.sum() == 4 + 4 + state + 1 and line.parts(9, 10).sum() == 94 + state
    with pytest.raises(Refused, match="optimizer is 'Adagrad'"):
        made_up().with_optimizer("Adagrad", 10, "fp32")


def test_sizes_that_are_none_are_refused():
    for wrong in ({"micro_batch": 0}, {"time": 0}, {"accumulation": 0}):
        with pytest.raises(Refused, match=f"{next(iter(wrong))} is 0"):
            made_up().parts(**{"micro_batch": 1, "time": 10, **wrong})


# What the changes cost


def operations(checkpointing):
    model = GPT2(GPT2Shape(64, 4, 3, 64, 64), "math", checkpointing)
    tokens = torch.zeros(2, 64, dtype=torch.long)
    with FlopCounterMode(display=False) as counted:
        next_token_loss(model(tokens), tokens).backward()
    return counted.get_total_flops()


def test_checkpointing_adds_no_more_than_a_third_to_the_compute():
    (change,) = [change for change in CHANGES if change.compute > 1]
    ratio = operations(True) / operations(False)
    assert change.name == "checkpointing" and 1.2 < ratio <= change.compute == 4 / 3


def test_bf16_loses_updates_below_a_512th_of_a_weight_and_not_all_above():
    weights = torch.linspace(1, 2, 1000).bfloat16()
    assert torch.equal((weights.float() * (1 + 0.99 / 512)).bfloat16(), weights)
    assert not torch.equal((weights.float() * (1 + 1.1 / 512)).bfloat16(), weights)


def test_every_change_is_one_step_to_another_recipe_and_none_is_offered_twice():
    for recipe in RECIPES:
        for change in CHANGES:
            changed = change.applied(recipe)
            if changed is not None:
                assert changed != recipe and change.applied(changed) is None
                assert sum(getattr(changed, n) != getattr(recipe, n) for n in vars(recipe)) == 1
    assert CHANGES[0].applied(Recipe()) is None and CHANGES[0].applied(Recipe(attention="math")) == Recipe()


# The panel


def states(panel):
    for model in (*TEXT, *PICTURES):
        recipes = panel.recipes(model).values()
        for card, batch, time, recipe in itertools.product(CARDS, (1, 32, 1024), times(model), recipes):
            yield {"model": model, "card": card, "batch": batch, "time": time, "recipe": recipe}


def naive_largest(line, room, time, pieces=1, limit=600):
    """Counting upwards, one more at a time."""
    fitting = 0
    while fitting < limit and line.bytes(fitting + 1, time, pieces) <= room:
        fitting += 1
    return fitting


def test_every_value_of_every_control_changes_what_is_seen_and_said(panel):
    assert len(panel.controls) == 5 and PANELS == (MemoryPanel,)
    for name, control in panel.controls.items():
        before, seen = panel.values, set()
        for _, value in control.options:
            control.value = value
            assert panel.picture.startswith(b"\x89PNG") and panel.image.value == panel.picture
            seen.add((panel.picture, panel.sentence.value))
        assert len(seen) == len(control.options), f"{name} changes nothing at some value"
        for other, value in before.items():
            panel.controls[other].value = value


def test_a_model_brings_its_own_lengths_and_recipes_in_one_frame(panel, monkeypatch):
    panel.controls["time"].value, panel.controls["recipe"].value = 512, Recipe(checkpointing=True)
    frames = []
    monkeypatch.setattr(MemoryPanel, "say", lambda self, **values: frames.append(values) or "said")
    panel.controls["model"].value = "llama-3-8b"
    assert frames == [panel.values] and panel.values["time"] == 512 and panel.values["recipe"].checkpointing
    assert max(value for _, value in panel.controls["time"].options) == SHAPES["llama-3-8b"].context
    panel.controls["model"].value = "resnet50"
    assert len(frames) == 2 and panel.values["time"] == 1 and panel.values["recipe"] == Recipe()
    panel.controls["model"].value = "gpt2"
    assert len(frames) == 3 and panel.values["time"] == 1024


def test_the_sentence_names_the_largest_micro_batch_and_a_plan_that_fits_and_keeps_the_batch(panel):
    for values in itertools.islice(states(panel), 0, None, 61):
        said, room = panel.say(**values), CARDS[values["card"]] * MIB
        line, time, batch = panel.lines.line(values["model"], values["recipe"]), values["time"], values["batch"]
        most = naive_largest(line, room, time)
        if most >= 600:
            continue
        assert f"{line.bytes(batch, time) / GIB:,.1f} GiB where {values['card']} has" in said
        if not most:
            assert "<b>not even one example</b> fits" in said
        else:
            assert f"<b>{most:,}</b>" in said and ("it fits" in said) == (most >= batch)
        if pieces := re.search(r"<b>([\d,]+) × ([\d,]+)</b>", said):
            micro, passes = (int(number.replace(",", "")) for number in pieces.groups())
            assert most < batch == micro * passes and micro <= naive_largest(line, room, time, 2) < 2 * micro


def test_changes_are_ranked_by_whether_they_fit_then_by_price_and_none_is_idle(panel):
    ranked = 0
    for values in itertools.islice(states(panel), 0, None, 29):
        room, batch = CARDS[values["card"]] * MIB, values["batch"]
        now = panel.lines.line(values["model"], values["recipe"])
        better = panel.better(**values)
        ranked += len(better) > 1
        for each in better:
            assert each.largest == each.line.largest(room, values["time"])
            less = each.line.bytes(batch, values["time"]) < now.bytes(batch, values["time"])
            assert less or each.largest > now.largest(room, values["time"])
        fitting = [each for each in better if each.largest >= batch]
        assert better[: len(fitting)] == fitting
        assert [e.change.compute for e in fitting] == sorted(e.change.compute for e in fitting)
        rest = [each.largest for each in better[len(fitting) :]]
        assert rest == sorted(rest, reverse=True)
        said = panel.say(**values)
        assert all(f"<b>{each.change.name}</b> ({each.holds}, {each.change.price})" in said for each in better[:3])
    assert ranked > 20


def test_a_bar_is_what_is_reserved_and_a_cross_is_what_does_not_fit(panel):
    for values in itertools.islice(states(panel), 0, None, 97):
        axes, room = panel.draw(**values), CARDS[values["card"]] * MIB / GIB
        used, unused = axes.collections
        line = panel.lines.line(values["model"], values["recipe"])
        ends = [path.vertices[:, 0].max() for path in unused.get_paths()]
        assert ends[0] == pytest.approx(line.bytes(values["batch"], values["time"]) / GIB)
        widths = [np.ptp(path.vertices[:, 0]) for path in used.get_paths()[: len(LOOKS) - 1]]
        assert sum(widths) == pytest.approx(line.parts(values["batch"], values["time"]).sum() / GIB, rel=5e-3)
        words = [text.get_text() for text in axes.texts]
        assert ["✗" in word for word in words] == [end > room for end in ends] and 1 <= len(words) <= 5
        assert axes.lines[0].get_xdata()[0] == pytest.approx(room)


def test_pieces_of_a_bar_sum_to_what_is_reserved():
    bar = Bar("x", np.array([1.0, 2, 3, 4, 5, 6, 7]), 30.0)
    assert list(bar.pieces) == [1, 2, 3, 4, 5, 13, 2] and len(bar.pieces) == len(LOOKS)
    assert plot_memory([bar], "made up", 20.0).texts[0].get_text().startswith("✗")


def test_a_missing_record_ends_in_a_sentence(monkeypatch, tmp_path):
    whole = store.recorded(MEMORY_LINES)
    with pytest.raises(Refused, match=r"2 of 38 points of 'memory_lines' have no record.*python -m tutorlib record"):
        MemoryPanel(Results(MEMORY_LINES, tuple(whole)[:-2], recorded=True))
    monkeypatch.setattr(store, "PACKAGE", tmp_path)
    with pytest.raises(Refused, match="no recorded runs of 'memory_lines' ship"):
        MemoryPanel()


def test_the_panel_moves_without_torch():
    code = (
        "import sys; from tutorlib.widgets.fit_the_memory import MemoryPanel; panel = MemoryPanel(); "
        "panel.controls['model'].value = 'llama-3-8b'; print(len(panel.picture) > 5000, 'torch' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.stdout.split() == ["True", "False"], answer.stderr
