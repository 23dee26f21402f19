"""What the card says of the short run: whether it trained, its noise, and the rate to start at."""

from tutorlib.theory.advice import Advice
from tutorlib.theory.choice import Choice
from tutorlib.theory.trade_off import best_rate

HARDLY = 0.1  # a loss that falls by less than this share
SPREAD = 2.0  # between looks at the noise: less is not worth a sentence


def hardly(advice: Advice):
    """Said beside the plan and not refused: a fine-tuned net, or a long run, may fall as slowly."""
    first, last = advice.losses[0], advice.losses[-1]
    if len(advice.losses) > 1 and first - last < HARDLY * abs(first):
        yield (
            f"This plan rests on little: in {advice.steps[-1]:,} updates the loss fell from {first:.3g} to {last:.3g} "
            "only, so the net hardly trained. Look at data, labels and rate first.",
            "short run",
        )


def noise(advice: Advice, choice: Choice):
    yield (
        f"Along {advice.steps[-1]:,} updates at batch {advice.batch:,} (loss {advice.losses[0]:.3g} to "
        f"{advice.losses[-1]:.3g}) the noise scale predicts a critical batch of {advice.noise}: there, twice the "
        "batch saves a quarter of the updates and costs half as many examples again. It is an average over the run's "
        "noise scales, each weighed by the progress of its steps.",
        f"{advice.draws} gradients at {len(advice.steps)} steps",
    )
    yield from spread(advice)
    if advice.noise.value is None:
        yield "The gradient was lost in its noise: only a lower bound is known, and the plan goes by it.", "noise"
    if advice.coupled:
        yield "With layers that look across the batch the law of the noise is approximate.", "audit"


def spread(advice: Advice):
    """A rise at every look may go on; looks that go up and down are told as they are, for no trend is known."""
    looks = [advice.scale_at(look) for look in range(len(advice.steps))]
    known = [scale.value for scale in looks if scale.value is not None]
    if not known or max(known) <= SPREAD * min(known):
        return
    if known == sorted(known) and len(known) == len(looks) and looks[-1].low > SPREAD * known[0]:
        yield (
            f"The noise scale grew from {known[0]:,.0f} to {known[-1]:,.0f} along the way and may go on: a later part "
            "of your run can take a larger batch.",
            f"noise at {len(looks)} steps",
        )
        return
    lost = f", and was lost in its noise at {len(looks) - len(known)}" if len(known) < len(looks) else ""
    yield (
        f"At single steps the noise scale lay between {min(known):,.0f} and {max(known):,.0f}, with no steady "
        f"trend{lost}; the critical batch weighs them all.",
        f"noise at {len(looks)} steps",
    )


def rate(advice: Advice, choice: Choice):
    batch, scale, yours = choice.plan.batch, advice.noise.middle, "your"
    change = float(best_rate(batch, 1, scale) / best_rate(advice.batch, 1, scale))
    if advice.own_rate is not None:
        yours = "that"
        yield (
            f"No optimizer was handed in: the run took {advice.optimizer} at rate {advice.own_rate:g}, the adviser's "
            "own. Hand in the one you train with.",
            "short run",
        )
    if advice.optimizer == "SGD":
        rule = "as 1/(1 + noise scale/batch), the rule of a quadratic"
    else:
        change, rule = change**0.5, "as the square root of SGD's rule, a rule of thumb for adaptive methods"
    if batch == advice.batch:
        text = f"The batch is the one {yours} rate was run at: keep the rate, and try its half and its double."
        yield text, "short run"
    else:
        yield (
            f"From batch {advice.batch:,} to {batch:,}, start at {change:.2g} times {yours} rate ({rule}), then try "
            "half and double: no rate was tuned here.",
            "noise",
        )
