"""From settings to numbers: one function an experiment, each sets up a model and data and calls an instrument.

A trial takes a :class:`~tutorlib.records.Run` and a device and returns the measured values, or raises
:class:`Diverged` when there is no number to return.
"""


class Diverged(Exception):
    """The run ended in a loss that is not finite: an outcome, not a fault."""
