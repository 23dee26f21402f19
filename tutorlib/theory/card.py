"""The one-page card: every sentence that the adviser says, each with the measurement that it rests on."""

from dataclasses import dataclass, replace

from tutorlib.theory.advice import ENOUGH, SLACK, Advice, Choice
from tutorlib.theory.flags import TRAINERS, flags
from tutorlib.theory.trade_off import best_rate

SLOW_LOADER = 0.5  # of the seconds that a step spends on an example
GROWN = 2.0  # the noise scale at the end of the short run over the one at its second look
MIB = 2**20


@dataclass(frozen=True)
class Sentence:
    """What is said, under which heading, and the measurement it rests on."""

    about: str
    text: str
    rests_on: str


def card(advice: Advice, choice: Choice) -> list[Sentence]:
    """All sentences, in the order of the work."""
    parts = (plan, neighbours, memory, clock, noise, rate, watch, unknown)
    return [Sentence(part.__name__, *said) for part in parts for said in part(advice, choice)]


def plan(advice: Advice, choice: Choice):
    p, (low, high) = choice.plan, choice.as_good
    ranks = f" × {p.ranks} ranks" if p.ranks > 1 else ""
    yield f"Batch {p.batch:,} = micro-batch {p.micro_batch:,} × accumulation {p.accumulation:,}{ranks}.", "noise, clock"
    if p.batch != choice.chosen:
        slower = f"{choice.time:.2g} times as long as" if choice.time > SLACK else "about as long as"
        yield f"To the same loss it takes {slower} batch {choice.chosen:,}, the fastest by prediction.", "noise, clock"
    yield (
        f"The prediction is within 20 % of its least from batch {low:,} to {high:,}; the ends of the noise scale's "
        f"interval would choose {choice.least:,} and {choice.most:,}.",
        "noise, clock",
    )
    if advice.examples:
        yield (
            f"Of {advice.examples:,} examples that makes {p.updates_per_epoch:,} updates an epoch.",
            "length of the loader",
        )
        if p.accumulation > 1 and p.leftover_micro_batches:
            yield (
                f"The last window of an epoch has {p.leftover_micro_batches:,} of {p.accumulation:,} micro-batches: "
                "see that your trainer divides by those.",
                "length of the loader",
            )


def neighbours(advice: Advice, choice: Choice):
    if not advice.coupled:
        yield (
            "No layer looks across the batch: micro-batches that are accumulated equal the batch in one piece.",
            "audit",
        )
        return
    listed, micro_batch = f" ({', '.join(advice.layers)})" if advice.layers else "", choice.plan.micro_batch
    layers = f"{advice.coupled} layer{'s look' if advice.coupled > 1 else ' looks'} across the batch{listed}"
    if advice.values is None:
        yield f"{layers}: they see the micro-batch of {micro_batch:,}, whatever is accumulated.", "audit"
    elif micro_batch >= ENOUGH:
        yield f"{layers}: they see {micro_batch:,} examples, enough for BatchNorm (from {ENOUGH} on).", "audit"
    else:
        yield (
            f"{layers}: they see {micro_batch:,} examples, too few for BatchNorm. Freeze it if the net is pretrained, "
            "take GroupNorm from scratch, or synchronise it over ranks.",
            "audit",
        )


def memory(advice: Advice, choice: Choice):
    p = choice.plan
    if advice.example_bytes is None:
        yield "What a step takes could not be predicted for this model.", "prediction on shapes, refused"
    else:
        size = max(advice.floor_bytes, advice.fixed_bytes + p.micro_batch * advice.example_bytes) / MIB
        yield (
            f"A step at this micro-batch takes about {size:,.3g} MiB: {advice.fixed_bytes / MIB:,.3g} and "
            f"{advice.example_bytes / MIB:,.3g} an example.",
            "prediction on shapes",
        )
    if advice.largest is not None:
        yield f"The largest micro-batch that ran whole steps is {advice.largest:,}.", "steps tried"
    elif not choice.limited:
        yield "Whether it fits was not tried: a processor does not say when it is full.", "no measurement"
    if choice.limited:
        more = (
            "accumulation keeps the batch"
            if p.accumulation > 1
            else ("with more room a larger batch would be faster, accumulated to that size it would not")
        )
        yield f"Memory, not the clock, sets the micro-batch: {more}.", "memory, clock"


def clock(advice: Advice, choice: Choice):
    micro_batch = choice.plan.micro_batch
    each = {m: seconds / m for m, seconds in zip(advice.sizes, advice.passes, strict=True)}
    best = min(each, key=each.get)
    now = (advice.seconds_of(micro_batch) - advice.update) / micro_batch
    yield (
        f"An example costs {1000 * each[advice.sizes[0]]:,.3g} ms at micro-batch {advice.sizes[0]}, {1000 * now:,.3g} "
        f"ms at {micro_batch:,} and least, {1000 * each[best]:,.3g} ms, at {best:,}.",
        "seconds of passes",
    )
    if best == advice.sizes[-1]:
        yield f"Larger ones than {best:,} were not timed and may be cheaper still.", "seconds of passes"
    if advice.loader_seconds > SLOW_LOADER * now:
        yield (
            f"The loader takes {1000 * advice.loader_seconds:,.3g} ms an example: before any batch, mend the loader.",
            "seconds of reading",
        )


def noise(advice: Advice, choice: Choice):
    looks = [advice.scale_at(look) for look in range(len(advice.steps))]
    yield (
        f"Along {advice.steps[-1]:,} updates at batch {advice.batch:,} (loss {advice.losses[0]:.3g} to "
        f"{advice.losses[-1]:.3g}) the noise scale predicts a critical batch of {advice.noise}; at that "
        "batch a run takes twice the fewest steps, at twice the batch one and a half times, and more examples.",
        f"{advice.draws} gradients at {len(looks)} steps",
    )
    if len(looks) > 2 and looks[1].middle and looks[-1].low > GROWN * looks[1].middle:
        yield (
            f"It grew from {looks[1].middle:,.0f} to {looks[-1].middle:,.0f} along the way and may go on: a later part "
            "of your run can take a larger batch.",
            "noise at two steps",
        )
    if advice.noise.value is None:
        yield "The gradient was lost in its noise: only a lower bound is known, and the plan goes by it.", "noise"
    if advice.coupled:
        yield "With layers that look across the batch the law of the noise is approximate.", "audit"


def rate(advice: Advice, choice: Choice):
    batch, scale = choice.plan.batch, advice.noise.middle
    change = float(best_rate(batch, 1, scale) / best_rate(advice.batch, 1, scale))
    if advice.optimizer == "SGD":
        rule = "as 1/(1 + noise scale/batch), the rule of a quadratic"
    else:
        change, rule = change**0.5, "as the square root of SGD's rule, a rule of thumb for adaptive methods"
    if batch == advice.batch:
        yield "The batch is the one your rate was run at: keep the rate, and try its half and its double.", "short run"
    else:
        yield (
            f"From batch {advice.batch:,} to {batch:,}, start at {change:.2g} times your rate ({rule}), then try half "
            "and double: no rate was tuned here.",
            "noise",
        )


def watch(advice: Advice, choice: Choice):
    more = ", the running statistics' error on held-out data" if advice.coupled else ""
    yield (
        f"Watch the held-out loss against examples and seconds, the length of the gradient, the noise scale{more}.",
        "nothing: practice",
    )


def unknown(advice: Advice, choice: Choice):
    yield (
        "Which batch generalizes best on your task was not measured; lesson 06 says why no rule stands in.",
        "no measurement",
    )
    yield "The noise of later training is not known: the short run ends early.", "no measurement"
    if advice.optimizer != "SGD":
        yield (
            f"The noise scale is SGD's; for {advice.optimizer} the bend was elsewhere in lesson 05, beyond "
            "what it said.",
            "no measurement",
        )
    if choice.plan.ranks > 1:
        yield "Moving gradients between ranks was taken to cost nothing.", "no measurement"
    if advice.examples is None:
        yield "The loader has no length: updates an epoch and leftovers cannot be known.", "no measurement"


def markdown(advice: Advice, choice: Choice, trainer: str = "Hugging Face Trainer", name: str = "your model") -> str:
    """The card as one page of Markdown, with the flags of one of :data:`~tutorlib.theory.flags.TRAINERS`."""
    lines, about = [f"# A batch for {name}", ""], ""
    for sentence in card(advice, choice):
        if sentence.about != about:
            about = sentence.about
            lines += ["", f"## {about.capitalize()}", ""]
        lines.append(f"- {sentence.text} *({sentence.rests_on})*")
    pasted = flags(replace(choice.plan, window=TRAINERS[trainer].window), trainer)
    lines += [
        "",
        f"## Flags: {trainer}",
        "",
        "```",
        pasted,
        "```",
        "",
        f"It {TRAINERS[trainer].says}. *(its own code)*",
    ]
    return "\n".join(lines).replace("\n\n\n", "\n\n") + "\n"
