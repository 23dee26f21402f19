"""One optimizer update made twice, from one batch and from its micro-batches: how far apart the two are."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from tutorlib.measure.accumulation import IGNORED, accumulate, counted
from tutorlib.nn.models import TORCH_STREAM
from tutorlib.theory.equality import ROUNDINGS, mean_shift, spread_ratio

Parts = list[tuple[torch.Tensor, torch.Tensor]]


def split(x: torch.Tensor, y: torch.Tensor, micro_batch: int) -> Parts:
    return list(zip(x.split(micro_batch), y.split(micro_batch), strict=True))


def accumulated(model: nn.Module, parts: Parts, loss: Callable, clip: float | None = None) -> torch.Tensor:
    """The gradient that :func:`~tutorlib.measure.accumulation.accumulate` leaves, as one vector."""
    accumulate(model, parts, loss, clip=clip)
    return flat_gradient(model)


def part_gradients(model: nn.Module, parts: Parts, loss: Callable) -> tuple[torch.Tensor, torch.Tensor]:
    """Each part's own gradient (parts, parameters) and its counted targets (parts, 1): where mistakes start."""
    rows = []
    for x, y in parts:
        model.zero_grad()
        loss(model(x), y).backward()
        rows.append(flat_gradient(model))
    rows = torch.stack(rows)
    return rows, torch.tensor([[counted(y)] for _, y in parts], dtype=rows.dtype, device=rows.device)


def flat_gradient(model: nn.Module) -> torch.Tensor:
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


# What loops make of the gradients g (parts, parameters) of parts with n targets, where a full window has `full` parts.
MERGE = {
    "weighted": lambda g, n, full: (n * g).sum(0) / n.sum(),
    "no division": lambda g, n, full: g.sum(0),
    "mean of means": lambda g, n, full: g.mean(0),
    "division by full K": lambda g, n, full: g.sum(0) / full,
    "bfloat16 sum": lambda g, n, full: running_sum(n / n.sum() * g, torch.bfloat16),
    "float16 sum": lambda g, n, full: running_sum(n / n.sum() * g, torch.float16),
}


def running_sum(rows: torch.Tensor, accumulator: torch.dtype) -> torch.Tensor:
    """Row after row added in the accumulator's type, as ``p.grad`` of that type would."""
    total = torch.zeros_like(rows[0], dtype=accumulator)
    for row in rows:
        total += row.to(accumulator)
    return total.to(rows.dtype)


def clipped(gradient: torch.Tensor, clip: float) -> torch.Tensor:
    """The same direction, no longer than ``clip``; one vector or one a row."""
    return gradient * (clip / gradient.norm(dim=-1, keepdim=True)).clamp(max=1)


def update(gradient: torch.Tensor, optimizer: Callable, rate: float = 1.0) -> torch.Tensor:
    """Δθ of the optimizer's first step. From θ = 0: θ + Δθ − θ would add the rounding of θ to what is compared."""
    return optimizer(torch.zeros_like(gradient), gradient, None, rate)[0]


def distance(one: torch.Tensor, other: torch.Tensor) -> float:
    """|one − other| / |other|."""
    return float((one - other).norm() / other.norm())


@dataclass(frozen=True)
class Routes:
    """One update's gradient from the whole batch and from its parts, and what rounding may do to it.

    ``twins`` are the whole batch's gradient computed again, and with its examples in another order. ``slack`` is what
    rounding may add to or take from each element: ``ROUNDINGS`` machine epsilons.
    """

    whole: torch.Tensor
    parts: torch.Tensor
    twins: tuple[torch.Tensor, ...]
    slack: torch.Tensor

    def distance(self, optimizer: Callable) -> float:
        """Relative L2 distance |Δθ_parts − Δθ_whole| / |Δθ_whole|."""
        return distance(update(self.parts, optimizer), update(self.whole, optimizer))

    def floor(self, optimizer: Callable) -> float:
        """The same distance between the whole batch and its twins: measured before anything is called different."""
        return max(distance(update(twin, optimizer), update(self.whole, optimizer)) for twin in self.twins)

    def tolerance(self, optimizer: Callable) -> float:
        """The farthest that rounding takes this update: by its slack, or by ``ROUNDINGS`` times the measured floor.

        A first step of SGD or AdamW is monotone in every element of g, so the ends g ± slack bound it. For SGD the
        answer is about ``ROUNDINGS`` · ε. AdamW steps by nearly ±η however small an element is, and small ones lose
        their sign to rounding: its tolerance is wider.
        """
        centre = update(self.whole, optimizer)
        ends = [(update(self.whole + sign * self.slack, optimizer) - centre).abs() for sign in (1, -1)]
        return max(float(torch.maximum(*ends).norm() / centre.norm()), ROUNDINGS * self.floor(optimizer))


def two_routes(
    route: Callable, whole: Parts, parts: Parts, sizes: torch.Tensor, accumulator: torch.dtype, seed: int
) -> Routes:
    """``route(parts)`` → gradient, of one part and of many.

    ``sizes`` is Σ n_k |g_k| / Σ n_k, element by element: a sum rounds in proportion to its terms, not to its result
    (Higham 2002, Accuracy and Stability of Numerical Algorithms, section 4.2). The terms are rounded themselves, in
    proportion to a typical element; an element that no example touches is exactly 0 on every route.
    """
    ((x, y),) = whole
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed)).to(x.device)
    once = route(whole)
    typical = torch.finfo(once.dtype).eps * once.norm() / len(once) ** 0.5 * (sizes > 0)
    slack = ROUNDINGS * (torch.finfo(accumulator).eps * sizes + typical)
    return Routes(once, route(parts), (route(whole), route([(x[order], y[order])])), slack)


@dataclass(frozen=True)
class Draws:
    """Gradients (draws, parameters) of one update by two random routes, every draw with masks of its own."""

    whole: torch.Tensor
    parts: torch.Tensor

    def compare(self, optimizer: Callable) -> dict[str, float]:
        """One draw's distance, and what all draws say of means and spreads."""
        whole, parts = update(self.whole, optimizer), update(self.parts, optimizer)
        columns = whole.cpu().numpy(), parts.cpu().numpy()
        return {
            "distance": distance(parts[0], whole[0]),
            "shift": mean_shift(*columns),
            "spread": spread_ratio(*columns),
        }


def random_routes(whole: Callable, parts: Callable, draws: int, seed: int) -> Draws:
    """``whole()`` and ``parts()`` → gradient, in turn; the global random stream is left as it was."""
    with TORCH_STREAM, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        pairs = [(whole(), parts()) for _ in range(draws)]
    return Draws(*(torch.stack(column) for column in zip(*pairs, strict=True)))


def mean_loss(scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Cross-entropy, the mean over every target that is not ignored."""
    return F.cross_entropy(scores.flatten(0, -2), targets.flatten(), ignore_index=IGNORED)


def negatives_loss(scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Find your own target among those of the batch: in-batch negatives.

    Source: Karpukhin et al. 2020, arXiv 2004.04906, section 3.2.
    """
    among = scores.flatten(0, -2)[:, targets.flatten()]
    return F.cross_entropy(among, torch.arange(len(among), device=among.device))


def balance_loss(scores: torch.Tensor, targets: torch.Tensor, weight: float = 0.01) -> torch.Tensor:
    """The mean loss plus ``weight`` · E Σ f_e P_e, with the scores taken for a router's over E experts.

    f_e is the share of tokens sent to expert e and P_e its mean probability, both over the batch.
    Source: Fedus et al. 2022, arXiv 2101.03961, equations 4 to 6.
    """
    chances = scores.flatten(0, -2).softmax(-1)
    sent = F.one_hot(chances.argmax(-1), chances.shape[-1]).to(chances.dtype).mean(0)
    return mean_loss(scores, targets) + weight * chances.shape[-1] * sent @ chances.mean(0)
