"""MobileNetV2 as torchvision builds it, without top: a package carries its ImageNet weights.

Not of the dissertation. Taps, chosen as the MobileNet's are: the last two maps of stride 16 (output of block
12, 96 channels; expansion of block 13, 576) and of stride 32 (output of block 16, 320; the last convolution,
1280). 2,257,984 parameters, moving statistics counted.
"""

from __future__ import annotations

import keras

from experiments.sample_synthesis.detector.layers import Layers, Normalize, Tensor, pad
from experiments.sample_synthesis.detector.mobilenetv2_blocks import (
    FIRST_FILTERS,
    LAST_FILTERS,
    Block,
    blocks,
)

MOMENTUM, EPSILON, RELU_MAX = 0.9, 1e-5, 6.0  # torch's defaults; its momentum 0.1 is 1 - ours
MEAN = tuple(255 * value for value in (0.485, 0.456, 0.406))  # ImageNet's RGB
STD = tuple(255 * value for value in (0.229, 0.224, 0.225))
TAPPED_OUTPUTS, TAPPED_EXPANSION = (12, 16), 13


def mobilenetv2(images: Tensor, *, seed: int) -> list[Tensor]:
    """The four tapped maps of images (n, H, W, 3), RGB 0..255."""
    layers = Layers(seed, MOMENTUM, EPSILON, RELU_MAX)
    x = pad(Normalize(MEAN, STD)(images), 1, 1, name="Conv1_pad")
    x = layers.conv(x, FIRST_FILTERS, 3, strides=2, use_bias=False, name="Conv1")
    x = layers.norm_relu(x, norm="bn_Conv1", relu="Conv1_relu")
    taps = []
    for block in blocks():
        expanded, x = _block(x, layers, block)
        if block.number == TAPPED_EXPANSION:
            taps.append(expanded)
        if block.number in TAPPED_OUTPUTS:
            taps.append(x)
    x = layers.conv(x, LAST_FILTERS, 1, use_bias=False, name="Conv_1")
    return [*taps, layers.norm_relu(x, norm="Conv_1_bn", relu="out_relu")]


def _block(x: Tensor, layers: Layers, block: Block) -> tuple[Tensor, Tensor]:
    """(expanded map, output) of an inverted residual block."""
    start, name = x, block.prefix
    if block.expansion != 1:
        x = layers.conv(x, block.expansion * x.shape[-1], 1, use_bias=False, name=f"{name}expand")
        x = layers.norm_relu(x, norm=f"{name}expand_BN", relu=f"{name}expand_relu")
    expanded = x
    x = pad(x, 1, 1, name=f"{name}pad")
    x = layers.depthwise(x, strides=block.stride, name=f"{name}depthwise")
    x = layers.norm_relu(x, norm=f"{name}depthwise_BN", relu=f"{name}depthwise_relu")
    x = layers.conv(x, block.filters, 1, use_bias=False, name=f"{name}project")
    x = layers.norm(x, name=f"{name}project_BN")
    return expanded, keras.layers.Add(name=f"{name}add")([start, x]) if block.adds else x
