"""Lesson 04: what kept bytes, predicted and measured peaks, and tries in a budget say about the claims."""

from functools import partial

import numpy as np

from tutorlib.experiments import documents_table as table
from tutorlib.experiments import fit_the_memory as lesson
from tutorlib.experiments.memory_lines import MEMORY_LINES
from tutorlib.records import Verdict
from tutorlib.results import Results
from tutorlib.verdicts.documents_table import activation_verdicts, plan_verdicts, static_verdicts
from tutorlib.verdicts.rules import all_below, at_most, counted, near, verdict


def saved_verdicts(records: Results) -> list[Verdict]:
    """E23, D3-13, D4-14: what a real forward pass keeps, against batch and against length."""
    judge = partial(verdict, held="a GPT of two blocks, width 64, fp32, no dropout; one real step on a processor")
    math, fused, checkpointed = (partial(lesson.saved, records, **kind) for kind in lesson.KINDS)
    batches, lengths = np.array(lesson.BATCHES), np.array(lesson.LENGTHS)
    by_batch = [kept(batches) for kept in (math, fused, checkpointed)]
    by_length = [kept(lengths, over="time") for kept in (math, fused, checkpointed)]
    different = [r["real"] - r["shapes"] for r in records]
    hooks = [abs(r["hooks"] / r["real"] - 1) for r in records]
    theory = [r["real"] / lesson.by_formula(r.run) for r in records]
    line = [np.abs(values - np.polyval(np.polyfit(batches, values, 1), batches)) / values for values in by_batch]
    doubled = [values[-1] / values[-2] for values in by_length]
    (_, square), (_, flat) = (lesson.grows(lengths, values) for values in by_length[:2])
    expected = 4 * lesson.SHAPE["heads"] * lesson.SHAPE["blocks"] * 2  # a softmax of 4 bytes, two examples
    rows = (
        ("E23", "bytes kept by a real step minus bytes kept on shapes", counted(0, different), "one byte of difference",
         "on shapes alone a forward pass keeps what it keeps for real"),
        ("E23", "… and what autograd hands to hooks: relative difference", at_most(1e-4, hooks), "more than 0.01 %",
         "… by a second count"),
        ("E23", "bytes ÷ the formula at four bytes a number, worst of three kinds", near(1, theory, 0.03), "3 % off",
         "34 + 5as/h, its terms taken for this setting, is what a real step keeps"),
        ("D4-14", "relative distance from a line through batches 1 … 16, worst of three kinds",
         at_most(1e-4, line), "a distance above 0.01 %", ""),
        ("D3-13", "bytes at 512 tokens ÷ at 256, math and fused attention and checkpointing",
         near(4, doubled, 0.05), "four times the bytes", ""),
        ("D3-13", "… fused attention and checkpointing", near(2, doubled[1:], 0.01), "a factor other than 2",
         "… with batch × length where attention is fused"),
        ("D3-13", "coefficient of length² with math attention ÷ (4 bytes · heads · blocks · examples)",
         near(1, square / expected, 0.05), "5 % off", "… plus batch × length² for every softmax that is kept"),
        ("D3-13", "share of length² at 512 tokens with fused attention",
         at_most(1e-3, abs(flat) * 512**2 / by_length[1][-1]), "a share above 0.1 %",
         "… of which fused attention keeps none"),
        ("E23", "bytes with checkpointing ÷ without", all_below(0.2, by_batch[2] / by_batch[1]), "a fifth or more",
         "checkpointing keeps less than a fifth, in a model of two blocks"),
    )  # fmt: skip
    return [judge(claim, words, found, change, says=says) for claim, words, found, change, says in rows]


def layer_verdicts(records: Results) -> list[Verdict]:
    """E23: bytes of a layer in the published formula's setting, and in others."""
    judge = partial(verdict, held="GPT-2's layer, 1,024 tokens, 4 examples; on shapes, for a GPU's kernels")

    def at(name: str = "coefficient", **settings) -> float:
        return lesson.one(records, **settings)[name]

    own = {"precision": "bf16", "attention": "math", "dropout": 0.1}
    half = {"precision": "bf16", "attention": "fused", "dropout": 0.1}
    others = [r["coefficient"] / r["formula"] for r in records if {*own.items()} - {*r.run.settings.items()}]
    wider = [at(precision=precision) for precision in ("autocast", "fp32")]
    plain = lesson.one([r for r in records if "checkpointing" not in r.run.settings], **half)["coefficient"]
    rows = (
        ("bytes ÷ (34 + 5as/h): pure bf16, math attention, dropout", near(1, at(**own) / at("formula", **own), 0.01),
         "1 % off", "a layer keeps s·b·h·(34 + 5as/h) bytes in the formula's own setting"),
        ("… in five other settings", near(1, others, 0.1), "every setting within a tenth", "… and in any other"),
        ("bytes with fused attention, pure bf16", near(34, plain, 0.01), "1 % off", "fused attention leaves the 34"),
        ("bytes with fused attention, autocast and fp32", near(34, wider, 0.1), "both within a tenth",
         "… in autocast and fp32 too"),
        ("bytes with checkpointing, pure bf16", near(2, at(**half, checkpointing=True), 0.01), "1 % off",
         "checkpointing leaves 2, the layer's input"),
    )  # fmt: skip
    return [judge("E23", words, found, change, says=says) for words, found, change, says in rows]


def peak_verdicts(records: Results) -> list[Verdict]:
    """Whether the prediction is what a real step takes."""
    judge = partial(verdict, held="small models, two steps with AdamW on a processor, its allocator's own events")
    ratios = {r.run: r["predicted"] / r["measured"] for r in records}
    convolutions = [ratio for run, ratio in ratios.items() if run.settings["model"] in lesson.CONVOLUTIONS]
    others = [ratio for run, ratio in ratios.items() if run.settings["model"] not in lesson.CONVOLUTIONS]
    words = "predicted ÷ measured peak, worst of "
    rows = (
        (words + "MLP, ViT and five GPTs", near(1, others, 0.002), "0.2 % off",
         "steps on shapes predict the peak of a real step"),
        (words + "a CNN and a ResNet", near(1, convolutions, 0.1), "both within a tenth",
         "… of small convolutional nets to a tenth"),
    )  # fmt: skip
    return [judge("E24", words, found, change, says=says) for words, found, change, says in rows]


def finder_verdicts(tries: Results, found: Results) -> list[Verdict]:
    """D4-22: the largest micro-batch by trying, with one step and with two."""
    mlp = "MLP, AdamW, an artificial budget on a processor; "
    judge = partial(verdict, held=mlp + "every eighth size from 8 to 160 tried, for one step and for two")
    budgets = " and ".join(f"{r['budget']:,}" for r in found)
    examples = lesson.FOUND.held["examples"]
    one, two = (max(lesson.ran(tries, steps), default=0) for steps in (1, 2))
    some = [r for r in found if r["largest"]]
    missed = [r["found"] - r["largest"] for r in found]
    made = [r["micro_batch"] * r["accumulation"] for r in some] or [0]
    return [
        judge(
            "D4-22",
            f"found minus the largest of all sizes tried, {len(found)} budgets",
            counted(0, missed),
            "another size",
            held=f"{mlp}{budgets} bytes; two steps at every size from 1 to {examples}",
        ),
        judge(
            "D4-22",
            "micro-batch × accumulation, wanted 256",
            counted(lesson.WANTED, made),
            "another batch",
            held=f"{mlp}{budgets} bytes; of sizes from 1 to {examples}",
            says="… exactly, with a micro-batch that divides the target",
        ),
        judge(
            "D4-22",
            "largest that survives two steps ÷ largest that survives one",
            near(1, two / one if one else 0, 0.05),
            "the same size",
            says="… and one step is enough to see that it fits",
        ),
    ]


def timeline_verdicts(records: Results) -> list[Verdict]:
    """What the first step hides."""
    (r,) = records
    peak = np.sum([r[kind] for kind in table.ALIVE], axis=0).max()
    held = "GPT-2, 4 × 1,024 tokens, autocast, AdamW; predicted for a GPU's kernels"
    return [
        verdict(
            "E24",
            "peak of the first step ÷ peak of two",
            near(1, r["first_step"] / peak, 0.05),
            "a ratio of at least 0.95",
            held=held,
            says="the first step shows the peak",
        )
    ]


VERDICTS = (
    ((lesson.SAVED,), saved_verdicts),
    ((lesson.LAYERS,), layer_verdicts),
    ((lesson.PEAKS,), peak_verdicts),
    ((table.PLANS,), static_verdicts),
    ((table.ACTIVATIONS,), activation_verdicts),
    ((table.PLANS,), plan_verdicts),
    ((lesson.TRIES, lesson.FOUND), finder_verdicts),
    ((table.TIMELINE,), timeline_verdicts),
)

RECORDED = (MEMORY_LINES,)
