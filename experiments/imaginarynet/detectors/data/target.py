"""The real target set: splits of tabletop, of a VOCdevkit folder, or of a COCO-format folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.imaginarynet.detectors.data.labels import check_declared, of_classes
from experiments.imaginarynet.detectors.data.read import PictureSet, read_coco_set, taken
from suite.datasets import CocoCategory, CocoImage, CocoSet, read_voc
from suite.datasets.tabletop import tabletop_path
from suite.errors import BadInput

if TYPE_CHECKING:
    from experiments.imaginarynet.config_detectors import TargetConfig


def target_splits(target: TargetConfig, splits: Sequence[str], *, labels: bool = True) -> PictureSet:
    """Some splits as one set; file names are relative to the folder above all of them.

    `labels=False`: for their pictures alone; a COCO file need not have annotations.
    Raises BadInput where a split is unknown or does not read, Missing where the embedded set is gone.
    """
    return joined([_limited(split_of(target, split, labels=labels), target.limit) for split in splits])


def real_set(
    target: TargetConfig, splits: Sequence[str], class_names: Sequence[str]
) -> tuple[PictureSet, tuple[str, ...]]:
    """Some splits with the objects of some classes alone, and the names of the classes that were left out.

    Raises BadInput as `target_splits`, and for a class that the target does not have.
    """
    found = target_splits(target, splits)
    if target.data != "voc":  # a VOC folder declares none: its classes are those of its objects
        check_declared(found.coco, class_names, found.file)
    coco, dropped = of_classes(found.coco, class_names)
    return replace(found, coco=coco), dropped


def split_of(target: TargetConfig, split: str, *, labels: bool = True) -> PictureSet:
    """One split. voc: `VOC2007/trainval`. coco: annotations/instances_<split>.json and <split>/."""
    if target.data == "tabletop":
        path, images_dir = tabletop_path(split)
        return read_coco_set(path, images_dir, labels=labels)
    root = target.folder
    assert root is not None  # as TargetConfig has checked
    if target.data == "coco":
        return read_coco_set(root / "annotations" / f"instances_{split}.json", root / split, labels=labels)
    year, _, name = split.partition("/")
    if not name:
        raise BadInput(f"split {split!r} of target.data: voc", fix="write it as VOC2007/trainval")
    return PictureSet(read_voc(root / year, split=name), root / year / "JPEGImages", root / year)


def _limited(found: PictureSet, most: int | None) -> PictureSet:
    """At most so many pictures, spread evenly over the set."""
    total = len(found.coco.images)
    if most is None or total <= most:
        return found
    return taken(found, [place * total // most for place in range(most)])


def joined(parts: Sequence[PictureSet]) -> PictureSet:
    """Sets one after the other as one, by name of their classes; image and annotation ids count from 1.

    The ids of a single set stay as they are.
    """
    root = _common_parent([part.images_dir for part in parts])
    if len(parts) == 1:
        return replace(parts[0], images_dir=root, coco=_below(parts[0], root))
    names = dict.fromkeys(category.name for part in parts for category in part.coco.categories)
    numbers = {name: number for number, name in enumerate(names, start=1)}
    images, annotations = [], []
    for part in parts:
        coco = _below(part, root)
        ids = {}
        for image in coco.images:
            ids[image.id] = len(images) + 1
            images.append(replace(image, id=ids[image.id]))
        for row in coco.annotations:
            category_id = numbers[coco.category_by_id[row.category_id].name]
            number = len(annotations) + 1
            annotations.append(replace(row, id=number, image_id=ids[row.image_id], category_id=category_id))
    _check_once(images, root)
    categories = tuple(CocoCategory(number, name) for name, number in numbers.items())
    has_boxes = all(part.has_boxes for part in parts)
    return PictureSet(CocoSet(tuple(images), tuple(annotations), categories), root, parts[0].file, has_boxes)


def _check_once(images: Sequence[CocoImage], root: Path) -> None:
    """Raises BadInput for a picture that two splits name."""
    seen: set[str] = set()
    for image in images:
        if image.file_name in seen:
            what = f"{image.file_name} is in two of the splits"
            raise BadInput(what, file=root, fix="name splits that share no picture")
        seen.add(image.file_name)


def _below(part: PictureSet, root: Path) -> CocoSet:
    """The set with file names relative to `root`."""
    folder = part.images_dir.relative_to(root)
    images = tuple(
        replace(image, file_name=(folder / image.file_name).as_posix()) for image in part.coco.images
    )
    return replace(part.coco, images=images)


def _common_parent(folders: Sequence[Path]) -> Path:
    """The nearest folder above all of them; of a single one its parent."""
    for parent in folders[0].parents:
        if all(folder.is_relative_to(parent) for folder in folders):
            return parent
    raise AssertionError("absolute paths meet at the root")
