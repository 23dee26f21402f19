"""Situations of the loop: what becomes of a window that is not full, and of texts of unequal length."""

from dataclasses import replace

import numpy as np

from tutorlib.theory.flags import TRAINERS
from tutorlib.theory.memo import LENGTHS, PLAN
from tutorlib.theory.plan import Plan
from tutorlib.theory.quiz.situation import Found, Situation
from tutorlib.theory.token_weights import log_normal_lengths, token_weights


def ask_window(trainer, plan):
    return (
        f"{plan.examples:,} examples, {plan.micro_batch} × {plan.accumulation}, trained by {trainer}. An epoch leaves "
        f"{plan.leftover_micro_batches} micro-batches over. What becomes of them?"
    )


def measure_window(trainer, plan):
    plan = replace(plan, window=TRAINERS[trainer].window)
    updates = tuple(plan.timeline())
    most, fewest = (pick(update.micro_batches for update in updates) for pick in (max, min))
    last = min(updates, key=lambda update: update.micro_batches)
    if most > plan.accumulation:
        answer = "leaked"
    elif fewest < plan.accumulation:
        answer = "stepped" if last.divisor == last.micro_batches else "shrunk"
    else:
        answer = "carried" if any(u.after < plan.accumulation for u in updates) else "dropped"
    return Found(
        answer,
        f"{plan.epochs} epochs have {len(updates):,} updates of {fewest} to {most} micro-batches; one with "
        f"{last.micro_batches} is divided by {last.divisor}",
    )


def ask_texts(sigma, micro_batch, division, seed):
    lengths = log_normal_lengths(32, 200, sigma, 2000, seed)
    how = "mean losses of micro-batches are averaged"
    if division == "by all tokens":
        how = "summed losses are divided by the tokens of the whole update"
    return (
        f"32 texts of {lengths.min()} to {lengths.max():,} tokens, {micro_batch} × {32 // micro_batch}: {how}. "
        "Whose tokens count more than in one batch of 32?"
    )


def measure_texts(sigma, micro_batch, division, seed):
    lengths = log_normal_lengths(32, 200, sigma, 2000, seed)
    weights = token_weights(lengths, micro_batch, division)
    order = np.argsort(lengths)
    short, long = (float(weights[part].mean()) for part in (order[:8], order[-8:]))
    answer = "same" if abs(short / long - 1) < 0.05 else "short" if short > long else "long"
    return Found(
        answer,
        f"fair is 1; a token of the eight shortest texts weighs {short:.2f}, one of the eight longest {long:.2f}",
    )


LOOPS = (
    Situation(
        "the last window",
        ask_window,
        {
            "stepped": "a step of their own, the mean of what is there",
            "shrunk": "a step of their own, but too small",
            "carried": "the next epoch fills their window up",
            "leaked": "they make the next epoch's first step too large",
            "dropped": "they are thrown away",
        },
        measure_window,
        PLAN,
        tuple({"trainer": name, "plan": Plan(10_000, 4, 8, epochs=2)} for name in TRAINERS),
    ),
    Situation(
        "texts of unequal length",
        ask_texts,
        {"short": "those of short texts", "same": "none: all count the same", "long": "those of long texts"},
        measure_texts,
        LENGTHS,
        (
            {"sigma": 0.8, "micro_batch": 1, "division": "mean of means", "seed": 0},
            {"sigma": 0.8, "micro_batch": 4, "division": "by all tokens", "seed": 1},
            {"sigma": 0.0, "micro_batch": 4, "division": "mean of means", "seed": 2},
        ),
    ),
)
