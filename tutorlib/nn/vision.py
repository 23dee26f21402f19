"""Image models in the shapes that everybody knows, ResNet-50 and ViT-B: for their memory, not their accuracy."""

import torch
from torch import nn
from torch.nn import functional as F

from tutorlib.nn.transformers import Block


class Bottleneck(nn.Module):
    """1×1, 3×3, 1×1 convolutions with batch norm, added to what came in. Source: He et al. 2015, figure 5."""

    def __init__(self, inputs: int, width: int, stride: int):
        super().__init__()
        outputs = 4 * width
        self.conv1, self.norm1 = nn.Conv2d(inputs, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.norm2 = nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width)
        self.conv3, self.norm3 = nn.Conv2d(width, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
        self.shortcut = nn.Identity()
        if inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.relu_(self.norm1(self.conv1(x)))
        y = F.relu_(self.norm2(self.conv2(y)))
        return F.relu_(self.norm3(self.conv3(y)) + self.shortcut(x))


def resnet50(depths=(3, 4, 6, 3), width: int = 64, classes: int = 1000) -> nn.Sequential:
    """Images (examples, 3, side, side) → class scores. Source: He et al. 2015, arXiv 1512.03385, table 1."""
    layers = [nn.Conv2d(3, width, 7, 2, 3, bias=False), nn.BatchNorm2d(width), nn.ReLU(True), nn.MaxPool2d(3, 2, 1)]
    inputs = width
    for stage, depth in enumerate(depths):
        for block in range(depth):
            layers.append(Bottleneck(inputs, width << stage, 2 if stage and not block else 1))
            inputs = 4 * width << stage
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, classes))


class ViT(nn.Module):
    """Images (examples, 3, side, side) → class scores; ViT-B/16 as it stands.

    Source: Dosovitskiy et al. 2020, arXiv 2010.11929, table 1.
    """

    def __init__(
        self,
        width: int = 768,
        heads: int = 12,
        blocks: int = 12,
        side: int = 224,
        patch: int = 16,
        classes: int = 1000,
        attention: str = "fused",
    ):
        super().__init__()
        self.patches = nn.Conv2d(3, width, patch, patch)
        self.first = nn.Parameter(torch.zeros(1, 1, width))
        self.position = nn.Parameter(torch.zeros(1, (side // patch) ** 2 + 1, width))
        self.blocks = nn.Sequential(*(Block(width, heads, attention, causal=False) for _ in range(blocks)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = self.patches(images).flatten(2).transpose(1, 2)
        x = torch.cat([self.first.expand(len(x), -1, -1), x], dim=1) + self.position
        return self.head(self.norm(self.blocks(x))[:, 0])
