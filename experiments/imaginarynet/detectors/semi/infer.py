"""A trained Faster R-CNN of mmdet as a detector: one picture in, boxes of the picture out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from experiments.imaginarynet.config_semi import SemiConfig
from experiments.imaginarynet.detectors import api
from experiments.imaginarynet.detectors.semi.batches import as_inputs
from experiments.imaginarynet.detectors.semi.network import build_detector, build_pixels
from experiments.imaginarynet.detectors.semi.views import View, resize
from suite.config import build
from suite.errors import BadInput


class SemiDetector:
    """What Unbiased Teacher, Soft Teacher, Faster R-CNN and W2N leave; see api.Detector."""

    needs_proposals = False

    def __init__(
        self, network: torch.nn.Module, settings: SemiConfig, class_names: tuple[str, ...], device: str
    ) -> None:
        """network: of network.build_detector, with its weights."""
        self.class_names, self.settings = class_names, settings
        self.network = network.to(device).eval()
        self.pixels = build_pixels(settings).to(device)

    @torch.no_grad()
    def detect(self, picture: np.ndarray, proposals: np.ndarray | None = None) -> api.Found:
        """At the one size `test_side`; NMS and the limit per picture are the settings'. See api.Detector."""
        pixels = resize(picture, side=self.settings.test_side, max_side=self.settings.max_side)
        nothing = np.zeros((0, 4), np.float32), np.zeros(0, np.int64)
        data = self.pixels(as_inputs([View(0, pixels, *nothing)]))
        (result,) = self.network.predict(data["inputs"], data["data_samples"], rescale=False)
        found = result.pred_instances.cpu()
        size = np.float32([picture.shape[1], picture.shape[0]] * 2)
        seen = np.float32([pixels.shape[1], pixels.shape[0]] * 2)
        boxes = np.clip(found.bboxes.numpy() * (size / seen), 0, size)
        return api.Found(boxes=boxes, scores=found.scores.numpy(), labels=found.labels.numpy())


def load(folder: Path, header: Mapping[str, Any], device: str) -> SemiDetector:
    """The detector of a folder that `api.read_header` has read. BadInput: it does not fit its header."""
    settings = build(SemiConfig, header["settings"], where=str(folder / api.HEADER))
    names = tuple(header["class_names"])
    network = build_detector(settings, num_classes=len(names))
    api.load_state(network, folder)
    return SemiDetector(network, settings, names, torch_device(device))


def torch_device(name: str) -> str:
    """`cpu` or `cuda`. Raises BadInput for CUDA on a host without."""
    if name == "cuda" and not torch.cuda.is_available():
        raise BadInput("--device cuda: no usable GPU", fix="look at `make doctor`, or use --device cpu")
    return name
