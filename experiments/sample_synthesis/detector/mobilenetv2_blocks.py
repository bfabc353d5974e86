"""MobileNetV2's table of blocks and its layers' names; shared by network and converter, imports no framework.

Names are those of keras.applications' MobileNetV2. Its .h5 file does not fit all the same: torchvision's
network pads both sides at stride 2, normalises images by the ImageNet statistics and uses another epsilon.
"""

from __future__ import annotations

from dataclasses import dataclass

FIRST_FILTERS, LAST_FILTERS = 32, 1280
# Expansion, channels, blocks, stride of the first block: table 2 of the MobileNetV2 paper.
STAGES = (
    (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
)  # fmt: skip


@dataclass(frozen=True)
class Block:
    """An inverted residual block.

    Attributes:
        number: 0 for the first; torchvision calls it features[number + 1].
        expansion: inner channels over the input's.
        filters: output channels.
        stride: of its depth-wise convolution.
        adds: whether the input is added to the output.
    """

    number: int
    expansion: int
    filters: int
    stride: int
    adds: bool

    @property
    def prefix(self) -> str:
        """Begin of its layers' names."""
        return f"block_{self.number}_" if self.number else "expanded_conv_"


def blocks() -> list[Block]:
    """The 17 blocks in order."""
    found: list[Block] = []
    for expansion, filters, count, stride in STAGES:
        for place in range(count):
            adds = place > 0
            found.append(Block(len(found), expansion, filters, 1 if adds else stride, adds))
    return found


def torch_names() -> dict[str, str]:
    """torchvision's module name -> our layer's name, for every convolution and batch normalisation."""
    names = {"features.0.0": "Conv1", "features.0.1": "bn_Conv1"}
    for block in blocks():
        place = f"features.{block.number + 1}.conv"
        inner = 0
        if block.expansion != 1:
            names |= {f"{place}.0.0": f"{block.prefix}expand", f"{place}.0.1": f"{block.prefix}expand_BN"}
            inner = 1
        names |= {
            f"{place}.{inner}.0": f"{block.prefix}depthwise",
            f"{place}.{inner}.1": f"{block.prefix}depthwise_BN",
            f"{place}.{inner + 1}": f"{block.prefix}project",
            f"{place}.{inner + 2}": f"{block.prefix}project_BN",
        }
    last = len(blocks()) + 1
    return names | {f"features.{last}.0": "Conv_1", f"features.{last}.1": "Conv_1_bn"}
