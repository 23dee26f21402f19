"""BatchNorm over the batch of all ranks: one sum across processes, and its derivative."""

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from tutorlib.errors import Refused


class SumOverRanks(torch.autograd.Function):
    """Σ_r x_r, the same on every rank. The loss is the sum of the ranks' own losses.

    Every rank's loss sees every x_r, so ∂loss/∂x_r = Σ_s ∂loss_s/∂sum: backward is the same sum over ranks.
    """

    @staticmethod
    def forward(ctx, x):
        total = x.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx, gradient):
        return SumOverRanks.forward(None, gradient)


class SyncBatchNorm(_BatchNorm):
    """BatchNorm that takes its mean and variance over the examples of all ranks; on a processor too.

    Input (examples, channels, …); ranks may hold different numbers of examples, none as well. What one process
    computes on all examples together, forward, backward and in the running statistics, equals this to rounding, if
    the loss is the sum of the ranks' losses. It spans ranks within one forward pass, never the micro-batches of
    an accumulation. It computes in the precision of its input: sums in float16 would be rough. torch's own
    ``SyncBatchNorm`` does the same on a GPU, with one collective where this has two.

    Raises ``ValueError`` in training on a single value a channel. Source: Ioffe and Szegedy 2015, arXiv 1502.03167,
    algorithm 1; across devices: Peng et al. 2018, arXiv 1711.07240, section 3.3.
    """

    def _check_input_dim(self, x: torch.Tensor) -> None:
        if x.dim() < 2:
            raise Refused(f"x has shape {tuple(x.shape)}; allowed: (examples, channels, …)")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training and self.running_mean is not None:
            return super().forward(x)
        self._check_input_dim(x)
        axes = [axis for axis in range(x.dim()) if axis != 1]
        shape = [-1 if axis == 1 else 1 for axis in range(x.dim())]
        local = x.new_tensor([x.numel() / x.shape[1]])
        *sums, count = SumOverRanks.apply(torch.cat([x.sum(axes), local])).split([x.shape[1], 1])
        mean = sums[0] / count
        centred = x - mean.view(shape)
        variance = SumOverRanks.apply(centred.square().sum(axes)) / count
        if self.training:
            self.remember(mean.detach(), variance.detach(), float(count))
        y = centred * torch.rsqrt(variance + self.eps).view(shape)
        return y if self.weight is None else y * self.weight.view(shape) + self.bias.view(shape)

    def remember(self, mean: torch.Tensor, variance: torch.Tensor, count: float) -> None:
        """Running statistics as torch keeps them: the variance unbiased, by n/(n − 1)."""
        if count < 2:
            raise Refused("x has one value a channel over all ranks; allowed: at least 2, or model.eval()")
        if self.running_mean is not None:
            self.num_batches_tracked += 1
            step = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
            self.running_mean.lerp_(mean, step)
            self.running_var.lerp_(variance * (count / (count - 1)), step)


def synchronized(module: nn.Module) -> nn.Module:
    """``module`` with every BatchNorm in it replaced, in place, by one over all ranks that has its parameters."""
    for name, child in module.named_children():
        setattr(module, name, synchronized(child))
    if not isinstance(module, _BatchNorm) or isinstance(module, SyncBatchNorm):
        return module
    settings = {"eps": module.eps, "momentum": module.momentum, "affine": module.affine}
    twin = SyncBatchNorm(module.num_features, **settings, track_running_stats=module.track_running_stats)
    twin.train(module.training)
    for name, tensor in (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)):
        setattr(twin, name, tensor)
    return twin
