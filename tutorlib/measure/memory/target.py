"""What a GPU does differently from a processor: its kernels for attention, dropout and norms, its autocast list.

A device that is not there cannot be asked, and a fake one of its kind ends the process. So shapes stay on the
processor, and the functions whose memory differs are replaced, for the time of a prediction and for its thread only,
by the operators that a GPU would choose. What a kernel takes for itself inside is a table here, read off sources.
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from types import FunctionType

import torch
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from tutorlib.nn.device import fused_attention_allowed

aten = torch.ops.aten
MIB = 2**20


@dataclass(frozen=True)
class Target:
    """A kind of device to predict for: the unit of its allocator, its kernels, the workspace of its matrix products.

    ``matmul_workspace`` bytes are taken once by the forward pass and once by the backward pass, which runs on a thread
    of its own there, and never given back.
    """

    name: str
    unit: int = 1
    gpu_kernels: bool = False
    matmul_workspace: int = 0

    def rules(self) -> "GpuRules | None":
        return GpuRules() if self.gpu_kernels else None


CPU = Target("cpu")
GPU = Target("gpu", 512, True, 8 * MIB + 128 * 1024)
HOPPER = Target("hopper", 512, True, 32 * MIB)
TARGETS = {target.name: target for target in (CPU, GPU, HOPPER)}

# Computed in fp32 under a GPU's autocast and not under a processor's: inputs are cast, or the result's dtype is set.
FULL = {
    *("acos", "asin", "cosh", "erfinv", "exp", "expm1", "log", "log10", "log2", "log1p", "reciprocal", "rsqrt"),
    *("sinh", "tan", "pow", "softplus", "layer_norm", "group_norm", "norm", "cosine_similarity", "nll_loss"),
    *("kl_div", "l1_loss", "smooth_l1_loss", "huber_loss", "mse_loss", "soft_margin_loss", "dist", "cdist"),
    *("binary_cross_entropy_with_logits", "logsumexp"),
}
FULL_RESULT = {"softmax", "log_softmax", "sum", "prod", "cumsum", "cumprod"}
HALF = (torch.float16, torch.bfloat16)


def is_half(value) -> bool:
    return isinstance(value, torch.Tensor) and value.dtype in HALF


class GpuRules(TorchFunctionMode):
    """Replaces functions of torch by those that a GPU would run; it is off inside its own replacements."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs, name = kwargs or {}, getattr(function, "__name__", "")
        if name in REPLACED:
            return REPLACED[name](function, *args, **kwargs)
        if torch.is_autocast_enabled("cpu"):
            if name in FULL:
                args = tuple(arg.float() if is_half(arg) else arg for arg in args)
            elif name in FULL_RESULT and args and is_half(args[0]) and kwargs.get("dtype") is None:
                return function(*args, **{**kwargs, "dtype": torch.float32})
        if isinstance(function, FunctionType) and (function.__globals__ is vars(F) or name == "backward"):
            with self:  # so that what it calls in turn is replaced too, a checkpoint's second forward pass say
                return body(function)(*args, **kwargs)
        return function(*args, **kwargs)


@functools.cache
def body(function: FunctionType) -> FunctionType:
    """A function of torch's Python side without the question, first in its body, whether somebody replaces it."""
    questions = ("has_torch_function", "has_torch_function_unary", "has_torch_function_variadic")
    names = {**function.__globals__, **dict.fromkeys(questions, lambda *tensors: False)}
    bare = FunctionType(function.__code__, names, function.__name__, function.__defaults__, function.__closure__)
    bare.__kwdefaults__ = function.__kwdefaults__
    return bare


def attention(
    function, query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, enable_gqa=False
):
    """Flash attention for half precision without a mask, the memory-efficient kernel otherwise, as a GPU chooses."""
    if torch.is_autocast_enabled("cpu"):
        half = torch.get_autocast_dtype("cpu")
        query, key, value = (tensor.to(half) for tensor in (query, key, value))
    width = query.shape[-1]
    fused, options = fused_attention_allowed(), {"scale": scale or 1 / math.sqrt(width)}
    if fused and is_half(query) and attn_mask is None and max(width, value.shape[-1]) <= 256:
        padded = (F.pad(tensor, (0, -tensor.shape[-1] % 8)) if width % 8 else tensor for tensor in (query, key, value))
        mixed = aten._scaled_dot_product_flash_attention(*padded, dropout_p, is_causal, **options)[0]
        return mixed[..., :width]
    if fused and not enable_gqa and query.dtype != torch.float64:
        mask = attn_mask
        if mask is not None:
            if mask.dtype == torch.bool:
                mask = torch.zeros_like(mask, dtype=query.dtype).masked_fill_(~mask, -math.inf)
            mask = mask.expand(*query.shape[:3], key.shape[2])
        keep = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (query, key, value))
        return aten._scaled_dot_product_efficient_attention(
            query, key, value, mask, keep, dropout_p, is_causal, **options
        )[0]
    # Written out inside torch, where no rule reaches: its dropout keeps what a processor's would.
    return aten._scaled_dot_product_attention_math(
        query, key, value, attn_mask, dropout_p, is_causal, **options, enable_gqa=enable_gqa
    )[0]


def dropout(function, input, p=0.5, training=True, inplace=False):
    """One byte a number is kept, the mask; a processor keeps a multiplier of the input's own width."""
    return aten.native_dropout(input, p, True)[0] if training and p > 0 else input


def cross_entropy(function, input, target, weight=None, *more, label_smoothing=0.0, reduction="mean", **named):
    """Under autocast the softmax is taken in fp32, from a copy that is given up at once."""
    if torch.is_autocast_enabled("cpu") and is_half(input):
        if not (label_smoothing or more or target.is_floating_point()):
            logs = F.log_softmax(input, 1 if input.dim() > 1 else 0, dtype=torch.float32)
            return F.nll_loss(logs, target, weight, reduction=reduction, **named)
        input = input.float()
    return function(input, target, weight, *more, label_smoothing=label_smoothing, reduction=reduction, **named)


class FusedNorm(torch.autograd.Function):
    """RMS norm in one kernel, by shape alone: keeps its input and one fp32 number a row (torch 2.8 and later)."""

    @staticmethod
    def forward(ctx, x, weight, rows):
        ctx.save_for_backward(x, weight, torch.empty(rows, dtype=torch.float32))
        return torch.empty_like(x)

    @staticmethod
    def backward(ctx, gradient):
        x, weight, _ = ctx.saved_tensors
        return torch.empty_like(x), torch.empty_like(weight), None


def rms_norm(function, input, normalized_shape, weight=None, eps=None):
    if not hasattr(aten, "_fused_rms_norm") or weight is None or weight.dtype != input.dtype:
        return function(input, normalized_shape, weight, eps)
    return FusedNorm.apply(input, weight, input.shape[: -len(normalized_shape)])


REPLACED: dict[str, Callable] = {
    "scaled_dot_product_attention": attention,
    "dropout": dropout,
    "cross_entropy": cross_entropy,
    "rms_norm": rms_norm,
}


def inside(operator: str, arguments: tuple) -> int:
    """Bytes that a GPU's kernel takes for itself while it runs, where we know of any.

    The backward pass of flash attention sums the gradient of the queries in fp32, rows rounded up to 128 and heads'
    width to 32, with one more number a row. Source: the allocations of ``mha_bwd`` in FlashAttention-2, Dao 2023.
    """
    if operator != "_scaled_dot_product_flash_attention_backward":
        return 0
    examples, heads, time, width = arguments[1].shape
    rows = examples * heads * -(-time // 128) * 128
    return 4 * rows * (-(-width // 32) * 32 + 1)
