"""The positive control of lesson 06: a net where the noise of small batches is what finds the truth."""

import numpy as np

from tutorlib.measure.diagonal_net import descend, weights
from tutorlib.records import Run
from tutorlib.trials import Diverged

BLOCK = 1000  # steps whose weights are drawn at once


def recover(runs: list[Run], device: str) -> list:
    """The squared distance to the sparse truth and the training loss, for every arm and seed; the arms share the data.

    An arm is a kind of noise, a batch and a rate. ``examples`` Gaussian examples of ``dimensions`` numbers, labelled
    without error by a truth whose first ``sparse`` coordinates are 1 and the others 0.
    """
    s, seeds = runs[0].settings, sorted({run.seed for run in runs})
    names = ("noise", "batch", "rate")
    arms = sorted({tuple(run.settings[name] for name in names) for run in runs})
    x = np.array([np.random.default_rng([k, 7]).standard_normal((s["examples"], s["dimensions"])) for k in seeds])
    truth = np.arange(s["dimensions"]) < s["sparse"]
    y = x @ truth
    streams = [  # arms that differ in their rate alone draw the same noise
        [np.random.default_rng([k, 8, batch, int(noise == "gaussian")]) for noise, batch, _ in arms] for k in seeds
    ]
    block = None

    def weigh(step):
        nonlocal block
        if step % BLOCK == 0:
            drawn = [
                [
                    weights(rng, kind, batch, s["examples"], BLOCK)
                    for rng, (kind, batch, _) in zip(row, arms, strict=True)
                ]
                for row in streams
            ]
            block = np.ascontiguousarray(np.array(drawn).transpose(2, 0, 3, 1))  # (steps, seeds, examples, arms)
        return block[step % BLOCK]

    w = descend(x, y, weigh, [rate for *_, rate in arms], s["steps"], s["start"])
    far = ((w - truth[:, None]) ** 2).sum(axis=1)
    loss = ((x @ w - y[..., None]) ** 2).mean(axis=1) / 2
    found = {}
    for run in runs:
        at = seeds.index(run.seed), arms.index(tuple(run.settings[name] for name in names))
        lost = not np.isfinite(far[at])
        found[run.key] = Diverged() if lost else {"distance": float(far[at]), "loss": float(loss[at])}
    return [found[run.key] for run in runs]
