"""Whether sets rendered again are the shipped ones: boxes equal, decoded pictures nearly so.

Boxes follow from NumPy's random numbers, projection and one ray a pixel, so they have to be equal. Pictures
may differ in their last bits between processors and denoiser builds, which is what 35 dB leaves room for.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from assets.make.sample_synthesis_plan import SETS, Wanted, file_name, folder_of
from assets.make.tabletop_compare import MIN_PSNR, psnr
from suite.datasets import CocoSet, read_coco


def _pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture)


def _rows(coco: CocoSet, image_id: int) -> list:
    """What has to be equal about a picture; ids of annotations are those of a whole split."""
    rows = coco.annotations_by_image.get(image_id, ())
    return [coco.image_by_id[image_id], *((row.box_xywh, row.area, row.extra) for row in rows)]


def compare(made: Path, shipped: Path, wanted: Sequence[Wanted]) -> int:
    """Print what differs; 0 if the pictures of `wanted` are the same in both folders, else 1."""
    different, equal, ratios = [], 0, []
    sets: dict[tuple[str, str], tuple[CocoSet, CocoSet]] = {}
    for name, split, index in wanted:
        one, two = (root / folder_of(name) / file_name(name, split, index) for root in (made, shipped))
        ratio = psnr(_pixels(one), _pixels(two))
        ratios.append(ratio)
        equal += int(np.isinf(ratio))
        if ratio < MIN_PSNR:
            different.append(f"{name} {one.name}: PSNR {ratio:.1f} dB, wanted {MIN_PSNR:g}")
        if not SETS[name].scenes:
            continue
        if (name, split) not in sets:
            sets[name, split] = tuple(read_coco(root / name / f"{split}.json") for root in (made, shipped))
        if _rows(sets[name, split][0], index + 1) != _rows(sets[name, split][1], index + 1):
            different.append(f"{name} {one.name}: the annotations differ")
    for line in different:
        print(line)
    verdict = f"{len(different)} differences" if different else "the same"
    print(
        f"sample_synthesis: {len(wanted)} pictures; lowest PSNR {min(ratios):.1f} dB, "
        f"{equal} equal to the bit; {verdict}"
    )
    return 1 if different else 0
