"""Weights that a backbone begins with."""

from __future__ import annotations

from mmdet.models.detectors import SemiBaseDetector

from experiments.imaginarynet.detectors.weak.weights import load_named, read_weights
from suite.paths import data_path

RANDOM = "random"


def load_backbone(model: SemiBaseDetector, weights: str) -> None:
    """Give both backbones the tensors that `weights` names; `random` leaves them as they were drawn.

    weights: a .safetensors file below DATA_DIR/weights with torchvision's names of a ResNet (what
    `import-checkpoint` writes). Raises Missing where it is not there, BadInput where it does not fit.
    """
    if weights == RANDOM:
        return
    path = data_path("data/weights") / weights
    state = read_weights(path)
    for detector in (model.student, model.teacher):
        load_named(detector.backbone, state, where=str(path))
