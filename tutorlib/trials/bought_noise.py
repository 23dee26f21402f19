"""The runs of lesson 08 on bought noise: arms on the diagonal net, and what a step with noise costs."""

import torch
from torch.nn.functional import cross_entropy
from torch.nn.utils import parameters_to_vector

from tutorlib.measure.clock import now
from tutorlib.measure.diagonal_net import sparse_regression, train
from tutorlib.measure.per_example import per_example_squares
from tutorlib.nn.data import digits
from tutorlib.nn.models import make
from tutorlib.records import Run
from tutorlib.trials.diagonal_net import outcomes, weights_of


def diagonal(runs: list[Run], device: str) -> list:
    """Error |β − β*|² after training every seed's own problem with one arm; ``loss`` says that it is fitted."""
    s, seeds = runs[0].settings, [run.seed for run in runs]
    task = sparse_regression(seeds, s["examples"], s["inputs"], s["nonzero"])
    beta = train(
        task,
        weights_of(s["noise"], s["batch"]),
        rate=s["rate"],
        steps=round(s["length"] / s["rate"]),
        seeds=seeds,
        isotropic=s["isotropic"],
        apart=s["apart"],
        penalty=s["penalty"],
    )
    return outcomes(task, beta)


def price(run: Run, device: str) -> dict:
    """Seconds of a full-batch gradient with noise over one without: weighted losses, and isotropic of the same trace.

    Isotropic noise needs to know its trace, and so every example's squared length, and a random number a parameter.
    """
    s = run.settings
    model, data = make("mlp", run.seed, device), digits(s["examples"], run.seed, device)
    parameters = list(model.parameters())
    rng = torch.Generator(data.x.device).manual_seed(run.seed)

    def gradient(weights: torch.Tensor | None = None) -> torch.Tensor:
        losses = cross_entropy(model(data.x), data.y, reduction="none")
        loss = losses.mean() if weights is None else (weights * losses).mean()
        return parameters_to_vector(torch.autograd.grad(loss, parameters))

    def weighted() -> torch.Tensor:
        kicks = torch.randn(len(data), generator=rng, device=data.x.device)
        return gradient(1 + len(data) ** 0.5 * kicks)

    def isotropic() -> torch.Tensor:
        measured = per_example_squares(model, cross_entropy, data)
        size = (measured.squares.mean() / len(measured.mean)).sqrt()
        return measured.mean + size * torch.randn(len(measured.mean), generator=rng, device=data.x.device)

    seconds = {kind: [] for kind in (gradient, weighted, isotropic)}
    for _ in range(3 + s["repeats"]):
        for kind, taken in seconds.items():
            began = now(data.x.device)
            kind()
            taken.append(now(data.x.device) - began)
    bare, *others = (min(taken[3:]) for taken in seconds.values())  # what else runs only ever makes it longer
    return dict(zip(("weighted", "isotropic"), (other / bare for other in others), strict=True))
