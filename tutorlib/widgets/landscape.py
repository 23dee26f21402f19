"""The landscape panel of lesson 06: two solutions, one of which you may rescale without changing what it computes."""

from tutorlib import store
from tutorlib.experiments.curvature import BATCHES, FIRST, LANDSCAPE, RATES, RESCALES, RULERS
from tutorlib.plots.landscape_panel import plot_landscape, width_of_valley
from tutorlib.widgets.panel import Panel, slider


class LandscapePanel(Panel):
    """The recorded loss around the solution of a small batch, and around one of your choice.

    Rescaling multiplies the first layer of the right net by c and divides the second by it: a ReLU net computes the
    same. The ruler says what a step of one is: a length, or a share of each weight's own size.
    """

    def __init__(self):
        records = store.recorded(LANDSCAPE).records
        self.records = {tuple(r[name] for name in ("batch", "rate", "rescale", "ruler")): r for r in records}
        super().__init__(
            "the loss around two solutions and between them, and what rescaling one of them changes",
            batch=slider("batch, right", BATCHES, BATCHES[-1]),
            rate=slider("rate η, right", RATES, RATES[0]),
            rescale=slider("rescale by c, right", RESCALES, 1.0),
            ruler=slider("ruler", RULERS, RULERS[0]),
        )

    def pair(self, batch, rate, rescale, ruler):
        """The records of the left and the right solution."""
        return self.records[(*FIRST.values(), 1.0, ruler)], self.records[batch, rate, rescale, ruler]

    def draw(self, **values):
        return plot_landscape(*self.pair(**values))

    def say(self, batch, rate, rescale, ruler):
        left, right = self.pair(batch, rate, rescale, ruler)
        found = self.records[batch, rate, 1.0, ruler]["sharpness"]
        here, there = (width_of_valley(record) for record in (right, left))
        same = "As trained" if rescale == 1 else f"Rescaled by {rescale:g}, λ was {found:.1f} and no output has changed"
        twin = rescale != 1 and {"batch": batch, "rate": rate} == FIRST
        return (
            f"{same}: on the right λ is <b>{right['sharpness']:.1f}</b> (left {left['sharpness']:.1f}), adaptive "
            f"sharpness {right['adaptive']:.2f} ({left['adaptive']:.2f}), held-out error {right['error']:.1f} % "
            f"({left['error']:.1f} %). By this ruler the loss doubles within {here:.2g} of the right solution and "
            f"{there:.2g} of the left one; on the line between them it rises to {10 ** max(right['line']):.2f}"
            f"{', though both compute the same function' if twin else ''}."
        )


PANELS = (LandscapePanel,)
