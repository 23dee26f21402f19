"""Recipes of training, and the changes to one that save memory, each with what it costs in time and why."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Recipe:
    """What decides a step's memory besides model, batch and length."""

    precision: str = "autocast"
    optimizer: str = "AdamW"
    attention: str = "fused"
    checkpointing: bool = False

    @property
    def name(self) -> str:
        parts = [self.precision if self.precision != "bf16" else "all in bf16"]
        parts += ["attention written out"] * (self.attention == "math") + ["checkpointing"] * self.checkpointing
        return ", ".join([*parts, self.optimizer])


RECIPES = (
    Recipe("fp32"),
    Recipe(attention="math"),
    Recipe(),
    Recipe(optimizer="momentum"),
    Recipe(checkpointing=True),
    Recipe(checkpointing=True, optimizer="8-bit AdamW"),
    Recipe("bf16"),
    Recipe("bf16", checkpointing=True),
    Recipe("bf16", checkpointing=True, optimizer="8-bit AdamW"),
)


@dataclass(frozen=True)
class Change:
    """Other ``settings`` for recipes that have those of ``where``; ``compute`` times the operations, and in words.

    ``digits`` says that numbers are kept with fewer of them.
    """

    name: str
    where: dict
    settings: dict
    price: str
    compute: float = 1.0
    digits: bool = False

    def applied(self, recipe: Recipe) -> Recipe | None:
        """The changed recipe; ``None`` where there is nothing to change."""
        fits = all(getattr(recipe, name) in allowed for name, allowed in self.where.items())
        return replace(recipe, **self.settings) if fits else None


CHANGES = (
    # Dao et al. 2022, arXiv 2205.14135, section 3.1: the same attention, its s² scores computed in blocks and never
    # written to memory. Their section 4.3 finds it faster than the written-out form, backward pass included.
    Change("fused attention", {"attention": ("math",)}, {"attention": "fused"}, "no time"),
    # Micikevicius et al. 2018, arXiv 1710.03740, section 1: half-precision products run on units of their own, several
    # times as fast. Weights, gradients and state stay in fp32.
    Change("autocast", {"precision": ("fp32",)}, {"precision": "autocast"}, "no time"),
    # The same update in one kernel that reads and writes each number once (torch.optim.AdamW, argument fused).
    Change("fused AdamW", {"optimizer": ("AdamW",)}, {"optimizer": "fused AdamW"}, "no time"),
    # A step reads and writes the state once: a byte a number in place of four, or two. The passes are as they were.
    # Dettmers et al. 2022, arXiv 2110.02861, quantize and dequantize in registers, section 2.
    Change(
        "8-bit AdamW",
        {"optimizer": ("AdamW", "fused AdamW")},
        {"optimizer": "8-bit AdamW"},
        "no time, but state of 8 bits",
        digits=True,
    ),
    # bf16 has 8 significant bits: neighbours lie 1/256 to 1/128 of a weight apart, and less than half of that is lost.
    Change(
        "all in bf16",
        {"precision": ("fp32", "autocast")},
        {"precision": "bf16"},
        "no time, but updates below 1/512 of a weight are lost",
        digits=True,
    ),
    # Every checkpointed block runs forward twice. A forward pass is 2 of the 6 operations a parameter and token (the
    # backward pass is two such products, one for each factor's gradient): at most (6 + 2)/6 of the compute.
    # Chen et al. 2016, arXiv 1604.06174, section 4.
    Change(
        "checkpointing",
        {"checkpointing": (False,), "attention": ("fused",)},
        {"checkpointing": True},
        "up to 1/3 more compute",
        compute=4 / 3,
    ),
)
