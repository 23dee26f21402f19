"""The one error of the edges, a sentence for the reader, and the words that such sentences share."""

from collections.abc import Iterator
from contextlib import contextmanager


class Refused(ValueError):
    """Input that cannot be used: which argument, what it got, what is allowed, what to do.

    In a notebook only the sentence is shown. Everywhere else it is a :class:`ValueError` with its traceback.
    """

    def _render_traceback_(self) -> list[str]:  # the hook by which IPython lets an exception draw itself
        return [f"✗ {self}"]


def a(word: str) -> str:
    """With its article, by its first sound: an AdamW, an LBFGS (letters spelled out), a list."""
    vowels = "AEFHILMNORSX" if word[:2].isupper() else "AEIOUaeiou"
    return f"{'an' if word[:1] in vowels else 'a'} {word}"


def kind(thing) -> str:
    """What something is, in words: "None", "a list", "an AdamW"."""
    return "None" if thing is None else a(type(thing).__name__)


def counted(count: int, thing: str) -> str:
    """1 update, 2 updates."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def first_line(error: BaseException) -> str:
    """ "RuntimeError: what it says", without the lines that follow and its full stop."""
    said = str(error).strip().splitlines()
    return f"{type(error).__name__}: {said[0].rstrip('.')}" if said else type(error).__name__


@contextmanager
def refusing(what: str, allowed: str) -> Iterator[None]:
    """Whatever a learner's own code raises inside, told in one sentence: ``what`` failed, and what is ``allowed``."""
    try:
        yield
    except Refused:
        raise
    except Exception as error:
        raise Refused(f"{what} failed ({first_line(error)}); allowed: {allowed}") from error
