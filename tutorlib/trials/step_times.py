"""The clocks of lessons 02 and 05: a net's step in one piece and in parts, and a GPT's operations a second."""

import torch
from torch.nn.functional import cross_entropy

from tutorlib.measure.clock import matrix_peak, step_seconds
from tutorlib.nn.data import Data
from tutorlib.nn.models import make, next_token_loss
from tutorlib.records import Run
from tutorlib.theory.trade_off import gpt_operations
from tutorlib.trials.race_two_speeds import all_digits


def gpt_clock(run: Run, device: str) -> dict:
    """Tokens and operations a second of a GPT on random tokens, beside the device's own matrix-product peak."""
    s = run.settings
    shape = {name: s[name] for name in ("vocabulary", "context", "width", "heads", "blocks")}
    model, precision = make("gpt", run.seed, device, **shape), getattr(torch, s["precision"])
    tokens = torch.randint(s["vocabulary"], (s["micro_batch"], s["context"] + 1), device=device)
    data = Data(tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous())
    settings = {"batch": s["micro_batch"], "repeats": s["repeats"], "precision": precision}
    seconds = step_seconds(model, next_token_loss, data, **settings).step
    matrices = sum(p.numel() for p in model.parameters() if p.ndim == 2) - s["context"] * s["width"]  # no positions
    rate = s["micro_batch"] * s["context"] / seconds
    return {
        "seconds": seconds,
        "tokens_per_second": rate,
        "teraflops": 1e-12 * rate * gpt_operations(matrices, s["blocks"], s["width"], s["context"]),
        "peak_teraflops": 1e-12 * matrix_peak(torch.device(device), precision, s["matrix"]),
    }


def clock(run: Run, device: str) -> dict:
    """Seconds of one step and of its passes at one batch, in micro-batches where the run names them."""
    s = run.settings
    data, _ = all_digits(s["held_out"], device)
    model = make("mlp", run.seed, device, width=s["width"], depth=s["depth"])
    sizes = {name: s.get(name) for name in ("batch", "micro_batch")}
    times = step_seconds(model, cross_entropy, data, **sizes, repeats=s["repeats"], seed=run.seed)
    return {"forward": times.forward, "backward": times.backward, "step": times.step}
