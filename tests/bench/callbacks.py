"""What the batch meter adds to a step with accumulation, for models from fifty milliseconds' work to one's."""

from time import process_time

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from tutorlib.callbacks.meter import BatchMeter
from tutorlib.nn.data import digits, mnist1d, text, tokens
from tutorlib.nn.models import make, next_token_loss

ACCUMULATION, ROUNDS, STEPS = 4, 25, 10  # a round: so many updates, with the meter logging once


def problems():
    """name → (model, loss, data, micro-batch)."""
    written = tokens(text()[: 64 * 256 + 1], 64)
    gpt = make("gpt", 0, context=64, width=64, blocks=2)
    return {
        "GPT, 2 blocks of 64, 8 × 64 tokens": (gpt, next_token_loss, written, 8),
        "CNN, 32 signals": (make("cnn", 0), cross_entropy, mnist1d(1024), 32),
        "MLP, 256 digits": (make("mlp", 0), cross_entropy, digits(1024), 256),
        "MLP, 8 digits": (make("mlp", 0), cross_entropy, digits(1024), 8),
    }


def updates(model, loss, data, micro_batch, meter=None):
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    for step in range(STEPS):
        for k in range(ACCUMULATION):
            begin = (step * ACCUMULATION + k) * micro_batch % (len(data) - micro_batch + 1)
            x, y = data.x[begin : begin + micro_batch], data.y[begin : begin + micro_batch]
            (loss(model(x), y) / ACCUMULATION).backward()
            if meter:
                meter.part(x)
        if meter:
            meter.update()
        optimizer.step()
        optimizer.zero_grad()


def callbacks(timeit):
    """(problem, milliseconds a step without, with, what the meter adds in %) over interleaved rounds.

    Listening to every update and to one in ten. Seconds of this process alone; the added share is of the quickest
    rounds, for neighbours only ever add.
    """
    for name, (model, loss, data, micro_batch) in problems().items():
        for listen in (1, STEPS):
            alone, heard = [], []
            for _ in range(ROUNDS):
                meter = BatchMeter(model, lambda values, step: None, every=STEPS, listen=listen)
                for times, given in ((heard, meter), (alone, None)):
                    run = lambda given=given: updates(model, loss, data, micro_batch, given)  # noqa: B023, E731
                    times.append(1000 * timeit(run, number=1, timer=process_time) / STEPS)
                    meter.close()
            said = f"{name}, 1 update in {listen}" if listen > 1 else name
            yield said, np.array(alone), np.array(heard), 100 * (min(heard) / min(alone) - 1)
