"""Transformers in the shapes that everybody knows, GPT-2 and Llama, plain: for their memory, not for their text."""

import math

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from tutorlib.theory.shapes import GPT2Shape, LlamaShape


class Attention(nn.Module):
    """Softmax attention over heads, fused or written out; fewer key than query heads are shared in groups."""

    def __init__(self, width: int, heads: int, groups: int, attention: str, dropout: float, causal: bool, bias: bool):
        super().__init__()
        self.heads, self.groups, self.attention, self.causal = heads, groups, attention, causal
        self.each = width // heads
        self.qkv = nn.Linear(width, (heads + 2 * groups) * self.each, bias)
        self.out, self.drop = nn.Linear(width, width, bias), nn.Dropout(dropout)

    def forward(self, x: torch.Tensor, turn=None) -> torch.Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (-1, self.each)).transpose(1, 2).split((self.heads, *2 * (self.groups,)), 1)
        if turn is not None:
            q, k = rotated(q, *turn), rotated(k, *turn)
        if self.groups < self.heads:
            k, v = (part.repeat_interleave(self.heads // self.groups, dim=1) for part in (k, v))
        mixed = self.fused(q, k, v) if self.attention == "fused" else self.written_out(q, k, v)
        return self.out(mixed.transpose(1, 2).flatten(2))

    def fused(self, q, k, v):
        dropout = self.drop.p if self.training else 0.0
        return F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=self.causal)

    def written_out(self, q, k, v):
        scores = q @ k.transpose(-2, -1) / math.sqrt(self.each)
        if self.causal:
            later = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(1)
            scores = scores.masked_fill(later, -math.inf)
        return self.drop(scores.softmax(-1)) @ v


def rotated(x: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor) -> torch.Tensor:
    """Rotary positions: each pair of numbers turned by an angle that grows with time (Su et al. 2021, 2104.09864)."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], dim=-1)


class Block(nn.Module):
    """GPT-2's and ViT's: layer norm, attention, layer norm, a perceptron of width 4h, each added to what came in."""

    def __init__(self, width: int, heads: int, attention: str, dropout: float = 0.0, causal: bool = True):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mix = Attention(width, heads, heads, attention, dropout, causal, bias=True)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.drop1, self.drop2 = nn.Dropout(dropout), nn.Dropout(dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.drop1(self.mix(self.norm1(x)))
        return x + self.drop2(self.down(F.gelu(self.up(self.norm2(x)))))


class LlamaBlock(nn.Module):
    """RMS norm, grouped attention with rotary positions, RMS norm, a gated perceptron, no biases."""

    def __init__(self, shape: LlamaShape, attention: str):
        super().__init__()
        h = shape.width
        self.norm1, self.norm2 = nn.RMSNorm(h, eps=1e-5), nn.RMSNorm(h, eps=1e-5)
        self.mix = Attention(h, shape.heads, shape.groups, attention, 0.0, True, bias=False)
        self.gate, self.up = nn.Linear(h, shape.hidden, False), nn.Linear(h, shape.hidden, False)
        self.down = nn.Linear(shape.hidden, h, False)

    def forward(self, x: torch.Tensor, turn) -> torch.Tensor:
        x = x + self.mix(self.norm1(x), turn)
        normed = self.norm2(x)
        return x + self.down(F.silu(self.gate(normed)) * self.up(normed))


class GPT2(nn.Module):
    """Tokens (examples, time) → scores (examples, time, vocabulary); ``attention`` is "fused" or "math"."""

    def __init__(self, shape: GPT2Shape, attention: str = "fused", checkpointing: bool = False, dropout: float = 0.0):
        super().__init__()
        self.checkpointing = checkpointing
        self.token, self.position = (
            nn.Embedding(shape.vocabulary, shape.width),
            nn.Embedding(shape.context, shape.width),
        )
        self.drop = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(shape.width, shape.heads, attention, dropout) for _ in range(shape.blocks))
        self.norm = nn.LayerNorm(shape.width)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.drop(self.token(tokens) + self.position.weight[: tokens.shape[1]])
        for block in self.blocks:
            x = checkpoint(block, x, use_reentrant=False) if self.checkpointing else block(x)
        return F.linear(self.norm(x), self.token.weight)


class Llama(nn.Module):
    """Tokens (examples, time) → scores (examples, time, vocabulary); ``attention`` is "fused" or "math"."""

    def __init__(self, shape: LlamaShape, attention: str = "fused", checkpointing: bool = False):
        super().__init__()
        self.checkpointing = checkpointing
        self.token = nn.Embedding(shape.vocabulary, shape.width)
        self.blocks = nn.ModuleList(LlamaBlock(shape, attention) for _ in range(shape.blocks))
        self.norm = nn.RMSNorm(shape.width, eps=1e-5)
        self.head = nn.Linear(shape.width, shape.vocabulary, False)
        half = shape.width // shape.heads // 2
        angle = torch.arange(shape.context)[:, None] * 500_000.0 ** -(torch.arange(half) / half)
        self.register_buffer("cosine", angle.cos(), persistent=False)
        self.register_buffer("sine", angle.sin(), persistent=False)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.token(tokens)
        turn = self.cosine[: tokens.shape[1]].to(x.dtype), self.sine[: tokens.shape[1]].to(x.dtype)
        for block in self.blocks:
            x = checkpoint(block, x, turn, use_reentrant=False) if self.checkpointing else block(x, turn)
        return self.head(self.norm(x))
