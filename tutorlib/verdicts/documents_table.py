"""Lesson 04: the documents' gigabytes, line by line, and what smaller micro-batches really save."""

from functools import partial

import numpy as np

from tutorlib.experiments import documents_table as table
from tutorlib.records import Verdict
from tutorlib.results import Results
from tutorlib.theory.memory import CARDS
from tutorlib.theory.shapes import SHAPES
from tutorlib.verdicts.rules import all_below, counted, near, verdict

CLOSE = 0.05
TWO_BYTES = "{} are kept in two bytes a number (fp32: 32 GB)"
LARGE, TINY = ("llama-3-8b", "bf16, fused"), ("gpt2", table.SMALL)


def static_verdicts(plans: Results) -> list[Verdict]:
    """D3-12, D3-14 … 16, D4-10 … 13: what does not depend on the batch, followed on shapes, and the sum of all."""
    judge = partial(
        verdict, held="AdamW, one device, nothing sharded; 8B in pure bf16, GPT-2 in autocast (fp32 weights)"
    )
    large, small = table.plan(plans, *LARGE, 4, 2), table.plan(plans, *TINY, 8, 1)
    claimed = {row.claim: row for row in table.ROWS}
    off = f"more than {CLOSE:.0%} off"

    def line(claim: str, condition: str = "") -> Verdict:
        row = claimed[claim]
        record = large if row.model == "llama-3-8b" else small
        words = f"GB of {row.part.replace('_', ' ')}, followed on shapes"
        return judge(claim, words, near(row.gigabytes, record[row.part] / table.GB, CLOSE), off, condition=condition)

    moments = claimed["D3-16"]
    standard = [table.static(moments, recipe) for recipe in ("bf16, fp32 state", "mixed", "fp32")]
    gpt2 = [r for r in plans if r["model"] == "gpt2"]
    fixed = [r[part] / small[part] for r in gpt2 for part in ("parameters", "gradients", "optimizer_state")]
    return [
        line("D3-14", TWO_BYTES.format("weights")),
        line("D3-15", TWO_BYTES.format("gradients")),
        judge("D3-16", "GB with fp32 moments: 64, with a master copy 96", near(32, standard, CLOSE), off),
        line("D3-16", "the moments are bf16, too"),
        judge(
            "D3-16",
            "GB that AdamW takes for itself inside step(), all parameters at once",
            all_below(1, large["inside_step"] / table.GB),
            "less than 1 GB",
            says="… and that is all: 16 + 16 + 32 GB are enough to step",
        ),
        *sum_verdicts(plans),
        line("D4-10"),
        line("D4-11"),
        line("D4-12"),
        judge("D4-13", f"bytes ÷ bytes at micro-batch 8, {len(gpt2)} plans", counted(1, fixed), "any difference"),
    ]  # fmt: skip


def sum_verdicts(plans: Results) -> list[Verdict]:
    """D3-12: the sum of four parts, beside the peak; and with what the loss takes while its gradient is computed.

    Backward begins with the gradient of the softmax and that of the scores, as wide as the softmax, beside it. The
    gradients of the parameters are there at that moment only when an earlier part of an accumulation left them.
    """
    judge = partial(verdict, held="plans of two models with AdamW, predicted on shapes for a GPU's kernels")
    plain, with_loss = [], []
    for r in plans:
        static = r["parameters"] + r["optimizer_state"]
        scores = r["micro_batch"] * r["time"] * SHAPES[r["model"]].vocabulary * (2 if r["precision"] == "bf16" else 4)
        there = r["gradients"] if r["accumulation"] > 1 else 0
        plain.append((static + r["gradients"] + r["activations"]) / r["peak"])
        with_loss.append((static + there + r["activations"] + 2 * scores) / r["peak"])
    return [
        judge(
            "D3-12",
            f"sum of the four ÷ peak, worst of {len(plain)} plans",
            near(1, plain, table.NEAR),
            "all within a quarter",
        ),
        judge(
            "D3-12",
            "sum with the loss's gradients, parameters' gradients where accumulated, ÷ peak",
            near(1, with_loss, CLOSE),
            "5 % off",
            condition="two more copies of the output scores are counted, the gradients in the loss, and the peak is "
            "there and not inside step()",
        ),
    ]


def activation_verdicts(activations: Results) -> list[Verdict]:
    """D3-17, D3-18, D4-14 … 16: gigabytes of activations, in the recipes a reader may have in mind."""
    held = "activations, scores and loss at the end of a forward pass; four recipes a model; on shapes"
    judge, quarter = partial(verdict, held=held), "a recipe within a quarter"

    def line(claim: str, micro_batch: int, says: str = "", recipes=None) -> Verdict:
        """What is closest to the claim decides: it holds if any recipe comes near."""
        row = next(r for r in table.ROWS if (r.claim, r.micro_batch) == (claim, micro_batch))
        tried = recipes or table.TRIED[row.model]
        found = [table.kept(activations, row.model, name, micro_batch) for name in tried]
        closest = min(found, key=lambda value: abs(np.log(value / row.gigabytes)))
        words = f"GB at batch {micro_batch}, in the closest by factor, of: {'; '.join(tried)}"
        return judge(claim, words, near(row.gigabytes, closest, table.NEAR), quarter, says=says)

    def growth(model: str, few: int, many: int, recipes) -> list[float]:
        return [table.kept(activations, model, n, many) / table.kept(activations, model, n, few) for n in recipes]

    uncast = [name for name in table.TRIED["gpt2"] if name.startswith("fp32")]
    pure = [name for name in table.TRIED["llama-3-8b"] if name.startswith("bf16")]
    cast = growth("gpt2", 4, 16, ["autocast, fused"])
    return [
        line("D3-17", 1),
        line("D3-18", 4),
        judge(
            "D3-18",
            "activations at batch 4 ÷ at batch 1, pure bf16",
            near(4, growth("llama-3-8b", 1, 4, pure), CLOSE),
            "5 % off",
            says="… four times as much as at batch 1",
            condition="nothing is kept once for all examples",
        ),
        judge(
            "D4-14",
            "GPT-2's activations at 16 ÷ at 4, autocast",
            near(4, cast, CLOSE),
            "a factor within 5 % of 4",
            says="… and in proportion to it, under autocast too",
        ),
        line("D4-15", 4, recipes=uncast),
        line("D4-15", 4, "… to a quarter, with autocast to bf16", ("autocast, fused",)),
        line("D4-16", 8, recipes=uncast),
        line("D4-16", 16, "… and 8 GB at batch 16", uncast),
        judge(
            "D4-16",
            "activations at 8 and 16 ÷ (2 and 4 times those at 4), fp32",
            near(1, [*np.array(growth("gpt2", 4, 8, uncast)) / 2, *np.array(growth("gpt2", 4, 16, uncast)) / 4], 0.01),
            "1 % off",
            says="… twice and four times those at batch 4",
        ),
    ]


def plan_verdicts(plans: Results) -> list[Verdict]:
    """D3-10, D3-23, D3-24, D4-06, D4-08, D4-21: what cutting the batch saves."""
    judge = partial(verdict, held="predicted on shapes for a GPU's kernels; AdamW; memory alone")
    four = np.array([table.plan(plans, *TINY, *parts)["peak"] for parts in table.FOUR], dtype=float)
    whole = [table.plan(plans, *of, 8, 1) for *of, _ in table.HALVED.values()]
    halves = [table.plan(plans, *of, *parts) for *of, parts in table.HALVED.values()]
    peaks = [half["peak"] / one["peak"] for half, one in zip(halves, whole, strict=True)]
    activations = [half["activations"] / one["activations"] for half, one in zip(halves, whole, strict=True)]
    bare = table.plan(plans, *TINY, 4, 1)["peak"] / whole[1]["peak"]
    single = table.plan(plans, *TINY, 1, 8)["peak"] / halves[1]["peak"]
    falls, mib = four[1:] / four[:-1], 2**20
    rows = (
        ("D3-10", "peak of 4 × 8 ÷ peak of 32 × 1, GPT-2", all_below(0.5, four[3] / four[0]), "half or more", ""),
        ("D3-23", "peak of 4 × 2 ÷ peak of 8 × 1: 8B, GPT-2, GPT-2 with checkpointing", near(0.5, peaks, 0.1),
         "a ratio within a tenth of ½", "8 × 1 → 4 × 2 halves the memory"),
        ("D3-23", "activations of 4 × 2 ÷ of 8 × 1, the same three", near(0.5, activations, 0.1), "a ratio far from ½",
         "… it halves the activations"),
        ("D3-23", "peak of 4 × 1 ÷ peak of 8 × 1, GPT-2", near(0.5, bare, 0.1), "a ratio within a tenth of ½",
         "… and it would halve the memory without the gradients that accumulation keeps"),
        ("D3-24", "peak of 1 × 8 ÷ peak of 4 × 2, GPT-2", all_below(0.9, single), "nine tenths or more",
         "1 × 8 saves more than 4 × 2"),
        ("D4-06", "peak ÷ that of the plan before, B to D", all_below(0.9, falls), "nine tenths or more",
         "memory falls from plan to plan"),
        ("D4-06", "peak of D ÷ peak of A: an eighth of the micro-batch", near(1 / 8, four[3] / four[0], table.NEAR),
         "a ratio within a quarter of ⅛", "… in proportion to the micro-batch"),
        ("D4-08", "peak ÷ that at twice the micro-batch, three pairs and four plans", all_below(1, [*peaks, *falls]),
         "no less memory", ""),
        ("D4-21", "peak of 32 × 1 ÷ an A100 of 40 GB", all_below(1, four[0] / (CARDS["A100 40 GB"] * mib)),
         "a peak above the card's memory", "", "the card has the memory; GPT-2 at 32 wants one of 40 GB"),
        ("D4-21", "peak of 32 × 1 ÷ an RTX 4090", all_below(1, four[0] / (CARDS["RTX 4090"] * mib)),
         "a peak below the card's memory", "… on a card of 24 GB"),
    )  # fmt: skip
    return [
        judge(claim, words, found, change, says=says, condition="".join(condition))
        for claim, words, found, change, says, *condition in rows
    ]
