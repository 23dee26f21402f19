"""The batch meter inside a Hugging Face ``Trainer``: it logs where the trainer logs."""

import transformers

from tutorlib.callbacks.meter import BatchMeter
from tutorlib.errors import Refused


class HuggingFaceBatch(transformers.TrainerCallback):
    """``trainer.add_callback(HuggingFaceBatch(trainer))``. Options are those of :class:`BatchMeter`.

    A callback is told nothing of inputs, and hears of an update after clipping. So for the time of training this one
    listens to two methods of the trainer: ``training_step``, which knows the micro-batch, and Accelerate's
    ``clip_grad_norm_``, which the trainer calls once an update, clipping or not, and which returns the length before
    clipping, unscaled and of the mean over ranks. A short last window is divided by its own micro-batches, and a model
    that divides by ``num_items_in_batch`` does so over the update: either way the gradient is the mean of its parts.
    """

    def __init__(self, trainer: transformers.Trainer, **options):
        if trainer.is_deepspeed_enabled or trainer.is_fsdp_enabled or trainer.args.n_gpu > 1:
            raise Refused(
                "trainer runs on DeepSpeed, FSDP or DataParallel, whose gradients no process sees whole; "
                "allowed: one device, or DistributedDataParallel (torchrun)"
            )
        self.trainer, self.options, self.meter, self.values, self.before = trainer, options, None, None, []

    def on_train_begin(self, args, state, control, **given):
        self.on_train_end(args, state, control)  # an earlier training may have ended in an error
        self.meter = BatchMeter(self.trainer.model, self.log, **self.options)
        self.listen(self.trainer, "training_step", self.micro_batch)
        self.listen(self.trainer.accelerator, "clip_grad_norm_", self.update)

    def listen(self, owner, name: str, then):
        """Let ``then(answer, *arguments)`` hear what a method answers; the method itself is called as ever."""
        method = getattr(owner, name)
        self.before.append((owner, name, vars(owner).get(name)))

        def heard(*given, **named):
            answer = method(*given, **named)
            then(answer, *given, **named)
            return answer

        setattr(owner, name, heard)

    def micro_batch(self, loss, model, inputs, *more, **named):
        self.meter.part(inputs)

    def update(self, length, *clipping, **named):
        scaler = self.trainer.accelerator.scaler
        step = self.trainer.state.global_step + 1
        self.meter.update(length, scale=scaler.get_scale() if scaler else 1.0, step=step)

    def log(self, values, step):
        """Kept until the trainer has counted the step."""
        self.values = values

    def on_step_end(self, args, state, control, **given):
        if self.values:
            due = control.should_log  # which logging resets, and the trainer's own loss is still to come
            self.trainer.log(self.values)
            self.values, control.should_log = None, due

    def on_train_end(self, args, state, control, **given):
        if self.meter:
            self.meter.close()
        while self.before:
            owner, name, method = self.before.pop()
            delattr(owner, name) if method is None else setattr(owner, name, method)
        self.meter = None
