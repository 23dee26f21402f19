"""Whether a loss of a batch is the mean of its examples' losses, and what is wrong with it where it is not."""

from collections.abc import Callable

import torch

from tutorlib.errors import Refused, kind


def check_outputs(outputs) -> None:
    """Raises ``ValueError`` unless a model's answer is a tensor."""
    if not isinstance(outputs, torch.Tensor):
        raise Refused(
            f"model returned {kind(outputs)}; allowed: one tensor, an example a row. Wrap the model in a module that "
            "returns its scores"
        )


def check_value(value, outputs: torch.Tensor) -> None:
    """Raises ``ValueError`` unless the loss of ``outputs`` is one finite number in a tensor."""
    if not isinstance(value, torch.Tensor):
        raise Refused(f"loss returned {kind(value)}; allowed: a tensor that holds one number. Leave out item()")
    if value.ndim:
        raise Refused(
            f"loss returned shape {tuple(value.shape)}; allowed: one number, the mean over the examples. "
            'Use reduction="mean"'
        )
    if torch.isfinite(value):
        return
    if not torch.isfinite(outputs).all():
        raise Refused("model's outputs have NaN or infinity on the first examples; allowed: finite. Look at weights")
    raise Refused(
        f"loss is {float(value.detach())} on the first examples; allowed: a finite number. Look at inputs, weights"
    )


def check_mean_loss(loss: Callable, outputs: torch.Tensor, targets: torch.Tensor) -> None:
    """Raises ``ValueError`` unless ``loss`` of a batch is the mean of the losses of its examples."""
    whole = loss(outputs, targets)
    check_value(whole, outputs)
    alone = torch.stack([loss(outputs[i : i + 1], targets[i : i + 1]) for i in range(len(outputs))])
    if torch.allclose(whole, alone.mean(), rtol=1e-3, atol=0):
        return
    if targets.is_floating_point() and outputs.shape != targets.shape:  # torch lines up the last axes, not examples
        raise Refused(
            f"loss compares outputs of shape {tuple(outputs.shape)} with targets of shape {tuple(targets.shape)}, "
            "every example with all the others; allowed: one shape. Give targets[:, None], or squeeze the outputs"
        )
    if torch.allclose(whole, alone.sum(), rtol=1e-3, atol=0):
        raise Refused('loss sums over the examples; allowed: their mean. Use reduction="mean"')
    if outputs.dtype in (torch.float16, torch.bfloat16):
        raise Refused(
            f"model's outputs are {outputs.dtype}, too coarse to tell a mean over examples from another loss; allowed: "
            "torch.float32. Hand in model.float(), and inputs in float32"
        )
    raise Refused(
        f"loss of {len(outputs)} examples is {whole:.4g}, the mean of their own losses {alone.mean():.4g}; "
        "allowed: a plain mean over examples. Leave out class weights and losses that compare examples with each other"
    )
