"""Reader of the published annotation file `train.db`: one FlatBuffers table, not SQLite despite its name.

    counts = import_flatbuffer("train.sqlite", "train.db", split="train")     # into our database
    tree = read_flatbuffer("train.db")                                        # or as a COCO tree

Layout (namespace DLFS of the published converter; places count from 0):

    struct BoundingBox  y1, x1, y2, x2: float32, in this order
    table  Category     0 name, 1 id: uint16, 2 examples: [uint64], 3 num_images: uint64, 4 num_anns: uint64
    table  Annotation   0 bbox, 1 cat_id: uint16, 2 id: uint64, 3 image_id: uint64, 4 area: float32
    table  Example      0 file_name, 1 id: uint64, 2 annotations, 3 image: [uint8], 4 width: uint64,
                        5 height: uint64, 6 idx: uint64
    table  Dataset      0 id: uint64, 1 examples, 2 categories                                        (root)

What the converter lost, and no reader can bring back: corners are cut to whole pixels (a thin box may end up
without area: left out and counted); `area` is that of the box, not of the mask, so limits on the area select
other objects than in a database made from COCO JSON; crowd regions are not marked and pass for objects;
pictures without annotations are gone. `num_anns` holds the number of pictures and is not read; nor are the
category's `examples`, and `image`, which is always empty.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flatbuffers import encode, packer
from flatbuffers.table import Table

from experiments.dense_detector.db import ImportCounts, write_set
from suite.datasets import CocoSet
from suite.datasets.faults import Fault, Intake
from suite.datasets.parse import parse_annotation, parse_category, parse_image
from suite.errors import BadInput

NO_LIMIT = float("inf")  # boxes standing out of the picture are judged by db.py


def import_flatbuffer(
    db_path: str | Path, flatbuffer_path: str | Path, *, split: str, max_bad_share: float = 0.01
) -> ImportCounts:
    """Add a published file as `split` to our database; errors and counts as in db.import_coco."""
    path = Path(flatbuffer_path)
    coco = checked(read_flatbuffer(path), path, max_bad_share=max_bad_share)
    return write_set(db_path, coco, split=split, source=path, max_bad_share=max_bad_share)


def read_flatbuffer(path: str | Path) -> dict[str, list[dict[str, Any]]]:
    """The file as a COCO tree: images, annotations (iscrowd always 0), categories, in the file's order.

    Raises BadInput for a file that is missing, empty, cut off or something else.
    """
    path = Path(path)
    if not path.is_file():
        raise BadInput("no such file", file=path, fix="check the path")
    with path.open("rb") as stream:
        if stream.read(15) == b"SQLite format 3":
            raise BadInput("is an SQLite database already", file=path, fix="use it as it is")
    try:
        with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as buffer:
            root = Table(buffer, encode.Get(packer.uoffset, buffer, 0))
            return _tree(root)
    # What struct, slices and decoding raise when offsets lead nowhere; mmap refuses an empty file.
    except (struct.error, IndexError, ValueError, TypeError, OverflowError, MemoryError) as error:
        what = f"not the published FlatBuffers file, or cut off ({error})"
        raise BadInput(what, file=path, fix="copy it again, or import the COCO JSON") from None


def _tree(root: Table) -> dict[str, list[dict[str, Any]]]:
    tree: dict[str, list[dict[str, Any]]] = {"images": [], "annotations": [], "categories": []}
    for row in _tables(root, 2):
        tree["categories"].append({"id": _integer(row, 1, "<H"), "name": _text(row, 0)})
    for example in _tables(root, 1):
        width, height = _integer(example, 4), _integer(example, 5)
        image = {"id": _integer(example, 1), "file_name": _text(example, 0), "width": width, "height": height}
        tree["images"].append(image)
        for row in _tables(example, 2):
            y1, x1, y2, x2 = _floats(row, 0, "<4f")
            tree["annotations"].append(
                {
                    "id": _integer(row, 2),
                    "image_id": _integer(row, 3),
                    "category_id": _integer(row, 1, "<H"),
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": _floats(row, 4, "<f")[0],
                    "iscrowd": 0,
                }
            )
    return tree


def checked(tree: dict[str, list[dict[str, Any]]], path: Path, *, max_bad_share: float) -> CocoSet:
    """The tree as a set: pictures and annotations that are no good are left out and counted."""
    intake = Intake(path, "skip", max_bad_share)
    try:
        categories = [parse_category(row, place) for place, row in enumerate(tree["categories"])]
    except Fault as fault:
        raise fault.error(path) from None
    images, annotations = {}, []
    for place, row in enumerate(tree["images"]):
        try:
            images[row["id"]] = parse_image(row, place)
        except Fault as fault:
            intake.reject(fault)
    bad_images = len(tree["images"]) - len(images)
    intake.close("images", bad=bad_images, total=len(tree["images"]))
    for place, row in enumerate(tree["annotations"]):
        try:
            annotations.append(parse_annotation(row, place, images=images, box_tolerance=NO_LIMIT))
        except Fault as fault:
            intake.reject(fault)
    bad = len(tree["annotations"]) - len(annotations)
    intake.close("annotations", bad=bad, total=len(tree["annotations"]))
    if not categories or not annotations:
        raise BadInput("holds no usable annotation", file=path, fix="check which file this is")
    return CocoSet(
        images=tuple(sorted(images.values(), key=lambda image: image.id)),
        annotations=tuple(sorted(annotations, key=lambda annotation: annotation.id)),
        categories=tuple(sorted(categories, key=lambda category: category.id)),
        skipped=intake.skipped(),
    )


# --- fields of a table: `place` is the field's number in the schema; an absent field has its default, 0 ---


def _offset(table: Table, place: int) -> int:
    return table.Offset(4 + 2 * place)  # a table's list of offsets begins with two sizes of 2 bytes each


def _integer(table: Table, place: int, layout: str = "<Q") -> int:
    offset = _offset(table, place)
    return struct.unpack_from(layout, table.Bytes, table.Pos + offset)[0] if offset else 0


def _floats(table: Table, place: int, layout: str) -> tuple[float, ...]:
    offset = _offset(table, place)
    if not offset:
        return (0.0,) * (struct.calcsize(layout) // 4)
    return struct.unpack_from(layout, table.Bytes, table.Pos + offset)


def _text(table: Table, place: int) -> str:
    offset = _offset(table, place)
    return table.String(table.Pos + offset).decode("utf-8") if offset else ""


def _tables(table: Table, place: int) -> Iterator[Table]:
    offset = _offset(table, place)
    if not offset:
        return
    start, number = table.Vector(offset), table.VectorLen(offset)
    if start + 4 * number > len(table.Bytes):
        raise ValueError(f"a list of {number} entries is longer than the file")
    for at in range(start, start + 4 * number, 4):
        yield Table(table.Bytes, table.Indirect(at))
