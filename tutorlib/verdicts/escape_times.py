"""Lesson 08: what leaving a well says about jumps, D1-34 and D0-07."""

from functools import partial

import numpy as np

from tutorlib.experiments import escape_times as lesson
from tutorlib.records import Verdict
from tutorlib.theory import escape as law
from tutorlib.theory.statistics import geometric_interval, slopes
from tutorlib.verdicts.rules import above, below, equal_to, same_ratio, verdict

WIDE = "a ratio clearly outside 0.8 … 1.25"


def escape_verdicts(records) -> list[Verdict]:
    """E27: height and width; D1-34: what jumps need; D0-07: small pits."""
    rows = (*law_rows(records), *hop_rows(records), *gradient_rows(records))
    return [
        verdict(
            claim, words, found, change, says=says, condition="".join(condition),
            held="one dimension, a well of our making, overdamped; no net is trained in it",
        )
        for claim, words, found, change, says, *condition in rows
    ]  # fmt: skip


def law_rows(records) -> tuple:
    """The walkers against the laws, and what the height of a rim is to each kind of noise."""
    held, time = lesson.ESCAPE.held, partial(lesson.mean_time, records)
    kramers = [
        time("gaussian", p["height"], p["width"]) / law.gaussian_time(p["height"], p["width"], held["temperature"])
        for p in lesson.ESCAPE.points
        if p["noise"] == "gaussian"
    ]
    jump = time("levy", lesson.MIDDLE) / law.levy_time(1.0, held["alpha"], lesson.SCALE)
    widths = np.transpose([np.log(time("levy", lesson.MIDDLE, w)) for w in lesson.WIDTHS])
    climbs, jumps = (time(noise, lesson.HIGH) / time(noise, lesson.LOW) for noise in ("gaussian", "levy"))
    large = time("levy", lesson.HIGH, scale=lesson.LARGE) / time("levy", lesson.LOW, scale=lesson.LARGE)
    return (
        ("E27", "Gaussian time ÷ the exact integral, five wells, geometric mean",
         same_ratio(np.prod(kramers, axis=0) ** 0.2), WIDE,
         "Gaussian noise climbs: the time is the integral (control)"),
        ("E27", "Lévy time ÷ the law for small scales", same_ratio(jump), WIDE,
         "Lévy noise jumps: α wᵅ/(C εᵅ) (control)"),
        ("E27", "slope of log time against log width, Lévy α = 1.5",
         equal_to(held["alpha"], slopes(np.log(lesson.WIDTHS), widths), 0.25), "a slope clearly off 1.5",
         "… as a power α of the width"),
        ("E27", "Gaussian time, rim at 1.2 ÷ at 0.5", same_ratio(climbs), "a ratio within 0.8 … 1.25",
         "to Gaussian noise a rim's height is nothing (control)"),
        ("D1-34", f"Lévy time, rim at 1.2 ÷ at 0.5, scale {lesson.SCALE}", same_ratio(jumps),
         "a ratio clearly above 1.25", "jumps do not care how high a barrier is",
         "the noise is α-stable with α < 2, and small"),
        ("D1-34", f"… scale {lesson.LARGE} (tried first) ÷ that of Gaussian noise",
         below(1, large / climbs, geometric_interval), "a ratio of 1 or more",
         "… and less than a Gaussian at twice the noise"),
    )  # fmt: skip


def hop_rows(records) -> tuple:
    """D0-07: 128 small steps against one accumulated one, whose kick at the same rate is 128^½ times smaller."""
    low, high = (lesson.hopped(records, height) for height in (lesson.LOW, lesson.HIGH))
    return (
        ("D0-07", f"share of walkers over the rim at 0.5 within {lesson.STRIDE} steps; one accumulated step: 0 (closed "
         "form)", above(0, low), "no walker, or hardly one", "",
         "“may” is one in twenty, in a pit of our making less than twice as deep as the temperature"),
        ("D0-07", "… minus the share over the rim at 1.2", above(0, low - high), "no difference",
         "… out of a small pit, and seldom out of a deeper one"),
    )  # fmt: skip


def gradient_rows(records) -> tuple:
    """D1-34: kicks of a net's own gradients against Gaussian ones of the same variance, at every rim."""
    ratio, smaller = partial(lesson.against_gaussian, records), partial(below, 0.8, interval=geometric_interval)
    slower = lesson.mean_time(records, "gradient", lesson.HIGH, batch=1, step=0.00125) / lesson.mean_time(
        records, "gradient", lesson.HIGH, batch=1
    )
    near, far = "a ratio near 1", "a ratio clearly below 0.8"
    return (
        ("D1-34", "time with an MLP's own noise at batch 1 ÷ Gaussian of the same variance, rim at 1.2",
         smaller(ratio(1)), near, "rare big kicks of finite variance cross a high rim sooner"),
        ("D1-34", f"… rim at {lesson.MIDDLE}", smaller(ratio(1, lesson.MIDDLE)), far, "… a middle one, too"),
        ("D1-34", f"… rim at {lesson.LOW}", smaller(ratio(1, lesson.LOW)), far, "… and a low one"),
        ("D1-34", "… batch 16, rim at 1.2", same_ratio(ratio(16)), far, "… at batch 16 they do as a Gaussian does"),
        ("D1-34", "time in steps a quarter as long ÷ in steps, batch 1, rim at 1.2, temperature held",
         above(1, slower, geometric_interval), "no longer a time",
         "… and in smaller steps at the same temperature they lose part of it"),
    )  # fmt: skip


PARTS = (((lesson.ESCAPE,), escape_verdicts),)
