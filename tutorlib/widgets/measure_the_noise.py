"""The two panels of lesson 01: arrows that shrink with the batch, and a walk down a bowl."""

import numpy as np

from tutorlib import store
from tutorlib.experiments.measure_the_noise import ARROWS
from tutorlib.plots.noise_panels import minibatch_means, plot_arrows, plot_walks, scatter
from tutorlib.theory.noise import Noise
from tutorlib.theory.walk import drift_ratio, largest_rate
from tutorlib.widgets.panel import Panel, slider


class ArrowsPanel(Panel):
    """Minibatch gradients of a real model, seen in one plane of its 9,610-dimensional gradient space."""

    def __init__(self):
        record = store.recorded(ARROWS).records[-1]
        self.noise = Noise(record["trace"], record["grad_sq"])
        self.cloud = np.stack([record["along"], record["across"]], axis=1)
        super().__init__(
            "minibatch gradients as arrows; the larger the batch, the closer they lie to the full gradient",
            batch=slider("batch", [2**k for k in range(11)], 1),
            draw=slider("another draw", list(range(1, 11)), 1),
        )

    def draw(self, batch, draw):
        return plot_arrows(self.cloud, batch, draw)

    def say(self, batch, draw):
        tips, mean = minibatch_means(self.cloud, batch, draw, 80), self.cloud.mean(axis=0)
        angles = np.degrees(np.arctan2(np.abs(tips[:, 1]), tips[:, 0]))
        share = self.cloud.var(axis=0).sum() / self.noise.trace
        theory = np.linalg.norm(self.cloud.std(axis=0)) / np.sqrt(batch)
        return (
            f"<b>Batch {batch:,}</b>: 80 minibatch gradients scatter with sd {scatter(tips, mean):.3f} around the full "
            f"gradient (theory {theory:.3f} = batch 1 ÷ √{batch:,}); half of them point more than "
            f"{np.median(angles):.0f}° away from it here. The plane holds {share:.0%} of the noise: in all 9,610 "
            f"dimensions the typical angle is {np.degrees(np.arccos(self.noise.cosine(batch))):.0f}°."
        )


class WalkPanel(Panel):
    """The same examples spent as many small steps, one accumulated step, or one step at a scaled rate."""

    def __init__(self):
        super().__init__(
            "128 small steps, one accumulated step, and one accumulated step at 128 times the rate, on a bowl",
            rate=slider("rate η", [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5], 0.01),
            examples=slider("examples", [2**k for k in range(8)], 128),
            steepness=slider("steep ÷ flat", [1, 2, 5, 10], 2),
            noise=slider("noise of one example", [0.0, 1.0, 3.0, 6.0], 3.0),
            draw=slider("another draw", list(range(1, 11)), 1),
        )

    def draw(self, rate, examples, steepness, noise, draw):
        return plot_walks(rate, examples, steepness, noise, draw)

    def say(self, rate, examples, steepness, noise, draw):
        ratio = drift_ratio(1.0, rate, examples)
        scaled, limit = rate * examples, largest_rate((1.0, steepness))
        fate = "stable" if scaled < limit else "too high: the step overshoots and more of them would diverge"
        return (
            f"Along the flat direction {examples:,} small steps drift <b>{ratio:.3g} times as far</b> as the "
            f"accumulated step at the same rate. Multiplied by {examples:,} the rate is {scaled:.3g}, and the "
            f"limit here is {limit:.3g}: {fate}."
        )


PANELS = (ArrowsPanel, WalkPanel)
