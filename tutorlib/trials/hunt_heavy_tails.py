"""The runs of lesson 08 on tails: instruments on known laws, and on the gradients of two nets."""

import functools
from collections.abc import Callable

import numpy as np
from torch.nn.functional import cross_entropy

from tutorlib.experiments.hunt_heavy_tails import BATCHES, SHARES, TAIL
from tutorlib.measure.fit import fit
from tutorlib.measure.tails import ExampleGradients, example_gradients, minibatch_means
from tutorlib.nn.data import Data, digits, text, tokens
from tutorlib.nn.models import make, next_token_loss
from tutorlib.records import Run
from tutorlib.theory import tails
from tutorlib.trials import Diverged

MANY_SIZES = 1.5  # sd of the logarithm of the sizes: a factor of 20 between the 2.5th and the 50th per cent


def draw(law: str, size, rng: np.random.Generator) -> np.ndarray:
    """Draws of one of the experiment's laws."""
    if law.startswith("stable"):
        return tails.stable(float(law.split()[1]), size, rng)
    return {
        "gaussian": lambda: rng.standard_normal(size),
        "gaussian length, 50-d": lambda: np.sqrt(rng.chisquare(50, size)),
        "student 3": lambda: rng.standard_t(3, size),
        "gaussians of many sizes": lambda: rng.standard_normal(size) * np.exp(MANY_SIZES * rng.standard_normal(size)),
    }[law]()


def readings(run: Run, device: str) -> dict:
    """What every instrument reads on one law."""
    s = run.settings
    rng = np.random.default_rng([run.seed, 4])
    values = draw(s["law"], s["draws"], rng)

    def of_sums(batch: int) -> float:
        pairs = draw(s["law"], (2, s["draws"] // 8, batch), rng).sum(axis=2)
        return float(tails.log_scale(pairs[0] - pairs[1]))  # a difference is symmetric, whatever the law

    return {
        "kurtosis": float(tails.excess_kurtosis(values)),
        "settles": float(tails.settles(values)),
        "hill": hill_at(values[:, None]),
        "log_scales": tuple(of_sums(batch) for batch in BATCHES),
        "pooled": tails.pooled_index(values),
    }


def hill_at(columns: np.ndarray) -> tuple[float, ...]:
    """The Hill index at each of :data:`SHARES`: 1/α averaged over columns, as a sum of logarithms should be."""
    tops = [max(2, round(share * len(columns))) for share in SHARES]
    rows = np.array([tails.hill_indices(values, max(tops)) for values in columns.T])
    return tuple(float(1 / (1 / rows[:, top - 2]).mean()) for top in tops)


def controls(run: Run, device: str) -> dict:
    """The readings of :func:`noise` where the answer is known: rows of one law in place of examples' gradients."""
    s, rng = run.settings, np.random.default_rng([run.seed, 7])
    law, count = s["law"], s["examples"]
    sizes = {
        "gaussian": lambda: np.ones(count),
        "student 3": lambda: np.sqrt(3 / rng.chisquare(3, count)),
        "gaussians of many sizes": lambda: np.exp(MANY_SIZES * rng.standard_normal(count)),
    }
    drawn = tails.stable_sizes(float(law.split()[1]), count, rng) if law.startswith("stable") else sizes[law]()
    coordinates, directions = np.split(tails.elliptical(drawn, 2 * s["directions"], rng), 2, axis=1)
    return across_minibatches(coordinates, directions, s["draws"], rng)


def noise(runs: list[Run], device: str) -> list[dict]:
    """Tails of the gradient noise of one net at the checkpoints of these runs, all of one seed."""
    s = runs[0].settings
    places = {name: s[name] for name in ("coordinates", "directions")}

    def tails_of(gradients: ExampleGradients, run: Run) -> dict:
        return noise_tails(gradients, s["draws"], np.random.default_rng([run.seed, run.settings["steps"], 5]))

    return at_checkpoints(runs, device, tails_of, batch=s["pooled_batch"], **places)


def rows(runs: list[Run], device: str) -> list[dict]:
    """Every example's gradient in one random direction at these checkpoints: mean 0, variance 1, rounded."""

    def row(gradients: ExampleGradients, run: Run) -> dict:
        values = gradients.directions[:, 0] - gradients.directions[:, 0].mean()
        return {"rows": tuple(round(float(value), 4) for value in values / values.std())}

    return at_checkpoints(runs, device, row, coordinates=1, directions=1, batch=1)


def at_checkpoints(runs: list[Run], device: str, read: Callable, **places) -> list[dict]:
    """``read(gradients, run)`` at the steps of every run, in one training of their one net and seed."""
    seed, s = runs[0].seed, runs[0].settings
    data, loss, net = problem(s["model"], s["examples"], seed, device)
    found, done = {}, 0
    for run in sorted(runs, key=lambda run: run.settings["steps"]):
        steps = run.settings["steps"]
        if steps > done:
            more = {"batch": 32, "rate": s["rate"], "steps": steps - done, "seed": [seed, steps]}
            if fit(net, loss, data, **more).diverged:
                raise Diverged
            done = steps
        found[run] = read(example_gradients(net, loss, data, seed=[seed, steps], **places), run)
    return [found[run] for run in runs]


def problem(model: str, examples: int, seed: int, device: str) -> tuple[Data, Callable, object]:
    """One seed's examples, loss and untrained net: "mlp" on digits or "gpt" on letters."""
    if model == "mlp":
        return digits(examples, seed, device), cross_entropy, make("mlp", seed, device)
    letters = pieces()
    chosen = np.random.default_rng([seed, 6]).permutation(len(letters))[:examples]
    net = make("gpt", seed, device, context=16, width=16, heads=2, blocks=1)
    return Data(letters.x[chosen], letters.y[chosen]).to(device), next_token_loss, net


@functools.lru_cache(maxsize=1)
def pieces() -> Data:
    return tokens(text(), length=16)


def noise_tails(gradients: ExampleGradients, draws: int, rng: np.random.Generator) -> dict:
    """Every reading at every batch: across minibatches, place by place; and across coordinates, pooled."""
    across = across_minibatches(gradients.coordinates, gradients.directions, draws, rng)
    live = np.flatnonzero(gradients.sizes * gradients.noise)
    mixed = rng.permutation(live)  # neighbours in a layer are alike: in any order but theirs
    noise, sizes = gradients.noise[mixed], gradients.sizes[mixed]
    return across | {
        "pooled": tails.pooled_index(noise),
        "pooled_gaussian": tails.pooled_index(sizes * rng.standard_normal(len(sizes))),
    }


def across_minibatches(coordinates: np.ndarray, directions: np.ndarray, draws: int, rng: np.random.Generator) -> dict:
    """Readings of the noise of every batch, column by column and then averaged: (examples, columns) each.

    ``of_examples`` is the mean excess kurtosis of single examples over coordinates, the law's κ₁, exactly;
    ``hill_of_examples`` has one index for each of :data:`SHARES`, of the examples once each: drawn with replacement
    they would tie, and look surer than they are.
    """
    width = coordinates.shape[1]
    rows = np.concatenate([coordinates, directions], axis=1)
    rows = rows - rows.mean(axis=0)
    kurtosis, directed, hills, scales = [], [], [], []
    for batch in BATCHES:
        means = minibatch_means(rows, batch, draws, rng)
        excess = tails.excess_kurtosis(means)
        kurtosis.append(float(excess[:width].mean()))
        directed.append(float(excess[width:].mean()))
        hills.append(hill_at(means[:, width:])[SHARES.index(TAIL)])
        apart = batch * (means[::2] - means[1::2])[:, width:]
        other = [column[column != 0] for column in apart.T]  # the same examples twice, or two rounded alike: no draw
        scales.append(float(np.mean([tails.log_scale(column) for column in other])))
    return {
        "of_examples": float(tails.excess_kurtosis(coordinates).mean()),
        "of_directions": float(tails.excess_kurtosis(directions).mean()),
        "hill_of_examples": hill_at(directions - directions.mean(axis=0)),
        "settles": float(np.exp(np.log(tails.settles(directions)).mean())),
        "kurtosis": tuple(kurtosis),
        "directed": tuple(directed),
        "hill": tuple(hills),
        "log_scales": tuple(scales),
    }
