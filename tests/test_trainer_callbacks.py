"""The callbacks inside the real trainers: their noise is the instrument's, and the weights are bit for bit the same."""

import logging
import types

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader

from tutorlib.callbacks.meter import BatchMeter, tensorboard
from tutorlib.errors import Refused
from tutorlib.measure.noise import micro_batch_noise
from tutorlib.nn.data import digits
from tutorlib.nn.models import make
from tutorlib.theory.noise import NoiseDraws

# Runs this short have no noise scale to log, and the meter says so.
pytestmark = pytest.mark.filterwarnings("ignore:BatchMeter logs no noise scale")
torch.set_num_threads(1)
MICRO, K, EXAMPLES = 8, 4, 8 * 4 * 5 + 8 * 2 + 3  # five full windows, then three micro-batches, the last of them short


def data():
    every = digits(EXAMPLES)
    return [{"x": x, "labels": y} for x, y in zip(every.x.double(), every.y, strict=True)]


class Net(nn.Module):
    """The MLP as a Hugging Face model; ``kept`` has the mean gradient of every micro-batch, at its own weights."""

    def __init__(self, dropout=0.0):
        super().__init__()
        torch.manual_seed(5)
        self.inner = nn.Sequential(nn.Dropout(dropout), make("mlp", 0)).double()
        self.kept = None

    def forward(self, x, labels):
        loss = cross_entropy(self.inner(x), labels)
        if self.kept is not None:
            gradients = torch.autograd.grad(loss, list(self.parameters()), retain_graph=True)
            self.kept.append(torch.cat([g.flatten() for g in gradients]))
        return {"loss": loss}


class ByItems(Net):
    """A model that divides by the items of the update, as language models of transformers do."""

    def forward(self, x, labels, **given):
        loss = super().forward(x, labels)["loss"]
        return {"loss": loss * len(x) / given["num_items_in_batch"] if given else loss}


def hugging_face(folder, model, epochs=1, **options):
    transformers = pytest.importorskip("transformers")
    defaults = {"max_grad_norm": 0.01, "learning_rate": 0.01, "logging_steps": 2, "report_to": "none"}
    quiet = {"save_strategy": "no", "use_cpu": True, "disable_tqdm": True, "logging_nan_inf_filter": False}
    sizes = {"per_device_train_batch_size": MICRO, "gradient_accumulation_steps": K, "num_train_epochs": epochs}
    arguments = transformers.TrainingArguments(
        output_dir=str(folder), train_sampling_strategy="sequential", **(defaults | quiet | sizes | options)
    )
    trainer = transformers.Trainer(model=model, args=arguments, train_dataset=data())
    trainer.remove_callback(transformers.trainer_callback.PrinterCallback)
    return trainer


def hugging_face_callback(trainer, **options):
    from tutorlib.callbacks.hugging_face import HuggingFaceBatch

    callback = HuggingFaceBatch(trainer, **options)
    trainer.add_callback(callback)
    return callback


class Keeping:
    """Both trainers forget the meter when they end; this remembers what it had measured."""

    def __init__(self, monkeypatch):
        self.meters = []
        first = BatchMeter.__init__

        def keep(meter, *given, **named):
            first(meter, *given, **named)
            self.meters.append(meter)

        monkeypatch.setattr(BatchMeter, "__init__", keep)

    @property
    def draws(self):
        self.meters[-1].values()
        return self.meters[-1].draws


@pytest.fixture
def kept(monkeypatch):
    return Keeping(monkeypatch)


def agrees(draws, seen, epochs=1):
    """Five windows an epoch of four micro-batches each; the sixth has a short micro-batch, and gives no noise."""
    per_epoch = len(seen) // epochs
    full = [row for e in range(epochs) for row in seen[e * per_epoch : e * per_epoch + 5 * K]]
    rows = iter(full)
    theirs = micro_batch_noise(lambda batch: next(rows), MICRO, K, 5 * epochs)
    pairs = [(getattr(d, name) for d in (draws, theirs)) for name in ("trace_draws", "grad_sq_draws")]
    same = [ours == pytest.approx(whole, rel=1e-6) for ours, whole in (*pairs, (draws.noise.scale, theirs.noise.scale))]
    return same == [True] * 3


@pytest.mark.parametrize("model_type", [Net, ByItems])
@pytest.mark.parametrize("clip", [0.0, 0.01])
def test_in_hugging_face_the_noise_is_the_instruments_with_and_without_clipping(tmp_path, kept, model_type, clip):
    model = model_type()
    model.kept = []
    trainer = hugging_face(tmp_path, model, epochs=2, max_grad_norm=clip)
    hugging_face_callback(trainer, every=1)
    trainer.train()
    assert agrees(kept.draws, model.kept, epochs=2)


@pytest.mark.parametrize("options", [{}, {"max_grad_norm": 0.0}, {"bf16": True}, {"logging_steps": 1}], ids=str)
def test_in_hugging_face_weights_are_bit_for_bit_those_without(tmp_path, options):
    def weights(heard):
        model = Net(dropout=0.3)
        trainer = hugging_face(tmp_path, model, epochs=2, **options)
        if heard:
            hugging_face_callback(trainer, every=2)
        trainer.train()
        losses = [line["loss"] for line in trainer.state.log_history if "loss" in line]
        return losses, model.state_dict()

    (losses, alone), (same, heard) = weights(False), weights(True)
    assert losses == same and len(losses) > 2  # not one of the trainer's own lines is lost
    assert all(torch.equal(alone[name], heard[name]) for name in alone)


def test_hugging_face_logs_every_updates_real_batch_to_tensorboard(tmp_path, monkeypatch):
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "runs"))
    trainer = hugging_face(tmp_path, Net(), report_to="tensorboard")
    hugging_face_callback(trainer, every=1)
    trainer.train()
    found = events.EventAccumulator(str(tmp_path / "runs")).Reload()
    (name,) = [n for n in found.Tags()["scalars"] if n.endswith("batch/examples")]
    assert [(e.step, e.value) for e in found.Scalars(name)] == [*((n, 32) for n in range(1, 6)), (6, 19)]


def test_a_second_training_hears_once_and_an_end_leaves_the_trainer_as_it_was(tmp_path, kept):
    trainer = hugging_face(tmp_path, Net())
    callback = hugging_face_callback(trainer, every=1)
    before = dict(vars(trainer))
    trainer.train()
    assert "training_step" not in vars(trainer) and "clip_grad_norm_" not in vars(trainer.accelerator)
    assert set(before) <= set(vars(trainer)) and callback.meter is None
    trainer.train()
    assert len(kept.meters) == 2 and len(kept.draws.trace_draws) == 5


def test_hugging_face_on_shards_is_refused():
    pytest.importorskip("transformers")
    from tutorlib.callbacks.hugging_face import HuggingFaceBatch

    for words in ({"is_deepspeed_enabled": True}, {"is_fsdp_enabled": True}, {"args": types.SimpleNamespace(n_gpu=2)}):
        plain = {"is_deepspeed_enabled": False, "is_fsdp_enabled": False, "args": types.SimpleNamespace(n_gpu=1)}
        with pytest.raises(Refused, match="no process sees whole"):
            HuggingFaceBatch(types.SimpleNamespace(**(plain | words)))


def test_hugging_face_divides_by_the_scale_of_float16(tmp_path, kept):
    """A stand-in for Accelerate's scaler: losses go through backward a thousandfold, lengths come back unscaled."""
    model = Net()
    model.kept = []
    trainer = hugging_face(tmp_path, model, max_grad_norm=0.0)
    trainer.accelerator.backward = lambda loss, **more: (1024 * loss).backward()
    clip = trainer.accelerator.clip_grad_norm_

    def unscaled(parameters, max_norm):
        for p in (parameters := list(parameters)):
            p.grad /= 1024
        return clip(parameters, max_norm)

    trainer.accelerator.clip_grad_norm_ = unscaled
    steps = {"step": lambda optimizer, closure=None: optimizer.step(), "update": lambda: None}
    trainer.accelerator.scaler = types.SimpleNamespace(get_scale=lambda: 1024.0, **steps)
    hugging_face_callback(trainer, every=1)
    trainer.train()
    assert agrees(kept.draws, model.kept)


def lightning_run(folder, model, heard=True, callback=None, every=1, **options):
    lightning = pytest.importorskip("lightning")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = model

        def training_step(self, batch, index):
            return self.net(**batch)["loss"]

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)

    if heard and callback is None:
        from tutorlib.callbacks.lightning import LightningBatch

        callback = LightningBatch(every=every)
    off = dict.fromkeys(("enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    trainer = lightning.Trainer(
        accelerator="cpu",
        accumulate_grad_batches=K,
        callbacks=[callback] if heard else [],
        **({"max_epochs": 2, "gradient_clip_val": 0.01, "logger": False} | off | options),
    )
    trainer.fit(Module(), DataLoader(data(), MICRO))
    return trainer


@pytest.mark.parametrize("clip", [None, 0.01])
def test_in_lightning_the_noise_is_the_instruments_with_and_without_clipping(tmp_path, kept, clip):
    model = Net()
    model.kept = []
    lightning_run(tmp_path, model, gradient_clip_val=clip)
    assert agrees(kept.draws, model.kept, epochs=2)


@pytest.mark.parametrize("options", [{}, {"gradient_clip_val": None}, {"precision": "bf16-mixed"}], ids=str)
def test_in_lightning_weights_are_bit_for_bit_those_without(tmp_path, options):
    alone, heard = Net(dropout=0.3), Net(dropout=0.3)
    for model in (alone, heard):
        torch.manual_seed(1)
        lightning_run(tmp_path, model, heard=model is heard, **options)
    assert all(torch.equal(alone.state_dict()[name], each) for name, each in heard.state_dict().items())


def test_lightning_logs_every_updates_real_batch_to_tensorboard(tmp_path):
    lightning = pytest.importorskip("lightning")
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    logger = lightning.pytorch.loggers.TensorBoardLogger(str(tmp_path))
    lightning_run(tmp_path, Net(), max_epochs=3, logger=logger)
    found = events.EventAccumulator(logger.log_dir).Reload()
    expected = [(n, 19 if n % 6 == 5 else 32) for n in range(18)]
    assert [(e.step, e.value) for e in found.Scalars("batch/examples")] == expected
    assert "noise/scale" in found.Tags()["scalars"]


def test_a_short_window_of_lightning_is_mended_for_the_noise(tmp_path, kept):
    """Two micro-batches of a window of four: Lightning divides them by four, the meter by two."""
    model = Net()
    model.kept = []
    lightning_run(tmp_path, model, limit_train_batches=6, max_epochs=1)
    rows = iter(model.kept[4:])
    theirs = micro_batch_noise(lambda batch: next(rows), MICRO, 2, 1)
    assert kept.draws.trace_draws[1] == pytest.approx(theirs.trace_draws[0])
    assert kept.draws.grad_sq_draws[1] == pytest.approx(theirs.grad_sq_draws[0])


def test_lightning_with_optimizers_of_its_own_or_shards_is_refused():
    pytest.importorskip("lightning")
    from lightning.pytorch.strategies import FSDPStrategy, SingleDeviceStrategy

    from tutorlib.callbacks.lightning import LightningBatch

    def start(strategy, automatic=True, optimizers=1, **optimizer):
        trainer = types.SimpleNamespace(
            strategy=object.__new__(strategy),
            optimizers=[types.SimpleNamespace(**optimizer)] * optimizers,
            precision_plugin=types.SimpleNamespace(scaler=True),
        )
        LightningBatch().on_fit_start(trainer, types.SimpleNamespace(automatic_optimization=automatic))

    with pytest.raises(Refused, match="strategy is FSDPStrategy"):
        start(FSDPStrategy)
    with pytest.raises(Refused, match="steps by itself or has several"):
        start(SingleDeviceStrategy, automatic=False)
    with pytest.raises(Refused, match="steps by itself or has several"):
        start(SingleDeviceStrategy, optimizers=2)
    with pytest.raises(Refused, match="fused"):
        start(SingleDeviceStrategy, _step_supports_amp_scaling=True)


def test_in_a_loop_of_accelerate_the_plain_meter_takes_its_divisor(kept):
    """Accelerate divides by the full accumulation, in a short window too."""
    accelerator = pytest.importorskip("accelerate").Accelerator(cpu=True, gradient_accumulation_steps=K)
    model = Net()
    model.kept = []
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model, optimizer, loader = accelerator.prepare(model, optimizer, DataLoader(data()[: MICRO * 22], MICRO))
    meter = BatchMeter(model, lambda *line: None, every=1)
    for batch in loader:
        with accelerator.accumulate(model):
            accelerator.backward(model(**batch)["loss"])
            meter.part(batch)
            if accelerator.sync_gradients:
                meter.update(divisor=K)
                accelerator.clip_grad_norm_(model.parameters(), 0.01)
            optimizer.step()
            optimizer.zero_grad()
    assert agrees(NoiseDraws(meter.draws.trace_draws[:5], meter.draws.grad_sq_draws[:5]), model.kept)
    rows = iter(model.kept[20:])
    theirs = micro_batch_noise(lambda batch: next(rows), MICRO, 2, 1)
    assert meter.draws.grad_sq_draws[5] == pytest.approx(theirs.grad_sq_draws[0])


def test_tensorboard_gets_every_scalar_at_its_step(tmp_path):
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    log = tensorboard(str(tmp_path))
    log({"batch/examples": 32, "noise/scale": 1.5}, 7)
    found = events.EventAccumulator(str(tmp_path)).Reload()
    assert [(e.step, e.value) for e in found.Scalars("noise/scale")] == [(7, 1.5)]
