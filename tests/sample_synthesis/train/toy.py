"""Toy pictures: one bright square on grey, whose box is known; and settings that train in seconds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from experiments.sample_synthesis.config import CONFIG, CONFIGS, SampleSynthesisConfig
from experiments.sample_synthesis.data.types import RealSet
from suite.config import load_config
from suite.datasets.records import CocoAnnotation, CocoCategory, CocoImage, CocoSet
from suite.manifest import file_digest

SIZE = 32  # of the toy detector's input
SOURCE = 48  # of the toy pictures


@dataclass(frozen=True)
class Sample:
    image: np.ndarray
    boxes: np.ndarray


class ToyStream:
    """Item i: a square whose place and grey follow from i."""

    def item(self, index: int) -> Sample:
        rng = np.random.default_rng(index)
        image = rng.integers(60, 120, (SOURCE, SOURCE, 3)).astype(np.uint8)
        side = int(rng.integers(14, 30))
        x, y = rng.integers(0, SOURCE - side, 2)
        image[y : y + side, x : x + side] = 255 - index % 40
        return Sample(image, np.array([[x, y, x + side, y + side]], dtype=np.int32))


def write_pictures(
    folder: Path, numbers: range, *, suffix: str = "png"
) -> tuple[list[Path], list[np.ndarray]]:
    """Files and boxes of these items of the stream."""
    folder.mkdir(parents=True, exist_ok=True)
    paths, boxes = [], []
    for number in numbers:
        sample = ToyStream().item(number)
        paths.append(folder / f"{number:05d}.{suffix}")
        Image.fromarray(sample.image).save(paths[-1])
        boxes.append(sample.boxes)
    return paths, boxes


def real_set(folder: Path, split: str, numbers: range) -> RealSet:
    """A split of such pictures."""
    paths, boxes = write_pictures(folder / split, numbers)
    records = tuple(
        CocoImage(k, p.name, SOURCE, SOURCE, {"bytes": p.stat().st_size, "sha256": file_digest(p)})
        for k, p in enumerate(paths, start=1)
    )
    annotations = []
    for number, ((x1, y1, x2, y2),) in enumerate(boxes, start=1):
        box = (float(x1), float(y1), float(x2 - x1), float(y2 - y1))
        annotations.append(CocoAnnotation(number, number, 1, box, box[2] * box[3]))
    coco = CocoSet(records, tuple(annotations), (CocoCategory(1, "qr_code"),), {"info": {"clipped_boxes": 0}})
    return RealSet(coco, folder / split, split, "coco")


def settings(*changes: str) -> SampleSynthesisConfig:
    """configs/tiny.yaml at 32 px, with other values where they are given."""
    common = [f"detector.image_size={SIZE}", "objects=[qr]", "ablations=[pretraining]"]
    common += [f"qr.synthesis.image_size={SOURCE}", "qr.synthesis.num_samples=12", "detector.archs=[tiny]"]
    return load_config(CONFIG, CONFIGS / "tiny.yaml", [*common, *changes])
