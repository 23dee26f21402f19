"""What is asked of a model, its loss and its optimizer before anything is measured: one small pass."""

from collections.abc import Callable

import torch
from torch import nn

from tutorlib.errors import Refused
from tutorlib.measure.guards import check_loss_of
from tutorlib.measure.handed_in import LEAST
from tutorlib.nn.data import Data


def optimizer_name(optimizer) -> str:
    """What ``optimizer`` makes; refused before anything is measured, where it makes nothing."""
    if not callable(optimizer):  # one that is made already, say
        raise Refused(
            f"optimizer is a {type(optimizer).__name__}; allowed: a function that makes one, for a copy of your model "
            "is trained. Give lambda parameters: AdamW(parameters, lr=…)"
        )
    made = optimizer([nn.Parameter(torch.zeros(1))])
    if not isinstance(made, torch.optim.Optimizer):
        raise Refused(
            f"optimizer makes a {type(made).__name__}; allowed: a torch.optim.Optimizer. Give lambda parameters: "
            "AdamW(parameters, lr=…)"
        )
    return type(made).__name__


def check_trains(model: nn.Module, loss: Callable, data: Data) -> None:
    """One small pass: outputs a tensor, the loss one finite number that is a mean over examples and has a gradient."""
    try:
        outputs = model(data.x[:LEAST])
        value = loss(outputs, data.y[:LEAST]) if isinstance(outputs, torch.Tensor) else None
    except Exception as error:
        first = str(error).splitlines()[0] if str(error) else ""
        raise Refused(
            f"model and loss failed on {LEAST} examples of the loader ({type(error).__name__}: {first}); allowed: a "
            "loss of model(inputs) and targets. Try these three by hand"
        ) from error
    if not isinstance(outputs, torch.Tensor):
        raise Refused(
            f"model returned a {type(outputs).__name__}; allowed: one tensor, an example a row. Wrap it in a module "
            "that returns its scores"
        )
    if not isinstance(value, torch.Tensor):
        raise Refused(f"loss returned a {type(value).__name__}; allowed: a tensor that holds one number")
    if not value.ndim and not torch.isfinite(value):
        raise Refused(
            f"loss is {float(value.detach())} on the first examples; allowed: a finite number. Look at inputs, weights"
        )
    if not value.requires_grad:
        raise Refused("loss has no gradient; allowed: one that follows from the model's parameters. Look for detach()")
    check_loss_of(model, loss, data)
