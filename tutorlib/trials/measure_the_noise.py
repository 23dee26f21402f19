"""The runs of lesson 01: variance against batch, four plans, a walk, the noise scale."""

import copy
import functools

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import parameters_to_vector

from tutorlib.measure.fit import batches, fit
from tutorlib.measure.noise import exact_noise, gradient_sampler, micro_batch_noise, spread, two_batch_noise
from tutorlib.measure.per_example import per_example_squares
from tutorlib.nn.data import Data, digits
from tutorlib.nn.models import make
from tutorlib.records import Run
from tutorlib.theory.noise import Noise
from tutorlib.trials import Diverged

PLAN_RATE = 0.5  # not 1: a loop that forgot the rate would pass


@functools.lru_cache(maxsize=1)
def start(seed: int, examples: int, device: str) -> tuple[nn.Module, Data, torch.Tensor, Noise]:
    """One seed's model at initialization, its own subset of digits, its exact G and its exact noise."""
    model, data = make("mlp", seed, device), digits(examples, seed, device)
    return model, data, per_example_squares(model, cross_entropy, data).mean, exact_noise(model, cross_entropy, data)


def variance(run: Run, device: str) -> dict:
    """Spread of minibatch gradients around G at one batch size, each by a real backward pass."""
    s = run.settings
    model, data, centre, exact = start(run.seed, s["examples"], device)
    sample = gradient_sampler(model, cross_entropy, data, [run.seed, s["batch"], s["replacement"]], s["replacement"])
    squares, cosine = spread((sample(s["batch"]) for _ in range(s["draws"])), centre)
    return {"variance": squares, "cosine": cosine, "trace": exact.trace, "grad_sq": exact.grad_sq}


def plan(run: Run, device: str) -> dict:
    """Spread of whole updates, micro_batch × accumulation, made by the training loop itself.

    An update divided by −η is the gradient the optimizer saw. ``distance`` compares the first update
    with the same examples in one part, ``rule_error`` with the gradient autograd gives for them, both
    relative to its length.
    """
    s = run.settings
    model, data, centre, exact = start(run.seed, s["examples"], device)
    batch = s["micro_batch"] * s["accumulation"]

    def gradient(draw: int, micro_batch: int) -> torch.Tensor:
        twin, seed = copy.deepcopy(model), [run.seed, batch, s["micro_batch"], draw]
        fit(twin, cross_entropy, data, batch=batch, micro_batch=micro_batch, rate=PLAN_RATE, steps=1, seed=seed)
        return (flat(model) - flat(twin)) / PLAN_RATE

    squares, _ = spread((gradient(draw, s["micro_batch"]) for draw in range(s["draws"])), centre)
    parts, whole = gradient(0, s["micro_batch"]), gradient(0, batch)
    chosen = next(batches(len(data), batch, [run.seed, batch, s["micro_batch"], 0], data.x.device))
    autograd = torch.autograd.grad(cross_entropy(model(data.x[chosen]), data.y[chosen]), list(model.parameters()))
    rule = parameters_to_vector(autograd)
    return {
        "variance": squares,
        "distance": float((parts - whole).norm() / whole.norm()),
        "rule_error": float((whole - rule).norm() / rule.norm()),
        "trace": exact.trace,
    }


def walk(run: Run, device: str) -> dict:
    """One way to spend the same examples: how far, how straight, and how much lower the loss.

    ``drift`` is the displacement along −G; ``aim`` and ``aim_net`` are the cosines of the first step and of the
    whole displacement with the way to where ``destination_steps`` steps of batch 32 end.
    """
    s = run.settings
    model, data, centre, _ = start(run.seed, s["examples"], device)
    twin, path = copy.deepcopy(model), [flat(model)]
    rate = s["rate"] * s["rate_factor"]
    done = fit(
        twin,
        cross_entropy,
        data,
        batch=s["batch"],
        rate=rate,
        steps=s["walk_examples"] // s["batch"],
        seed=run.seed,
        after_step=lambda model: path.append(flat(model)),
    )
    if done.diverged:
        raise Diverged
    path = torch.stack(path)
    moved = path[-1] - path[0]
    goal = destination(run.seed, s["examples"], s["destination_steps"], device)
    with torch.no_grad():
        before, after = (float(cross_entropy(m(data.x), data.y)) for m in (model, twin))
    return {
        "drift": float(moved @ -centre / centre.norm()),
        "net": float(moved.norm()),
        "path": float(path.diff(dim=0).norm(dim=1).sum()),
        "aim": float(torch.cosine_similarity(path[1] - path[0], goal - path[0], dim=0)),
        "aim_net": float(torch.cosine_similarity(moved, goal - path[0], dim=0)),
        "loss_drop": before - after,
    }


@functools.lru_cache(maxsize=1)
def destination(seed: int, examples: int, steps: int, device: str) -> torch.Tensor:
    """Where small-batch training (batch 32, rate 0.1) takes this seed's parameters, on draws of its own."""
    model, data, _, _ = start(seed, examples, device)
    far = copy.deepcopy(model)
    fit(far, cross_entropy, data, batch=32, rate=0.1, steps=steps, seed=[seed, 1])
    return flat(far)


def noise_scale(run: Run, device: str) -> dict:
    """tr Σ and |G|² estimated draw by draw, each divided by its exact value: 1 is right."""
    s = run.settings
    if s["problem"] == "closed form":
        sample, exact = gaussian_problem(run.seed)
    else:
        model, data, _, exact = start(run.seed, s["examples"], device)
        sample = gradient_sampler(model, cross_entropy, data, [run.seed, s["small"], s["big"]])
    if s["route"] == "two batches":
        draws = two_batch_noise(sample, s["small"], s["big"], s["draws"])
    else:
        draws = micro_batch_noise(sample, s["small"], s["big"] // s["small"], s["draws"])
    return {
        "scale": exact.scale,
        "trace_draws": tuple((draws.trace_draws / exact.trace).tolist()),
        "grad_sq_draws": tuple((draws.grad_sq_draws / exact.grad_sq).tolist()),
    }


def gaussian_problem(seed: int, dimensions: int = 50):
    """Loss ½|θ − x|² with x normal around 0 and variance 1/i in coordinate i, at θ = (0.05, …, 0.05).

    One example's gradient is θ − x, so G = θ and tr Σ = Σ 1/i are known without measuring.
    """
    sd = 1 / np.sqrt(np.arange(1, dimensions + 1))
    theta, rng = np.full(dimensions, 0.05), np.random.default_rng(seed)

    def sample(batch: int) -> torch.Tensor:
        return torch.from_numpy(theta - (sd * rng.standard_normal((batch, dimensions))).mean(axis=0))

    return sample, Noise(trace=float(sd @ sd), grad_sq=float(theta @ theta))


def arrows(run: Run, device: str) -> dict:
    """Every example's gradient on two directions: along G, and across it where the noise is largest.

    ``across`` is the first principal direction of the gradients after G is taken out.
    """
    model, data, centre, exact = start(run.seed, run.settings["examples"], device)
    rows = torch.stack(
        [
            parameters_to_vector(torch.autograd.grad(cross_entropy(model(x[None]), y[None]), list(model.parameters())))
            for x, y in zip(data.x, data.y, strict=True)
        ]
    )
    along = centre / centre.norm()
    rest = rows - torch.outer(rows @ along, along)
    across = torch.linalg.eigh(rest @ rest.T)[1][:, -1] @ rest
    across = across / across.norm()
    return {
        "along": tuple(round(float(value), 5) for value in rows @ along),
        "across": tuple(round(float(value), 5) for value in rows @ across),
        "trace": exact.trace,
        "grad_sq": exact.grad_sq,
    }


def flat(model: nn.Module) -> torch.Tensor:
    return parameters_to_vector(model.parameters()).detach().clone()
