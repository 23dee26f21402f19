"""The bowl panel: its optimizers are the package's, its numbers those of the bowl, every control moves it."""

import functools
import logging

import numpy as np
import pytest
import torch

from tutorlib.measure.kfac import preconditioned
from tutorlib.nn.matrix_optimizers import muon, shampoo
from tutorlib.nn.optimizers import adamw, lamb, lars, lion, sgd
from tutorlib.plots import style
from tutorlib.plots.bowl_panel import BowlStage
from tutorlib.theory import bowl as bowls
from tutorlib.theory.bowl import BEST, DRAWS, RATES, START, STEPS, Bowl, walks
from tutorlib.widgets.scale_the_optimizer import AXES, OPTIMIZERS, PANELS, BowlPanel

TURNED = Bowl(100.0, 30.0)


def known_curvature(parameter, gradient, state, rate):
    factor = torch.from_numpy(TURNED.factor()).expand(len(gradient), 2, 2)
    return parameter - rate * preconditioned(gradient, factor, factor, 1e-30), None


THEIRS = {
    "SGD": functools.partial(sgd, momentum=0.9),
    "AdamW": adamw,
    "Lion": lion,
    "LARS": functools.partial(lars, trust=1.0),
    "LAMB": lamb,
    "Shampoo": shampoo,
    "K-FAC": known_curvature,
    "Muon": muon,
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_walk_is_what_the_package_s_optimizer_makes_of_it(name):
    found, noise = walks(TURNED, 4, 0.5, steps=25)[name], 0.5 / 2
    root, factor = TURNED.factor(0.5), torch.from_numpy(TURNED.factor())
    draws = noise * root @ np.random.default_rng(0).standard_normal((25, 1, DRAWS, 2, 2)) @ root
    position, state = torch.from_numpy(START).expand(DRAWS, 2, 2), None
    losses = [TURNED.losses(START - BEST)]
    for step, kick in enumerate(torch.from_numpy(draws[:, 0])):
        rate = torch.full((DRAWS, 1, 1), found.rate * (1 - step / 25), dtype=torch.float64)
        gradient = factor @ (position - torch.from_numpy(BEST)) @ factor + kick
        position, state = THEIRS[name](position, gradient, state, rate)
        losses.append(TURNED.losses(position.numpy() - BEST).mean())
    assert found.losses == pytest.approx(np.array(losses), rel=1e-6, abs=1e-12)
    along = TURNED.frame.T @ (position[0].numpy() - BEST) @ TURNED.frame
    assert found.way[-1] == pytest.approx(np.diag(along), abs=1e-7)


@pytest.mark.parametrize("turned", [0.0, 30.0])
def test_the_loss_has_the_four_curvatures_and_its_gradient_is_the_one_walked_along(turned):
    bowl, away = Bowl(400.0, turned), torch.randn(2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    factor = torch.from_numpy(bowl.factor())
    hessian = torch.autograd.functional.hessian(lambda d: (d * (factor @ d @ factor)).sum() / 2, away).view(4, 4)
    assert torch.linalg.eigvalsh(hessian).tolist() == pytest.approx([1 / 400, 1 / 20, 1 / 20, 1.0])
    assert bowl.losses(away.numpy()) == pytest.approx(float(away.flatten() @ hessian @ away.flatten()) / 2)
    steepest = bowl.frame @ np.array([[1.0, 0.0], [0.0, 0.0]]) @ bowl.frame.T
    assert bowl.losses(steepest) == pytest.approx(0.5)


def test_the_best_rate_is_the_one_that_ends_lowest():
    rule, kicks = bowls.rules(TURNED)["AdamW"], np.zeros((STEPS, 1, DRAWS, 2, 2))
    best = bowls.walk(TURNED, rule, kicks)
    for rate in RATES:
        position, state = START, None
        for t in range(1, STEPS + 1):
            step, state = rule(position, TURNED.factor() @ (position - BEST) @ TURNED.factor(), state, t)
            position = position - (1 - (t - 1) / STEPS) * rate * step
        end = TURNED.losses(position - BEST)
        assert end >= best.losses[-1] * (1 - 1e-9)
        if rate == best.rate:
            assert end == pytest.approx(best.losses[-1])


def test_known_curvature_makes_axes_and_condition_disappear_and_adam_minds_the_axes():
    ends = {
        (condition, turned): walks(Bowl(condition, turned), 1, 0.0)
        for condition in (10.0, 1000.0)
        for turned in (0.0, 30.0)
    }
    begun = {key: float(Bowl(*key).losses(START - BEST)) for key in ends}
    assert max(found["K-FAC"].losses[20] / begun[key] for key, found in ends.items()) < 1e-6
    adam = [ends[1000.0, turned]["AdamW"].losses[-1] / begun[1000.0, turned] for turned in (0.0, 30.0)]
    assert adam[1] > 1.5 * adam[0]


def test_noise_is_divided_by_the_batch():
    """Four times the batch and twice the noise of an example are the same walk."""
    for name, walk in walks(TURNED, 16, 1.0).items():
        assert np.array_equal(walk.losses, walks(TURNED, 64, 2.0)[name].losses)
    small, large = (walks(TURNED, batch, 1.0)["K-FAC"].losses[-1] for batch in (1, 1024))
    assert large < small / 30


@pytest.fixture
def panel(caplog):
    with caplog.at_level(logging.WARNING):
        yield BowlPanel()
    assert not [record.getMessage() for record in caplog.records if "Exception in" in record.getMessage()]


def test_every_value_of_every_control_moves_the_figure_and_the_sentence(panel):
    assert len(panel.controls) <= 5 and PANELS == (BowlPanel,)
    for control in panel.controls.values():
        before, pictures, sentences = control.value, set(), set()
        for _, value in control.options:
            control.value = value
            assert panel.picture.startswith(b"\x89PNG")
            pictures.add(panel.picture)
            sentences.add(panel.sentence.value)
        assert len(pictures) == len(sentences) == len(control.options), control.description
        control.value = before


def test_the_sentence_names_place_and_ends_as_they_are(panel):
    for condition, axes in ((1, "turned by 30°"), (1000, "along rows and columns")):
        values = {**panel.values, "condition": condition, "axes": axes}
        found, begun = walks(Bowl(condition, AXES[axes]), 16, 1.0), Bowl(condition, AXES[axes]).losses(START - BEST)
        order = sorted(found, key=lambda name: found[name].losses[-1])
        for place, name in enumerate(order, start=1):
            said = panel.say(**{**values, "optimizer": name})
            assert f"<b>{name}</b> leaves {100 * found[name].losses[-1] / begun:.2g} % of" in said
            assert f"place {place} of eight" in said
            assert f"Lowest: {order[0]} with" in said and f"highest: {order[-1]} with" in said


def test_where_nothing_is_left_the_sentence_says_so_and_the_curve_is_drawn_at_the_bottom(panel):
    panel.controls["noise"].value, panel.controls["optimizer"].value = 0.0, "K-FAC"
    assert "leaves nothing of the loss" in panel.sentence.value
    _, beside = panel.axes.figure.axes
    assert min(min(line.get_ydata()) for line in beside.lines) == pytest.approx(1e-6)


def drawn(axes):
    """The ends of all eight ways and of all eight losses: grey ones are one line with gaps."""
    grey, thick = [line.get_xydata() for line in axes.lines if line.get_linewidth() in (0.9, 2.4)]
    return [*np.split(grey, np.flatnonzero(np.isnan(grey[:, 0])) + 1)[:-1], thick]


def test_the_figure_draws_eight_ways_and_losses_and_names_the_chosen():
    found = walks(TURNED, 16, 1.0)
    axes = BowlStage().show(TURNED, found, "Lion")
    _, beside = axes.figure.axes
    begun = TURNED.losses(START - BEST)
    others = [found[name] for name in OPTIMIZERS if name != "Lion"]
    for path, walk in zip(drawn(axes), [*others, found["Lion"]], strict=True):
        assert np.array_equal(path[: STEPS + 1], walk.way)
    for path, walk in zip(drawn(beside), [*others, found["Lion"]], strict=True):
        assert np.array_equal(path[: STEPS + 1], np.stack([np.arange(STEPS + 1), walk.losses / begun], axis=1))
    assert "Lion" in axes.get_title("left") and "Lion" in {text.get_text() for text in beside.texts}


def test_a_frame_keeps_nothing_of_the_frame_before():
    stage, other = BowlStage(), Bowl(10.0, 0.0)
    stage.show(TURNED, walks(TURNED, 1, 3.0), "Shampoo")
    moved, fresh = (each.show(other, walks(other, 16, 0.0), "SGD") for each in (stage, BowlStage()))
    assert style.png(moved) == style.png(fresh)
