"""Pictures of single objects cut out of annotated photographs: the birds of the variant nogan (CUB-200-2011).

Published: a random training photograph, cropped to its ground-truth box, resized; grey ones are drawn again.
That is the supervision the method does without, so `boxes: false` takes whole photographs instead. Here grey
photographs are left out and counted, so that every drawing is of the same distribution.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor
from pathlib import Path

import numpy as np
from PIL import Image

from experiments.sample_synthesis.config_sections import SourceConfig
from experiments.sample_synthesis.data.cub import cub_root, list_cub
from experiments.sample_synthesis.data.types import Account
from experiments.sample_synthesis.objects.sources import MODES_GREY, decode, resized
from suite.datasets.faults import Fault
from suite.errors import BadInput

Box = tuple[float, float, float, float]  # x1, y1, x2, y2, pixels


class BoxCrops:
    """Crops of photographs. rows: (path relative to `images_dir`, box of the one object), in order."""

    has_alpha = False

    def __init__(
        self,
        images_dir: Path,
        rows: Sequence[tuple[str, Box]],
        *,
        size: int,
        zoom: int = 1,
        boxes: bool = True,
    ) -> None:
        if not rows:
            raise BadInput("lists no photographs to cut objects out of", file=images_dir)
        self.images_dir, self.size, self.zoom, self.boxes = Path(images_dir), size, zoom, boxes
        self._box_of = dict(rows)
        self.keys: Sequence[str] = tuple(self._box_of)

    def read(self, index: int, *, alpha: bool = False) -> np.ndarray:
        """uint8 (size, size, 3). Raises Fault for a picture that does not decode, is grey, or outside its
        box.
        """
        key = self.keys[index]
        picture = decode(self.images_dir / key)
        if picture.mode in MODES_GREY:
            raise Fault("grey picture", key, "is grey", "nothing to do: it is left out, as published")
        if self.boxes:
            picture = picture.crop(inner_box(picture, self._box_of[key], key))
        return resized(picture, self.size, zoom=self.zoom)


def cub_crops(root: Path, source: SourceConfig, *, split_file: Path | None = None) -> BoxCrops:
    """The training photographs of CUB-200-2011; those without a good box are left out. Raises Missing,
    BadInput.
    """
    root = cub_root(root)
    _, listed = list_cub(root, Account(root), split_file=split_file)
    rows = [(item.file_name, item.boxes[0].xyxy) for item in listed["train"] if item.boxes]
    return BoxCrops(root / "images", rows, size=source.size, zoom=source.zoom, boxes=source.boxes)


def inner_box(picture: Image.Image, box: Box, key: str) -> tuple[int, int, int, int]:
    """The smallest box in whole pixels around `box`, clipped to the picture. Raises Fault where nothing is
    left.
    """
    x1, y1 = max(0, floor(box[0])), max(0, floor(box[1]))
    x2, y2 = min(picture.width, ceil(box[2])), min(picture.height, ceil(box[3]))
    if x2 <= x1 or y2 <= y1:
        what = f"its box {box} lies outside its {picture.width}x{picture.height} pixels"
        raise Fault("box outside the image", key, what, "correct the list of boxes")
    return x1, y1, x2, y2
