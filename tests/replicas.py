"""Numbers and models for tests of many replicas: drawn from a seed, in float64."""

from collections.abc import Callable

import torch
from torch import nn


def drawn(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def replicas(make: Callable[[], nn.Module], count: int = 4) -> list[nn.Module]:
    """``count`` models of other seeds; torch's own random stream stays where it was."""
    made = []
    with torch.random.fork_rng(devices=[]):
        for seed in range(count):
            torch.default_generator.manual_seed(seed)
            made.append(make().double())
    return made
