"""Optimizers and models that shapes can follow are followed; what they cannot is refused by name, with a way out."""

import copy
import ctypes
import functools

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tutorlib.errors import Refused
from tutorlib.measure.memory import target as targets
from tutorlib.measure.memory.predict import predict
from tutorlib.measure.memory.truth import followed, profiled_peak
from tutorlib.nn.models import make

BLOCK = 256


def rows(examples=8):
    return torch.zeros(examples, 64), torch.zeros(examples, dtype=torch.long)


class EightBit(torch.optim.Optimizer):
    """Momentum kept in one byte a number, with a scale for each block of 256, in plain torch operators."""

    def __init__(self, parameters):
        super().__init__(parameters, {})

    @torch.no_grad()
    def step(self, closure=None):
        for parameter in self.param_groups[0]["params"]:
            blocks, state = -(-parameter.numel() // BLOCK), self.state[parameter]
            if not state:
                state["count"] = torch.zeros(())
                state["codes"] = torch.full((blocks, BLOCK), 128, dtype=torch.uint8)
                state["scales"] = torch.zeros(blocks, 1)
            state["count"] += 1
            padded = F.pad(parameter.grad.flatten(), (0, blocks * BLOCK - parameter.numel())).view(blocks, BLOCK)
            moment = 0.9 * (state["codes"].float() - 128) / 127 * state["scales"] + padded
            moment /= 1 - 0.9 ** state["count"].item()
            state["scales"].copy_(moment.abs().amax(1, keepdim=True))
            state["codes"].copy_((moment / (state["scales"] + 1e-12) * 127 + 128).round().clamp(0, 255))
            parameter -= 0.1 * moment.flatten()[: parameter.numel()].view_as(parameter)


def test_an_8_bit_optimizer_in_torch_operators_is_followed_to_the_byte():
    model = make("mlp", 0, width=512, depth=2)
    trace = predict(model, F.cross_entropy, rows(), EightBit)
    assert trace.live.tolist() == followed(copy.deepcopy(model), F.cross_entropy, rows(), EightBit).live.tolist()
    assert trace.peak == pytest.approx(profiled_peak(copy.deepcopy(model), F.cross_entropy, rows(), EightBit), rel=1e-3)
    state = sum(4 + -(-p.numel() // BLOCK) * (BLOCK + 4) for p in model.parameters())
    assert trace.parts()["optimizer state"] == state


TORCHS = ("Adam", "AdamW", "Adadelta", "Adafactor", "Adagrad", "Adamax", "NAdam", "RAdam", "RMSprop", "Rprop")


@pytest.mark.parametrize("name", TORCHS)
@pytest.mark.parametrize("foreach", [False, True])
def test_torchs_own_optimizers_are_followed_to_the_byte(name, foreach):
    if not hasattr(torch.optim, name):
        pytest.skip(f"torch {torch.__version__} has no {name}")
    optimizer = functools.partial(getattr(torch.optim, name), lr=1e-3, foreach=foreach)
    model = make("mlp", 0, width=256, depth=2)
    predicted = predict(model, F.cross_entropy, rows(), optimizer)
    real = followed(copy.deepcopy(model), F.cross_entropy, rows(), optimizer)
    assert predicted.live.tolist() == real.live.tolist()


def steps_with(kernel):
    class Kernel(torch.optim.Optimizer):
        def __init__(self, parameters):
            super().__init__(parameters, {})

        def step(self, closure=None):
            for parameter in self.param_groups[0]["params"]:
                kernel(parameter.detach(), parameter.grad)

    return Kernel


KERNELS = {
    "numpy": lambda p, g: np.subtract(p.numpy(), 0.1 * g.numpy(), out=p.numpy()),
    "ctypes, by address": lambda p, g: ctypes.memset(p.data_ptr(), 0, 4),
    "ctypes, by its storage's address": lambda p, g: ctypes.memset(p.untyped_storage().data_ptr(), 0, 4),
    "dlpack": lambda p, g: torch.utils.dlpack.to_dlpack(p),
}


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("target", [targets.CPU, targets.GPU])
def test_an_optimizer_with_a_kernel_outside_torch_is_refused_by_name_before_it_is_handed_an_address(name, target):
    with pytest.raises(Refused, match="the optimizer Kernel cannot be followed") as refused:
        predict(make("mlp", 0), F.cross_entropy, rows(), steps_with(KERNELS[name]), target=target)
    assert "asks for numbers, and here are only shapes" in str(refused.value)
    assert "static_bytes" in str(refused.value) and "measure a real step" in str(refused.value)


@pytest.mark.parametrize("name", KERNELS)
def test_a_model_with_a_kernel_outside_torch_is_refused_with_its_pass(name):
    class Layer(nn.Module):
        def forward(self, x):
            KERNELS[name](x.detach(), x.detach())
            return x

    with pytest.raises(Refused, match=r"a kernel outside torch \(in the forward pass\) asks for numbers"):
        predict(nn.Sequential(nn.Linear(64, 10), Layer()), F.cross_entropy, rows())


@pytest.mark.parametrize(
    "kernel",
    [
        lambda p, g: p.mul_(0.5) if g.norm().item() > 1 else None,
        lambda p, g: p.mul_(0.5) if torch.isfinite(g).all() else None,
        lambda p, g: p.tolist(),
    ],
)
def test_an_optimizer_that_is_steered_by_a_value_is_refused(kernel):
    with pytest.raises(Refused, match=r"item\(\) \(in the optimizer\) steers the program by a value"):
        predict(make("mlp", 0), F.cross_entropy, rows(), steps_with(kernel))


def test_an_optimizer_whose_state_depends_on_values_is_refused():
    with pytest.raises(Refused, match=r"\(in the optimizer\) returns as many numbers as the values say"):
        predict(make("mlp", 0), F.cross_entropy, rows(), steps_with(lambda p, g: p[g != 0]))


def asks_when_made(parameters):
    return torch.optim.SGD(parameters, lr=parameters[0].norm().item())


def test_a_maker_that_asks_for_a_value_is_refused():
    with pytest.raises(Refused, match=r"item\(\) \(in the optimizer\) steers"):
        predict(make("mlp", 0), F.cross_entropy, rows(), asks_when_made)


def broken_maker(parameters):
    raise IndexError("list index out of range")


@pytest.mark.parametrize(
    ("optimizer", "said"),
    [
        (torch.optim.LBFGS, "the optimizer LBFGS cannot be followed (TypeError: "),
        (functools.partial(torch.optim.LBFGS, lr=1), "the optimizer LBFGS cannot be followed (TypeError: "),
        (torch.optim.SparseAdam, "the optimizer SparseAdam cannot be followed (RuntimeError: "),
        (broken_maker, "the optimizer broken_maker cannot be followed (IndexError: list index out of range)"),
    ],
)
def test_closures_sparse_state_and_what_cannot_even_be_made_are_refused_with_their_own_words(optimizer, said):
    with pytest.raises(Refused) as refused:
        predict(make("mlp", 0), F.cross_entropy, rows(), optimizer)
    assert str(refused.value).startswith(said) and "no closure" in str(refused.value)


def test_a_mistake_in_the_model_or_the_loss_comes_through_as_it_is():
    def mistaken(out, y):
        raise RuntimeError("a mistake of the user's own")

    with pytest.raises(RuntimeError, match="of the user's own"):
        predict(make("mlp", 0), mistaken, rows())
