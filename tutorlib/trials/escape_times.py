"""The runs of lesson 08 on escape: walkers of several seeds together, each with the noise of its own seed."""

import functools
from collections.abc import Callable

import numpy as np

from tutorlib.measure.escape import escape_times
from tutorlib.measure.fit import fit
from tutorlib.measure.tails import example_gradients
from tutorlib.records import Run
from tutorlib.theory.tails import stable
from tutorlib.trials.hunt_heavy_tails import problem


def escape(runs: list[Run], device: str) -> list[dict]:
    """Mean time to the rim of each seed's walkers; ``stayed`` is the share that never left.

    ``hopped`` is the share over the rim within ``stride`` steps.
    """
    s, seeds = runs[0].settings, tuple(run.seed for run in runs)
    well = {name: s[name] for name in ("height", "width", "step", "longest")}
    rng = np.random.default_rng([*seeds, 8])
    times = escape_times(kicks(s, seeds, rng, device), walkers=len(seeds) * s["walkers"], **well)
    return [
        {
            "time": float(own.mean()),
            "stayed": float((own >= s["longest"]).mean()),
            "hopped": float((own < (s["stride"] + 0.5) * s["step"]).mean()),
        }
        for own in times.reshape(len(seeds), s["walkers"])
    ]


def kicks(s: dict, seeds: tuple[int, ...], rng: np.random.Generator, device: str) -> Callable:
    """Noise of one step: variance 2 T dt or, for Lévy noise, scale ε dt^(1/α)."""
    size = np.sqrt(2 * s["temperature"] * s["step"])
    if s["noise"] == "levy":
        scale = s["scale"] * s["step"] ** (1 / s["alpha"])
        return lambda steps, who: scale * stable(s["alpha"], (steps, len(who)), rng)
    if s["noise"] == "gaussian":
        return lambda steps, who: size * rng.standard_normal((steps, len(who)))
    rows = np.array(
        [directions(seed, s["examples"], s["rate"], s["trained"], s["directions"], device) for seed in seeds]
    )

    def gradients(steps: int, who: np.ndarray) -> np.ndarray:
        total = 0.0
        for _ in range(s["batch"]):
            chosen = rng.integers(rows.shape[1], size=(steps, len(who)))
            total = total + rows[who // s["walkers"], chosen, who % s["directions"]]
        signs = rng.choice((-1.0, 1.0), size=(steps, len(who)))  # a skewed law would also push
        return size / np.sqrt(s["batch"]) * signs * total

    return gradients


@functools.lru_cache(maxsize=32)
def directions(seed: int, examples: int, rate: float, trained: int, count: int, device: str) -> np.ndarray:
    """Every example's gradient on random directions, after training: (examples, directions), mean 0 and variance 1."""
    data, loss, net = problem("mlp", examples, seed, device)
    fit(net, loss, data, batch=32, rate=rate, steps=trained, seed=[seed, trained])
    rows = example_gradients(net, loss, data, coordinates=1, directions=count, batch=1, seed=[seed, trained]).directions
    return (rows - rows.mean(axis=0)) / rows.std(axis=0)
