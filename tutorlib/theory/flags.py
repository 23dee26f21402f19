"""A batch plan as you would paste it for another trainer, and what that trainer does with the last window.

On one rank the updates of transformers 5.23, accelerate 1.15, lightning 2.6 and deepspeed 0.19 are counted in
tests/test_trainers.py. On several, Hugging Face and Accelerate deal whole micro-batches in turn and fill the last round
from the beginning of the data: as many as in the plan, but none is short. Lightning and DeepSpeed use torch's
``DistributedSampler``, and fill its last rank with repeats even where the loader drops its last micro-batch: where
ranks do not divide the examples, ``drop_last`` may leave a rank one micro-batch an epoch more than in the plan.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass

from tutorlib.errors import Refused
from tutorlib.theory.plan import Plan


@dataclass(frozen=True)
class Trainer:
    """``window``: its one of :data:`~tutorlib.theory.plan.WINDOWS`; ``says`` so; ``write``: plan, epochs → text."""

    window: str
    says: str
    write: Callable[[Plan, object], str]


def hugging_face(plan: Plan, epochs) -> str:
    start = f"torchrun --nproc_per_node {plan.ranks} train.py" if plan.ranks > 1 else "python train.py"
    flags = {
        "per_device_train_batch_size": plan.micro_batch,
        "gradient_accumulation_steps": plan.accumulation,
        "num_train_epochs": epochs,
        "dataloader_drop_last": plan.drop_last,
    }
    return " \\\n".join([start, *(f"    --{name} {value}" for name, value in flags.items())])


def accelerate(plan: Plan, epochs) -> str:
    return f"""# accelerate launch --num_processes {plan.ranks} train.py
accelerator = Accelerator(gradient_accumulation_steps={plan.accumulation})
{loader(plan)}
model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
for epoch in range({epochs}):
    for batch in loader:
        with accelerator.accumulate(model):
            accelerator.backward(model(batch))
            optimizer.step()
            optimizer.zero_grad()"""


def lightning(plan: Plan, epochs) -> str:
    return f"""{loader(plan)}
trainer = Trainer(devices={plan.ranks}, accumulate_grad_batches={plan.accumulation}, max_epochs={epochs})
trainer.fit(model, loader)"""


def deepspeed(plan: Plan, epochs) -> str:
    return json.dumps(
        {
            "train_batch_size": plan.batch,
            "train_micro_batch_size_per_gpu": plan.micro_batch,
            "gradient_accumulation_steps": plan.accumulation,
            "dataloader_drop_last": plan.drop_last,
        },
        indent=4,
    )


def loader(plan: Plan, own_sampler: bool = False) -> str:
    """A library that knows the ranks deals the examples out itself; a loop of one's own has to."""
    order = f"sampler=DistributedSampler(dataset, drop_last={plan.drop_last})" if own_sampler else "shuffle=True"
    return f"loader = DataLoader(dataset, batch_size={plan.micro_batch}, {order}, drop_last={plan.drop_last})"


def own_loop(plan: Plan, epochs) -> str:
    """Full windows only: what an epoch leaves over is zeroed when the next begins."""
    return loop(plan, epochs, before="", inside="    optimizer.zero_grad()\n")


def documents_loop(plan: Plan, epochs) -> str:
    """The second accumulation listing of the documents (D3-22), for as many epochs as the plan has."""
    return loop(plan, epochs, before="optimizer.zero_grad()\n", inside="")


def loop(plan: Plan, epochs, before: str, inside: str) -> str:
    ranks = f"# on each of {plan.ranks} ranks, with model = DistributedDataParallel(model)\n" if plan.ranks > 1 else ""
    return f"""{ranks}{loader(plan, plan.ranks > 1)}
{before}for epoch in range({epochs}):
{inside}    for step, batch in enumerate(loader):
        loss = model(batch) / {plan.accumulation}
        loss.backward()
        if (step + 1) % {plan.accumulation} == 0:
            optimizer.step()
            optimizer.zero_grad()"""


TRAINERS = {
    "Hugging Face Trainer": Trainer(
        "stepped", "steps a short last window and divides by the micro-batches that are in it", hugging_face
    ),
    "Accelerate": Trainer(
        "shrunk", "steps a short last window but divides by the full accumulation: that step is smaller", accelerate
    ),
    "Lightning": Trainer(
        "shrunk", "steps a short last window but divides by the full accumulation: that step is smaller", lightning
    ),
    "DeepSpeed": Trainer("carried", "counts on over the end of the epoch: later ones fill the window up", deepspeed),
    "a loop that zeroes every epoch": Trainer(
        "dropped", "steps full windows only and zeroes the rest when the next epoch begins", own_loop
    ),
    "the documents' loop": Trainer(
        "leaked",
        "starts every epoch's count anew but keeps the gradients: the next first step has too many",
        documents_loop,
    ),
}


def trainer_named(text: str) -> str:
    """The one of :data:`TRAINERS` that begins with ``text``, in any case. Raises ``ValueError`` with all names."""
    found = [name for name in TRAINERS if text and name.lower().startswith(text.lower())]
    if len(found) != 1:
        raise Refused(f"trainer is {text!r}; allowed: {', '.join(TRAINERS)}, or how one of these begins")
    return found[0]


def flags(plan: Plan, trainer: str, epochs: str | None = None) -> str:
    """The plan as text to paste for one of :data:`TRAINERS`. Its window is the trainer's, whatever the plan's is.

    ``epochs`` stands in place of the plan's own where how long to train is the reader's to say.
    """
    if trainer not in TRAINERS:
        raise Refused(f"trainer is {trainer!r}; allowed: {', '.join(TRAINERS)}")
    return TRAINERS[trainer].write(plan, epochs or plan.epochs)
