"""Classifiers of ImageNet with torchvision's names, as the weights that a detector begins with.

VGG16 (torchvision's, and Caffe's as pcl.pytorch loads it), ResNets (torchvision's, and MSRA's as mmdet loads
it) and MobileNetV2 keep their names; the layer of ImageNet's classes is left out.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from experiments.imaginarynet.detectors.convert.checkpoint import Checkpoint
from experiments.imaginarynet.detectors.convert.mapping import Drop, Imported, Rule, rename
from suite.errors import BadInput

CLASSES = Drop(r"(classifier\.(1|6)|fc)\.(weight|bias)", "of ImageNet's classes")
KEPT = {
    "VGG16": (Rule(r"((?:features\.\d+|classifier\.[03])\.(?:weight|bias))", r"\1"),),
    "ResNet": (Rule(r"((?:conv1|bn1|layer\d\.\d+\.[\w.]+)(?:\.\w+)?)", r"\1"),),
    "MobileNetV2": (Rule(r"(features\.\d+\..+)", r"\1"),),
}
MARKS = {  # a tensor and its shape tell the network
    "VGG16": ("features.28.weight", (512, 512, 3, 3)),
    "ResNet": ("layer4.0.conv1.weight", None),
    "MobileNetV2": ("features.18.0.weight", (1280, 320, 1, 1)),
}


def network_of(given: Checkpoint) -> str | None:
    """VGG16, ResNet or MobileNetV2; None for anything else."""
    for network, (name, shape) in MARKS.items():
        tensor = given.tensors.get(name)
        if tensor is not None and shape in (None, tuple(tensor.shape)):
            return network
    return None


def is_form(names: Sequence[str]) -> bool:
    """Whether a checkpoint with these tensors may be one."""
    return any(name in names for name, _ in MARKS.values())


def convert(given: Checkpoint) -> Imported:
    """Raises BadInput where it is none of these networks."""
    network = network_of(given)
    if network is None:
        what = "is no VGG16, ResNet or MobileNetV2 of torchvision's widths"
        raise BadInput(what, file=given.file, fix="give one of these")
    state, skipped = rename(given.tensors, KEPT[network], (CLASSES,))
    if network == "ResNet":  # files made before PyTorch 0.4.1 lack the counters, which mmdet's network has
        for name in [name for name in state if name.endswith(".running_var")]:
            counter = name.replace("running_var", "num_batches_tracked")
            state.setdefault(counter, torch.zeros((), dtype=torch.int64))
    return Imported(f"{network} of ImageNet", None, state, skipped)
