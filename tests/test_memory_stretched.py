"""Traces made of two others against those that were followed, and what is told where they do not agree."""

import functools
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tutorlib.measure.memory import named
from tutorlib.measure.memory.line import PeakLine, peak_line
from tutorlib.measure.memory.predict import predict
from tutorlib.measure.memory.stretched import same, stretched
from tutorlib.measure.memory.target import CPU, GPU
from tutorlib.nn.models import next_token_loss
from tutorlib.nn.transformers import GPT2
from tutorlib.theory.shapes import GPT2Shape

TEXT = torch.zeros(2, 24, dtype=torch.long)
PICTURES = torch.zeros(2, 3, 16, 16), torch.zeros(2, dtype=torch.long)
ROWS = torch.zeros(2, 16), torch.zeros(2, dtype=torch.long)


def gpt(**options):
    return GPT2(GPT2Shape(64, 4, 2, 128, 64), **options), next_token_loss, (TEXT, TEXT)


def convolutions():
    layers = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(2048, 10)
    return nn.Sequential(*layers), F.cross_entropy, PICTURES


def mlp():
    return nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Linear(64, 10)), F.cross_entropy, ROWS


class Pairs(nn.Linear):
    """Every example beside every other one, as contrastive losses do."""

    def forward(self, x):
        out = super().forward(x)
        return out @ out.T


def pairs():
    return Pairs(16, 8), lambda likeness, targets: likeness.exp().mean(), ROWS


class Branching(nn.Linear):
    """Goes another way from 40 examples on."""

    def forward(self, x):
        out = super().forward(x)
        return out.tanh().exp() if len(x) >= 40 else out


def branching():
    return Branching(16, 10), F.cross_entropy, ROWS


def at(made, **plan):
    return functools.cache(lambda size: predict(*made(), micro_batch=size, **plan))


@pytest.mark.parametrize(
    ("made", "plan"),
    [
        (gpt, {"target": GPU, "precision": "autocast"}),
        (functools.partial(gpt, attention="math"), {"target": GPU, "precision": "bf16", "accumulation": 2}),
        (functools.partial(gpt, checkpointing=True), {"target": CPU}),
        (functools.partial(gpt, attention="math", dropout=0.1), {"target": CPU, "precision": "autocast"}),
        (convolutions, {"target": GPU}),
        (mlp, {"target": CPU, "optimizer": functools.partial(torch.optim.SGD, lr=0.1)}),
    ],
)
def test_a_trace_made_of_two_is_the_one_that_was_followed(made, plan):
    follow = at(made, **plan)
    foretold = stretched(follow, (8, 16))
    for size in (1, 2, 11, 160):
        one, other = foretold(size), follow(size)
        assert same(one, other)
        assert (one.peak, one.reserved, one.first_step) == (other.peak, other.reserved, other.first_step)
        assert one.parts() == other.parts()
    assert not same(foretold(11), follow(12))


def test_one_byte_or_another_life_is_told_and_the_order_of_deaths_with_no_birth_between_is_not():
    trace = at(gpt, precision="autocast")(2)
    number, block = next(
        (i, b) for i, b in enumerate(trace.blocks) if b.died and b.died - 1 in {other.died for other in trace.blocks}
    )
    twin = next(i for i, b in enumerate(trace.blocks) if b.died == block.died - 1)

    def changed(which: dict):
        blocks = list(trace.blocks)
        for i, change in which.items():
            blocks[i] = replace(blocks[i], **change)
        return replace(trace, blocks=tuple(blocks))

    assert same(trace, changed({}))
    assert same(trace, changed({number: {"died": block.died - 1}, twin: {"died": block.died}}))
    assert not same(trace, changed({3: {"bytes": trace.blocks[3].bytes + 1}}))
    assert not same(trace, changed({number: {"died": trace.end}}))
    assert not same(trace, changed({number: {"died": None}}))
    assert not same(trace, changed({3: {"layer": "elsewhere"}})) and not same(trace, changed({3: {"kind": "examples"}}))
    assert not same(trace, replace(trace, blocks=trace.blocks[:-1]))


def test_squares_and_branches_are_not_foretold():
    follow = at(pairs)
    assert not same(stretched(follow, (8, 16))(200), follow(200))
    follow = at(branching)
    assert same(stretched(follow, (8, 16))(39), follow(39))
    assert not same(stretched(follow, (8, 16))(40), follow(40))
    assert stretched(follow, (32, 64)) is follow


@pytest.mark.parametrize(("made", "trusted"), [(mlp, True), (pairs, False), (branching, False)])
def test_what_a_card_is_told_is_what_following_every_step_tells(made, trusted, monkeypatch):
    monkeypatch.setattr(named, "CARDS", {"full": 1, "small": 50, "middle": 100, "large": 400})
    asked, follow = [], at(made, target=GPU)

    def counted(size):
        asked.append(size)
        return follow(size)

    line = peak_line(follow, (16, 32), reserved=True)
    told = named.largest_on_cards(functools.cache(counted), line, (16, 32))
    followed = {card: named.fitting(follow, line, room * named.MIB) for card, room in named.CARDS.items()}
    assert told == followed
    assert told["full"] == 0 < told["small"] < told["middle"] < told["large"]
    assert (len(asked) <= 5) == trusted  # the two, one example, the smallest answer and the largest


def test_where_no_card_fits_one_example_is_followed_and_says_so(monkeypatch):
    monkeypatch.setattr(named, "CARDS", {"full": 1})
    assert named.largest_on_cards(at(mlp, target=GPU), PeakLine(0.0, 1e5, 0.0), (8, 16)) == {"full": 0}
