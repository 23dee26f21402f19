"""Which layers look across the batch: found by changing an example's neighbours, whatever the layer is called."""

import copy
import itertools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from tutorlib.errors import Refused

PROBE = 4  # examples; passes of half as many show which axis counts them
WHOLE = ""  # the model itself among its layers
TOLERANCE = 1e-6  # of a tensor's largest number; a layer that treats every example alone repeats itself to the last bit


@dataclass(frozen=True)
class Coupling:
    """The layers that mix examples, in the order of the calls, and the shape of every layer's first input.

    Shapes are those of four examples; layers that the pass did not call are missing.
    """

    layers: tuple[str, ...]
    shapes: dict[str, tuple[int, ...]]


def coupled_layers(model: nn.Module, example_input, training: bool) -> Coupling:
    """The layers whose answer for one example changes with its neighbours, in training or in evaluation mode.

    ``example_input`` (examples, …) holds at least two different examples; a tuple for a model with several inputs.
    The first example is passed twice, each time among other neighbours, with the same random numbers. A layer
    is coupled if its part for this example differs though everything it was given for it is the same: behind
    each layer found the part is put back, so that no layer is blamed for another. Parameters that are exactly zero
    count as one, for a gate that is shut hides what is behind it. Works on copies: the model, its buffers, modes
    and hooks and torch's random stream stay as they are. A layer that looks at the neighbours and, on these examples,
    answers as if it did not (a softmax that sees only itself) is missed. Raises ``ValueError`` where no answer is
    possible.
    """
    inputs = example_input if isinstance(example_input, tuple) else (example_input,)
    check_examples(inputs)
    count = min(len(x) for x in inputs)
    other = [1 + i % (count - 1) for i in range(PROBE - 1)]

    def watched(rows: list[int], watch: "Watch") -> "Watch":
        twin = prepared(model, training)
        with torch.no_grad(), torch.random.fork_rng():
            torch.manual_seed(0)
            try:
                watch.run(twin, *(x[rows] for x in inputs))
            except Exception as error:
                raise Refused(
                    f"model failed on {len(rows)} examples in {'training' if training else 'evaluation'} mode "
                    f"({type(error).__name__}: {error}); allowed: a model that takes 2 and 4 rows of example_input"
                ) from error
        return watch

    half = watched([0, other[0]], Watch())
    first = watched([0, *other], Watch())
    again = watched([0, *other], Watch(first, half))
    if again.coupled:
        raise Refused(
            f"model is random at layer {again.coupled[0]!r}: the same examples gave two different outputs under the "
            "same torch seed; allowed: a model whose random numbers come from torch"
        )
    return Coupling(tuple(watched([0] * PROBE, Watch(first, half)).coupled), first.shapes)


def check_examples(inputs: tuple) -> None:
    """Raises ``ValueError`` unless every input is a tensor of at least two examples, not all of them alike."""
    for x in inputs:
        if not isinstance(x, torch.Tensor) or not x.ndim or len(x) < 2:
            got = f"shape {tuple(x.shape)}" if isinstance(x, torch.Tensor) else type(x).__name__
            raise Refused(
                f"example_input is {got}; allowed: a tensor (examples, …) with at least 2 examples, or a tuple of such "
                "tensors"
            )
    if all(bool((x == x[:1]).all()) for x in inputs):
        raise Refused(
            "example_input repeats one example; allowed: at least 2 different ones, for an example shows that it looks "
            "at its neighbours only if these differ"
        )


def prepared(model: nn.Module, training: bool) -> nn.Module:
    """A copy in this mode, its gates open: parameters that are all zero are all one."""
    lazy = [tensor for tensor in (*model.parameters(), *model.buffers()) if is_lazy(tensor)]
    try:  # torch copies no tensor without a shape: lazy ones are made anew
        fresh = {id(tensor): type(tensor)(device=tensor.device, dtype=tensor.dtype) for tensor in lazy}
        twin = copy.deepcopy(model, fresh).train(training)
    except Exception as error:
        raise Refused(
            f"model cannot be copied ({type(error).__name__}: {error}); allowed: a model that copy.deepcopy takes, "
            "for the probe works on copies"
        ) from error
    with torch.no_grad():
        for p in twin.parameters():
            if not is_lazy(p) and not p.any():
                p.fill_(1)
    return twin


class Watch:
    """Hooks on every layer: the first watch keeps what passes, a later one compares with it and puts it back."""

    def __init__(self, first: "Watch | None" = None, half: "Watch | None" = None):
        self.first, self.half = first, half
        self.kept: dict[tuple, torch.Tensor] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.coupled: list[str] = []
        self.calls: dict[str, int] = {}
        self.inside: list[tuple[str, int]] = []

    def run(self, model: nn.Module, *inputs) -> None:
        for name, module in model.named_modules():
            module.register_forward_pre_hook(self._enter(name), with_kwargs=True)
            module.register_forward_hook(self._leave)
        model(*inputs)

    def _enter(self, name: str) -> Callable:
        def hook(module, arguments, named):
            number = self.calls[name] = self.calls.get(name, 0) + 1
            # What differs here was mixed between the layers: by the forward of the one that is calling.
            caller = self.inside[-1][0] if self.inside else WHOLE
            self.inside.append((name, number))
            return self._seen((name, number, "in"), caller, (arguments, named))

        return hook

    def _leave(self, module, arguments, output):
        name, number = self.inside.pop()
        return self._seen((name, number, "out"), name, output)

    def _seen(self, where: tuple, blamed: str, passing):
        """What goes on from here: kept, or compared and put back."""
        place = itertools.count()

        def one(tensor: torch.Tensor) -> torch.Tensor:
            key = (*where, next(place))
            self.shapes.setdefault(where[0], tuple(tensor.shape))
            if self.first is None:
                self.kept[key] = tensor.clone()
                return tensor
            restored = mended(tensor, self.first.kept.get(key), self.half.kept.get(key))
            if restored is not tensor and blamed not in self.coupled:
                self.coupled.append(blamed)
            return restored

        return mapped(one, passing)


def mended(tensor: torch.Tensor, before: torch.Tensor | None, half: torch.Tensor | None) -> torch.Tensor:
    """``tensor`` itself if its part for the first example is as before, else a copy with that part put back.

    The axis that counts examples is the first that is twice as long for twice the examples. Where it counts more
    (tokens of all examples, say), example by example or the other way round, both readings must have changed.
    A tensor without such an axis is one number for all; one whose shape follows the values cannot be compared.
    """
    if before is None or half is None or tensor.shape != before.shape or tensor.ndim != half.ndim:
        return tensor
    grown = [a for a in range(tensor.ndim) if tensor.shape[a] != half.shape[a]]
    if not grown:
        return tensor if alike(tensor, before) else before.clone()
    axis, each = grown[0], tensor.shape[grown[0]] // PROBE
    if tensor.shape[axis] != 2 * half.shape[axis] or tensor.shape[axis] % PROBE:
        return tensor
    parts = [(slice(None),) * axis + (rows,) for rows in (slice(0, each), slice(0, None, PROBE))]
    if any(alike(tensor[part], before[part]) for part in parts):
        return tensor
    restored = tensor.clone()
    for part in parts:
        restored[part] = before[part]
    return restored


def alike(a: torch.Tensor, b: torch.Tensor) -> bool:
    if torch.equal(a, b) or not (a.is_floating_point() or a.is_complex()):
        return torch.equal(a, b)
    scale = float(b.abs().nan_to_num(0, 0, 0).max()) if b.numel() else 0.0
    return bool(torch.allclose(a, b, rtol=0, atol=TOLERANCE * scale, equal_nan=True))


def mapped(function: Callable, passing):
    """``function`` of every tensor in nested tuples, lists and dicts; anything else passes as it is."""
    if isinstance(passing, torch.Tensor):
        return function(passing)
    if isinstance(passing, dict):
        fresh = copy.copy(passing)
        for key, value in passing.items():
            fresh[key] = mapped(function, value)
        return fresh
    if isinstance(passing, tuple) and hasattr(passing, "_fields"):
        return type(passing)(*(mapped(function, part) for part in passing))
    return type(passing)(mapped(function, part) for part in passing) if type(passing) in (tuple, list) else passing
