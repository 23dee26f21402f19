"""From settings to numbers: one function an experiment, each sets up a model and data and calls an instrument.

A trial takes a :class:`~tutorlib.records.Run` and a device and returns the measured values, or raises
:class:`Diverged` when there is no number to return.
"""


class Diverged(Exception):
    """The run ended in a loss that is not finite: an outcome, not a fault."""


class OutOfMemory(RuntimeError):
    """The run did not fit, in words that :func:`tutorlib.nn.device.out_of_memory` knows: an outcome, not a fault.

    ``values`` are what there is to say all the same.
    """

    def __init__(self, values: dict):
        super().__init__("out of memory")
        self.values = values
