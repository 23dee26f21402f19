"""The batch meter inside a Lightning ``Trainer``: it logs to the trainer's loggers."""

from lightning.pytorch import Callback
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy

from tutorlib.callbacks.meter import BatchMeter
from tutorlib.errors import Refused


class LightningBatch(Callback):
    """``Trainer(callbacks=[LightningBatch()])``. Options are those of :class:`BatchMeter`.

    ``on_before_optimizer_step`` comes after ranks have averaged and gradients are unscaled, and before clipping.
    Lightning divides every micro-batch by the full accumulation, so a short last window is mended for the noise.
    """

    def __init__(self, **options):
        self.options, self.meter = options, None

    def on_fit_start(self, trainer, module):
        self.teardown(trainer, module, "fit")  # an earlier fit may have ended in an error
        if not isinstance(trainer.strategy, SingleDeviceStrategy | DDPStrategy):
            raise Refused(
                f"trainer's strategy is {type(trainer.strategy).__name__}, which shards gradients or steps by itself; "
                "allowed: one device, or strategy='ddp'"
            )
        if not module.automatic_optimization or len(trainer.optimizers) != 1:
            raise Refused("module steps by itself or has several optimizers; allowed: automatic, one: use BatchMeter")
        self.scaler = getattr(trainer.precision_plugin, "scaler", None)
        if self.scaler and getattr(trainer.optimizers[0], "_step_supports_amp_scaling", False):
            raise Refused("optimizer is fused and unscales float16 gradients itself, too late; allowed: fused=False")
        self.trainer, self.meter = trainer, BatchMeter(module, self.write, **self.options)

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        self.batch = batch

    def on_after_backward(self, trainer, module):
        self.meter.part(self.batch)

    def on_before_optimizer_step(self, trainer, module, optimizer):
        scale = self.scaler.get_scale() if self.scaler else 1.0
        step, divisor = trainer.global_step, trainer.accumulate_grad_batches
        self.meter.update(scale=scale, divisor=divisor, step=step)

    def write(self, values, step):  # not `log`: Lightning puts its own function by that name on every callback
        for logger in self.trainer.loggers:
            logger.log_metrics(values, step)

    def teardown(self, trainer, module, stage):
        if self.meter:
            self.meter.close()
        self.meter = None
