"""A trained WSDDN or OICR, ready to judge the proposals of a picture.

detector = load(folder, read_header(folder), "cpu")
found = detector.detect(picture, proposals)           # after NMS and caps
boxes, scores = detector.score(picture, proposals)    # every proposal, averaged over scales and flips
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import suite.compat.detectron2  # noqa: F401
from experiments.imaginarynet.config_weak import WeakConfig
from experiments.imaginarynet.detectors.api import HEADER, Found, load_state
from experiments.imaginarynet.detectors.data import views
from experiments.imaginarynet.detectors.weak.merge import (
    Cut,
    View,
    detections,
    inside,
    merge,
    mirrored,
    views_of,
)
from experiments.imaginarynet.detectors.weak.model import WeakDetector
from suite.config import build
from suite.errors import BadInput

# isort: split
from detectron2.structures import Boxes, Instances


class WeakPredictor:
    """A detector of api.Detector's kind, which locates, too.

    Proposals that come without scores, as (R, 4), count as scored 0, as WSDDN does with those of Selective
    Search; a fifth column are theirs (`score_bias`).
    """

    needs_proposals = True

    def __init__(self, model: WeakDetector, class_names: tuple[str, ...]) -> None:
        """model: on its device; it is put in evaluation mode."""
        self.model, self.class_names = model.eval(), class_names
        self.settings = settings = model.settings
        self.views = views_of(settings.test_scales, flip=settings.test_flip)
        self.cut = Cut(
            min_score=settings.score_threshold,
            nms=settings.nms,
            per_class=settings.max_per_class or None,
            per_picture=settings.max_per_image or None,
        )

    def detect(self, picture: np.ndarray, proposals: np.ndarray | None) -> Found:
        """Detections in a picture, uint8 (H, W, 3) RGB, among proposals, float32 (R, 4), surest first."""
        if not len(_known(proposals)):
            return Found.nothing()
        boxes, scores = self.score(picture, proposals)
        return detections(boxes, scores, self.cut, size=picture.shape[:2])

    def locate(self, picture: np.ndarray, proposals: np.ndarray | None) -> Found:
        """The surest box of every class, in the order of class_names: no NMS, floor or cap; see `detect`."""
        if not len(_known(proposals)):
            return Found.nothing()
        boxes, scores = self.score(picture, proposals)
        surest, rows = scores.max(dim=0)
        classes = torch.arange(len(surest), device=rows.device)
        chosen = boxes[rows] if boxes.ndim == 2 else boxes[rows, classes]
        return Found(
            inside(chosen, picture.shape[:2]).cpu().numpy(), surest.cpu().numpy(), classes.cpu().numpy()
        )

    def score(self, picture: np.ndarray, proposals: np.ndarray | None) -> tuple[Tensor, Tensor]:
        """(boxes, scores) of all R proposals, averaged (or added up) over scales and flips.

        boxes: float32 (R, 4), or (R, C, 4) where a Fast R-CNN head moves them, in pixels of the picture.
        scores: float32 (R, C).
        """
        known = np.asarray(_known(proposals), np.float32)
        passes = [self._look(picture, known, view) for view in self.views]
        boxes, scores = merge(passes, reduction=self.settings.test_reduce)
        if boxes.ndim == 2:  # the proposals themselves, without the rounding of their views
            boxes = torch.from_numpy(np.ascontiguousarray(known[:, :4])).to(boxes.device)
        return boxes, scores

    def _look(self, picture: np.ndarray, proposals: np.ndarray, view: View) -> tuple[Tensor, Tensor]:
        """One pass: boxes in pixels of the picture, and scores."""
        settings, old = self.settings, picture.shape[:2]
        size = views.scaled_size(*old, side=view.scale, which=settings.test_side, max_side=settings.max_side)
        boxes = views.scaled_boxes(proposals[:, :4], old, size)
        known = proposals[:, 4] if proposals.shape[1] > 4 else np.zeros(len(boxes), np.float32)
        boxes = views.mirrored_boxes(boxes, size[1]) if view.flip else boxes
        kept = back = np.arange(len(boxes))
        if settings.dedup:
            kept, back = views.distinct(boxes, settings.stride)
        instances = Instances(size)
        instances.proposal_boxes = Boxes(torch.from_numpy(boxes[kept]))
        instances.objectness_logits = torch.from_numpy(known[kept])
        image = views.as_channels(views.resized(picture, size), order=settings.channel_order, flip=view.flip)
        (found,) = self.model.scores([{"image": torch.from_numpy(image), "proposals": instances}])
        rows = torch.from_numpy(back).to(found.scores.device)
        moved = found.boxes[rows]
        moved = mirrored(moved, size[1]) if view.flip else moved
        factor = moved.new_tensor([old[1] / size[1], old[0] / size[0]] * 2)
        return moved * factor, found.scores[rows]


def _known(proposals: np.ndarray | None) -> np.ndarray:
    if proposals is None:
        raise BadInput("this detector judges proposals, and got none", fix="give --proposals, or search them")
    return proposals


def load(folder: Path, header: Mapping[str, Any], device: str) -> WeakPredictor:
    """The detector of a folder. Raises BadInput where header and tensors are of another network."""
    settings = build(WeakConfig, header["settings"], where=str(folder / HEADER))
    names = tuple(header["class_names"])
    model = WeakDetector(settings, len(names))
    load_state(model, folder)
    return WeakPredictor(model.to(device), names)
