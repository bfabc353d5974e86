"""MobileNet v1, width 1, without top; layer names of keras.applications, so that its ImageNet file fits.

Taps: the pointwise ReLUs of blocks 10 to 13 (512, 512, 1024, 1024 channels). 3,228,864 parameters.
"""

from __future__ import annotations

from experiments.sample_synthesis.detector.layers import Layers, Normalize, Tensor, pad

MOMENTUM, EPSILON, RELU_MAX = 0.99, 1e-3, 6.0  # Keras's defaults, which its weights were fitted with
FIRST_FILTERS = 32
BLOCKS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1))
TAPPED = (10, 11, 12, 13)


def mobilenet(images: Tensor, *, seed: int) -> list[Tensor]:
    """The four tapped maps of images (n, H, W, 3), RGB 0..255."""
    layers = Layers(seed, MOMENTUM, EPSILON, RELU_MAX)
    x = Normalize([127.5] * 3, [127.5] * 3)(images)
    x = layers.conv(x, FIRST_FILTERS, 3, strides=2, padding="same", use_bias=False, name="conv1")
    x = layers.norm_relu(x, norm="conv1_bn", relu="conv1_relu")
    taps = []
    for number, (filters, stride) in enumerate(BLOCKS, start=1):
        if stride == 2:
            x = pad(x, 0, 1, name=f"conv_pad_{number}")
        padding = "same" if stride == 1 else "valid"
        x = layers.depthwise(x, strides=stride, padding=padding, name=f"conv_dw_{number}")
        x = layers.norm_relu(x, norm=f"conv_dw_{number}_bn", relu=f"conv_dw_{number}_relu")
        x = layers.conv(x, filters, 1, use_bias=False, name=f"conv_pw_{number}")
        x = layers.norm_relu(x, norm=f"conv_pw_{number}_bn", relu=f"conv_pw_{number}_relu")
        if number in TAPPED:
            taps.append(x)
    return taps
