"""Static memory: what parameters, gradients and optimizer state take, whatever the batch."""

from dataclasses import dataclass

from tutorlib.errors import Refused
from tutorlib.theory.noise import check_batch


@dataclass(frozen=True)
class Precision:
    """Bytes of one parameter, of its gradient, of one number of optimizer state, and of an fp32 master copy."""

    parameter: int
    gradient: int
    state: int
    master: int = 0


# What a storage is for. A peak is told as bytes by kind, in this order.
KINDS = ("parameters", "gradients", "optimizer state", "activations", "logits and loss", "workspace", "examples")

# "mixed" is the recipe of Micikevicius et al. 2018 (arXiv 1710.03740, section 3.1) as Rajbhandari et al. 2020
# (arXiv 1910.02054, section 3.1) count it: 2 + 2 + 12 bytes with Adam. Autocast keeps everything in fp32 and casts
# the weights of matrix products for the time of a forward pass: those copies are not static.
PRECISIONS = {
    "fp32": Precision(4, 4, 4),
    "autocast": Precision(4, 4, 4),
    "bf16": Precision(2, 2, 2),
    "bf16, fp32 state": Precision(2, 2, 4),
    "mixed": Precision(2, 2, 4, master=4),
    "mixed, fp32 gradients": Precision(2, 4, 4, master=4),
}
# Numbers of optimizer state a parameter: a velocity, or first and second moments (Kingma and Ba 2015, algorithm 1;
# Chen et al. 2023 for Lion, arXiv 2302.06675, algorithm 2).
STATES = {"SGD": 0, "momentum": 1, "Lion": 1, "AdamW": 2, "8-bit AdamW": 2}

# Memory of common cards in MiB, as their driver reports it; its context takes some hundred of them before torch starts.
CARDS = {
    "T4": 15_360,
    "L4": 23_034,
    "RTX 4090": 24_564,
    "A100 40 GB": 40_960,
    "A100 80 GB": 81_920,
    "H100": 81_559,
    "H200": 143_771,
}


@dataclass(frozen=True)
class Static:
    """Bytes that do not depend on the batch, by what they are for."""

    parameters: float
    gradients: float
    optimizer_state: float
    master_weights: float = 0.0

    @property
    def total(self) -> float:
        return self.parameters + self.gradients + self.optimizer_state + self.master_weights

    def sharded(self, stage: int, ranks: int) -> "Static":
        """One rank's part under ZeRO: stage 1 divides optimizer state, 2 gradients too, 3 (FSDP) parameters too.

        Master weights are part of the optimizer's state. Buffers for communication are not counted, nor is the layer
        that stage 3 gathers while it computes. Source: Rajbhandari et al. 2020, arXiv 1910.02054, section 5.
        """
        if stage not in (0, 1, 2, 3):
            raise Refused(f"stage is {stage!r}; allowed: 0 (nothing is divided), 1, 2, 3")
        ranks = check_batch(ranks, name="ranks")
        parameters, gradients, state = (ranks if stage >= first else 1 for first in (3, 2, 1))
        return Static(
            self.parameters / parameters,
            self.gradients / gradients,
            self.optimizer_state / state,
            self.master_weights / state,
        )


def static_bytes(
    parameters: int, precision: str = "fp32", optimizer: str = "AdamW", trainable: int | None = None
) -> Static:
    """Parameters, gradients and optimizer state of a model, in bytes.

    ``trainable`` counts the parameters that are trained, adapters say (Hu et al. 2021, arXiv 2106.09685): the others
    have neither gradient nor state. 8-bit state is one byte a number (Dettmers et al. 2022, arXiv 2110.02861); its
    scales, one fp32 for each block of 256 numbers in their library, add 1.6 % to it and are counted.
    """
    bytes_of, states = choose(PRECISIONS, precision, "precision"), choose(STATES, optimizer, "optimizer")
    parameters = check_batch(parameters, name="parameters")
    trainable = parameters if trainable is None else trainable
    if not 0 <= trainable <= parameters:
        raise Refused(f"trainable is {trainable}; allowed: from 0 to the {parameters:,} parameters there are")
    state = 1 + 4 / 256 if optimizer == "8-bit AdamW" else bytes_of.state
    return Static(
        parameters * bytes_of.parameter,
        trainable * bytes_of.gradient,
        trainable * states * state,
        trainable * bytes_of.master,
    )


def choose(table: dict, name: str, argument: str):
    """The entry of a table; ``ValueError`` that lists the names if there is none."""
    if name not in table:
        raise Refused(f"{argument} is {name!r}; allowed: {', '.join(map(repr, table))}")
    return table[name]
