"""Lesson 07: β₂ at a small batch, and which numbers have to be tuned together."""

from functools import partial

from tutorlib.experiments import half_life as lesson
from tutorlib.experiments.half_life import FIXED, LARGE, LIBRARY, MIDDLE, RATES, REFERENCE, SMALL, WIDE, WIDE_RATE
from tutorlib.records import Verdict
from tutorlib.verdicts.rules import above, below, equal_to, verdict

MARGIN = 0.02  # nats a letter, of the 2.8 that are left
FLAT, CLEAR = f"a difference beyond {MARGIN} nats", f"a difference below {MARGIN} nats"


def half_life_verdicts(records) -> list[Verdict]:
    """E18 and D2-24: a memory counted in steps, or in examples; and a rate carried to another batch or width."""
    held = "a small language model on standard-library text, AdamW, 8,192 examples seen once"
    found = partial(lesson.loss, records)
    kept = {batch: found(batch, lesson.half_life(batch)) for batch in lesson.BATCHES}
    fixed = {batch: found(batch, FIXED) for batch in lesson.BATCHES}
    words = "held-out loss, β₂ {} minus half-life kept in examples, batch {}"
    wide = partial(found, LARGE, lesson.half_life(LARGE), width=WIDE)
    down = found(MIDDLE, lesson.half_life(MIDDLE), RATES[REFERENCE]) - kept[MIDDLE]
    up = found(REFERENCE, FIXED, RATES[MIDDLE]) - kept[REFERENCE]
    rows = (
        ("E18", words.format(FIXED, SMALL), above(MARGIN, fixed[SMALL] - kept[SMALL]), CLEAR,
         "at batch 1 a memory of 0.95 is too short"),
        ("E18", words.format(FIXED, MIDDLE), above(MARGIN, fixed[MIDDLE] - kept[MIDDLE]), CLEAR, "… at batch 8, too"),
        ("E18", words.format(FIXED, LARGE), equal_to(0, fixed[LARGE] - kept[LARGE], MARGIN), FLAT,
         "… and at batch 64 it is long enough"),
        ("E18", "held-out loss, batch 1 minus batch 64, half-life kept", below(MARGIN, kept[SMALL] - kept[LARGE]),
         FLAT, "with its half-life kept in examples, batch 1 is not behind batch 64"),
        ("E18", words.format(LIBRARY, SMALL), equal_to(0, found(SMALL, LIBRARY) - kept[SMALL], MARGIN), FLAT,
         "the library's 0.999 does as well at batch 1"),
        ("E18", words.format(LIBRARY, REFERENCE), equal_to(0, found(REFERENCE, LIBRARY) - kept[REFERENCE], MARGIN),
         FLAT, "… and does no harm at batch 256"),
        ("D2-24", "held-out loss of batch 8, rate of batch 256, unscaled, minus its own", above(MARGIN, down), CLEAR,
         "batch and rate have to be tuned together"),
        ("D2-24", "held-out loss of batch 256, rate of batch 8, unscaled, minus its own", above(MARGIN, up), CLEAR,
         "… upwards, too"),
        ("D2-24", "held-out loss of batch 64 at width 128, rate of width 32 minus its own",
         above(MARGIN, wide(rate=RATES[LARGE]) - wide(rate=WIDE_RATE)), CLEAR,
         "… and the width, under standard scaling, with them"),
    )  # fmt: skip
    unscaled = "; a rate scaled by a rule was not tried"
    return [
        verdict(claim, measured, finding, change, says=says, held=held + unscaled * (claim == "D2-24"))
        for claim, measured, finding, change, says in rows
    ]
