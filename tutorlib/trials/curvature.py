"""The runs of lesson 06 on sharpness: nets trained until they have one training loss, and nets rescaled."""

import functools

import numpy as np
import torch
from torch import nn
from torch.nn.functional import one_hot

from tutorlib.measure.box_sharpness import box_sharpness
from tutorlib.measure.chunk import losses_of
from tutorlib.measure.curvature import top_eigenvalues
from tutorlib.measure.ensemble import Ensemble, fit_ensemble
from tutorlib.nn.data import Data, digits
from tutorlib.nn.models import make
from tutorlib.nn.rescale import rescaled
from tutorlib.records import Run
from tutorlib.trials import Diverged

LOOK = 5  # steps between two looks at the training loss
TOLERANCE = 1e-4


def squared_error(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """½ |f(x) − y|², summed over classes, averaged over examples."""
    return (outputs - targets).square().sum(dim=-1).mean() / 2


@functools.lru_cache(maxsize=2)
def problem(device: str) -> Data:
    """All 1,797 digits, the class as ten numbers."""
    data = digits(1797, seed=12345, device=device)
    return Data(data.x, one_hot(data.y, 10).float())


def dealt(seeds, examples: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Indices (seeds, examples) to train on and the others, held out: each seed shuffles the data anew."""
    orders = np.array([np.random.default_rng([seed, 6]).permutation(1797) for seed in seeds])
    return tuple(torch.from_numpy(orders).split([examples, 1797 - examples], dim=1))


def sharpness(runs: list[Run], device: str) -> list:
    """Sharpness of nets that were stopped at one training loss, and what they have learned.

    ``sharpness`` and ``adaptive`` are top eigenvalues on the seed's own training examples, ``doubt`` the larger of
    their relative errors; ``loss`` is the training loss where the run ended, ``error`` the share of held-out examples
    it gets wrong, in per cent.
    """
    data, (own, held_out) = problem(device), dealt([run.seed for run in runs], runs[0].settings["examples"])
    models = [make("mlp", run.seed, device, width=run.settings["width"]) for run in runs]
    fits, losses = train_to(models, runs, data, own)
    well = [r for r, done in enumerate(fits) if not done.diverged]
    kinds = {}
    for name in ("sharpness", "adaptive") if well else ():
        settings = {"subsets": own[well], "tolerance": TOLERANCE, "adaptive": name == "adaptive"}
        tops = top_eigenvalues([models[r] for r in well], squared_error, data, **settings)
        kinds[name] = dict(zip(well, tops, strict=True))
    return [
        {
            **{name: tops[r].value for name, tops in kinds.items()},
            "doubt": max(tops[r].error / tops[r].value for tops in kinds.values()),
            "loss": losses[r],
            "steps": len(fits[r].losses),
            "error": error(models[r], data, held_out[r]),
        }
        if r in well
        else Diverged()
        for r in range(len(runs))
    ]


def train_to(models: list[nn.Module], runs: list[Run], data: Data, own: torch.Tensor) -> tuple[list, list[float]]:
    """SGD until the loss on all of a run's own examples is at most its target; the fits, and the loss at the end."""
    s, losses = runs[0].settings, [float("nan")] * len(runs)

    @torch.no_grad()
    def watch(ensemble: Ensemble) -> None:
        if ensemble.steps_done % LOOK:
            return
        for chunk in ensemble.chunks:
            outputs = chunk.stack(data.x[own[chunk.replicas]])
            now = losses_of(squared_error, outputs, data.y[own[chunk.replicas]]).tolist()
            for replica, value in zip(chunk.replicas, now, strict=True):
                losses[replica] = value
        ensemble.stop([r for r in ensemble.live if losses[r] <= s["target"]])

    settings = {"batch": s["batch"], "steps": s["most_steps"], "subsets": own, "after_step": watch}
    rates, seeds = [run.settings["rate"] for run in runs], [run.seed for run in runs]
    return fit_ensemble(models, squared_error, data, rates=rates, seeds=seeds, **settings), losses


@torch.no_grad()
def error(model: nn.Module, data: Data, held_out: torch.Tensor) -> float:
    """The share of held-out examples whose largest output is of another class, in per cent."""
    return 100 * float((model(data.x[held_out]).argmax(1) != data.y[held_out].argmax(1)).double().mean())


def relu(seed: int, width: int, device: str) -> nn.Sequential:
    """The course's perceptron of one hidden layer, with ReLU in place of tanh."""
    net = make("mlp", seed, device, width=width)
    net[1] = nn.ReLU()
    return net


def rescaled_net(runs: list[Run], device: str) -> list:
    """One trained ReLU net a seed, rescaled: how far its outputs, its errors and three kinds of sharpness move.

    ``outputs`` is the largest change of an output over the largest output. Not ``undone`` is the control: the first
    layer grows and nothing makes up for it.
    """
    s, seeds = runs[0].settings, sorted({run.seed for run in runs})
    data = Data(problem(device).x.double(), problem(device).y.double())
    trained = [relu(seed, s["width"], device).double() for seed in seeds]
    settings = {"batch": s["examples"], "steps": s["steps"], "subsets": dealt(seeds, s["examples"])[0]}
    fit_ensemble(trained, squared_error, data, rates=[s["rate"]] * len(seeds), seeds=seeds, **settings)
    nets = dict(zip(seeds, trained, strict=True))
    others = [rescaled(nets[run.seed], run.settings["factor"]) for run in runs]
    own, held_out = dealt([run.seed for run in runs], s["examples"])
    for run, other in zip(runs, others, strict=True):
        if not run.settings["undone"]:
            other[2].load_state_dict(nets[run.seed][2].state_dict())
    plain, adaptive = (
        top_eigenvalues(others, squared_error, data, subsets=own, adaptive=kind) for kind in (False, True)
    )
    return [
        {
            "outputs": change(nets[run.seed], others[r], data.x),
            "sharpness": plain[r].value,
            "adaptive": adaptive[r].value,
            "box": box_sharpness(others[r], squared_error, Data(data.x[own[r]], data.y[own[r]]), s["box"]),
            "error": error(others[r], data, held_out[r]),
        }
        for r, run in enumerate(runs)
    ]


@torch.no_grad()
def change(net: nn.Module, other: nn.Module, x: torch.Tensor) -> float:
    """The largest difference between their outputs, over the largest output."""
    before, after = net(x), other(x)
    return float((after - before).abs().max() / before.abs().max())
