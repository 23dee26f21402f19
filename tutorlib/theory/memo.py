"""The memo to keep beside the screen: what you see, three measurements that tell its causes apart, and the cure.

The documents' tables and lists of advice, row by row, as the lessons left them. A row names a symptom, never a batch
that would be right: that is measured.
"""

from dataclasses import dataclass

# What became of a row of the documents.
KEPT = {"kept": "as they say", "with a condition": "as they say, after a look", "turned round": "not as they say"}


@dataclass(frozen=True)
class Look:
    """One measurement: what to look at, the ``function`` that measures it, and the ``lesson`` that does."""

    what: str
    function: str
    lesson: str


@dataclass(frozen=True)
class Row:
    """A ``symptom``, what the documents ``said`` in ``claims``, three ``looks``, cheapest first, and what follows.

    ``kept`` is a key of :data:`KEPT`.
    """

    symptom: str
    said: str
    claims: tuple[str, ...]
    looks: tuple[Look, Look, Look]
    cause: str
    cure: str
    kept: str


NOTHING, NOISE, PARTS, NORMS, MEMORY, RACE, GENERAL, OPTIMIZER = (
    "00_start_here",
    "01_measure_the_noise",
    "02_accumulate_gradients",
    "03_mind_the_batchnorm",
    "04_fit_the_memory",
    "05_race_two_speeds",
    "06_question_generalization",
    "07_scale_the_optimizer",
)
COUNT = Look("updates, and examples in each, counted", "measure.updates.count_updates", NOTHING)
PLAN = Look("examples of an update, from the plan", "theory.plan.Plan", NOTHING)
SCALE = Look("noise scale, beside the batch", "measure.noise.micro_batch_noise", NOISE)
LENGTHS = Look("weight of a token, by its text's length", "theory.token_weights.token_weights", PARTS)
AUDIT = Look("layers that look across the batch, and how many values they see", "measure.batchnorm.audit", NORMS)
CLOCK = Look("seconds of a step, with the data at hand", "measure.clock.step_seconds", RACE)
BEND = Look("fixed seconds a step, and seconds an example", "theory.trade_off.fit_step_time", RACE)
STEPS = Look("steps to a loss, each batch at its own best rate", "measure.race.steps_to_target", RACE)
CRITICAL = Look("batch where steps stop falling", "theory.trade_off.fit_trade_off", RACE)
PEAK = Look("peak memory, kind by kind", "measure.memory.predict.predict", MEMORY)
FIXED = Look("memory that does not know the batch", "theory.memory.static_bytes", MEMORY)
LARGEST = Look("largest micro-batch that fits", "measure.memory.finder.largest_micro_batch", MEMORY)
SHARP = Look("rate × top eigenvalue, beside 2", "measure.curvature.top_eigenvalue", GENERAL)
LOSSES = Look("training loss and held-out loss, after as many updates", "measure.fit.fit", GENERAL)
FEWEST = Look(
    "fewest steps at this batch, with and without momentum or a preconditioner",
    "theory.noisy_quadratic.fewest_steps",
    OPTIMIZER,
)

MEMO = (
    Row(
        "training is slow and the device is half idle",
        "the batch is too small: enlarge the micro-batch as far as memory goes",
        ("D1-40",),
        (CLOCK, BEND, LARGEST),
        "the loader keeps the device waiting, or the fixed part of a step is large beside its examples",
        "if the step alone is much quicker than your loop, mend the loader; if not, enlarge the micro-batch until the "
        "fixed part no longer counts, and accumulate less so that the batch stays",
        "with a condition",
    ),
    Row(
        "the loss jumps about",
        "one: the batch is too large, make it smaller; another: it is too small, make it larger",
        ("D1-41",),
        (SHARP, SCALE, AUDIT),
        "a rate above the stability limit, a batch far below the noise scale, or BatchNorm on a few values",
        "above 2, lower the rate or warm up: no batch helps; below it, enlarge the batch or lower the rate: either "
        "averages noise",
        "turned round",
    ),
    Row(
        "good in training, worse on held-out data",
        "the batch is so large that its noise is gone: make it smaller",
        ("D1-41", "D0-16", "D2-02"),
        (COUNT, LOSSES, STEPS),
        "too little data, too many updates, wrong labels; a large batch at an old rate and equal epochs does worse in "
        "training too, for it was updated less",
        "compare batches at equal updates and rates of their own; then stop earlier, regularize or add data",
        "turned round",
    ),
    Row(
        "accumulation is on, and a net with BatchNorm breaks",
        "BatchNorm sees the micro-batch: freeze it, replace it, or synchronise it",
        ("D1-42",),
        (AUDIT, Look("sd of a statistic of n values", "theory.batch_statistics.variance_sd", NORMS), LOSSES),
        "each statistic is made of one micro-batch, however many are accumulated",
        "freeze the statistics of a pretrained net, or use GroupNorm or LayerNorm; synchronising helps over several "
        "devices, never over accumulation",
        "with a condition",
    ),
    Row(
        "a huge batch, and AdamW hardly moves",
        "a limit of first-order optimizers: look for another",
        ("D1-43",),
        (STEPS, CRITICAL, FEWEST),
        "the rate is still that of a smaller batch, or the batch is beyond the bend, where it buys no fewer steps",
        "tune rate, warm-up and β₂ at this batch; go back to the bend; then compare optimizers, each tuned",
        "with a condition",
    ),
    Row(
        "out of memory",
        "halve the micro-batch and accumulate twice: half the memory, the same effect",
        ("D3-23", "D3-24", "D4-22"),
        (PEAK, FIXED, LARGEST),
        "activations follow the micro-batch; weights, gradients and state do not",
        "take the largest micro-batch that fits and accumulate to the batch you want; if the fixed part alone is too "
        "large, change precision, optimizer state or checkpointing",
        "with a condition",
    ),
    Row(
        "it should be faster, and there is memory left",
        "double the micro-batch, halve the accumulation, and raise the rate",
        ("D3-26", "D3-27", "D4-21"),
        (PLAN, BEND, CRITICAL),
        "the batch is the same as before, so its best rate is too; time is saved only below saturation",
        "enlarge the micro-batch up to saturation and leave the rate; a larger batch saves steps only up to the bend",
        "turned round",
    ),
    Row(
        "memory is short, and the batch has to be small",
        "do not accumulate to 128; accumulate to 32",
        ("D0-21", "D0-17", "D0-18"),
        (SCALE, CRITICAL, LOSSES),
        "no number is right for every task: what an update needs is the noise scale's to say",
        "take what fits, at a rate (and β₂) of its own; accumulate where the update or the exchange between ranks is "
        "dear, and not beyond the noise scale",
        "with a condition",
    ),
    Row(
        "a large batch does worse, so the model is too small",
        "large batches need more parameters",
        ("D2-03", "D2-22"),
        (COUNT, STEPS, LOSSES),
        "fewer updates at an old rate; a wider net helped every batch, and whether it closes the gap is not settled",
        "tune the rate at this batch and give it as many updates; then look at the model, at every batch",
        "turned round",
    ),
    Row(
        "the loss changes when micro-batch and accumulation are swapped",
        "only the product counts",
        ("D0-03", "D3-11", "D4-07"),
        (COUNT, LENGTHS, AUDIT),
        "a loop that does not divide, or leaks its last window; texts of unequal length averaged part by part; "
        "BatchNorm or a loss that compares examples",
        "divide by what the whole batch counts; step or drop the last window knowingly",
        "with a condition",
    ),
    Row(
        "two runs are compared, and nobody knows their batch",
        "write micro-batch × accumulation into TensorBoard",
        ("D4-24", "D3-08"),
        (
            PLAN,
            Look(
                "examples, tokens and noise scale of every update, logged",
                "callbacks.meter.BatchMeter",
                "09_choose_your_batch",
            ),
            COUNT,
        ),
        "the product leaves out the ranks, the short last window, and the tokens",
        "log what each update really had, over all data-parallel ranks, and its ratio to the noise scale",
        "with a condition",
    ),
    Row(
        "one number is to be turned",
        "batch size is a set of knobs: throughput, noise, statistics, the optimizer's assumptions",
        ("D1-44",),
        (COUNT, SCALE, PEAK),
        "the number of updates, memory and token weights move with it too",
        "change one, hold the others, and say which were held",
        "kept",
    ),
)
