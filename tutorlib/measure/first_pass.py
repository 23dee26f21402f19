"""What is asked of a model, its loss and its optimizer before anything is measured: one small pass."""

import inspect
from collections.abc import Callable

from torch import nn
from torch.optim import Optimizer

from tutorlib.errors import Refused, kind, refusing
from tutorlib.measure.guards import check_loss_of, what_works
from tutorlib.measure.handed_in import LEAST
from tutorlib.measure.mean_loss import check_outputs, check_value
from tutorlib.nn.data import Data

MAKER = "Give lambda parameters: AdamW(parameters, lr=…)"


def optimizer_name(optimizer, model: nn.Module) -> str:
    """What ``optimizer`` makes for ``model``; refused before anything is measured, where it makes nothing."""
    if not callable(optimizer):  # one that is made already, say
        raise Refused(
            f"optimizer is {kind(optimizer)}; allowed: a function that makes one, for a copy of your model is trained. "
            f"{MAKER}"
        )
    with refusing("optimizer", f"a function parameters → torch.optim.Optimizer. {MAKER}"):
        made = optimizer([p for p in model.parameters() if p.requires_grad])
    if not isinstance(made, Optimizer):
        raise Refused(f"optimizer makes {kind(made)}; allowed: a torch.optim.Optimizer. {MAKER}")
    closure = inspect.signature(made.step).parameters.get("closure")
    if closure is not None and closure.default is inspect.Parameter.empty:
        raise Refused(
            f"optimizer makes {kind(made)}, whose step computes the loss again and again; allowed: one that steps once "
            f"a gradient, SGD or AdamW say. {MAKER}"
        )
    return type(made).__name__


def check_trains(model: nn.Module, loss: Callable, data: Data) -> None:
    """One small pass: outputs a tensor, the loss one finite number that is a mean over examples and has a gradient."""
    with refusing(f"model and loss on {LEAST} examples of the loader", what_works(model, data)):
        outputs = model(data.x[:LEAST])
        check_outputs(outputs)
        value = loss(outputs, data.y[:LEAST])
    check_value(value, outputs)
    if not value.requires_grad:
        raise Refused("loss has no gradient; allowed: one that follows from the model's parameters. Look for detach()")
    check_loss_of(model, loss, data)
