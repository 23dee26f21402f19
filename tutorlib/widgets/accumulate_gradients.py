"""The weights panel of lesson 02: lengths and a micro-batch in, what each token weighs out."""

from tutorlib.plots.weights_panel import plot_weights
from tutorlib.theory.token_weights import DIVISIONS, example_weights, log_normal_lengths, padding_share, token_weights
from tutorlib.widgets.panel import Panel, slider

LONGEST = 2048


class WeightsPanel(Panel):
    """A batch of texts of unequal length, cut into micro-batches: the weight of every token, cured or not."""

    def __init__(self):
        super().__init__(
            "what one token weighs in the update, against the length of its text",
            median=slider("median length", [30, 60, 120, 240, 480], 120),
            spread=slider("spread σ of log length", [0.0, 0.25, 0.5, 1.0, 1.5], 1.0),
            batch=slider("batch (texts)", [32, 64, 128], 32),
            micro_batch=slider("micro-batch (texts)", [1, 2, 4, 8, 16, 32], 1),
            division=slider("divided", DIVISIONS, "mean of means"),
        )

    def lengths(self, median, spread, batch):
        return log_normal_lengths(batch, median, spread, LONGEST, seed=2)

    def draw(self, median, spread, batch, micro_batch, division):
        return plot_weights(self.lengths(median, spread, batch), micro_batch, division)

    def say(self, median, spread, batch, micro_batch, division):
        lengths = self.lengths(median, spread, batch)
        weights = token_weights(lengths, micro_batch, division)
        heavy, light = weights.argmax(), weights.argmin()
        ratio = weights[heavy] / weights[light]
        words = (
            f"Micro-batch {micro_batch}, {batch // micro_batch} parts, {lengths.sum():,} tokens: the heaviest, in "
            f"a text of {lengths[heavy]:,}, weighs <b>{weights[heavy]:.2g}</b> times its fair share, the lightest, in "
            f"one of {lengths[light]:,}, <b>{weights[light]:.2g}</b>; largest ÷ smallest {ratio:.3g}."
        )
        if division == "by padded length":
            lost = 1 - example_weights(lengths, micro_batch, division).sum()
            padding = padding_share(lengths, micro_batch)
            return f"{words} Padding fills {padding:.0%} of the blocks, and the gradient is {lost:.0%} too short."
        return words


PANELS = (WeightsPanel,)
