"""The one-page card: every sentence that the adviser says, each with the measurement that it rests on."""

from dataclasses import dataclass, replace

from tutorlib.errors import counted
from tutorlib.theory.advice import MIB, Advice
from tutorlib.theory.batch_statistics import ENOUGH
from tutorlib.theory.card_of_clock import clock, seconds, with_loader
from tutorlib.theory.card_of_run import hardly, noise, rate
from tutorlib.theory.choice import SLACK, Choice
from tutorlib.theory.flags import TRAINERS, flags

FEW = 20  # updates an epoch
EPOCHS = "EPOCHS"  # in what is pasted: an epoch may be two updates, and the length of training is the reader's


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
    yield from hardly(advice)
    if p.batch != choice.chosen:
        slower = f"{choice.time:.2g} times as long as" if choice.time > SLACK else "about as long as"
        yield f"To the same loss it takes {slower} batch {choice.chosen:,}, the fastest by prediction.", "noise, clock"
    good = f"at batch {low:,} only" if low == high else f"from batch {low:,} to {high:,}"
    least, most = choice.least, choice.most
    ends = f"both choose {least:,}" if least == most else f"choose {least:,} and {most:,}"
    yield (
        f"The prediction is within 20 % of its least {good}; the ends of the noise scale's interval would {ends}.",
        "noise, clock",
    )
    yield from seconds(choice)
    yield from with_loader(advice, choice)
    if advice.examples:
        few, run = p.updates_per_epoch < FEW, f"{advice.steps[-1]:,}"
        yield (
            f"Of {advice.examples:,} examples that makes {counted(p.updates_per_epoch, 'update')} an epoch"
            + (f"; the short run took {run}: set the length of training in updates." if few else "."),
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
            f"A step at this micro-batch takes about {size:,.3g} MiB: {advice.fixed_bytes / MIB:,.3g} fixed and "
            f"{advice.example_bytes / MIB:,.3g} for each example.",
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
            f"The noise scale is derived for SGD; {advice.optimizer} rescales gradients, and its critical batch may "
            "lie outside the interval.",
            "no measurement",
        )
    if choice.plan.ranks > 1:
        yield "Moving gradients between ranks was taken to cost nothing.", "no measurement"
    if advice.examples is None:
        yield "The loader has no length: updates an epoch and leftovers cannot be known.", "no measurement"


def trained_by(trainer: str, choice: Choice) -> Choice:
    """The same choice, with the updates of an epoch counted as this trainer does."""
    return replace(choice, plan=replace(choice.plan, window=TRAINERS[trainer].window))


def markdown(advice: Advice, choice: Choice, trainer: str = "Hugging Face Trainer", name: str = "your model") -> str:
    """The card as one page of Markdown, with the flags of one of :data:`~tutorlib.theory.flags.TRAINERS`."""
    choice = trained_by(trainer, choice)
    lines, about = [f"# A batch for {name}", ""], ""
    for sentence in card(advice, choice):
        if sentence.about != about:
            about = sentence.about
            lines += ["", f"## {about.capitalize()}", ""]
        lines.append(f"- {sentence.text} *({sentence.rests_on})*")
    pasted = flags(choice.plan, trainer, EPOCHS)
    lines += [
        "",
        f"## Flags: {trainer}",
        "",
        "```",
        pasted,
        "```",
        "",
        *([f"{EPOCHS} is yours to say: how long to train was not measured."] if EPOCHS in pasted else []),
        f"It {TRAINERS[trainer].says}. *(its own code)*",
    ]
    return "\n".join(lines).replace("\n\n\n", "\n\n") + "\n"
