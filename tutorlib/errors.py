"""The one error of the edges, a sentence for the reader, and the words that such sentences share."""


class Refused(ValueError):
    """Input that cannot be used: which argument, what it got, what is allowed, what to do.

    In a notebook only the sentence is shown. Everywhere else it is a :class:`ValueError` with its traceback.
    """

    def _render_traceback_(self) -> list[str]:  # the hook by which IPython lets an exception draw itself
        return [f"✗ {self}"]


def a(word: str) -> str:
    """With its article, by the first letter: an AdamW, a list."""
    return f"{'an' if word[:1].lower() in 'aeiou' else 'a'} {word}"


def kind(thing) -> str:
    """What something is, in words: "None", "a list", "an AdamW"."""
    return "None" if thing is None else a(type(thing).__name__)


def counted(count: int, thing: str) -> str:
    """1 update, 2 updates."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"
