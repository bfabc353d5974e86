"""A network with its anchors, classes and settings: what training builds and a checkpoint brings back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from experiments.dense_detector.anchors import anchor_shapes, grid_anchors, kmeans_shapes
from experiments.dense_detector.assign import Assignment, assign
from experiments.dense_detector.checkpoint import load_checkpoint
from experiments.dense_detector.config import DenseConfig
from experiments.dense_detector.decode import Detections, decode
from experiments.dense_detector.losses import Losses, detection_loss
from experiments.dense_detector.model import DenseDetector, RawOutput
from experiments.dense_detector.presets import AnchorShapes
from suite.config import build, to_tree
from suite.errors import Missing
from suite.seeds import item_rng


@dataclass(eq=False)
class Detector:
    """Everything between a batch of pictures and a loss, or detections."""

    config: DenseConfig
    classes: tuple[tuple[int, str], ...]  # (category id, name) by label
    shapes: Tensor  # (A, 2) widths and heights of the anchors, resized pixels
    anchors: Tensor  # (P, 4)
    model: DenseDetector
    device: torch.device

    @property
    def image_hw(self) -> tuple[int, int]:
        """Height and width of the resized pictures."""
        width, height = self.config.data.size_wh
        return height, width

    @property
    def feature_hw(self) -> tuple[int, int]:
        """Rows and columns of the feature map."""
        return self.model.feature_hw(self.image_hw)

    def forward(self, images: Tensor) -> RawOutput:
        """Raw output for pictures (N, C, H, W) that may still lie on the CPU."""
        return self.model(images.to(self.device))

    def targets(self, batch: Any) -> Assignment:
        """Targets of a data.Batch."""
        place = self.device
        return assign(
            self.anchors,
            batch.boxes.to(place),
            batch.labels.to(place),
            batch.valid.to(place),
            ignore=batch.ignore.to(place),
            ignore_valid=batch.ignore_valid.to(place),
            **asdict(self.config.assign),
        )

    def losses(self, output: RawOutput, batch: Any) -> Losses:
        """Losses of a data.Batch."""
        boxes = batch.boxes.to(self.device)
        return detection_loss(output, self.targets(batch), self.anchors, boxes, **asdict(self.config.loss))

    def decode(self, output: RawOutput, *, score: float | None = None) -> list[Detections]:
        """Detections of each picture in resized pixels; `score` in place of `evaluate.score`."""
        chosen = self.config.evaluate
        return decode(
            output, self.anchors, self.image_hw, score=chosen.score if score is None else score,
            top=chosen.top, nms_iou=chosen.nms_iou, max_detections=chosen.max_detections,
            class_wise=chosen.class_wise,
        )  # fmt: skip

    @torch.no_grad()
    def detect(self, images: Tensor, *, score: float | None = None) -> list[Detections]:
        """Detections of pictures, the network in evaluation mode (or as `evaluate.batch_norm` says)."""
        self.model.train(self.config.evaluate.batch_norm == "batch")
        return self.decode(self.forward(images), score=score)


def make_detector(
    config: DenseConfig, classes: tuple[tuple[int, str], ...], shapes: Tensor, device: str
) -> Detector:
    """A fresh detector; its weights come from torch's generator."""
    place = torch_device(device)
    width, height = config.data.size_wh
    model = DenseDetector(
        config.model.network,
        len(shapes),
        len(classes),
        in_channels=1 if config.data.grey else 3,
        box_head=config.model.box_head == "delta",
        flatten=config.model.flatten,
    ).to(place)
    anchors = grid_anchors(
        model.feature_hw((height, width)), (height, width), shapes, grid=config.anchors.grid
    )
    return Detector(config, classes, shapes, anchors.to(place), model, place)


def load_detector(path: Path, device: str) -> Detector:
    """The detector of a checkpoint."""
    return detector_of(load_checkpoint(path), path, device)


def detector_of(state: Mapping[str, Any], path: Path, device: str) -> Detector:
    """The detector of a loaded checkpoint; `path` is named in errors."""
    config = build(DenseConfig, state["config"], where=str(path))
    classes = tuple((int(key), str(name)) for key, name in state["classes"])
    detector = make_detector(config, classes, state["shapes"], device)
    detector.model.load_state_dict(state["model"])
    return detector


def detector_state(detector: Detector) -> dict[str, Any]:
    """The part of a checkpoint that `detector_of` reads."""
    return {
        "config": to_tree(detector.config),
        "classes": [list(row) for row in detector.classes],
        "shapes": detector.shapes,
        "model": detector.model.state_dict(),
    }


def choose_shapes(config: DenseConfig, selection: Any, seed: int) -> Tensor:
    """Widths and heights (A, 2) of the anchors: of the config, or by k-means over the training boxes."""
    width, height = config.data.size_wh
    chosen = config.anchors
    if chosen.sizes:
        return anchor_shapes(AnchorShapes(chosen.sizes, chosen.ratios, chosen.unit), (height, width))
    sizes = [
        (image.boxes[:, 2:] - image.boxes[:, :2]) * (width / image.width, height / image.height)
        for image in selection.images
    ]
    return kmeans_shapes(np.concatenate(sizes), chosen.num_auto, item_rng(seed, "dense.anchors", 0))


def torch_device(name: str) -> torch.device:
    """cpu or cuda. Raises Missing without the GPU that was asked for: it never falls back."""
    if name == "cuda" and not torch.cuda.is_available():
        raise Missing("--device cuda: torch sees no GPU", fix="use --device cpu, or see docs/gpu.md")
    return torch.device(name)


def count_costs(detector: Detector) -> dict[str, int]:
    """Parameters, and multiply-accumulates of one picture."""
    from torch.utils.flop_counter import FlopCounterMode

    model = detector.model
    channels = 1 if detector.config.data.grey else 3
    was_training = model.training
    model.eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, channels, *detector.image_hw, device=detector.device))
    model.train(was_training)
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "macs": counter.get_total_flops() // 2,
        "anchors": len(detector.anchors),
    }
