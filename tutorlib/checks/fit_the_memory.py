"""The exercises of lesson 04: bytes of a parameter, and which lines of a table are off."""

from collections.abc import Callable

import numpy as np

from tutorlib.checks import Check, attempt
from tutorlib.experiments import documents_table as table
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

    def explained(formula, names) -> int:
        return sum(is_number(answers[name]) and answers[name] == formula(PRECISIONS[name]) for name in names)

    fitting = {words: formula for words, formula in MISTAKES.items() if explained(formula, (recipe,))}
    return f"; {max(fitting, key=lambda words: explained(fitting[words], ASKED))}" if fitting else ""


def check_off_lines(function: Callable, activations) -> Check:
    """``function(recipe)`` → the set of names of 8B lines that are more than a quarter off in that recipe.

    ``activations`` are this lesson's results: what is right is read off them, and off the arithmetic. Recipes: "bf16",
    "mixed" (computes in bf16, too) and "fp32" under autocast.
    """
    check = Check("which lines are off")
    for recipe, computed in (("bf16", "bf16, fused"), ("mixed", "bf16, fused"), ("fp32", "autocast, fused")):
        found, expected = attempt(function, recipe), set()
        for row in table.ROWS[:5]:
            value = table.ours(activations, row)[computed if row.micro_batch else recipe]
            if abs(value / row.gigabytes - 1) > table.NEAR:
                expected.add(row.name)
        check.add(f'"{recipe}"', is_names(found) and set(found) == expected, wrong_lines(found, expected, recipe))
    return check


def wrong_lines(found, expected: set[str], recipe: str) -> str:
    names = [row.name for row in table.ROWS[:5]]
    if not is_names(found):
        return f"{said(found)}, expected a set of names out of {names}"
    if unknown := sorted(set(found) - set(names)):
        return f"no line is called {unknown[0]!r}; the names are {names}"
    missed, extra = (sorted(part) for part in (expected - set(found), set(found) - expected))
    if missed:
        return f"{missed[0]!r} is off, too{why(missed[0], recipe)}"
    return f"{extra[0]!r} is about right: a number that is said to be about 16 may be 16.06" if extra else ""


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


def said(answer) -> str:
    if isinstance(answer, Exception):
        return f"an error of your code, {type(answer).__name__}: {answer}"
    return "you returned nothing" if answer is None else f"you returned {answer!r}"
