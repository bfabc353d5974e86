"""What every reader of real photographs returns, and the account it keeps while it reads.

A row of an annotation file that is damaged by itself (no number, corners the wrong way round, a box outside
its picture), and a picture that does not decode, are left out and counted; above 1 % of boxes or of pictures
reading ends with one line. What is wrong with a file as a whole (a column is missing) ends reading at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from suite.datasets import CocoSet
from suite.datasets.faults import Fault, Intake, OnBad, Skipped

SPLITS = ("train", "valid", "test")
MAX_BAD_SHARE = 0.01
Box = tuple[float, float, float, float]  # x1, y1, x2, y2 in pixels, x1 < x2 and y1 < y2


@dataclass(frozen=True)
class RealSet:
    """One split. Images have the ids 1, 2, ... in the order of the published list, which decides the subsets.

    `extra` of an image: `row` (its place in the list that it was taken from, from 0), `bytes`, `sha256`, and
    what the data set calls it.
    """

    coco: CocoSet
    images_dir: Path
    split: str  # train, valid or test
    source: str  # qr_csv, fddb, cub, cars, coco or standin

    def __len__(self) -> int:
        return len(self.coco.images)

    @property
    def is_standin(self) -> bool:
        """Whether these are stand-ins, which every table then has to say."""
        return self.source == "standin"

    def paths(self) -> list[Path]:
        """The file of every image."""
        return [self.images_dir / image.file_name for image in self.coco.images]

    def boxes(self) -> list[np.ndarray]:
        """Corners x1, y1, x2, y2 in pixels of the file, float32 (n, 4), of every image."""
        rows = self.coco.annotations_by_image
        return [
            np.array([_corners(a.box_xywh) for a in rows[image.id]], np.float32).reshape(-1, 4)
            for image in self.coco.images
        ]

    def rows(self) -> np.ndarray:
        """Place of every image in the list that it was taken from, int64 (n,)."""
        places = enumerate(self.coco.images)
        return np.array([image.extra.get("row", place) for place, image in places], np.int64)


def _corners(box_xywh: tuple[float, float, float, float]) -> Box:
    x, y, width, height = box_xywh
    return x, y, x + width, y + height


@dataclass(frozen=True)
class ListedBox:
    """A box as an annotation file has it, not yet compared with its picture."""

    xyxy: Box
    where: str  # "line 12"


@dataclass(frozen=True)
class Listed:
    """A picture as an annotation file lists it."""

    file_name: str  # relative to the folder of pictures
    boxes: tuple[ListedBox, ...]
    row: int  # its place in the list, from 0
    where: str  # "line 11"
    extra: dict[str, Any] = field(default_factory=dict)  # what the data set calls it


class Account:
    """What was read and what was left out, over all files of a data set."""

    def __init__(self, root: Path, *, on_bad: OnBad = "skip", max_bad_share: float = MAX_BAD_SHARE):
        self.intake = Intake(root, on_bad, max_bad_share)
        self.num_boxes = self.bad_boxes = self.num_images = self.bad_images = self.clipped = 0

    def box(self, texts: Sequence[object], *, file: Path, where: str) -> Box | None:
        """Four corners from a file's cells; None: damaged, and counted."""
        self.num_boxes += 1
        try:
            return parse_corners(texts, where)
        except Fault as fault:
            self.reject_box(fault, file)
            return None

    def reject_box(self, fault: Fault, file: Path) -> None:
        """Leave a box out. Raises BadInput where bad items end reading."""
        self.bad_boxes += 1
        self.intake.reject(fault, file)

    def reject_image(self, fault: Fault, file: Path) -> None:
        """Leave a picture out. Raises BadInput where bad items end reading."""
        self.bad_images += 1
        self.intake.reject(fault, file)

    def close(self) -> Skipped:
        """Raises BadInput above the permitted share of bad boxes or pictures."""
        self.intake.close("images", bad=self.bad_images, total=self.num_images)
        self.intake.close("boxes", bad=self.bad_boxes, total=self.num_boxes)
        return self.intake.skipped()


def parse_number(text: object, subject: str, name: str) -> float:
    """A finite number, or a Fault that names the cell."""
    try:
        value = float(text)
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise Fault(
            "no number", subject, f"{name} is {text!r:.30}, no finite number", "correct or remove the row"
        )
    return value


def parse_corners(texts: Sequence[object], subject: str) -> Box:
    """x1, y1, x2, y2 of one box, or a Fault."""
    names = ("xmin", "ymin", "xmax", "ymax")
    if len(texts) != len(names):
        raise Fault(
            "cells missing", subject, f"has {len(texts)} of {len(names)} numbers", "correct or remove the row"
        )
    x1, y1, x2, y2 = (parse_number(text, subject, name) for text, name in zip(texts, names, strict=True))
    if x2 <= x1 or y2 <= y1:
        what = f"box ({x1:g}, {y1:g})-({x2:g}, {y2:g}) is reversed or has no area"
        raise Fault("reversed box", subject, what, "the order is xmin, ymin, xmax, ymax")
    return x1, y1, x2, y2
