"""Sets on disk, read to the level of supervision that a setting allows, and no further.

A COCO file whose `info` or any annotation says `label_level: image` has boxes that mean nothing: they are
dropped before anything looks at them, so that not even a check depends on them. The boxes of a real set read
for its image-level labels are looked at for one thing, whether the object counts (`labels.says_class`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from experiments.imaginarynet.detectors.data.labels import class_places, says_class
from experiments.imaginarynet.detectors.data.records import Boxed, ImageLabelled, Picture, Unlabelled
from suite.datasets import CocoImage, CocoSet
from suite.datasets.coco import LISTS, coco_from_tree, read_json
from suite.errors import BadInput

IMAGE_LEVEL = "image"
BOX_KEYS = ("bbox", "area", "segmentation", "iscrowd", "ignore")  # what says where an object is, or how


@dataclass(frozen=True)
class PictureSet:
    """A checked set and where its pictures lie. `has_boxes`: whether its boxes mean anything."""

    coco: CocoSet
    images_dir: Path
    file: Path  # for messages: the annotation file or folder
    has_boxes: bool = True


def read_coco_set(path: Path, images_dir: Path, *, labels: bool = True) -> PictureSet:
    """A COCO file, checked with its pictures; `labels=False` leaves every annotation out, unread.

    Boxes of a file with image-level labels are replaced by the whole picture unseen. Raises BadInput: the
    line of `suite.datasets.read_coco` (duplicate ids, a missing picture, ...).
    """
    tree = read_json(path, leave_out="segmentation")
    if not labels and isinstance(tree, dict):
        tree = {**tree, "annotations": []}
    if not _is_coco(tree) or (labels and not _is_image_level(tree)):
        coco = coco_from_tree(tree, path, images_dir=images_dir)
        return PictureSet(coco, images_dir, path)
    rows = _without_boxes(tree)
    coco = coco_from_tree(
        {**tree, "annotations": rows}, path, images_dir=images_dir, require_annotations=labels
    )
    return PictureSet(coco, images_dir, path, has_boxes=False)


def _is_coco(tree: Any) -> bool:
    return isinstance(tree, dict) and all(isinstance(tree.get(key), list) for key in LISTS)


def _is_image_level(tree: Mapping[str, Any]) -> bool:
    """One annotation that says so is enough: a box is used only where nothing speaks against it."""
    rows = [tree.get("info"), *tree["annotations"]]
    return any(isinstance(row, dict) and row.get("label_level") == IMAGE_LEVEL for row in rows)


def _without_boxes(tree: Mapping[str, Any]) -> list[Any]:
    """The annotations with the whole picture for a box, whatever they say themselves."""
    images = [row for row in tree["images"] if isinstance(row, dict)]
    whole = {row.get("id"): [0, 0, row.get("width"), row.get("height")] for row in images}
    rows = []
    for raw in tree["annotations"]:
        if isinstance(raw, dict):
            raw = {key: value for key, value in raw.items() if key not in BOX_KEYS}
            raw["bbox"] = whole.get(raw.get("image_id"))
        rows.append(raw)
    return rows


def image_labels(found: PictureSet, class_names: Sequence[str]) -> dict[int, frozenset[int]]:
    """The classes (places in `class_names`) in each picture by image id; empty for a picture without any.

    Raises BadInput for a class that the list does not hold.
    """
    places = class_places(found.coco, class_names, found.file)
    return {
        image_id: frozenset(places[row.category_id] for row in rows if not found.has_boxes or says_class(row))
        for image_id, rows in found.coco.annotations_by_image.items()
    }


def image_labelled(
    found: PictureSet, class_names: Sequence[str], *, source: str, first_id: int
) -> tuple[ImageLabelled, ...]:
    """Records in the order of the set, numbered from `first_id`. Raises BadInput as `image_labels`."""
    labels = image_labels(found, class_names)
    return tuple(
        ImageLabelled(**_picture(found, image, source, first_id + place), labels=labels[image.id])
        for place, image in enumerate(found.coco.images)
    )


def boxed(found: PictureSet, class_names: Sequence[str], *, source: str, first_id: int) -> tuple[Boxed, ...]:
    """Records with boxes; those of crowds are left out, boxes are clipped to the picture.

    Raises BadInput for a set with image-level labels and for a class that the list does not hold.
    """
    if not found.has_boxes:
        what = "its labels are of whole pictures: the boxes mean nothing"
        raise BadInput(what, file=found.file, fix="use it under `image_labels` or `unlabelled`")
    places = class_places(found.coco, class_names, found.file)
    records = []
    for place, image in enumerate(found.coco.images):
        rows = [row for row in found.coco.annotations_by_image[image.id] if not row.iscrowd]
        corners = np.array([row.box_xywh for row in rows], np.float64).reshape(-1, 4)
        corners[:, 2:] += corners[:, :2]
        corners = corners.clip(0, [image.width, image.height] * 2)
        records.append(
            Boxed(
                **_picture(found, image, source, first_id + place),
                boxes=corners.astype(np.float32),
                labels=np.array([places[row.category_id] for row in rows], np.int64),
                difficult=np.array([row.ignore for row in rows], bool),
            )
        )
    return tuple(records)


def unlabelled(found: PictureSet, *, source: str, first_id: int) -> tuple[Unlabelled, ...]:
    """Records of the pictures alone."""
    return tuple(
        Unlabelled(**_picture(found, image, source, first_id + place))
        for place, image in enumerate(found.coco.images)
    )


def _picture(found: PictureSet, image: CocoImage, source: str, number: int) -> dict[str, Any]:
    file = found.images_dir / image.file_name
    return {"id": number, "file": file, "width": image.width, "height": image.height, "source": source}


def taken(found: PictureSet, places: Sequence[int]) -> PictureSet:
    """The pictures at some places of the set, in rising order, and their annotations."""
    images = tuple(found.coco.images[place] for place in sorted(places))
    ids = {image.id for image in images}
    annotations = tuple(row for row in found.coco.annotations if row.image_id in ids)
    return replace(found, coco=replace(found.coco, images=images, annotations=annotations))


def renumbered(records: Sequence[Picture], first_id: int) -> tuple[Picture, ...]:
    """The records with ids from `first_id` on, in the given order."""
    return tuple(replace(record, id=first_id + place) for place, record in enumerate(records))
