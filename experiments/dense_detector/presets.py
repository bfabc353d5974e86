"""The three networks: `master` and `research`, the two states of the published code, and `cpu`, for a laptop.

A preset is data only: layer widths, strides and anchor shapes. model.py and anchors.py turn it into tensors.

| preset   | stride | map at H x W | anchors a cell | parameters (1 class, no box head) | receptive field |
|----------|--------|--------------|----------------|-----------------------------------|-----------------|
| master   | 4      | 32x16 at 128x64 | 12          | 859,564 (93,088 in the backbone)  | 49x49 px        |
| research | 8      | 10x13 at 75x100 | 24          | 1,986,324 (1,515,772)             | 113x113 px      |
| cpu      | 4      | 32x16 at 128x64 | 12          | 174,124 (93,088)                  | 49x49 px        |
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from suite.errors import BadInput


@dataclass(frozen=True)
class Network:
    """Layers of backbone and heads. All convolutions are padded by half their kernel."""

    stem_channels: int  # 5x5 convolution, stride 2
    blocks: tuple[tuple[int, int], ...]  # (channels, stride) of each residual block
    shortcut: Literal["conv3", "conv1_bn"]  # 3x3 convolution, or 1x1 convolution and batch-norm
    activation: Literal["relu", "leaky_relu"]  # leaky: slope 0.01
    head_channels: int  # width of the two hidden 3x3 convolutions of a head
    head_bias: bool  # whether these have a bias in front of their batch-norm
    last_bias: float  # bias of the class head's last convolution: sigmoid(bias) is the first score of all
    init: Literal["default", "kaiming"]  # the library's, or Kaiming normal by fan-out

    @property
    def stride(self) -> int:
        """Pixels between two neighbouring cells of the feature map."""
        return 2 * math.prod(stride for _, stride in self.blocks)

    @property
    def receptive_field(self) -> int:
        """Side in pixels of the square that one output of a head can see (batch-norm in eval mode)."""
        size, step = 5, 2  # after the stem; step: pixels between neighbours of the current map
        for _, stride in self.blocks:
            size += 2 * step  # a 3x3 kernel reaches one neighbour to each side
            step *= stride
            size += 2 * step
        return size + 3 * 2 * step  # the three convolutions of a head

    def feature_hw(self, image_hw: tuple[int, int]) -> tuple[int, int]:
        """Rows and columns of the feature map; every layer of stride 2 rounds up."""
        height, width = image_hw
        for _ in range(self.stride.bit_length() - 1):
            height, width = (height + 1) // 2, (width + 1) // 2
        return height, width


@dataclass(frozen=True)
class AnchorShapes:
    """Sizes s and ratios r = height / width; anchors.py makes w = s / sqrt(r), h = s sqrt(r) of each pair."""

    sizes: tuple[float, ...]
    ratios: tuple[float, ...]
    unit: Literal["width", "pixels"]  # of `sizes`: share of the picture's width, or pixels of the resized one

    @property
    def num_shapes(self) -> int:
        """A, the number of anchors at each cell."""
        return len(self.sizes) * len(self.ratios)


@dataclass(frozen=True)
class Preset:
    """One network and its anchors."""

    network: Network
    anchors: AnchorShapes


# fmt: off
MASTER = Preset(  # published code, branch master
    Network(stem_channels=16, blocks=((32, 1), (64, 2)), shortcut="conv3", activation="relu",
            head_channels=256, head_bias=True, last_bias=-2.1, init="default"),
    AnchorShapes(sizes=(1 / 8, 1 / 4, 1 / 2, 1.0), ratios=(1.0, 0.5, 2.0), unit="width"),
)
RESEARCH = Preset(  # published code, branch research
    Network(stem_channels=25, blocks=((64, 1), (128, 2), (128, 1), (256, 2)), shortcut="conv1_bn",
            activation="leaky_relu", head_channels=128, head_bias=False, last_bias=-9.0, init="kaiming"),
    AnchorShapes(sizes=(40, 45, 50, 55, 60, 65, 70, 75), ratios=(1.0, 2.0, 0.5), unit="pixels"),
)
# fmt: on
# The head does 392 of the 468 million multiplications of master; a quarter of its width leaves 42.
CPU = replace(MASTER, network=replace(MASTER.network, head_channels=64))

PRESETS = {"master": MASTER, "research": RESEARCH, "cpu": CPU}


def get_preset(name: str, *, head_channels: int | None = None) -> Preset:
    """The preset of that name, with another head width if given; raises BadInput for an unknown name."""
    if name not in PRESETS:
        raise BadInput(f"unknown preset {name!r}", fix=f"choose one of {', '.join(PRESETS)}")
    preset = PRESETS[name]
    if head_channels is None:
        return preset
    return replace(preset, network=replace(preset.network, head_channels=head_channels))
