"""Class names of a set against the run's class list, and the labels of whole pictures.

Names are compared without spaces and case, as annotations write them ("traffic light" is "trafficlight").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from experiments.imaginarynet.classes import label_of
from experiments.imaginarynet.detectors.data.records import ImageLabelled, Source
from suite.datasets import CocoAnnotation, CocoCategory, CocoSet
from suite.errors import BadInput
from suite.seeds import item_rng

SHUFFLE_STREAM = "imaginarynet.shuffle_labels"
NUM_NAMED = 6  # class names that a message lists


def class_places(coco: CocoSet, class_names: Sequence[str], file: str | Path) -> dict[int, int]:
    """Category id -> place in `class_names`, of every category that has annotations.

    Raises BadInput, naming `file`, for a class with annotations that the list does not hold.
    """
    place_of = {label_of(name).casefold(): place for place, name in enumerate(class_names)}
    used = {annotation.category_id for annotation in coco.annotations}
    places = {}
    for category in coco.categories:
        if category.id not in used:
            continue
        place = place_of.get(label_of(category.name).casefold())
        if place is None:
            listed = ", ".join(class_names[:NUM_NAMED]) + (", ..." if len(class_names) > NUM_NAMED else "")
            what = f"class {category.name!r} is not in the class list ({listed})"
            raise BadInput(what, file=file, fix="add it to `classes`, or leave its annotations out")
        places[category.id] = place
    return places


def says_class(annotation: CocoAnnotation) -> bool:
    """Whether a boxed annotation makes its class a label of the picture.

    It must not be difficult (VOC) or to be ignored, its area must be above 0 and its box wider and higher
    than one pixel (pcl.pytorch, its reader of COCO files).
    """
    _, _, width, height = annotation.box_xywh
    return not annotation.ignore and annotation.area > 0 and width > 1 and height > 1


def in_class_order(coco: CocoSet, class_names: Sequence[str], file: str | Path) -> CocoSet:
    """The same set with category id = place in `class_names` + 1. Raises BadInput as `class_places`."""
    places = class_places(coco, class_names, file)
    annotations = tuple(replace(row, category_id=places[row.category_id] + 1) for row in coco.annotations)
    categories = tuple(CocoCategory(place, name) for place, name in enumerate(class_names, start=1))
    return replace(coco, annotations=annotations, categories=categories)


def check_declared(coco: CocoSet, class_names: Sequence[str], file: str | Path) -> None:
    """Raises BadInput for a class of the list that the set does not declare: it could not be measured."""
    found = {label_of(category.name).casefold() for category in coco.categories}
    missing = [name for name in class_names if label_of(name).casefold() not in found]
    if missing:
        what = f"has no class {missing[0]!r}, which `classes` names"
        raise BadInput(what, file=file, fix="leave it out of `classes`, or train no detector: SETTING=none")


def of_classes(coco: CocoSet, class_names: Sequence[str]) -> tuple[CocoSet, tuple[str, ...]]:
    """The set without the classes that the list does not hold, and the names of those that had objects.

    For a real set, which may know more than a run is about; every picture stays.
    """
    listed = {label_of(name).casefold() for name in class_names}
    used = {row.category_id for row in coco.annotations}
    categories = tuple(one for one in coco.categories if label_of(one.name).casefold() in listed)
    kept = {category.id for category in categories}
    dropped = tuple(one.name for one in coco.categories if one.id in used - kept)
    rows = tuple(row for row in coco.annotations if row.category_id in kept)
    return replace(coco, annotations=rows, categories=categories), dropped


def shuffled_labels(source: Source, *, seed: int) -> Source:
    """The control: every picture has the labels of a picture drawn without replacement.

    The number of pictures per class stays what it was; about 1 / C of the pictures keep their class.
    """
    rng = item_rng(seed, SHUFFLE_STREAM, 0)
    labels = [picture.labels for picture in source.pictures if isinstance(picture, ImageLabelled)]
    order = rng.permutation(len(source.pictures))
    pictures = tuple(
        replace(picture, labels=labels[other]) for picture, other in zip(source.pictures, order, strict=True)
    )
    return replace(source, pictures=pictures)


def absent_classes(labels: Mapping[int, frozenset[int]], class_names: Sequence[str]) -> tuple[str, ...]:
    """Names of the classes that no picture has."""
    present = frozenset().union(*labels.values())
    return tuple(name for place, name in enumerate(class_names) if place not in present)
