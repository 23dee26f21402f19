"""The statistics panel of lesson 03: what BatchNorm makes of one channel at a micro-batch of your choice."""

from tutorlib.plots.statistics_panel import SD, plot_channel
from tutorlib.theory.batch_statistics import gain, horizon, mean_sd, running_sd, variance_sd
from tutorlib.widgets.panel import Panel, slider


class StatisticsPanel(Panel):
    """A Gaussian channel of mean 1 and sd 2 through BatchNorm, 200 forwards long."""

    def __init__(self):
        super().__init__(
            "one channel before and after BatchNorm, and the running mean that it keeps",
            micro_batch=slider("micro-batch", [2**k for k in range(1, 8)], 2),
            momentum=slider("momentum", [0.01, 0.03, 0.1, 0.3, 1.0], 0.1),
            accumulation=slider("accumulation", [1, 2, 4, 8, 16], 1),
            draw=slider("another draw", list(range(1, 11)), 1),
        )

    def draw(self, micro_batch, momentum, accumulation, draw):
        return plot_channel(micro_batch, momentum, accumulation, draw)

    def say(self, micro_batch, momentum, accumulation, draw):
        shape = " Every output is −1 or +1." if micro_batch == 2 else ""
        forwards = "1 forward" if accumulation == 1 else f"{accumulation} forwards"
        return (
            f"A statistic of <b>{micro_batch}</b> values: the mean is off by {mean_sd(micro_batch):.0%} of the sd, the "
            f"variance by {variance_sd(micro_batch):.0%} of itself, and values are scaled by {gain(micro_batch):.2f} "
            f"on average.{shape} The running mean wanders by {SD * running_sd(micro_batch, momentum):.2f} and looks "
            f"back on {horizon(momentum, accumulation):.3g} updates of {forwards}: accumulation makes it shorter, and "
            "no statistic better."
        )


PANELS = (StatisticsPanel,)
