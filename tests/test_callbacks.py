"""The batch meter in a plain loop: it equals the instrument on the same gradients, and nothing it hears is changed."""

import copy
import sys

import callback_on_ranks as asked
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint

from tutorlib.callbacks.meter import BatchMeter, sizes, tensorboard
from tutorlib.errors import Refused
from tutorlib.measure.noise import micro_batch_noise
from tutorlib.measure.parallel import on_ranks
from tutorlib.measure.running_noise import square
from tutorlib.nn.data import digits
from tutorlib.nn.models import make
from tutorlib.theory.noise import two_batch_estimates

torch.set_num_threads(1)
MICRO, K = 8, 4
BATCH = MICRO * K


def windows(count, seed=0, k=K, micro=MICRO):
    """At most 512 / (k · micro) windows of micro-batches of digits."""
    data = digits(512)
    order = torch.from_numpy(np.random.default_rng(seed).permutation(512))
    parts = [(data.x[chosen].double(), data.y[chosen]) for chosen in order[: count * k * micro].split(micro)]
    return [parts[i : i + k] for i in range(0, len(parts), k)]


def train(given, meter=None, *, rate=0.1, divisor=None, scale=1.0, clip=None, seen=None, model=None):
    """A loop as it stands in a thousand scripts; ``seen`` collects every micro-batch's mean gradient."""
    model = model or make("mlp", 0).double()
    meter = meter and meter(model)
    for window in given:
        for x, y in window:
            loss = cross_entropy(model(x), y)
            if seen is not None:
                gradients = torch.autograd.grad(loss, list(model.parameters()), retain_graph=True)
                seen.append(torch.cat([g.flatten() for g in gradients]))
            (loss * scale / (divisor or len(window))).backward()
            if meter:
                meter.part((x, y))
        for p in model.parameters():
            p.grad /= scale
        if meter:
            meter.update(divisor=divisor, scale=scale)
        if clip:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        with torch.no_grad():
            for p in model.parameters():
                p -= rate * p.grad
        model.zero_grad()
    return model, meter


def of_instrument(seen, draws, k=K, micro=MICRO):
    """The house's own estimate, fed with these gradients in turn."""
    rows = iter(seen)
    return micro_batch_noise(lambda batch: next(rows), micro, k, draws)


def listening(log=lambda values, step: None, **options):
    return lambda model: BatchMeter(model, log, **options)


@pytest.mark.parametrize(
    "how",
    [{}, {"divisor": 1}, {"divisor": 7}, {"scale": 1024.0}, {"clip": 1e-3}, {"divisor": 2, "scale": 8.0}],
    ids=str,
)
def test_the_noise_scale_is_the_instruments_on_the_same_gradients(how):
    seen = []
    _, meter = train(windows(12), listening(every=5), seen=seen, **how)
    meter.values()  # two updates of twelve are pending
    theirs = of_instrument(seen, 12)
    assert meter.draws.trace_draws == pytest.approx(theirs.trace_draws, rel=1e-9)
    assert meter.draws.grad_sq_draws == pytest.approx(theirs.grad_sq_draws, rel=1e-9)
    assert meter.values()["noise/scale"] == pytest.approx(theirs.scale.value, rel=1e-9)
    assert meter.values()["noise/scale_high"] == pytest.approx(theirs.scale.high, rel=1e-9)


def test_weights_are_bit_for_bit_those_without_a_meter():
    for how in ({}, {"clip": 0.1}, {"scale": 1024.0}):
        alone, _ = train(windows(6), **how)
        heard, _ = train(windows(6), listening(every=2), **how)
        assert all(torch.equal(a, b) for a, b in zip(alone.parameters(), heard.parameters(), strict=True))


def test_the_random_stream_is_left_alone():
    def stream(meter):
        torch.manual_seed(3)
        model = nn.Sequential(nn.Linear(64, 32), nn.Dropout(0.5), nn.Linear(32, 10)).double()
        return train(windows(4), meter, model=model)[0].state_dict(), torch.rand(1)

    (alone, after), (heard, later) = stream(None), stream(listening(every=1))
    assert after == later and all(torch.equal(alone[name], heard[name]) for name in alone)


def test_only_the_last_updates_are_averaged_and_all_are_with_room():
    seen = []
    _, meter = train(windows(12), listening(every=1, keep=5), seen=seen)
    assert meter.draws.trace_draws == pytest.approx(of_instrument(seen[7 * K :], 5).trace_draws)


def test_with_listen_the_noise_is_that_of_every_nth_update_and_all_are_counted():
    logged, seen = [], []
    options = {"every": 1, "listen": 3, "keep": 2}
    heard, meter = train(windows(9), listening(lambda *line: logged.append(line[0]), **options), seen=seen)
    parts = [gradient for n in (3, 6) for gradient in seen[n * K : (n + 1) * K]]  # the first, the fourth, the seventh
    assert meter.draws.trace_draws == pytest.approx(of_instrument(parts, 2).trace_draws, rel=1e-9)
    assert meter.draws.grad_sq_draws == pytest.approx(of_instrument(parts, 2).grad_sq_draws, rel=1e-9)
    assert [values["batch/examples"] for values in logged] == [BATCH] * 9
    alone, _ = train(windows(9))
    assert all(torch.equal(a, b) for a, b in zip(alone.parameters(), heard.parameters(), strict=True))


def test_a_short_window_counts_its_own_examples_and_still_gives_noise():
    logged, seen = [], []
    given = [*windows(3), windows(1)[0][:2]]
    _, meter = train(given, listening(lambda *line: logged.append(line), every=1), seen=seen, divisor=K)
    assert [values["batch/examples"] for values, _ in logged] == [BATCH, BATCH, BATCH, 2 * MICRO]
    assert [values["batch/accumulation"] for values, _ in logged] == [K, K, K, 2]
    assert [step for _, step in logged] == [1, 2, 3, 4]
    whole, parts = torch.stack(seen[-2:]).mean(0).square().sum(), torch.stack(seen[-2:]).square().sum(1).mean()
    expected = two_batch_estimates(float(parts), float(whole), MICRO, 2 * MICRO)
    assert (meter.draws.trace_draws[-1], meter.draws.grad_sq_draws[-1]) == pytest.approx(expected)


def test_unequal_micro_batches_are_counted_and_give_no_noise():
    logged, (window,) = [], windows(1)
    ragged = [*window[:2], (window[2][0][:1], window[2][1][:1])]
    _, meter = train([window, ragged], listening(lambda *line: logged.append(line), every=1))
    assert logged[1][0]["batch/examples"] == 2 * MICRO + 1 and "batch/micro_batch" not in logged[1][0]
    assert len(meter.draws.trace_draws) == 1


def test_one_micro_batch_is_logged_without_a_noise_scale():
    logged = []
    with pytest.warns(UserWarning, match="one micro-batch in all; allowed: two or more") as warned:
        train(windows(3, k=1), listening(lambda *line: logged.append(line[0]), every=1))
    assert len(warned) == 1
    expected = {"batch/examples": MICRO, "batch/micro_batch": MICRO, "batch/accumulation": 1, "batch/ranks": 1}
    assert logged == [expected] * 3


def test_the_batch_over_the_noise_scale_is_their_ratio():
    _, meter = train(windows(12), listening(every=1))
    values = meter.values()
    assert values["batch/over_noise_scale"] == pytest.approx(BATCH / values["noise/scale"])
    assert values["noise/scale_low"] < values["noise/scale"] < values["noise/scale_high"]


def test_no_number_is_logged_while_the_gradient_is_lost_in_its_noise():
    model, logged = nn.Linear(8, 1).double(), []
    meter = BatchMeter(model, lambda values, step: logged.append(values), every=1)
    generator = torch.Generator().manual_seed(0)
    with pytest.warns(UserWarning, match="not clearly above 0 yet") as warned:
        for _ in range(20):  # gradients of mean zero: all noise
            for _ in range(2):
                (model(torch.randn(4, 8, generator=generator, dtype=torch.float64)).sum() / 8).backward(
                    inputs=[model.weight]
                )
                meter.part(torch.zeros(4))
            meter.update()
            model.zero_grad()
    assert len(warned) == 1
    assert len(meter.draws.trace_draws) == 20 and not any("noise/scale" in values for values in logged)


def test_an_overflow_is_counted_and_gives_no_noise():
    model, _ = train([])
    meter = BatchMeter(model, lambda *line: None)
    for x, y in windows(1)[0]:
        (cross_entropy(model(x), y) * float("inf")).backward()
        meter.part(x)
    meter.update()
    with pytest.warns(UserWarning, match="micro-batches of one size and finite gradients"):
        assert meter.values()["batch/examples"] == BATCH
    assert not len(meter.draws.trace_draws)


def test_gradients_that_were_clipped_give_no_noise_scale_and_a_reason_once():
    model, logged = make("mlp", 0).double(), []
    meter = BatchMeter(model, lambda values, step: logged.append(values), every=4)
    with pytest.warns(UserWarning, match=r"clearly below 0.*update\(\) before clipping") as warned:
        for window in windows(12):
            for x, y in window:
                (cross_entropy(model(x), y) / K).backward()
                meter.part(x)
            nn.utils.clip_grad_norm_(model.parameters(), 1e-3)
            meter.update()
            model.zero_grad()
    assert len(warned) == 1 and len(logged) == 3 and not any("noise/scale" in values for values in logged)


@pytest.mark.parametrize("to_none", [True, False])
def test_gradients_that_are_gone_are_refused(to_none):
    model, _ = train([])
    meter = BatchMeter(model, lambda *line: None, every=1)
    for x, y in windows(1)[0]:
        cross_entropy(model(x), y).backward()
        meter.part(x)
    model.zero_grad(set_to_none=to_none)
    with pytest.raises(Refused, match=r"gradients of zero.*allowed: update\(\) after the last backward\(\)"):
        meter.update()


def test_plain_numbers_are_logged():
    _, meter = train(windows(12), listening(every=1))
    assert "noise/scale" in meter.values() and {type(value) for value in meter.values().values()} == {int, float}


def test_a_parameter_that_is_used_twice_or_not_at_all_counts_once_or_not():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.twice, self.never = nn.Linear(64, 64).double(), nn.Linear(2, 2).double()

        def forward(self, x):
            return self.twice(self.twice(x).tanh())

    model = Tied()
    meter = BatchMeter(model, lambda *line: None)
    x, y = windows(1)[0][0]
    cross_entropy(model(x), y).backward()
    assert float(square(meter.squares.of_micro_batch())) == pytest.approx(float(meter.squares.accumulated()), rel=1e-12)


def test_what_is_unfrozen_later_is_heard_from_the_next_update_on():
    model, _ = train([])
    last = list(model.parameters())[-1].requires_grad_(False)
    meter = BatchMeter(model, lambda *line: None, every=1)

    def update(x_y):
        for x, y in x_y:
            cross_entropy(model(x), y).div(K).backward()
            meter.part(x)
        meter.update()

    first, second, third = windows(3)
    update(first)
    last.requires_grad_(True)
    update(second)
    model.zero_grad()
    assert len(meter.draws.trace_draws) == 1  # the one in between is not trusted
    update(third)
    seen = []
    train([third], rate=0.0, seen=seen, model=copy.deepcopy(model))
    assert meter.draws.trace_draws[-1] == pytest.approx(of_instrument(seen, 1).trace_draws[0])


def test_a_gradient_penalty_inside_the_loss_is_not_mistaken_for_a_micro_batch():
    model, _ = train([])
    meter = BatchMeter(model, lambda *line: None)
    x, y = windows(1)[0][0]
    loss = cross_entropy(model(x), y)
    inner = torch.autograd.grad(loss, list(model.parameters()), create_graph=True)
    (loss + sum(g.square().sum() for g in inner)).backward()
    assert float(square(meter.squares.of_micro_batch())) == pytest.approx(float(meter.squares.accumulated()), rel=1e-12)


def test_closing_takes_the_hooks_away():
    model, meter = train(windows(1), listening())
    meter.close()
    x, y = windows(1)[0][0]
    cross_entropy(model(x), y).backward()
    with pytest.raises(Refused, match="no gradient has arrived"):
        meter.part(x)


def test_misuse_is_one_sentence_each():
    model, meter = train([], listening())
    x, y = windows(1)[0][0]
    with pytest.raises(Refused, match=r"update\(\) without a micro-batch"):
        meter.update()
    cross_entropy(model(x), y).backward()
    cross_entropy(model(x), y).backward()
    with pytest.raises(Refused, match="arrived twice in one micro-batch"):
        meter.part(x)
    for wrong in ("text", {}, [None], torch.tensor(3.0)):
        with pytest.raises(Refused, match="without a tensor"):
            sizes(wrong)
    for given, words in (("m", print), "model is a str"), ((model, None), r"log is None; allowed: a function log\("):
        with pytest.raises(Refused, match=words):
            BatchMeter(*given)
    for name in ("every", "keep", "listen"):
        with pytest.raises(Refused, match=f"{name} is 0"):
            BatchMeter(model, print, **{name: 0})


def test_reentrant_checkpointing_is_refused_where_it_splits_a_gradient():
    layer = nn.Linear(64, 64).double()
    meter = BatchMeter(layer, lambda *line: None)
    x = windows(1)[0][0][0].requires_grad_()
    out = checkpoint(layer, checkpoint(layer, x, use_reentrant=True), use_reentrant=True)
    out.sum().backward()
    with pytest.raises(Refused, match="reentrant"):
        meter.part(x)


def test_examples_and_tokens_are_counted_where_they_are():
    words = torch.ones(3, 7, dtype=torch.long)
    mask = torch.tensor([[1, 1, 0], [1, 0, 0]])
    assert sizes(words) == (3, 21) and sizes((words, words)) == (3, 21)
    assert sizes({"input_ids": words[:2, :3], "attention_mask": mask}) == (2, 3)
    assert sizes(torch.zeros(5, 2)) == (5, 0) and sizes([torch.zeros(2, 1, 8, 8), torch.zeros(2)]) == (2, 0)
    logged = []
    meter = BatchMeter(model := nn.Embedding(9, 2, sparse=True), lambda *line: logged.append(line[0]), every=1)
    for _ in range(2):
        model(words).sum().backward()
        meter.part(words)
    meter.update()
    assert logged[0]["batch/tokens"] == 42


def test_two_ranks_see_one_batch_and_one_noise_scale():
    asks = [{"accumulation": k, "micro_batch": MICRO, "updates": 4} for k in (1, 2)]
    answers = on_ranks([(asked.heard, settings) for settings in asks])
    for settings, (told, other) in zip(asks, answers, strict=True):
        k = settings["accumulation"]
        assert told == other
        assert told["values"]["batch/examples"] == 2 * k * MICRO and told["values"]["batch/ranks"] == 2
        theirs = of_instrument([torch.tensor(row, dtype=torch.float64) for row in told["seen"]], 4, 2 * k)
        assert told["trace"] == pytest.approx(theirs.trace_draws)
        assert told["grad_sq"] == pytest.approx(theirs.grad_sq_draws)


def test_without_tensorboard_the_reader_is_told_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(Refused, match="pip install tensorboard"):
        tensorboard(str(tmp_path))
