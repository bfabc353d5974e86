"""Build a detector: preprocessing, backbone, heads, first weights.

    model = build_detector("mobilenet", image_size=300, init="imagenet", weights="weights", l2=5e-4, seed=1)
    outputs = model(images, training=False)     # float32 (n, 2430, 6) of float32 (n, 300, 300, 3), RGB 0..255

The order of the A anchors is that of `anchors.make_anchors` for the same arch and image size.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from experiments.sample_synthesis.detector.archs import NUM_CLASSES, check_image_size, find_arch
from experiments.sample_synthesis.detector.backbones.mobilenet import mobilenet
from experiments.sample_synthesis.detector.backbones.mobilenetv2 import mobilenetv2
from experiments.sample_synthesis.detector.backbones.resnet50 import resnet50
from experiments.sample_synthesis.detector.backbones.tiny import tiny
from experiments.sample_synthesis.detector.heads import add_heads
from experiments.sample_synthesis.detector.weights import load_backbone

# isort: split
import keras  # after our modules, which choose its backend

BACKBONES = {"mobilenet": mobilenet, "resnet50": resnet50, "mobilenetv2": mobilenetv2, "tiny": tiny}


def build_detector(
    arch: str,
    *,
    image_size: int,
    num_classes: int = NUM_CLASSES,
    init: Literal["imagenet", "random"] = "random",
    weights: str | Path | None = None,
    l2: float = 5e-4,
    seed: int,
) -> keras.Model:
    """A Keras model from images float32 (n, H, W, 3), RGB 0..255, to float32 (n, A, num_classes + 4).

    Args:
        arch: a key of `archs.ARCHS`.
        image_size: side of the square images, pixels.
        num_classes: background included; its logit is the first.
        init: `imagenet` reads the backbone from `weights`; the heads are random either way.
        weights: folder with the file that `weights.FILES` names, or a file; read for `imagenet` only.
        l2: factor of the sum of squared head kernels in `model.losses`.
        seed: of the random first weights, which depend on nothing else.

    Raises:
        BadInput: unknown arch, an image that is too small, weights of another architecture.
        Missing: the weights are not there.
    """
    find_arch(arch)
    check_image_size(image_size)
    images = keras.Input((image_size, image_size, 3), name="images")
    taps = BACKBONES[arch](images, seed=seed)
    outputs = add_heads(taps, num_classes=num_classes, l2=l2, seed=seed)
    model = keras.Model(images, outputs, name=arch)
    if init == "imagenet":
        load_backbone(model, arch, weights)
    return model
