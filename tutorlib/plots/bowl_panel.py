"""The bowl of lesson 07: eight optimizers on their way down, one of them drawn thick."""

import numpy as np
from matplotlib.axes import Axes

from tutorlib.plots import style
from tutorlib.theory.bowl import BEST, START, STEPS, Bowl, Walk

CHOSEN, OTHERS = {"color": "#0072b2", "linewidth": 2.4, "zorder": 3}, {"color": "0.72", "linewidth": 0.9, "zorder": 2}
FLOOR = 1e-6  # of the loss at the start: what is lower is drawn there, as 0


class BowlStage:
    """Left: the way along the steepest and the flattest of four directions. Right: mean losses of all eight.

    Axes, ticks and lines are made once and moved from frame to frame: making them takes longer than drawing them.
    """

    @style.look()
    def __init__(self):
        self.axes, self.beside = style.figure(columns=2, height=3.6, panel=True)
        (self.ellipses,) = self.axes.plot([], [], color="0.88", linewidth=0.8, zorder=0)
        self.lines = [(*ax.plot([], [], **OTHERS), *ax.plot([], [], **CHOSEN)) for ax in (self.axes, self.beside)]
        at_end = {"textcoords": "offset points", "fontsize": 9}  # the lowest end's name below the chosen one's
        self.names = [self.beside.annotate("", (STEPS, 1), (4, down), **at_end) for down in (1, -10)]
        self.axes.plot(0, 0, "x", color=style.INK, markersize=9, markeredgewidth=2, zorder=4)
        self.axes.set(xlabel="steepest direction", ylabel="flattest direction")
        self.beside.set(yscale="log", xlim=(0, 1.35 * STEPS), ylim=(FLOOR / 2, 3), xlabel="step")
        self.beside.set_title("loss ÷ loss at the start, all eight")
        for axis in (self.axes.xaxis, self.axes.yaxis):
            style.plain_ticks(axis, {-2: "−2", 0: "0", 2: "2"})
        style.plain_ticks(self.beside.xaxis, {k: str(k) for k in (0, 20, 40)})
        style.plain_ticks(self.beside.yaxis, {1e-6: "0", 1e-4: "0.01 %", 1e-2: "1 %", 1: "100 %"})

    @style.look()
    def show(self, bowl: Bowl, walks: dict[str, Walk], chosen: str) -> Axes:
        reach = 1.5 * np.abs(np.diag(bowl.frame.T @ (START - BEST) @ bowl.frame)).max()
        angles = np.append(np.linspace(0, 2 * np.pi, 60), np.nan)
        wide = reach * 2.0 ** np.arange(-6, 1)[:, None]  # lines of equal loss are ellipses, √κ times as long as wide
        self.ellipses.set_data(np.ravel(wide * np.cos(angles)), np.ravel(wide * bowl.condition**0.5 * np.sin(angles)))
        self.axes.set(xlim=(-reach, reach), ylim=(-reach, reach))
        self.axes.set_title(f"{chosen}, one draw")
        begun = float(bowl.losses(START - BEST))
        steps = np.arange(STEPS + 1)
        ways = {name: walk.way for name, walk in walks.items()}
        losses = {name: np.stack([steps, np.maximum(walk.losses / begun, FLOOR)], 1) for name, walk in walks.items()}
        for (others, thick), paths in zip(self.lines, (ways, losses), strict=True):
            gap = np.full((1, 2), np.nan)  # one line with gaps is drawn sooner than seven
            others.set_data(*np.vstack([p for name, path in paths.items() if name != chosen for p in (path, gap)]).T)
            thick.set_data(*paths[chosen].T)
        ends = {name: path[-1, 1] for name, path in losses.items()}
        lowest = min(ends, key=ends.get)
        for text, name in zip(self.names, (chosen, lowest), strict=True):
            text.xy = (STEPS, ends[name])
        self.names[0].set_text(chosen)
        self.names[1].set_text(lowest if lowest != chosen else "")
        return self.axes
