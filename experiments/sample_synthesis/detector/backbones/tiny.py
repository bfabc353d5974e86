"""A small depth-wise separable network for runs on a CPU and for tests; ours, trained from random weights.

Taps: two maps of stride 8 and two of stride 16.
"""

from __future__ import annotations

from experiments.sample_synthesis.detector.layers import Layers, Normalize, Tensor

MOMENTUM, EPSILON = 0.9, 1e-3  # a run has some hundred steps: 0.99 would still remember the first values
FIRST_FILTERS = 16
BLOCKS = ((32, 2), (64, 2), (96, 1), (96, 1), (160, 2), (192, 1))  # filters, stride
TAPPED = (3, 4, 5, 6)


def tiny(images: Tensor, *, seed: int) -> list[Tensor]:
    """The four tapped maps of images (n, H, W, 3), RGB 0..255."""
    layers = Layers(seed, MOMENTUM, EPSILON)
    x = Normalize([127.5] * 3, [127.5] * 3)(images)
    x = layers.conv(x, FIRST_FILTERS, 3, strides=2, padding="same", use_bias=False, name="conv1")
    x = layers.norm_relu(x, norm="conv1_bn", relu="conv1_relu")
    taps = []
    for number, (filters, stride) in enumerate(BLOCKS, start=1):
        x = layers.depthwise(x, strides=stride, padding="same", name=f"conv_dw_{number}")
        x = layers.norm_relu(x, norm=f"conv_dw_{number}_bn", relu=f"conv_dw_{number}_relu")
        x = layers.conv(x, filters, 1, use_bias=False, name=f"conv_pw_{number}")
        x = layers.norm_relu(x, norm=f"conv_pw_{number}_bn", relu=f"conv_pw_{number}_relu")
        if number in TAPPED:
            taps.append(x)
    return taps
