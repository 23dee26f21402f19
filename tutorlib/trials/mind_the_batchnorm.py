"""The runs of lesson 03: statistics beside their laws, error against micro-batch, and the ghost-batch ladder."""

import functools

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from tutorlib.measure.ensemble import fit_ensemble
from tutorlib.measure.fit import Fit, fit
from tutorlib.nn.batchnorm import freeze_batchnorm, recompute_statistics
from tutorlib.nn.data import Data, digits, mnist1d
from tutorlib.nn.models import make
from tutorlib.nn.optimizers import sgd
from tutorlib.records import Run
from tutorlib.trials import Diverged

MOMENTUM = functools.partial(sgd, momentum=0.9)


@functools.lru_cache(maxsize=2)
def problem(name: str, device: str) -> Data:
    """All 1,797 "digits", or 6,000 "mnist1d" signals."""
    return digits(1797, seed=12345, device=device) if name == "digits" else mnist1d(6000, device=device)


def dealt(runs: list[Run], data: Data, *sizes: int) -> list[torch.Tensor]:
    """Indices (runs, size) for every size: each seed shuffles the data and deals it out, so no set is shared."""
    orders = [np.random.default_rng([run.seed, 3]).permutation(len(data))[: sum(sizes)] for run in runs]
    return list(torch.from_numpy(np.array(orders)).split(sizes, dim=1))


def statistics(run: Run, device: str) -> dict:
    """How batch statistics of n values scatter around those of the source, over ``draws`` batches.

    ``source`` is "gaussian", or "activations": what one channel of a trained net hands to its BatchNorm. Values are
    in σ and σ² of the source: sd of the mean, sd of the unbiased variance, mean of 1/√(v + ε), its 99th percentile,
    and the share of BatchNorm's outputs beyond ±0.99; ``kurtosis`` is the source's excess.
    """
    s = run.settings
    rng = np.random.default_rng([run.seed, s["n"]])
    if s["source"] == "gaussian":
        drawn, excess = rng.standard_normal((s["draws"], s["n"])), 0.0
    else:
        values = activations(run.seed, device)
        drawn, excess = values[rng.integers(len(values), size=(s["draws"], s["n"]))], float((values**4).mean() - 3)
    variance = drawn.var(axis=1)
    scale = 1 / np.sqrt(variance + s["eps"])
    return {
        "mean_sd": float(drawn.mean(axis=1).std()),
        "variance_sd": float(drawn.var(axis=1, ddof=1).std()),
        "gain": float(scale.mean()),
        "gain_p99": float(np.quantile(scale, 0.99)),
        "signs": float((np.abs((drawn - drawn.mean(axis=1, keepdims=True)) * scale[:, None]) > 0.99).mean()),
        "kurtosis": excess,
    }


@functools.lru_cache(maxsize=1)
def activations(seed: int, device: str) -> np.ndarray:
    """What one channel of a trained net hands to its second BatchNorm, over all digits, with mean 0 and sd 1."""
    data = problem("digits", device)
    net = make("mlp", seed, device, depth=2, norm="batch")
    fit(net, cross_entropy, data, batch=64, rate=0.1, steps=100, seed=seed)
    with torch.no_grad():
        channel = net.eval()[:4](data.x)[:, 0].double().cpu().numpy()  # Linear, BatchNorm, Tanh, Linear
    return (channel - channel.mean()) / channel.std()


def errors(runs: list[Run], device: str) -> list:
    """Error on the seed's own held-out examples, of one architecture at one micro-batch.

    ``recomputed`` is the error with statistics taken anew from the training examples. ``jump`` is the largest rise of
    the training loss from one update to the next, over the loss before it, in the second half of the run. A "finetuned"
    or "frozen" net has first been trained with BatchNorm, the whole batch at once, on as many other examples;
    ``before`` is its error then.
    """
    s = runs[0].settings
    data = problem(s["data"], device)
    held_out, own, others = dealt(runs, data, s["held_out"], s["examples"], s["examples"])
    pretrained = s["norm"] in ("finetuned", "frozen")
    models, before = nets(runs, data, "batch" if pretrained else s["norm"], device), {}
    if pretrained:
        first = {"rates": [s["first_rate"]] * len(runs), "batch": 32, "micro_batch": 32}
        train(models, data, runs, others, seeds=[(run.seed, 1) for run in runs], **first)
        before = {"before": [error(model, chosen(data, row)) for model, row in zip(models, held_out, strict=True)]}
        models = [model.train() for model in models]
    if s["norm"] == "frozen":
        models = [freeze_batchnorm(model, affine=False) for model in models]
    fits = train(models, data, runs, own)
    return outcomes(models, fits, data, own, held_out, **before)


def ghost(runs: list[Run], device: str) -> list:
    """Error on held-out examples after a large batch is given, one by one, what the small one had.

    A BatchNorm that sees ``micro_batch`` of ``batch`` examples is ghost batch normalization: accumulation makes it. Its
    running statistics are then fresher, too; ``recomputed`` is the error without that advantage.
    Source: Hoffer et al. 2017, arXiv 1705.08741, algorithm 1 and table 1.
    """
    s = runs[0].settings
    data = problem(s["data"], device)
    held_out, own = dealt(runs, data, s["held_out"], s["examples"])
    models = nets(runs, data, s["norm"], device)
    return outcomes(models, train(models, data, runs, own), data, own, held_out)


def outcomes(models: list, fits: list[Fit], data: Data, own, held_out, **more: list) -> list:
    """Errors of trained nets, with their running statistics and with statistics of their own examples taken anew."""
    found = []
    for r, (model, done) in enumerate(zip(models, fits, strict=True)):
        if done.diverged:
            found.append(Diverged())
            continue
        seen, unseen = chosen(data, own[r]), chosen(data, held_out[r])
        late = np.array(done.losses[len(done.losses) // 2 :])
        values = {"error": error(model, unseen), "jump": float((np.diff(late) / late[:-1]).max())}
        values["recomputed"] = error(recompute_statistics(model, seen, len(seen)), unseen)
        found.append(values | {name: each[r] for name, each in more.items()})
    return found


def chosen(data: Data, row: torch.Tensor) -> Data:
    return Data(data.x[row], data.y[row])


def nets(runs: list[Run], data: Data, norm: str, device: str) -> list[nn.Module]:
    """The MLP has two hidden layers, so that one BatchNorm hands its noise to another."""
    name, inputs = runs[0].settings["model"], data.x.shape[1]
    sizes = {"mlp": {"inputs": inputs, "depth": 2}, "cnn": {"length": inputs}}[name]
    return [make(name, run.seed, device, norm=norm, **sizes) for run in runs]


def train(models: list, data: Data, runs: list[Run], subsets: torch.Tensor, **changes) -> list[Fit]:
    """``fit_ensemble`` with momentum at the settings of these runs, or with some of them changed."""
    s = runs[0].settings
    settings = {
        "batch": s["batch"],
        "micro_batch": s["micro_batch"],
        "rates": [run.settings["rate"] for run in runs],
        "steps": s["steps"],
        "seeds": [run.seed for run in runs],
        "optimizer": MOMENTUM,
        **changes,
    }
    return fit_ensemble(models, cross_entropy, data, subsets=subsets, **settings)


@torch.no_grad()
def error(model: nn.Module, held_out: Data) -> float:
    """The share of held-out examples that ``model`` gets wrong, in per cent, in evaluation mode."""
    return 100 * float((model.eval()(held_out.x).argmax(dim=1) != held_out.y).float().mean())
