"""A trained Faster R-CNN of mmdet as a detector: one picture in, boxes of the picture out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from experiments.imaginarynet.config_semi import SemiConfig
from experiments.imaginarynet.detectors import api
from experiments.imaginarynet.detectors.semi.batches import as_inputs
from experiments.imaginarynet.detectors.semi.network import build_detector, build_pixels
from experiments.imaginarynet.detectors.semi.views import View, resize
from suite.config import build


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
        data, shape = self._prepared(picture)
        (result,) = self.network.predict(data["inputs"], data["data_samples"], rescale=False)
        found = result.pred_instances
        return _found(found.bboxes, found.scores, found.labels, picture.shape[:2], seen=shape)

    @torch.no_grad()
    def locate(self, picture: np.ndarray, proposals: np.ndarray | None = None) -> api.Found:
        """For every class the RPN's proposal that its head is surest of, moved by it. See api.Locates."""
        data, shape = self._prepared(picture)
        features = self.network.extract_feat(data["inputs"])
        boxes = self.network.rpn_head.predict(features, data["data_samples"], rescale=False)
        metas = [sample.metainfo for sample in data["data_samples"]]
        head = self.network.roi_head
        (result,) = head.predict_bbox(features, metas, boxes, rcnn_test_cfg=None, rescale=False)
        labels = torch.arange(len(self.class_names), device=result.scores.device)
        scores, rows = result.scores[:, : len(labels)].max(dim=0)  # the last column is the background
        moved = result.bboxes.view(len(result.bboxes), -1, 4)[rows, labels]
        return _found(moved, scores, labels, picture.shape[:2], seen=shape)

    def _prepared(self, picture: np.ndarray) -> tuple[dict[str, Any], tuple[int, int]]:
        """The network's input for one picture, and its height and width without padding."""
        pixels = resize(picture, side=self.settings.test_side, max_side=self.settings.max_side)
        nothing = np.zeros((0, 4), np.float32), np.zeros(0, np.int64)
        return self.pixels(as_inputs([View(0, pixels, *nothing)])), pixels.shape[:2]


def _found(
    boxes: Tensor, scores: Tensor, labels: Tensor, shape: tuple[int, int], *, seen: tuple[int, int]
) -> api.Found:
    """In pixels of a picture of `shape` (height, width), from those of the network's input."""
    size, of = (np.float32([width, height] * 2) for height, width in (shape, seen))
    kept = np.clip(boxes.cpu().numpy() * (size / of), 0, size)
    return api.Found(boxes=kept, scores=scores.cpu().numpy(), labels=labels.cpu().numpy())


def load(folder: Path, header: Mapping[str, Any], device: str) -> SemiDetector:
    """The detector of a folder that `api.read_header` has read. BadInput: it does not fit its header."""
    settings = build(SemiConfig, header["settings"], where=str(folder / api.HEADER))
    names = tuple(header["class_names"])
    network = build_detector(settings, num_classes=len(names))
    api.load_state(network, folder)
    return SemiDetector(network, settings, names, device)
