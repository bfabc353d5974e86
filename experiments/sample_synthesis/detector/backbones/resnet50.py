"""ResNet-50 v1 without top; layer names of keras.applications, so that its ImageNet file fits.

Taps: outputs of conv4 blocks 4 to 6 and conv5 blocks 1 to 3 (three maps of 1024 and three of 2048 channels).
23,587,712 parameters. As in Keras, the stride sits in the block's first 1x1 convolution.
"""

from __future__ import annotations

import keras

from experiments.sample_synthesis.detector.layers import Layers, Normalize, Tensor, pad

MOMENTUM, EPSILON = 0.99, 1.001e-5  # Keras's, which its weights were fitted with
BGR_MEAN = (103.939, 116.779, 123.68)
STACKS = ((2, 64, 3, 1), (3, 128, 4, 2), (4, 256, 6, 2), (5, 512, 3, 2))  # stage, filters, blocks, stride
TAPPED = ((4, 4), (4, 5), (4, 6), (5, 1), (5, 2), (5, 3))  # stage, block


def resnet50(images: Tensor, *, seed: int) -> list[Tensor]:
    """The six tapped maps of images (n, H, W, 3), RGB 0..255."""
    layers = Layers(seed, MOMENTUM, EPSILON)
    x = Normalize(BGR_MEAN, (1.0, 1.0, 1.0), bgr=True)(images)
    x = layers.conv(pad(x, 3, 3, name="conv1_pad"), 64, 7, strides=2, name="conv1_conv")
    x = layers.norm_relu(x, norm="conv1_bn", relu="conv1_relu")
    x = keras.layers.MaxPooling2D(3, strides=2, name="pool1_pool")(pad(x, 1, 1, name="pool1_pad"))
    taps = []
    for stage, filters, blocks, stride in STACKS:
        for number in range(1, blocks + 1):
            first_stride = stride if number == 1 else 1
            x = _block(x, layers, f"conv{stage}_block{number}", (filters, first_stride, number == 1))
            if (stage, number) in TAPPED:
                taps.append(x)
    return taps


def _block(x: Tensor, layers: Layers, name: str, shape: tuple[int, int, bool]) -> Tensor:
    """A bottleneck block; `shape`: filters, stride, whether the short cut is a convolution."""
    filters, stride, projects = shape
    short = x
    if projects:
        short = layers.conv(x, 4 * filters, 1, strides=stride, name=f"{name}_0_conv")
        short = layers.norm(short, name=f"{name}_0_bn")
    x = layers.conv(x, filters, 1, strides=stride, name=f"{name}_1_conv")
    x = layers.norm_relu(x, norm=f"{name}_1_bn", relu=f"{name}_1_relu")
    x = layers.conv(x, filters, 3, padding="same", name=f"{name}_2_conv")
    x = layers.norm_relu(x, norm=f"{name}_2_bn", relu=f"{name}_2_relu")
    x = layers.norm(layers.conv(x, 4 * filters, 1, name=f"{name}_3_conv"), name=f"{name}_3_bn")
    x = keras.layers.Add(name=f"{name}_add")([short, x])
    return keras.layers.ReLU(name=f"{name}_out")(x)
