"""The one error of the edges: a sentence for the reader."""


class Refused(ValueError):
    """Input that cannot be used: which argument, what it got, what is allowed, what to do.

    In a notebook only the sentence is shown. Everywhere else it is a :class:`ValueError` with its traceback.
    """

    def _render_traceback_(self) -> list[str]:  # the hook by which IPython lets an exception draw itself
        return [f"✗ {self}"]
