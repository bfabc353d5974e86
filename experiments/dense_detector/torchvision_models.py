"""torchvision's SSDlite and RetinaNet, built to be compared: random weights, our post-processing.

    module = build("retinanet", num_classes=3, sizes=(192, 256), evaluate=config.evaluate)
    losses = module(pictures, targets)          # training mode; pictures: list of float32 (3, h, w) in [0, 1]

Nothing is downloaded (weights=None, weights_backbone=None). Scores, suppression and number of detections are
those of `evaluate` (torchvision's own: SSDlite 0.001, 0.55, 300; RetinaNet 0.05, 0.5, 100 in its reference
scripts). Both count class 0 as background, hence our label + 1.

Not covered: ignore regions. torchvision's losses know none, so an ignored box is background to these models.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.models.detection import retinanet_resnet50_fpn, ssdlite320_mobilenet_v3_large

from experiments.dense_detector.augment import vary
from experiments.dense_detector.config import Evaluate
from experiments.dense_detector.data import DetectionDataset, decode_picture, resized_item
from experiments.dense_detector.selection import Selection

ModelName = Literal["ssdlite", "retinanet"]
SSDLITE_SIDE = 320  # fixed by its constructor; every picture is stretched to 320x320


def build(name: ModelName, *, num_classes: int, sizes: tuple[int, int], evaluate: Evaluate) -> nn.Module:
    """A fresh detector; its weights come from torch's generator.

    `sizes`: RetinaNet scales a picture, aspect kept, until its short side is sizes[0] or its long side
    sizes[1]; SSDlite does not read it.
    """
    common = {
        "weights": None, "weights_backbone": None, "num_classes": num_classes + 1,
        "score_thresh": evaluate.score, "nms_thresh": evaluate.nms_iou,
        "detections_per_img": evaluate.max_detections, "topk_candidates": evaluate.top,
    }  # fmt: skip
    if name == "ssdlite":
        return ssdlite320_mobilenet_v3_large(**common)
    return retinanet_resnet50_fpn(**common, min_size=sizes[0], max_size=sizes[1])


def matched_sizes(size_wh: tuple[int, int], factor: int) -> tuple[int, int]:
    """RetinaNet's `sizes` for pictures of `size_wh`, scaled up by a whole factor."""
    return factor * min(size_wh), factor * max(size_wh)


# Pictures float32 (3, h, w) in [0, 1]; of each {"boxes": (n, 4) in its pixels, "labels": int64 (n,) from 1}.
Samples = tuple[list[Tensor], list[dict[str, Tensor]]]


class MatchedPictures:
    """Pictures with the information that our detector gets: reduced to its size and grey, then three times
    the same channel. The model itself scales them up.
    """

    def __init__(
        self, selection: Selection, images_dir: Path, *, size_wh: tuple[int, int], cache: bool
    ) -> None:
        self.selection, self.size_wh = selection, size_wh
        self._dataset = DetectionDataset(
            selection, images_dir, size_wh=size_wh, grey=True, normalise=False, cache=cache
        )

    def samples(self, indices: Sequence[int], **chance: float) -> Samples:
        """Pictures and targets; `chance`: seed, epoch, flip, jitter of augment.vary."""
        batch = self._dataset.batch(indices, **chance)
        pictures = [picture.expand(3, -1, -1) for picture in batch.images]
        rows = zip(batch.boxes, batch.labels + 1, batch.valid, strict=True)
        return pictures, [{"boxes": boxes[valid], "labels": labels[valid]} for boxes, labels, valid in rows]

    def to_original(self, index: int) -> np.ndarray:
        """Factors (4,) from a box in what the model sees to one in the original picture."""
        record = self.selection.images[index]
        return np.tile([record.width / self.size_wh[0], record.height / self.size_wh[1]], 2)


class NativePictures:
    """Pictures as they are: RGB, of their own size."""

    def __init__(self, selection: Selection, images_dir: Path, *, cache: bool) -> None:
        self.selection, self.images_dir = selection, images_dir
        self._cache: dict[int, np.ndarray] | None = {} if cache else None

    def samples(self, indices: Sequence[int], **chance: float) -> Samples:
        """As MatchedPictures.samples."""
        pictures, targets = [], []
        for index in indices:
            record = self.selection.images[index]
            image = torch.from_numpy(self._pixels(index)[None]).float().div_(255)
            original = resized_item(record, (record.width, record.height))
            image, (item,) = vary(image, [original], [index], **chance)
            pictures.append(image[0])
            labels = torch.from_numpy(item.labels) + 1
            targets.append({"boxes": torch.from_numpy(item.boxes), "labels": labels})
        return pictures, targets

    def to_original(self, index: int) -> np.ndarray:
        """Factors (4,); all 1."""
        return np.ones(4)

    def _pixels(self, index: int) -> np.ndarray:
        if self._cache is not None and index in self._cache:
            return self._cache[index]
        record = self.selection.images[index]
        size_wh = (record.width, record.height)
        pixels = decode_picture(self.images_dir / record.file_name, size_wh, size_wh, grey=False)
        if self._cache is not None:
            self._cache[index] = pixels
        return pixels


Pictures = MatchedPictures | NativePictures


def loss_of(
    module: nn.Module, pictures: Sequence[Tensor], targets: Sequence[dict[str, Tensor]], device: torch.device
) -> Tensor:
    """The sum of the model's own losses, in training mode."""
    module.train()
    there = [{key: value.to(device) for key, value in target.items()} for target in targets]
    return sum(module([picture.to(device) for picture in pictures], there).values())


@torch.no_grad()
def detect(
    module: nn.Module, pictures: Sequence[Tensor], device: torch.device
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Boxes float64 (d, 4) in pixels of the given pictures, scores (d,) and our labels (d,) of each."""
    module.eval()
    found = module([picture.to(device) for picture in pictures])
    return [
        (
            one["boxes"].cpu().numpy().astype(np.float64),
            one["scores"].cpu().numpy().astype(np.float64),
            one["labels"].cpu().numpy() - 1,
        )
        for one in found
    ]
