"""The models of the course: a perceptron, a one-dimensional convolutional net, a small GPT."""

import itertools
import threading

import torch
from torch import nn
from torch.nn import functional as F

from tutorlib.errors import Refused

TORCH_STREAM = threading.Lock()  # the random stream belongs to the whole process, and studies may run in threads


def mlp(inputs: int = 64, width: int = 128, classes: int = 10, depth: int = 1, norm: str = "none") -> nn.Sequential:
    """Inputs → ``depth`` hidden tanh layers → class scores. 9,610 parameters as it stands."""
    sizes = [inputs] + depth * [width]
    hidden = [(nn.Linear(i, o), *normalization(norm, o), nn.Tanh()) for i, o in itertools.pairwise(sizes)]
    return nn.Sequential(*itertools.chain(*hidden), nn.Linear(width, classes))


def cnn(length: int = 40, channels: int = 16, classes: int = 10, norm: str = "none") -> nn.Sequential:
    """Three strided convolutions on a signal of shape (examples, length), then class scores."""
    shapes = ((1, 5), (channels, 3), (channels, 3))  # channels in, length of the filter
    hidden = [
        (nn.Conv1d(i, channels, k, stride=2, padding=k // 2), *normalization(norm, channels), nn.ReLU())
        for i, k in shapes
    ]
    return nn.Sequential(
        nn.Unflatten(1, (1, length)),
        *itertools.chain(*hidden),
        nn.Flatten(),
        nn.Linear(channels * -(-length // 8), classes),  # three halvings, each rounded up
    )


def normalization(norm: str, channels: int, groups: int = 4) -> list[nn.Module]:
    """The layer before an activation, or no layer. "layer" is GroupNorm with one group: all channels and positions."""
    makers = {
        "none": lambda: [],
        "batch": lambda: [nn.BatchNorm1d(channels)],
        "group": lambda: [nn.GroupNorm(groups, channels)],
        "layer": lambda: [nn.GroupNorm(1, channels)],
    }
    if norm not in makers:
        raise Refused(f"norm is {norm!r}; allowed: {', '.join(makers)}")
    return makers[norm]()


class GPT(nn.Module):
    """A small GPT: tokens (examples, time) → scores of the next token (examples, time, vocabulary).

    Pre-norm blocks, learned positions, and the embedding shared with the output layer.
    """

    def __init__(self, vocabulary: int = 128, context: int = 64, width: int = 64, heads: int = 4, blocks: int = 2):
        super().__init__()
        self.token = nn.Embedding(vocabulary, width)
        self.position = nn.Embedding(context, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(blocks))
        self.norm = nn.LayerNorm(width)
        nn.init.normal_(self.token.weight, std=width**-0.5)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.token(tokens) + self.position.weight[: tokens.shape[1]]
        for block in self.blocks:
            x = block(x)
        return F.linear(self.norm(x), self.token.weight)


class Block(nn.Module):
    """Attention, then a two-layer perceptron, each added to what came in."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.qkv(self.norm1(x)).chunk(3, dim=-1)
        )
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).flatten(2))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


def make(name: str, seed: int, device: torch.device | str = "cpu", **sizes) -> nn.Module:
    """A model by name with weights drawn from ``seed`` alone; the global random stream is left as it was."""
    makers = {"mlp": mlp, "cnn": cnn, "gpt": GPT}
    if name not in makers:
        raise Refused(f"model is {name!r}; allowed: {', '.join(makers)}")
    with TORCH_STREAM, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return makers[name](**sizes).to(device)


def next_token_loss(scores: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy over every token of every example (all examples equally long)."""
    return F.cross_entropy(scores.flatten(0, 1), tokens.flatten())
