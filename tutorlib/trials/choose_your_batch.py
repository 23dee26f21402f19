"""The runs of lesson 09: the adviser on three models, a sweep of batch and accumulation on each, and its clock."""

import functools

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

from tutorlib.measure.adviser import advise
from tutorlib.measure.clock import step_seconds, undisturbed
from tutorlib.measure.race import steps_to_target
from tutorlib.measure.short_run import short_run
from tutorlib.nn.data import Data, digits, mnist1d, text, tokens
from tutorlib.nn.models import make, next_token_loss
from tutorlib.nn.optimizers import adamw, sgd
from tutorlib.records import Run

SHAPES = {"mlp": {}, "cnn": {"norm": "batch"}, "gpt": {"context": 16, "width": 32, "blocks": 1}}
LOSSES = {"mlp": cross_entropy, "cnn": cross_entropy, "gpt": next_token_loss}
# The ensemble's optimizer, and torch's own that equals it: Adam is AdamW without decay.
OPTIMIZERS = {"SGD": (sgd, torch.optim.SGD), "AdamW": (adamw, functools.partial(torch.optim.AdamW, weight_decay=0.0))}


@functools.lru_cache(maxsize=3)
def examples_of(model: str, device: str) -> Data:
    """Everything there is for a model, in one shuffled order."""
    data = {"mlp": lambda: digits(1797), "cnn": lambda: mnist1d(4000), "gpt": lambda: tokens(text(), 16)}[model]()
    order = torch.from_numpy(np.random.default_rng(9).permutation(len(data)))
    return Data(data.x[order], data.y[order]).to(device)


def problem(run: Run, device: str) -> tuple[nn.Module, Data, Data, torch.Tensor]:
    """A fresh model, all its data, the part held out, and the indices of this seed's own training examples."""
    s = run.settings
    data, held = examples_of(s["model"], device), s["held_out"]
    chosen = held + np.random.default_rng([run.seed, 9]).permutation(len(data) - held)[: s["examples"]]
    model = make(s["model"], run.seed, device, **SHAPES[s["model"]])
    return model, data, Data(data.x[:held], data.y[:held]), torch.from_numpy(chosen)


def sweep(runs: list[Run], device: str) -> list[dict]:
    """Steps to the target at one batch in one micro-batch, for every rate and seed; the rates of a seed race."""
    s = runs[0].settings
    models, datas, held_outs, subsets = zip(*(problem(run, device) for run in runs), strict=True)
    done = steps_to_target(
        models,
        LOSSES[s["model"]],
        datas[0],
        held_outs[0],
        batch=s["batch"],
        micro_batch=s["micro_batch"],
        rates=[run.settings["rate"] for run in runs],
        seeds=[run.seed for run in runs],
        subsets=torch.stack(subsets),
        target=s["target"],
        most_steps=s["most_steps"],
        optimizer=OPTIMIZERS[s["optimizer"]][0],
    )
    return [{"steps": end.steps, "reached": int(end.reached)} for end in done]


def seconds(run: Run, device: str) -> dict:
    """Seconds of one update at a batch, in micro-batches."""
    s = run.settings
    model, data, _, chosen = problem(run, device)
    own, (_, torchs) = Data(data.x[chosen], data.y[chosen]), OPTIMIZERS[s["optimizer"]]
    sizes = {name: s[name] for name in ("batch", "micro_batch")}
    settings = {"repeats": s["repeats"], "optimizer": functools.partial(torchs, lr=s["rate"]), "clock": undisturbed}
    return {"step": step_seconds(model, LOSSES[s["model"]], own, seed=run.seed, **sizes, **settings).step}


def handed_in(run: Run, device: str) -> tuple:
    """Model, loss, loader and optimizer as a learner would hand them in."""
    s = run.settings
    model, data, _, chosen = problem(run, device)
    loader = DataLoader(TensorDataset(data.x[chosen], data.y[chosen]), s["batch"], shuffle=True)
    return model, LOSSES[s["model"]], loader, functools.partial(OPTIMIZERS[s["optimizer"]][1], lr=s["rate"])


def advice(run: Run, device: str) -> dict:
    """What the adviser measures on one model."""
    return advise(*handed_in(run, device), budget_s=run.settings["budget_s"], seed=run.seed).numbers()


def noise(run: Run, device: str) -> dict:
    """The noise along a short run of fixed length: 1/B_noise at every look, and the loss."""
    s = run.settings
    model, data, _, chosen = problem(run, device)
    own, optimizer = Data(data.x[chosen], data.y[chosen]), handed_in(run, device)[3]
    looks = short_run(
        model, LOSSES[s["model"]], own, optimizer, batch=s["batch"], steps=s["steps"], looks=s["looks"], seed=run.seed
    )
    return {"losses": tuple(look.loss for look in looks), "signals": tuple(float(look.signal.value) for look in looks)}
