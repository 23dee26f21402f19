"""A situation of the quiz: what you see, diagnoses to choose from, and the measurement that decides."""

from collections.abc import Callable
from dataclasses import dataclass

from tutorlib.theory.memo import Look


@dataclass(frozen=True)
class Found:
    """The ``answer``, a key of the situation's choices, and the numbers that ``decide``, in a sentence."""

    answer: str
    decides: str


@dataclass(frozen=True)
class Situation:
    """``ask(**case)`` words what is seen, ``measure(**case)`` finds what it is; ``look`` names function and lesson.

    Every case is one set of numbers. The same question has another answer in another case.
    """

    title: str
    ask: Callable[..., str]
    choices: dict[str, str]
    measure: Callable[..., Found]
    look: Look
    cases: tuple[dict, ...]
