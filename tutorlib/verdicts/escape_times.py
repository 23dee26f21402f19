"""Lesson 08: what leaving a well says about jumps, D1-34 and D0-07."""

from functools import partial

import numpy as np

from tutorlib.experiments import escape_times as lesson
from tutorlib.records import Verdict
from tutorlib.theory import escape as law
from tutorlib.theory.statistics import geometric_interval, slopes
from tutorlib.verdicts.rules import above, below, equal_to, same_ratio, verdict


def escape_verdicts(records) -> list[Verdict]:
    """E27: height and width; D1-34: what jumps need; D0-07: small pits."""
    held = lesson.ESCAPE.held
    judge = partial(verdict, held="one dimension, a well of our making, overdamped; no net is trained in it")
    time = partial(lesson.mean_time, records)
    kramers = [
        time("gaussian", p["height"], p["width"]) / law.gaussian_time(p["height"], p["width"], held["temperature"])
        for p in lesson.ESCAPE.points
        if p["noise"] == "gaussian"
    ]
    jump = time("levy", lesson.MIDDLE) / law.levy_time(1.0, held["alpha"], held["scale"])
    widths = np.transpose([np.log(time("levy", lesson.MIDDLE, w)) for w in lesson.WIDTHS])
    climbs, jumps = (time(noise, lesson.HIGH) / time(noise, lesson.LOW) for noise in ("gaussian", "levy"))
    ratio = partial(lesson.against_gaussian, records)
    slower = lesson.mean_time(records, "gradient", lesson.HIGH, batch=1, step=0.00125) / lesson.mean_time(
        records, "gradient", lesson.HIGH, batch=1
    )
    stable, smaller = "the noise is α-stable with α < 2", partial(below, 0.8, interval=geometric_interval)
    rows = (
        ("E27", "Gaussian time ÷ the law, five wells, geometric mean", same_ratio(np.prod(kramers, axis=0) ** 0.2),
         "a ratio clearly outside 0.8 … 1.25", "Gaussian noise climbs: the time is Kramers' integral", ""),
        ("E27", "Lévy time ÷ the law for small scales", same_ratio(jump), "a ratio clearly outside 0.8 … 1.25",
         "Lévy noise jumps: α wᵅ/(C εᵅ)", ""),
        ("E27", "slope of log time against log width, Lévy α = 1.5",
         equal_to(held["alpha"], slopes(np.log(lesson.WIDTHS), widths), 0.25), "a slope clearly off 1.5",
         "… as a power α of the width", ""),
        ("D1-34", "Lévy time, rim at 1.2 ÷ at 0.5", same_ratio(jumps), "a ratio clearly above 1.25",
         "jumps do not care how high a barrier is", stable),
        ("D0-07", "Gaussian time, rim at 1.2 ÷ at 0.5", above(3, climbs, geometric_interval), "a ratio below 3",
         "", "the pit is not much higher than the temperature η σ²/2B; this one is a toy"),
        ("D1-34", "time with an MLP's own noise ÷ Gaussian of the same variance, rim 1.2, batch 1", smaller(ratio(1)),
         "a ratio near 1", "rare big kicks of batch 1 do cross sooner, though their variance is finite", ""),
        ("D1-34", "… batch 16", same_ratio(ratio(16)), "a ratio clearly below 0.8",
         "… at batch 16 they do as a Gaussian does", ""),
        ("D1-34", "time at a quarter of the rate ÷ at the rate, batch 1", above(1, slower, geometric_interval),
         "no longer a time", "… and in smaller steps at the same temperature they lose part of it", ""),
    )  # fmt: skip
    return [
        judge(claim, words, found, change, says=says, condition=condition)
        for claim, words, found, change, says, condition in rows
    ]


PARTS = (((lesson.ESCAPE,), escape_verdicts),)
