"""A sheet of pictures of assets/tabletop with their boxes, masks and class names, to look at.

    python -m assets.make.tabletop_sheet assets/tabletop assets/tabletop/contact_sheet.jpg

Needs no Blender.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from suite.datasets import CocoSet, read_coco
from suite.datasets.rle import rle_pixels
from suite.datasets.tabletop import tabletop_path
from suite.errors import guard
from suite.report.draw import draw_annotations

MAX_BYTES = 150_000
COLUMNS, GAP = 4, 4


def drawn(coco: CocoSet, image_id: int, images_dir: Path) -> np.ndarray:
    """One picture (h, w, 3) uint8 with its annotations."""
    image = coco.image_by_id[image_id]
    with Image.open(images_dir / image.file_name) as picture:
        rgb = np.asarray(picture.convert("RGB"))
    rows = coco.annotations_by_image[image_id]
    boxes = np.array([row.box_xywh for row in rows])
    boxes[:, 2:] += boxes[:, :2]
    labels = np.zeros((image.height, image.width), dtype=np.uint8)
    for number, row in enumerate(rows, start=1):
        labels[rle_pixels(row.segmentation)] = number
    names = [coco.category_by_id[row.category_id].name for row in rows]
    return draw_annotations(rgb, boxes=boxes, label_map=labels, captions=names, min_width=2 * image.width)


def contact_sheet(root: Path, split: str, count: int) -> Image.Image:
    """The first `count` pictures of a split, annotated."""
    json_path, images_dir = tabletop_path(split, root=root)
    coco = read_coco(json_path, images_dir=images_dir)
    ids = [image.id for image in coco.images[:count]]
    pictures = [drawn(coco, image_id, images_dir) for image_id in ids]
    height, width = pictures[0].shape[:2]
    rows = -(-len(pictures) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * (width + GAP) - GAP, rows * (height + GAP) - GAP), (255, 255, 255))
    for k, picture in enumerate(pictures):
        sheet.paste(Image.fromarray(picture), (k % COLUMNS * (width + GAP), k // COLUMNS * (height + GAP)))
    return sheet


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description="Draw a sheet of assets/tabletop.")
    parser.add_argument("root", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--split", default="train")
    parser.add_argument("--count", type=int, default=16)
    options = parser.parse_args()
    sheet = contact_sheet(options.root, options.split, options.count)
    quality = 85
    sheet.save(options.out, quality=quality, optimize=True)
    while options.out.stat().st_size > MAX_BYTES and quality > 20:
        quality -= 5
        sheet.save(options.out, quality=quality, optimize=True)
    return 0


if __name__ == "__main__":
    sys.exit(guard(main))
