"""Shapes of well-known transformers, and their parameters counted one tensor after another."""

from dataclasses import dataclass


@dataclass(frozen=True)
class GPT2Shape:
    """Learned positions, layer norm, biases, a perceptron of width 4h, output layer shared with the embedding.

    Source: Radford et al. 2019, *Language Models are Unsupervised Multitask Learners*, table 2. Their own counts in
    that table are too small, as the published weights show.
    """

    width: int = 768
    heads: int = 12
    blocks: int = 12
    vocabulary: int = 50257
    context: int = 1024

    @property
    def parameters(self) -> int:
        h = self.width
        norm, attention = 2 * h, (3 * h * h + 3 * h) + (h * h + h)
        perceptron = (4 * h * h + 4 * h) + (4 * h * h + h)
        return (self.vocabulary + self.context) * h + self.blocks * (2 * norm + attention + perceptron) + norm


@dataclass(frozen=True)
class LlamaShape:
    """Rotary positions, RMS norm, no biases, grouped keys and values, a gated perceptron, an output layer of its own.

    Source: Grattafiori et al. 2024, arXiv 2407.21783, table 3.
    """

    width: int = 4096
    heads: int = 32
    groups: int = 8
    blocks: int = 32
    hidden: int = 14336
    vocabulary: int = 128256
    context: int = 8192

    @property
    def parameters(self) -> int:
        h, keys = self.width, self.width // self.heads * self.groups
        attention, perceptron = 2 * h * h + 2 * h * keys, 3 * h * self.hidden
        return 2 * self.vocabulary * h + self.blocks * (2 * h + attention + perceptron) + h


SHAPES = {
    "gpt2": GPT2Shape(),
    "gpt2-medium": GPT2Shape(1024, 16, 24),
    "gpt2-large": GPT2Shape(1280, 20, 36),
    "gpt2-xl": GPT2Shape(1600, 25, 48),
    "llama-1b": LlamaShape(2048, 32, 8, 16, 5632, 32000, 2048),  # a shape of our own, near a billion
    "llama-3-8b": LlamaShape(),
}
