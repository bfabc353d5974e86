"""Test pictures of the page: the objects, and beside them the surest boxes of every arm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from experiments.imaginarynet.detectors.data.load import Target
from experiments.imaginarynet.detectors.data.records import read_picture
from suite.metrics.iou import xywh_to_xyxy
from suite.report.draw import draw_annotations, jpeg_uri

CELL = 280  # pixels of one drawing on the page
MIN_WIDTH = 480  # before it is scaled to its cell: captions stay legible
PER_ROW = 4
GAP = 4  # pixels


@dataclass(frozen=True)
class PictureRow:
    """A test picture: one drawing per column."""

    file_name: str
    uri: str


def picture_rows(target: Target, shown: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[PictureRow]:
    """A drawing of objects and of every arm's boxes, for each picture that all of them have.

    shown: rows of shown.json by arm.
    """
    by_arm = {name: {row["image_id"]: row for row in rows} for name, rows in shown.items()}
    first = next(iter(by_arm.values()), {})
    common = [image_id for image_id in first if all(image_id in rows for rows in by_arm.values())]
    return [_drawn(target, image_id, [rows[image_id] for rows in by_arm.values()]) for image_id in common]


def _drawn(target: Target, image_id: int, found: Sequence[Mapping[str, Any]]) -> PictureRow:
    image = target.test.image_by_id[image_id]
    picture = read_picture(target.test_dir / image.file_name)
    objects = target.test.annotations_by_image[image_id]
    boxes = xywh_to_xyxy(np.array([one.box_xywh for one in objects]))
    names = [target.test.category_by_id[one.category_id].name for one in objects]
    cells = [draw_annotations(picture, boxes=boxes, captions=names, min_width=MIN_WIDTH)]
    cells += [drawn_boxes(picture, row) for row in found]
    return PictureRow(image.file_name, jpeg_uri(tiled(cells)))


def drawn_boxes(picture: np.ndarray, row: Mapping[str, Any]) -> np.ndarray:
    """A picture, uint8 (H, W, 3), with what a row of shown.json says was found, the surest on top."""
    order = list(reversed(range(len(row["scores"]))))
    boxes = np.array([row["boxes"][k] for k in order], np.float64).reshape(-1, 4)
    captions = [f"{row['labels'][k]} {row['scores'][k]:.2f}" for k in order]
    return draw_annotations(picture, boxes=boxes, captions=captions, min_width=MIN_WIDTH)


def tiled(cells: Sequence[np.ndarray]) -> np.ndarray:
    """Pictures of one size, uint8 (h, w, 3), scaled to CELL pixels of width, PER_ROW of them side by side."""
    height = round(CELL * cells[0].shape[0] / cells[0].shape[1])
    columns, rows = min(len(cells), PER_ROW), -(-len(cells) // PER_ROW)
    sheet = Image.new("RGB", (columns * (CELL + GAP) - GAP, rows * (height + GAP) - GAP), (255, 255, 255))
    for place, cell in enumerate(cells):
        row, column = divmod(place, PER_ROW)
        small = Image.fromarray(cell).resize((CELL, height), Image.Resampling.BICUBIC)
        sheet.paste(small, (column * (CELL + GAP), row * (height + GAP)))
    return np.asarray(sheet)
