"""COCO JSON: with labels of whole pictures, and without any."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from experiments.imaginarynet.export.source import LEVEL, Source, file_name, hidden_name
from suite.datasets import CocoAnnotation, CocoCategory, CocoImage, CocoSet, write_coco

IMAGINARY = "imaginary"


def write_labelled(source: Source, out: Path) -> int:
    """`annotations/instances_<split>.json` and `<split>/`; returns the number of pictures.

    Image and annotation ids count from 1 in the order of the manifest, category ids in the order of the
    classes. Every annotation carries `label_level: image` and a box around the whole picture.
    """
    images, annotations = [], []
    for number, row in enumerate(source.kept, start=1):
        name = file_name(row)
        source.place(row, out / source.split / name)
        extra = {"source": IMAGINARY, "backend": row.backend, "candidate_id": row.candidate_id}
        images.append(CocoImage(number, name, row.width, row.height, extra))
        for index in row.image_labels:
            annotations.append(
                CocoAnnotation(
                    id=len(annotations) + 1,
                    image_id=number,
                    category_id=index + 1,
                    box_xywh=(0, 0, row.width, row.height),
                    area=row.width * row.height,
                    extra={"label_level": LEVEL},
                )
            )
    found = CocoSet(tuple(images), tuple(annotations), _categories(source), info=_info(LEVEL))
    write_coco(out / "annotations" / f"instances_{source.split}.json", found)
    return len(images)


def write_unlabelled(source: Source, out: Path) -> int:
    """`annotations/image_info_<split>.json` and `<split>/`: pictures in an order and under names that tell
    nothing of their classes; returns their number.
    """
    images = []
    for number, row in enumerate(sorted(source.kept, key=hidden_name), start=1):
        name = hidden_name(row)
        source.place(row, out / source.split / name)
        images.append(CocoImage(number, name, row.width, row.height, {"source": IMAGINARY}))
    found = CocoSet(tuple(images), (), _categories(source), info=_info("none"))
    write_coco(out / "annotations" / f"image_info_{source.split}.json", found)
    return len(images)


def _categories(source: Source) -> tuple[CocoCategory, ...]:
    return tuple(CocoCategory(number, name) for number, name in enumerate(source.class_names, start=1))


def _info(level: str) -> dict[str, Any]:
    return {"info": {"description": "imaginary pictures", "label_level": level}}
