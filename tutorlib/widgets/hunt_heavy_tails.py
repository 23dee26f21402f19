"""The panels of lesson 08: walkers leaving a well, and the tail of gradient noise at a batch of your choice."""

import numpy as np

from tutorlib.experiments.escape_times import SCALE
from tutorlib.plots.escape_panel import STEP, STEPS, plot_escape_panel, walk
from tutorlib.plots.tail_panel import fitted, plot_tails
from tutorlib.theory.escape import gaussian_time, levy_time
from tutorlib.widgets.panel import Panel, slider

NETS = {
    "MLP, start": ("mlp", 0),
    "MLP, 100 steps": ("mlp", 100),
    "MLP, 600 steps": ("mlp", 600),
    "GPT, 100 steps": ("gpt", 100),
}


class EscapePanel(Panel):
    """A hundred walkers of each noise at the bottom of one well, and when each is over the rim."""

    def __init__(self):
        super().__init__(
            "walkers in a well: noise that climbs, noise that jumps",
            alpha=slider("Lévy: tail index α", [1.1, 1.3, 1.5, 1.7, 1.9], 1.5),
            noise=slider("noise: temperature, and 2 × Lévy scale", [0.1, 0.15, 0.2, 0.3, 0.4], 0.2),
            height=slider("height of the rim", [0.5, 0.75, 1.0, 1.25, 1.5], 1.0),
            width=slider("distance of the rim", [0.8, 1.0, 1.4, 2.0], 1.0),
            draw=slider("another draw", list(range(1, 11)), 1),
        )

    def draw(self, alpha, noise, height, width, draw):
        return plot_escape_panel(alpha, noise, noise / 2, height, width, draw)

    def say(self, alpha, noise, height, width, draw):
        _, left = walk(alpha, noise, noise / 2, height, width, draw)
        gaussian, levy = np.isfinite(left).mean(axis=1)
        small = "whatever the height" if noise / 2 <= SCALE else "were the noise small; here the height counts a little"
        return (
            f"By time {STEP * STEPS:.0f}, <b>{gaussian:.0%}</b> of the Gaussian walkers are over the rim and "
            f"<b>{levy:.0%}</b> of the Lévy ones. Mean times by the laws: Gaussian "
            f"{gaussian_time(height, width, noise):,.0f}, for height ÷ temperature is {height / noise:.3g}; Lévy "
            f"{levy_time(width, alpha, noise / 2):,.0f} from the distance alone, {small}."
        )


class TailPanel(Panel):
    """Recorded gradients of single examples, averaged into minibatches here, beside two controls."""

    def __init__(self):
        super().__init__(
            "how often gradient noise is large, and what a tail index makes of it",
            net=slider("gradients of", list(NETS), "MLP, 600 steps"),
            batch=slider("batch", [1, 2, 4, 8, 16, 32, 64, 128, 256], 1),
            share=slider("largest share fitted", [0.01, 0.02, 0.05, 0.1, 0.2], 0.05),
            draw=slider("another draw", list(range(1, 11)), 1),
        )

    def draw(self, net, batch, share, draw):
        return plot_tails(NETS[net], batch, share, draw)

    def say(self, net, batch, share, draw):
        found = fitted(NETS[net], batch, share, draw)
        own, gaussian = found["gradient noise"], found["Gaussian"]
        stable = found["α-stable, 1.5"]
        if own.high < 2:
            reading = "read alone, that is infinite variance; now double the batch"
        elif own.low <= gaussian.high:
            reading = "no different from the Gaussian"
        else:
            reading = "heavier than a Gaussian, with a variance"
        return (
            f"At batch <b>{batch}</b> the index is <b>{own.value:.1f}</b> [{own.low:.1f}, {own.high:.1f}]: {reading}. "
            f"As many Gaussian draws read {gaussian.value:.1f}, α-stable ones {stable.value:.1f} at every batch. "
            + ("" if batch == 1 else "The interval is for drawing again from these examples; new ones move it more.")
        )


PANELS = (EscapePanel, TailPanel)
