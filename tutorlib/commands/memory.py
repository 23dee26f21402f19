"""``python -m tutorlib memory``: one plan's bytes as a table in GiB, MiB or KiB, or as JSON."""

import sys
from json import dumps

UNITS = {"GiB": 2**30, "MiB": 2**20, "KiB": 2**10}


def add(commands) -> None:
    parser = commands.add_parser("memory", help="what will a training step take, and what is the largest micro-batch?")
    parser.add_argument(
        "model",
        help="gpt2, llama-3-8b, resnet50, vit-b, …, or package.module:function of your own that returns "
        "(model, loss, (inputs, targets)), or a loader of such pairs as for advise, and an optimizer's maker",
    )
    parser.add_argument("--micro-batch", type=int, default=1, help="examples in one pass (default 1)")
    parser.add_argument("--accumulation", type=int, default=1, help="passes before one step() (default 1)")
    parser.add_argument("--time", type=int, help="tokens an example of gpt2 or llama (default 1024)")
    parser.add_argument("--precision", default="autocast", help="fp32, autocast (default) or bf16")
    parser.add_argument("--optimizer", help="SGD, momentum, AdamW or fused AdamW (default: your function's, or AdamW)")
    parser.add_argument("--target", default="gpu", help="cpu, gpu (default) or hopper")
    parser.add_argument("--attention", choices=("fused", "math"), help="of gpt2 or llama (default fused)")
    parser.add_argument("--checkpointing", action="store_true", default=None, help="of gpt2 or llama")
    parser.add_argument("--json", action="store_true", help="bytes as JSON in place of a table")
    parser.set_defaults(
        run=lambda chosen: show(**{k: v for k, v in vars(chosen).items() if k not in ("command", "run")})
    )


def show(model: str, json: bool, **plan) -> None:
    """A table of one plan in the unit that suits its peak, or everything in bytes as JSON."""
    from tutorlib.measure.memory.named import report

    print(f"{model}: following whole steps on shapes, up to a minute for a large net …", file=sys.stderr)
    told = report(model, **plan)
    if json:
        print(dumps(told, indent=1))
        return
    unit, (few, many) = unit_of(told["peak"]), told["fitted"]
    print(f"{model}: {told['parameters']:,} parameters, micro-batch {told['micro_batch']}, {told['optimizer']}")
    print("  alive at the peak, not the most of each part at any time:")
    for part, size in told["parts"].items():
        print(f"  {part:<16} {amount(size, unit):>12}")
    print(f"  {'peak':<16} {amount(told['peak'], unit):>12}, in the {told['phase']} phase")
    first = amount(told["first_step"], unit)
    print(f"  {'reserved':<16} {amount(told['reserved'], unit):>12}; first step alone {first}")
    raised = f", raised by what is reserved more at {many}" if "largest" in told else ""
    floor = f", but at least {amount(told['reserved'], unit)} in the optimizer's step" * (told["phase"] == "optimizer")
    each = told["per_example"]
    print(
        f"  {amount(told['fixed'], unit)} fixed + {amount(each, unit_of(each))} an example{floor} "
        f"(allocated, fitted at {few} and {many}{raised})"
    )
    for card, size in told.get("largest", {}).items():
        print(f"  largest on {card:<12} about {size:>6}" if size else f"  largest on {card:<12} does not fit")
    if told["convolutions"] > 1:  # one makes the patches of a vision transformer
        print("  convolutions take scratch memory besides: small convolutional nets are up to a third too low")


def unit_of(size: float) -> str:
    """The largest unit of which ``size`` bytes make one, or KiB."""
    return next((unit for unit, held in UNITS.items() if size >= held), "KiB")


def amount(size: float, unit: str) -> str:
    return f"{size / UNITS[unit]:.2f} {unit}"
