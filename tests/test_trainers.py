"""What other trainers really do with a plan: their updates are counted and are those of the plan with their window.

The model has one weight an example, so the gradient that a step is given says which examples are in it and how much
each counts. With unequal micro-batches a trainer that is handed a mean loss averages the means, as the plan does.
A Hugging Face model that takes ``num_items_in_batch`` may divide by the number of items instead: then every example of
an update counts the same, and only ``Plan.last_weight`` is not that model's.
"""

import dataclasses
import json
import logging
import os
import shlex
import types

import pytest
import torch
from torch.utils.data import BatchSampler, DataLoader

from tutorlib.errors import Refused
from tutorlib.measure.updates import CountingSGD, WeightOfEach
from tutorlib.theory.flags import TRAINERS, flags
from tutorlib.theory.plan import WINDOWS, Plan

# No leftover, a short last micro-batch, short windows, a window longer than an epoch, one cut by drop_last.
PLANS = [
    Plan(16, 4, 2, epochs=2),
    Plan(22, 4, 4, epochs=2),
    Plan(22, 4, 4, epochs=3),
    Plan(18, 2, 4, epochs=2),
    Plan(10, 4, 8, epochs=3),
    Plan(23, 5, 3, epochs=2, drop_last=True),
    Plan(9, 3, 1, epochs=2),
]


def expected(plan, window):
    """(examples, sum of the gradient) of every update, from the plan's timeline."""
    plan = dataclasses.replace(plan, window=window)
    sizes = [plan.micro_batch] * (plan.micro_batches_per_epoch - 1) + [plan.last_micro_batch]
    passes, made = sizes * plan.epochs, []
    for update in plan.timeline():
        end = update.epoch * len(sizes) + update.after
        examples = sum(passes[end - update.micro_batches : end])
        made.append((examples, pytest.approx(update.micro_batches / update.divisor)))
    return made


class Reporting(WeightOfEach):
    """The model with a dictionary for an answer, as Hugging Face's trainer wants it."""

    def forward(self, index, labels=None):
        return {"loss": super().forward(index)}


class ByItems(Reporting):
    """A model that divides by the items of the whole update, as language models of transformers do."""

    def forward(self, index, labels=None, **given):
        return {"loss": self.weight[index].sum() / given["num_items_in_batch"]}


class Counting(CountingSGD):
    """What every update was given: how many examples, the sum of the gradient, and the weights that occur."""

    def __init__(self, model):
        super().__init__(model)
        self.made, self.spread = [], []

    def step(self, closure=None):
        if closure is not None:  # Lightning computes inside the step
            with torch.enable_grad():
                closure()
        gradient = self.model.weight.grad
        self.made.append((int((gradient != 0).sum()), float(gradient.sum())))
        self.spread.append(gradient[gradient != 0].unique().tolist())
        self.param_groups[0]["params"][0].data.sub_(gradient)


def ordered(plan):
    """The data in one order, so that two epochs never meet at the same example within a small window."""
    return list(range(plan.examples))


def of_hugging_face(plan, model_type=Reporting):
    transformers = pytest.importorskip("transformers")
    parser = transformers.HfArgumentParser(transformers.TrainingArguments)
    words = shlex.split(flags(plan, "Hugging Face Trainer").replace("\\\n", " "))
    quiet = (
        "--output_dir unused --max_grad_norm 0 --report_to none --save_strategy no --use_cpu True --disable_tqdm True"
    )
    in_order = "--logging_strategy no --train_sampling_strategy sequential"
    (arguments,) = parser.parse_args_into_dataclasses([*words[2:], *quiet.split(), *in_order.split()])
    model = model_type(plan.examples)
    optimizer = Counting(model)
    trainer = transformers.Trainer(
        model=model,
        args=arguments,
        train_dataset=[{"index": i, "labels": i} for i in ordered(plan)],
        optimizers=(optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)),
    )
    assert trainer.train().global_step == len(optimizer.made)
    return optimizer


def of_accelerate(plan):
    accelerator = pytest.importorskip("accelerate").Accelerator
    return run_text(plan, flags(plan, "Accelerate"), Accelerator=lambda **given: accelerator(cpu=True, **given))


def run_text(plan, text, **names):
    """Run what a user pastes, on data in order."""
    model = WeightOfEach(plan.examples)
    optimizer = Counting(model)
    given = {"model": model, "optimizer": optimizer, "dataset": ordered(plan), "DataLoader": DataLoader, **names}
    exec(text.replace("shuffle=True", "shuffle=False"), given)
    return optimizer


def of_lightning(plan):
    lightning = pytest.importorskip("lightning")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.inner = WeightOfEach(plan.examples)
            self.optimizer = Counting(self.inner)

        def training_step(self, batch, index):
            return self.inner(batch)

        def configure_optimizers(self):
            return self.optimizer

    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    module = Module()

    def trainer(**given):
        return lightning.Trainer(accelerator="cpu", **quiet, **given)

    text = flags(plan, "Lightning").replace("shuffle=True", "shuffle=False")
    exec(text, {"model": module, "dataset": ordered(plan), "DataLoader": DataLoader, "Trainer": trainer})
    return module.optimizer


def of_deepspeed(plan):
    deepspeed = pytest.importorskip("deepspeed")
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29531", "RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}
    os.environ.update({**where, "DS_ACCELERATOR": "cpu"})
    model = WeightOfEach(plan.examples)
    optimizer = Counting(model)
    config = json.loads(flags(plan, "DeepSpeed"))
    engine, *_ = deepspeed.initialize(model=model, optimizer=optimizer, config=config)
    for _ in range(plan.epochs):
        for batch in DataLoader(ordered(plan), plan.micro_batch, drop_last=config["dataloader_drop_last"]):
            engine.backward(engine(batch))
            engine.step()
    return optimizer


def of_a_loop(name):
    return lambda plan: run_text(plan, flags(plan, name))


RUNS = {
    "Hugging Face Trainer": of_hugging_face,
    "Accelerate": of_accelerate,
    "Lightning": of_lightning,
    "DeepSpeed": of_deepspeed,
    **{name: of_a_loop(name) for name in ("a loop that zeroes every epoch", "the documents' loop")},
}


@pytest.mark.parametrize("plan", PLANS, ids=str)
@pytest.mark.parametrize("name", TRAINERS)
def test_a_trainers_updates_are_those_of_the_plan_with_its_window(name, plan):
    made = RUNS[name](plan).made
    told = expected(plan, TRAINERS[name].window)
    assert [sum_ for _, sum_ in made] == [sum_ for _, sum_ in told]
    if plan.accumulation <= plan.micro_batches_per_epoch:  # else a window may meet an example twice: one entry
        assert [examples for examples, _ in made] == [examples for examples, _ in told]


@pytest.mark.parametrize("plan", PLANS, ids=str)
def test_a_model_that_divides_by_items_steps_as_often_and_every_example_of_an_update_counts_the_same(plan):
    optimizer = of_hugging_face(plan, ByItems)
    assert [examples for examples, _ in optimizer.made] == [examples for examples, _ in expected(plan, "stepped")]
    assert [weights for (weights,) in optimizer.spread] == pytest.approx([1 / n for n, _ in optimizer.made])


def test_a_last_micro_batch_counts_in_hugging_face_what_the_plan_says():
    plan = PLANS[1]
    (light, heavy), (full,) = of_hugging_face(plan).spread[1], of_hugging_face(plan).spread[0]
    assert heavy / full == plan.last_weight == 4.0 and light / full == 2.0


@pytest.mark.parametrize("ranks", [2, 3, 5])
def test_accelerate_deals_micro_batches_to_ranks_so_that_each_has_as_many_as_in_the_plan(ranks):
    shard = pytest.importorskip("accelerate.data_loader").BatchSamplerShard
    for examples in range(1, 60):
        for micro_batch in (1, 2, 3, 7):
            for drop_last in (False, True):
                if drop_last and examples < ranks * micro_batch:
                    continue
                plan = Plan(examples, micro_batch, ranks=ranks, drop_last=drop_last)
                every = BatchSampler(range(examples), micro_batch, drop_last)
                counts = {len(list(shard(every, ranks, rank))) for rank in range(ranks)}
                assert counts == {plan.micro_batches_per_epoch}, plan


def test_deepspeed_accepts_the_product_of_its_three_numbers_on_every_count_of_ranks():
    config = pytest.importorskip("deepspeed.runtime.config")
    for plan in (Plan(100, 4, 8), Plan(100, 4, 5, ranks=4)):
        mesh = types.SimpleNamespace(get_data_parallel_world_size=lambda ranks=plan.ranks: ranks)
        parsed = config.DeepSpeedConfig(json.loads(flags(plan, "DeepSpeed")), mpu=mesh)
        assert parsed.train_batch_size == plan.batch and parsed.train_micro_batch_size_per_gpu == plan.micro_batch
        assert parsed.gradient_accumulation_steps == plan.accumulation


def test_every_window_is_somebodys():
    assert {trainer.window for trainer in TRAINERS.values()} == set(WINDOWS)


@pytest.mark.parametrize("name", TRAINERS)
def test_a_text_has_every_number_of_the_plan(name):
    plan = Plan(1000, 7, 11, ranks=1, epochs=13, drop_last=True)
    text = flags(plan, name)
    assert "7" in text and "11" in text and "true" in text.lower() and ("13" in text or name == "DeepSpeed")
    assert flags(plan, name) != flags(Plan(1000, 7, 11, epochs=13), name)


def test_several_ranks_are_told_to_the_launcher():
    plan = Plan(1000, 4, 4, ranks=5)
    assert flags(plan, "Hugging Face Trainer").startswith("torchrun --nproc_per_node 5 train.py \\\n")
    assert "--num_processes 5" in flags(plan, "Accelerate") and "devices=5" in flags(plan, "Lightning")
    assert json.loads(flags(plan, "DeepSpeed"))["train_batch_size"] == 80


def test_an_unknown_trainer_is_refused_with_the_known_ones():
    with pytest.raises(Refused, match="'mine'; allowed: Hugging Face Trainer, Accelerate"):
        flags(Plan(10, 2), "mine")
