"""The bowl panel of lesson 07: which of eight optimizers is lowest at this batch, noise and curvature?"""

from functools import lru_cache

from tutorlib.plots.bowl_panel import BowlStage
from tutorlib.theory.bowl import BEST, START, STEPS, Bowl, walks
from tutorlib.widgets.panel import Panel, slider

AXES = {"along rows and columns": 0.0, "turned by 30°": 30.0}
OPTIMIZERS = ("SGD", "AdamW", "Lion", "LARS", "LAMB", "Shampoo", "K-FAC", "Muon")


class BowlPanel(Panel):
    """A bowl of a 2 × 2 matrix, curvatures from 1 to 1/κ and noise of the same shape; every optimizer at its best rate.

    Muon and Shampoo see rows and columns of the matrix, LARS and LAMB its length, K-FAC is told both factors of the
    curvature, the others see four numbers.
    """

    def __init__(self):
        self.stage = BowlStage()
        self.walks = lru_cache(maxsize=None)(lambda bowl, batch, noise: walks(bowl, batch, noise))
        super().__init__(
            "eight optimizers on an ill-conditioned bowl, each at its best rate",
            optimizer=slider("optimizer", OPTIMIZERS, "SGD"),
            batch=slider("batch", (1, 4, 16, 64, 256, 1024), 16),
            noise=slider("noise of an example", (0.0, 0.3, 1.0, 3.0), 1.0),
            condition=slider("curvature κ", (1, 10, 100, 1000), 100),
            axes=slider("axes of the bowl", tuple(AXES), "along rows and columns"),
        )

    def shown(self, batch, noise, condition, axes):
        bowl = Bowl(float(condition), AXES[axes])
        return bowl, self.walks(bowl, batch, noise)

    def draw(self, optimizer, **values):
        return self.stage.show(*self.shown(**values), optimizer)

    def say(self, optimizer, **values):
        bowl, found = self.shown(**values)
        begun, ends = float(bowl.losses(START - BEST)), {name: walk.losses[-1] for name, walk in found.items()}
        order = sorted(ends, key=ends.get)
        left = {name: f"{100 * end / begun:.2g} %" if end > 1e-6 * begun else "nothing" for name, end in ends.items()}
        return (
            f"At its best rate of eighteen, {found[optimizer].rate:.2g} falling to 0, <b>{optimizer}</b> leaves "
            f"{left[optimizer]} of the loss after {STEPS} steps of batch {values['batch']}: place "
            f"{1 + order.index(optimizer)} of eight. Lowest: {order[0]} with {left[order[0]]}; highest: "
            f"{order[-1]} with {left[order[-1]]}. (Axes {values['axes']}, "
            f"κ = {values['condition']}, noise {values['noise']:g}.)"
        )


PANELS = (BowlPanel,)
