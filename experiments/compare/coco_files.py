"""What an arm of the kind `data` leaves: a COCO set with its pictures.

coco, pictures = read_arm(RUN / "pasted")
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from PIL import Image

from suite.datasets import CocoSet, read_coco

COCO, ANNOTATIONS, PICTURES = "coco", "annotations.json", "pictures"


def read_arm(folder: Path) -> tuple[CocoSet, Path]:
    """The set of a finished stage, checked, and the folder of its pictures. Raises BadInput."""
    pictures = folder / COCO / PICTURES
    return read_coco(folder / COCO / ANNOTATIONS, images_dir=pictures), pictures


def save_jpeg(path: Path, picture: np.ndarray, *, quality: int) -> None:
    """Write uint8 (h, w, 3) RGB as a whole file or none."""
    part = path.with_name(f".{path.name}.part")
    Image.fromarray(picture, "RGB").save(part, "JPEG", quality=quality)
    os.replace(part, path)
