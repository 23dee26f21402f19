"""The bowl of lesson 07: eight optimizers on their way down, one of them drawn thick."""

import numpy as np
from matplotlib.axes import Axes

from tutorlib.plots import style
from tutorlib.theory.bowl import BEST, START, Bowl, Walk

CHOSEN, OTHERS = {"color": "#0072b2", "linewidth": 2.4, "zorder": 3}, {"color": "0.72", "linewidth": 0.9, "zorder": 2}
FLOOR = 1e-6  # of the loss at the start: what is lower is drawn there, as 0


@style.look()
def plot_bowl(bowl: Bowl, walks: dict[str, Walk], chosen: str) -> Axes:
    """Left: the way along the steepest and the flattest of four directions. Right: mean losses of all eight."""
    axes, beside = style.figure(columns=2, height=3.6, panel=True)
    reach = 1.5 * np.abs(np.diag(bowl.frame.T @ (START - BEST) @ bowl.frame)).max()
    angles = np.append(np.linspace(0, 2 * np.pi, 60), np.nan)
    wide = reach * 2.0 ** np.arange(-6, 1)[:, None]  # lines of equal loss are ellipses, √κ times as long as wide
    ellipses = np.ravel(wide * np.cos(angles)), np.ravel(wide * bowl.condition**0.5 * np.sin(angles))
    axes.plot(*ellipses, color="0.88", linewidth=0.8, zorder=0)
    begun = float(bowl.losses(START - BEST))
    ends = {name: max(float(walk.losses[-1]) / begun, FLOOR) for name, walk in walks.items()}
    for name, walk in walks.items():
        look = CHOSEN if name == chosen else OTHERS
        axes.plot(*walk.way.T, **look)
        beside.plot(np.maximum(walk.losses / begun, FLOOR), **look)
    for name in {chosen, min(ends, key=ends.get)}:
        beside.annotate(
            name, (len(walks[name].losses) - 1, ends[name]), (4, -3), textcoords="offset points", fontsize=9
        )
    axes.plot(0, 0, "x", color=style.INK, markersize=9, markeredgewidth=2, zorder=4)
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), xlabel="steepest direction", ylabel="flattest direction")
    axes.set_title(f"{chosen}, one draw")
    beside.set(yscale="log", xlim=(0, 1.25 * len(walks[chosen].losses)), ylim=(FLOOR / 2, 3), xlabel="step")
    beside.set_title("loss ÷ loss at the start, all eight")
    style.plain_ticks(axes.yaxis, {k: str(k) for k in (-2, 0, 2)})
    style.plain_ticks(beside.xaxis, {k: str(k) for k in (0, 20, 40)})
    style.plain_ticks(beside.yaxis, {1e-6: "0", 1e-4: "0.01 %", 1e-2: "1 %", 1: "100 %"})
    return axes
