"""The exercises of lesson 04: bytes of a parameter, and which lines of a table are off."""

from collections.abc import Callable

import numpy as np

from tutorlib.checks import Check, attempt, said
from tutorlib.experiments import documents_table as table
from tutorlib.results import Results
from tutorlib.study import study
from tutorlib.theory.memory import PRECISIONS, static_bytes

ASKED = ("fp32", "bf16", "bf16, fp32 state", "mixed")
# Usual mistakes, by what they make of a recipe: bytes of parameter, gradient, number of state and master → bytes.
MISTAKES = {
    "the second moment is missing: AdamW keeps two numbers a parameter": lambda p: (
        p.parameter + p.gradient + p.state + p.master
    ),
    "the fp32 master copy is missing: the optimizer steps on weights in full precision": lambda p: (
        p.parameter + p.gradient + 2 * p.state
    ),
    "that counts the moments in the weights' own precision": lambda p: 3 * p.parameter + p.gradient + p.master,
    "that counts gradients in fp32: they are as wide as the weights they belong to": lambda p: (
        p.parameter + 4 + 2 * p.state + p.master
    ),
    "that counts gradients in two bytes: they are as wide as the weights they belong to": lambda p: (
        p.parameter + 2 + 2 * p.state + p.master
    ),
    "the gradients are missing": lambda p: p.parameter + 2 * p.state + p.master,
    "that is autocast's fp32 weights and gradients, and a master copy as well": lambda p: (
        16 + p.master if p.master else None
    ),
    "that is in bits: a byte is eight of them": lambda p: 8 * (p.parameter + p.gradient + 2 * p.state + p.master),
}


def check_bytes_per_parameter(function: Callable) -> Check:
    """``function(recipe)`` → bytes that training with AdamW needs, at some moment, for one parameter."""
    check = Check("bytes per parameter")
    answers = {recipe: attempt(function, recipe) for recipe in ASKED}
    for recipe, answer in answers.items():
        expected = static_bytes(1, recipe).total
        right = is_number(answer) and answer == expected
        check.add(f'"{recipe}"', right, f"{said(answer)}, expected {expected:g}{mistake(answers, recipe)}")
    return check


def mistake(answers: dict, recipe: str) -> str:
    """The mistake that gives this answer; of several the one that explains most of the other answers, too."""
    if isinstance(answers[recipe], tuple | list):
        return "; return the sum"

    def explained(formula, names) -> int:
        return sum(is_number(answers[name]) and answers[name] == formula(PRECISIONS[name]) for name in names)

    fitting = {words: formula for words, formula in MISTAKES.items() if explained(formula, (recipe,))}
    return f"; {max(fitting, key=lambda words: explained(fitting[words], ASKED))}" if fitting else ""


def check_off_lines(function: Callable, activations: Results | None = None) -> Check:
    """``function(recipe)`` → the set of names of 8B lines that are more than a quarter off in that recipe.

    What is right is read off ``activations``, this lesson's results (measured here, in seconds, unless they are given
    or were measured before), and off the arithmetic. Recipes: "bf16", "mixed" (computes in bf16, too) and "fp32" under
    autocast.
    """
    activations = study(table.ACTIVATIONS) if activations is None else activations
    check = Check("which lines are off")
    for recipe, computed in (("bf16", "bf16, fused"), ("mixed", "bf16, fused"), ("fp32", "autocast, fused")):
        found = attempt(function, recipe)
        ours = {row: table.ours(activations, row)[computed if row.micro_batch else recipe] for row in table.ROWS[:5]}
        expected = {row.name for row, value in ours.items() if abs(value / row.gigabytes - 1) > table.NEAR}
        right = is_names(found) and set(found) == expected
        check.add(f'"{recipe}"', right, wrong_lines(found, expected, ours, recipe))
    return check


def wrong_lines(found, expected: set[str], ours: dict, recipe: str) -> str:
    """What is wrong with a set of names, line by line with its numbers."""
    names = [row.name for row in ours]
    if not is_names(found):
        return f"{said(found)}, expected a set of names out of {names}"
    if unknown := sorted(set(found) - set(names)):
        return f"no line is called {unknown[0]!r}; the names are {names}"
    words = []
    for row, value in ours.items():
        if row.name in expected - set(found):
            words.append(f"{row.name!r} is off{why(row.name, recipe)} ({compared(value, row.gigabytes)})")
        elif row.name in set(found) - expected:
            words.append(f"{row.name!r} is about right ({compared(value, row.gigabytes)})")
    return "; ".join(words)


def compared(ours: float, claimed: float) -> str:
    return f"{ours:.1f} GB against {claimed:g}: {ours / claimed:.1f} times"


def why(name: str, recipe: str) -> str:
    if "activations" in name:
        return ": four times batch 1 is right as a factor; look at the gigabytes" if "4" in name else ""
    if "optimizer" in name:
        return f": count two moments in fp32{' and an fp32 master copy' if recipe == 'mixed' else ''}"
    return ": in fp32 a number takes four bytes"


def is_names(answer) -> bool:
    return isinstance(answer, set | frozenset | list | tuple) and all(isinstance(name, str) for name in answer)


def is_number(answer) -> bool:
    return isinstance(answer, int | float | np.number) and not isinstance(answer, bool)
