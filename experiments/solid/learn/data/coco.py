"""The target set: COCO JSON and pictures, checked, with contiguous class ids.

    data = load_target_set(config.target_set)
    data.train[0]  # {"file_name": ..., "annotations": [...], ...}: a detectron2 dataset dict

Records are kept as JSON text in one array and parsed when they are asked for, so that loader processes share
them and a large set costs its file's size once. Source of the rules: detectron2 v0.6 (crowd regions and
pictures without an object are not trained on).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from experiments.solid.config_learning import TargetSet
from suite.datasets import CocoAnnotation, CocoImage, CocoSet, read_coco
from suite.datasets.masks import to_rle
from suite.datasets.tabletop import tabletop_path
from suite.errors import BadInput
from suite.paths import data_path

# Faults of single annotations that published sets have and detectron2 drops: they are left out and reported.
TOLERATED = "box without area"
MAX_TOLERATED_SHARE = 0.01


@dataclass(frozen=True)
class CocoRecords(Sequence):
    """Pictures with their annotations, as detectron2 dataset dicts.

    A record: "file_name" (full path), "height", "width", "image_id", "annotations": each "bbox" (x1, y1, x2,
    y2 in pixels), "category_id" (contiguous, 0..), "segmentation" (polygons or compressed RLE), "iscrowd" 0.
    """

    json_path: Path
    images_dir: Path
    text: np.ndarray  # (bytes,) uint8: the records as JSON, one after the other
    offsets: np.ndarray  # (n + 1,) int64

    @classmethod
    def of(cls, records: Iterator[Mapping[str, Any]], json_path: Path, images_dir: Path) -> CocoRecords:
        """Pack records; an iterator, so that the unpacked ones are never all in memory."""
        parts = [json.dumps(record).encode() for record in records]
        offsets = np.cumsum([0, *map(len, parts)], dtype=np.int64)
        return cls(json_path, images_dir, np.frombuffer(b"".join(parts), np.uint8), offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, position: int) -> dict[str, Any]:
        if not 0 <= position < len(self):
            raise IndexError(f"record {position} of {len(self)}")
        start, stop = self.offsets[position], self.offsets[position + 1]
        record = json.loads(self.text[start:stop].tobytes())
        return {**record, "file_name": str(self.images_dir / record["file_name"])}


@dataclass(frozen=True)
class TargetData:
    """What is fine-tuned and tested on. Class k of both is `class_names[k]`, COCO id `category_ids[k]`."""

    train: CocoRecords  # without pictures that show no object
    test: CocoRecords  # every test picture; the annotations are in `test_set`
    test_set: CocoSet  # ground truth of exactly the pictures in `test`
    class_names: tuple[str, ...]
    category_ids: tuple[int, ...]  # sorted
    notes: tuple[str, ...]  # what was left out, for warnings


def load_target_set(settings: TargetSet) -> TargetData:
    """Read and check both sides.

    BadInput: a file is no COCO file, holds a box or polygon outside its picture, a class that it does not
    list, no usable annotation, an object without a mask, a picture that does not exist; train and test list
    different classes; a path is not set. Missing: tabletop's files are gone.
    """
    (train_json, train_images), (test_json, test_images) = target_paths(settings)
    train_set, train_notes = read_side(train_json, train_images, settings.max_train)
    test_set, test_notes = read_side(test_json, test_images, settings.max_test)
    names = {category.id: category.name for category in train_set.categories}
    others = {category.id: category.name for category in test_set.categories}
    if names != others:
        what = f"lists other classes than {train_json} ({_difference(names, others)})"
        raise BadInput(what, file=test_json, fix="use the same categories in both files")
    index_of = {category_id: k for k, category_id in enumerate(names)}
    train = CocoRecords.of(_train_records(train_set, index_of, train_json), train_json, train_images)
    if not len(train):
        raise BadInput("no picture shows an object to train on", file=train_json, fix="raise max_train")
    return TargetData(
        train=train,
        test=CocoRecords.of((_record(image, []) for image in test_set.images), test_json, test_images),
        test_set=test_set,
        class_names=tuple(names.values()),
        category_ids=tuple(names),
        notes=(*train_notes, *test_notes),
    )


def target_paths(settings: TargetSet) -> tuple[tuple[Path, Path], tuple[Path, Path]]:
    """(annotation file, folder of pictures) of the train and of the test side."""
    if settings.source == "tabletop":
        return tabletop_path("train"), tabletop_path("test")
    found = []
    for side in ("train", "test"):
        for name in (f"{side}_json", f"{side}_images"):
            value = getattr(settings, name)
            if not value:
                raise BadInput(f"target_set.{name} is not set", fix=f"-o target_set.{name}=PATH")
            found.append(data_path(value))
    return (found[0], found[1]), (found[2], found[3])


def read_side(json_path: Path, images_dir: Path, limit: int | None) -> tuple[CocoSet, tuple[str, ...]]:
    """A checked set cut to its first `limit` pictures in id order, and notes on what was left out.

    Boxes without area are left out up to 1 % of the annotations; any other fault is a BadInput.
    """
    if not images_dir.is_dir():
        raise BadInput("no such folder of pictures", file=images_dir, fix="check target_set")
    coco = read_coco(json_path, images_dir=images_dir, on_bad="skip", max_bad_share=1.0)
    tolerated = coco.skipped.counts.get(TOLERATED, 0)
    total = len(coco.annotations) + tolerated
    if coco.skipped.total > tolerated or tolerated > MAX_TOLERATED_SHARE * total:
        lines = coco.skipped.examples
        raise BadInput(next((line for line in lines if "has no area" not in line), lines[0]))
    notes = (f"{json_path}: {coco.skipped}",) if tolerated else ()
    if limit is None or limit >= len(coco.images):
        return coco, notes
    images = coco.images[:limit]
    kept = {image.id for image in images}
    annotations = tuple(a for a in coco.annotations if a.image_id in kept)
    if not annotations:
        raise BadInput(f"the first {limit} pictures have no annotation", file=json_path, fix="take more")
    return CocoSet(images, annotations, coco.categories, coco.info, coco.skipped), notes


def _train_records(coco: CocoSet, index_of: Mapping[int, int], json_path: Path) -> Iterator[dict[str, Any]]:
    for image in coco.images:
        objects = [a for a in coco.annotations_by_image[image.id] if not a.iscrowd]
        if objects:
            yield _record(image, [_annotation(a, image, index_of, json_path) for a in objects])


def _record(image: CocoImage, annotations: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "file_name": image.file_name,
        "height": image.height,
        "width": image.width,
        "image_id": image.id,
        "annotations": annotations,
    }


def _annotation(
    annotation: CocoAnnotation, image: CocoImage, index_of: Mapping[int, int], json_path: Path
) -> dict[str, Any]:
    """detectron2's dict of one object; boxes within the reading tolerance are cut to the picture later."""
    if annotation.segmentation is None:
        what = f"annotation {annotation.id} has no mask"
        raise BadInput(what, file=json_path, fix="Mask R-CNN needs polygons or RLE for every object")
    x, y, width, height = annotation.box_xywh
    shape = annotation.segmentation
    is_rle = isinstance(shape, Mapping)
    return {
        "bbox": [x, y, x + width, y + height],
        "category_id": index_of[annotation.category_id],
        "segmentation": to_rle(shape, image.height, image.width) if is_rle else [list(p) for p in shape],
        "iscrowd": 0,
    }


def _difference(names: Mapping[int, str], others: Mapping[int, str]) -> str:
    """The first class in which two tables differ."""
    for category_id in sorted({*names, *others}):
        one, other = names.get(category_id, "absent"), others.get(category_id, "absent")
        if one != other:
            return f"category {category_id}: {other}, there {one}"
    return "none"
