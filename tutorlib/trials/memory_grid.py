"""Predicted memory beside measured: a process of its own predicts a training step, then takes it."""

import functools

import torch
from torch.nn.functional import cross_entropy

from tutorlib.errors import Refused
from tutorlib.measure.memory.named import OPTIMIZERS
from tutorlib.measure.memory.predict import predict
from tutorlib.measure.memory.target import CPU, GPU, HOPPER, Target
from tutorlib.measure.memory.truth import device_peak, fresh, profiled_peak
from tutorlib.nn import device as devices
from tutorlib.nn.models import mlp, next_token_loss
from tutorlib.nn.transformers import GPT2, Llama
from tutorlib.nn.vision import ViT, resnet50
from tutorlib.records import Run
from tutorlib.theory.memory import choose
from tutorlib.theory.shapes import SHAPES, GPT2Shape, LlamaShape
from tutorlib.trials import OutOfMemory

TEXT = SHAPES | {"small gpt2": GPT2Shape(256, 4, 3, 2048, 128), "small llama": LlamaShape(256, 4, 2, 3, 640, 2048, 128)}
# Makers, and the shape of one example.
OTHERS = {
    "vit-b": (ViT, (3, 224, 224)),
    "resnet50": (resnet50, (3, 224, 224)),
    "mlp": (functools.partial(mlp, width=8192, depth=4), (64,)),
    "small vit": (functools.partial(ViT, 192, 3, 3, 64, 8, 10), (3, 64, 64)),
    "small resnet": (functools.partial(resnet50, (2, 2, 2, 2), 16, 10), (3, 64, 64)),
    "small mlp": (functools.partial(mlp, width=512, depth=3), (64,)),
}


def both_peaks(run: Run, device: str) -> dict:
    """Bytes, predicted and measured: of all steps, of the first alone, and (on a GPU) reserved from the device.

    Raises :class:`OutOfMemory`, with what was predicted, where the steps did not run.
    """
    answer = fresh(peaks, dict(run.settings), device)
    if "allocated" not in answer:
        raise OutOfMemory(answer)
    return answer


def peaks(settings: dict, device: str) -> dict:
    how = {"precision": settings["precision"], "accumulation": settings["accumulation"]}
    trace = predict(*built(settings, "meta"), optimizer(settings, True), target=card(device), **how)
    answer = {"predicted": trace.peak, "predicted_first": trace.first_step, "predicted_reserved": trace.reserved}
    if (room := devices.free_memory(torch.device(device))) is not None:
        answer |= {"room": room, "predicted_fits": int(trace.fits(room))}
    try:
        if device == "cpu":
            first, whole = (
                profiled_peak(*built(settings, device), optimizer(settings), steps=steps, **how)
                for steps in (1, settings["steps"])
            )
            return answer | {"allocated": whole, "first_allocated": first}
        make = functools.partial(made, settings)
        return answer | device_peak(make, device, steps=settings["steps"], **how)
    except RuntimeError as error:
        if not devices.out_of_memory(error):
            raise
        return answer


def made(settings: dict, device: str) -> tuple:
    return *built(settings, device), optimizer(settings)


def built(settings: dict, device: str) -> tuple:
    """(model, loss, batch) on a device, ``meta`` too; a shape's context is as long as the text, if that is longer."""
    name, examples, time = settings["model"], settings["micro_batch"], settings["time"]
    choose(TEXT | OTHERS, name, "model")
    with torch.device(device):
        labels = torch.zeros(examples, dtype=torch.long)
        if name in OTHERS:
            maker, shape = OTHERS[name]
            options = {"attention": settings["attention"]} if "vit" in name else {}
            return maker(**options), cross_entropy, (torch.zeros(examples, *shape), labels)
        shape = TEXT[name]
        shape = type(shape)(**{**vars(shape), "context": max(time, shape.context)})
        tokens = torch.zeros(2, examples, time, dtype=torch.long)
        options = {name: settings[name] for name in ("attention", "checkpointing")}
        model = (GPT2 if isinstance(shape, GPT2Shape) else Llama)(shape, **options)
        return model, next_token_loss, (tokens[0].clone(), tokens[1].clone())


def optimizer(settings: dict, stand_in: bool = False):
    if settings["optimizer"] != "8-bit AdamW":
        return choose(OPTIMIZERS, settings["optimizer"], "optimizer")
    if stand_in:
        return EightBit
    try:
        from bitsandbytes.optim import AdamW8bit
    except ImportError as error:
        raise Refused(
            "optimizer is '8-bit AdamW', which is that of bitsandbytes, and it is not installed; allowed: pip install "
            "bitsandbytes on a machine with a GPU, or another optimizer"
        ) from error
    return AdamW8bit


class EightBit(torch.optim.Optimizer):
    """Owns what bitsandbytes' 8-bit AdamW owns and computes nothing, for its kernels take no memory of their own.

    Two moments of a byte a number, each with an fp32 scale for 256 numbers; two fp32 tables of 256 entries for all;
    parameters of fewer than 4,096 numbers keep fp32 moments. Source: Dettmers et al. 2022, arXiv 2110.02861, section
    2, and what the package allocates (0.50).
    """

    def __init__(self, parameters):
        super().__init__(parameters, {})

    def step(self, closure=None):
        for parameter in self.param_groups[0]["params"]:
            if parameter not in self.state:
                small = parameter.numel() < 4096
                dtype, scales = (torch.float32, 0) if small else (torch.uint8, -(-parameter.numel() // 256))
                moments = [torch.zeros_like(parameter, dtype=dtype) for _ in range(2)]
                self.state[parameter] = {"moments": moments, "scales": [torch.zeros(scales) for _ in range(2)]}
        if "tables" not in self.defaults:
            self.defaults["tables"] = torch.zeros(256), torch.zeros(256)


def card(device: str) -> Target:
    """What to predict for: the processor, a GPU, or one with the larger workspace of compute capability 9 and later."""
    if device == "cpu":
        return CPU
    capability = getattr(torch.get_device_module(device), "get_device_capability", lambda: (0, 0))()
    return HOPPER if capability[0] >= 9 else GPU
