"""The records of a detection data set, as frozen dataclasses. Names and meanings are COCO's.

A box is `(x, y, width, height)` in pixels of the stored picture, floats, half-open: the pixel in column c
covers [c, c + 1), so a box over the columns 3..7 is x = 3, width = 5 (and its right edge is 8).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from suite.datasets.faults import Skipped

BoxXywh = tuple[float, float, float, float]
Polygons = tuple[tuple[float, ...], ...]  # each x1, y1, x2, y2, ... with at least three points
Rle = Mapping[str, Any]  # {"size": [height, width], "counts": compressed str, or list of run lengths}


@dataclass(frozen=True)
class CocoImage:
    """One picture. `extra` holds the keys of the file that this class has no field for."""

    id: int
    file_name: str  # relative to the folder of pictures, with forward slashes
    width: int
    height: int
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class CocoAnnotation:
    """One object of one picture."""

    id: int
    image_id: int
    category_id: int
    box_xywh: BoxXywh
    area: float  # of the mask where there is one, else of the box; pixels^2
    iscrowd: bool = False  # a region of many objects: may absorb any number of detections
    ignore: bool = False  # neither hit nor miss for the metrics; VOC's `difficult`
    truncated: bool = False  # VOC's flag: the object goes on outside the box
    segmentation: Polygons | Rle | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class CocoCategory:
    """One class."""

    id: int
    name: str
    supercategory: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class CocoSet:
    """A checked data set, each tuple sorted by id; every reference resolves.

    `info` is the file's free-form block; `skipped` says what reading left out (always empty with
    on_bad="raise").
    """

    images: tuple[CocoImage, ...]
    annotations: tuple[CocoAnnotation, ...]
    categories: tuple[CocoCategory, ...]
    info: Mapping[str, Any] = field(default_factory=dict)
    skipped: Skipped = field(default_factory=Skipped, compare=False)

    @cached_property
    def image_by_id(self) -> dict[int, CocoImage]:
        """Picture of an id."""
        return {image.id: image for image in self.images}

    @cached_property
    def category_by_id(self) -> dict[int, CocoCategory]:
        """Class of an id."""
        return {category.id: category for category in self.categories}

    @cached_property
    def annotations_by_image(self) -> dict[int, tuple[CocoAnnotation, ...]]:
        """Annotations of each image id in id order; an empty tuple for a picture without any."""
        lists: dict[int, list[CocoAnnotation]] = {image.id: [] for image in self.images}
        for annotation in self.annotations:
            lists[annotation.image_id].append(annotation)
        return {image_id: tuple(items) for image_id, items in lists.items()}
