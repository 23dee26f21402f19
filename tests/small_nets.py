"""A net for ``python -m tutorlib memory small_nets:normed``, too small for its first guess."""

import torch
from torch import nn
from torch.nn.functional import cross_entropy


def normed():
    """BatchNorm after a linear layer has no variance to divide by at micro-batch 1."""
    net = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8))
    return net, cross_entropy, (torch.randn(4, 8), torch.zeros(4, dtype=torch.long))
