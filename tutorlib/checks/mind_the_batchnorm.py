"""The exercise of lesson 03: freeze a BatchNorm so that training does not wake it."""

import copy
from collections.abc import Callable

from tutorlib.checks import Check, attempt, failure


def check_freeze_batchnorm(function: Callable) -> Check:
    """``function(model)`` freezes every BatchNorm of ``model``, in place or in what it returns."""
    import torch

    check = Check("freeze BatchNorm")
    before, x = _net(), torch.randn(8, 6, generator=torch.Generator().manual_seed(2))
    model = copy.deepcopy(before)
    answer = attempt(function, model)
    model = answer if isinstance(answer, torch.nn.Module) else model
    failed = failure(answer)
    check.add("it runs", not failed, failed)
    if failed:
        return check
    expected = before.eval()(x)
    same = attempt(lambda: torch.allclose(model.eval()(x), expected))
    check.add(
        "evaluation mode computes what it did",
        same is True,
        "the outputs changed: keep γ, β and the running statistics as they are",
    )
    statistics = _statistics(before)
    still = attempt(lambda: _one_step(model.train(), x) or torch.allclose(_statistics(model), statistics))
    check.add("model.train() and a step leave the running statistics alone", still is True, _why(function))
    alone = attempt(lambda: model.train()(x)[:1] - model.train()(torch.cat([x[:1], -3 * x[1:]]))[:1])
    check.add(
        "in training an example's output does not depend on its neighbours",
        not isinstance(alone, Exception) and bool(alone.abs().max() < 1e-5),
        "BatchNorm still takes its statistics from the batch",
    )
    others = attempt(lambda: any(p.requires_grad for p in model[0].parameters()) and model[3].training)
    check.add(
        "the other layers still train",
        others is True,
        "you froze more than BatchNorm: go through model.modules() and ask isinstance",
    )
    return check


def _net():
    import torch
    from torch import nn

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Dropout(0.0), nn.Linear(4, 2))
        net(1 + 2 * torch.randn(64, 6))
    return net


def _statistics(model):
    """Running mean and variance of the net's second layer, whatever class it has now."""
    import torch

    return torch.cat([model[1].running_mean, model[1].running_var]).clone()


def _one_step(model, x) -> None:
    model(x).square().mean().backward()
    model.zero_grad()


def _why(function: Callable) -> str:
    """Which of the two usual mistakes woke the statistics."""
    import torch

    model = _net()
    answer = attempt(function, model)
    model = answer if isinstance(answer, torch.nn.Module) else model
    layer = attempt(lambda: model[1])
    if isinstance(layer, torch.nn.Module) and not layer.training:
        return "model.train() undid your eval(): it sets every layer below it, so the layer itself must refuse"
    if isinstance(layer, torch.nn.Module) and not any(p.requires_grad for p in layer.parameters()):
        return (
            "requires_grad=False stops γ and β only: running statistics are buffers, and it takes eval() to stop them"
        )
    return "the statistics moved: BatchNorm updates them in every forward in training mode"
