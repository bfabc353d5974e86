"""Whether a set rendered again is the shipped one: annotations equal, decoded pictures nearly so.

Annotations follow from NumPy's random numbers and one ray a pixel, so they have to be equal. Pictures may
differ in their last bits between processors and denoiser builds, which is what 35 dB leaves room for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from suite.datasets import CocoSet, read_coco
from suite.datasets.tabletop import TABLETOP_SPLITS, tabletop_path

MIN_PSNR = 35.0  # dB
SHOWN = 10  # differences that are printed


@dataclass(frozen=True)
class Outcome:
    """What a comparison found."""

    pictures: int
    objects: int
    min_psnr: float  # dB, over the pictures; inf if all are equal to the bit
    equal_pixels: int  # pictures that are equal to the bit
    differences: tuple[str, ...]  # one line each


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB of two pictures (H, W, 3) uint8; inf if they are equal."""
    error = float(np.mean((one.astype(np.float64) - other.astype(np.float64)) ** 2))
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


def compare_sets(made: Path, shipped: Path) -> Outcome:
    """Compare every picture of `made` with the one of the same split and id of `shipped`.

    `made` may hold fewer pictures. Raises BadInput or Missing if either is not a set.
    """
    differences: list[str] = []
    ratios: list[float] = []
    objects = 0
    for split in TABLETOP_SPLITS:
        (json_one, images_one), (json_two, images_two) = (
            tabletop_path(split, root=p) for p in (made, shipped)
        )
        one, two = read_coco(json_one, images_dir=images_one), read_coco(json_two, images_dir=images_two)
        if one.categories != two.categories:
            differences.append(f"{split}: the classes differ")
        for image in one.images:
            name = f"{split}/{image.file_name}"
            objects += len(one.annotations_by_image[image.id])
            differences += [f"{name}: {what}" for what in _annotation_differences(one, two, image.id)]
            if not (images_two / image.file_name).is_file():
                continue
            ratio = psnr(_pixels(images_one / image.file_name), _pixels(images_two / image.file_name))
            ratios.append(ratio)
            if ratio < MIN_PSNR:
                differences.append(f"{name}: PSNR {ratio:.1f} dB, wanted {MIN_PSNR:g}")
    return Outcome(
        pictures=len(ratios), objects=objects, min_psnr=min(ratios, default=math.inf),
        equal_pixels=sum(math.isinf(ratio) for ratio in ratios), differences=tuple(differences),
    )  # fmt: skip


def _annotation_differences(one: CocoSet, two: CocoSet, image_id: int) -> Sequence[str]:
    """What differs in the rows of one picture, as words."""
    if image_id not in two.image_by_id:
        return ["is not in the shipped set"]
    found = []
    if one.image_by_id[image_id] != two.image_by_id[image_id]:
        found.append("its row differs (name, size or caption)")
    rows = one.annotations_by_image[image_id], two.annotations_by_image[image_id]
    if len(rows[0]) != len(rows[1]):
        return [*found, f"{len(rows[0])} objects, shipped {len(rows[1])}"]
    for mine, theirs in zip(*rows, strict=True):
        fields = [
            name
            for name in ("id", "category_id", "box_xywh", "area", "segmentation", "iscrowd", "extra")
            if getattr(mine, name) != getattr(theirs, name)
        ]
        if fields:
            found.append(f"annotation {theirs.id}: {', '.join(fields)} differ")
    return found


def _pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def compare(made: Path, shipped: Path) -> int:
    """Print the outcome; 0 if the sets agree, else 1."""
    outcome = compare_sets(made, shipped)
    for line in outcome.differences[:SHOWN]:
        print(line)
    if len(outcome.differences) > SHOWN:
        print(f"... and {len(outcome.differences) - SHOWN} more")
    verdict = f"{len(outcome.differences)} differences" if outcome.differences else "the same set"
    print(
        f"tabletop: {outcome.pictures} pictures, {outcome.objects} objects; lowest PSNR "
        f"{outcome.min_psnr:.1f} dB, {outcome.equal_pixels} pictures equal to the bit; {verdict}"
    )
    return 1 if outcome.differences else 0
