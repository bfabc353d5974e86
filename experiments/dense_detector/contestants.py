"""Ours and torchvision's detectors behind one interface, so that one loop trains and measures them all.

    contestant = make_contestant("ssdlite", "matched", config, classes=classes, shapes=shapes, device="cpu")
    pictures = contestant.pictures(train_set)
    loss = contestant.loss(pictures, indices, seed=0, epoch=2, flip=0.5)
    detections = contestant.detect(pictures, indices)                  # in original pixels

Input `matched`: every model sees what ours sees, the picture reduced to `data.size_wh` and made grey, then
repeated in three channels and scaled up as the model wants it (SSDlite: stretched to 320x320; RetinaNet:
`compare.upscale` times). Input `native`: the RGB picture as it is (SSDlite: stretched to 320x320; RetinaNet:
`compare.native_sizes`). Ours has no native input.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from experiments.dense_detector import torchvision_models as tv
from experiments.dense_detector.config import DenseConfig
from experiments.dense_detector.data import DetectionDataset
from experiments.dense_detector.detector import Detector, make_detector, torch_device
from experiments.dense_detector.evaluate import to_original
from experiments.dense_detector.splits import Subset, dataset_of
from suite.datasets import Detections


class Contestant(Protocol):
    """A detector as the comparison sees it."""

    module: nn.Module

    def pictures(self, subset: Subset) -> Any:
        """The pictures of a subset in the form that this detector sees."""

    def loss(self, pictures: Any, indices: Sequence[int], **chance: float) -> Tensor:
        """The loss of a batch, in training mode; `chance` as in augment.vary."""

    def detect(self, pictures: Any, indices: Sequence[int]) -> Detections:
        """What it finds in these pictures, in original pixels, in evaluation mode."""


class Ours:
    """The dense detector."""

    def __init__(self, detector: Detector) -> None:
        self.detector, self.module = detector, detector.model

    def pictures(self, subset: Subset) -> DetectionDataset:
        """See Contestant."""
        return dataset_of(subset, self.detector.config.data)

    def loss(self, pictures: DetectionDataset, indices: Sequence[int], **chance: float) -> Tensor:
        """See Contestant."""
        self.module.train()
        batch = pictures.batch(indices, **chance)
        return self.detector.losses(self.detector.forward(batch.images), batch).total

    def detect(self, pictures: DetectionDataset, indices: Sequence[int]) -> Detections:
        """See Contestant."""
        batch = pictures.batch(indices)
        found = self.detector.detect(batch.images)
        return to_original(self.detector, found, batch.image_ids, batch.sizes)


class Torchvision:
    """SSDlite or RetinaNet."""

    def __init__(self, module: nn.Module, config: DenseConfig, *, native: bool, device: torch.device) -> None:
        self.module, self.config, self.native, self.device = module.to(device), config, native, device

    def pictures(self, subset: Subset) -> tv.Pictures:
        """See Contestant."""
        data = self.config.data
        if self.native:
            return tv.NativePictures(subset.selection, subset.images_dir, cache=data.cache)
        return tv.MatchedPictures(subset.selection, subset.images_dir, size_wh=data.size_wh, cache=data.cache)

    def loss(self, pictures: tv.Pictures, indices: Sequence[int], **chance: float) -> Tensor:
        """See Contestant."""
        return tv.loss_of(self.module, *pictures.samples(indices, **chance), self.device)

    def detect(self, pictures: tv.Pictures, indices: Sequence[int]) -> Detections:
        """See Contestant."""
        found = tv.detect(self.module, pictures.samples(indices)[0], self.device)
        selection = pictures.selection
        numbers = [len(scores) for _, scores, _ in found]
        return Detections(
            np.repeat([selection.images[index].image_id for index in indices], numbers),
            np.array(selection.category_ids)[np.concatenate([labels for _, _, labels in found])],
            np.concatenate([scores for _, scores, _ in found]),
            np.concatenate(
                [boxes * pictures.to_original(i) for i, (boxes, _, _) in zip(indices, found, strict=True)]
            ),
        )


def make_contestant(
    model: str,
    view: str,
    config: DenseConfig,
    *,
    classes: tuple[tuple[int, str], ...],
    shapes: Tensor,
    device: str,
) -> Contestant:
    """A fresh detector; its weights come from torch's generator.

    `model`: ours, ssdlite or retinanet; `view`: matched or native; `classes`: (category id, name) by label;
    `shapes` (A, 2): our anchors. torchvision's models keep their own.
    """
    if model == "ours":
        if view != "matched":
            raise ValueError("ours has no native input: its size and its one channel are what it is")
        return Ours(make_detector(config, classes, shapes, device))
    native = view == "native"
    compare = config.compare
    sizes = compare.native_sizes if native else tv.matched_sizes(config.data.size_wh, compare.upscale)
    module = tv.build(model, num_classes=len(classes), sizes=sizes, evaluate=config.evaluate)
    return Torchvision(module, config, native=native, device=torch_device(device))
