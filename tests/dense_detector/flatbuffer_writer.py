"""Writes the published FlatBuffers `train.db` as its converter did, from a COCO tree. For tests only."""

from __future__ import annotations

from pathlib import Path

import flatbuffers


def write_flatbuffer(path: Path, tree: dict) -> Path:
    """Boxes cut to whole corners, area = that of the cut box, crowd unmarked, empty pictures left out."""
    builder = flatbuffers.Builder(1024)
    of_image: dict[int, list[dict]] = {image["id"]: [] for image in tree["images"]}
    for row in tree["annotations"]:
        of_image[row["image_id"]].append(row)
    kept = [image for image in tree["images"] if of_image[image["id"]]]
    examples = [_example(builder, image, of_image[image["id"]], idx) for idx, image in enumerate(kept)]
    categories = [_category(builder, row, kept, of_image) for row in tree["categories"]]
    example_list, category_list = _offsets(builder, examples), _offsets(builder, categories)
    builder.StartObject(3)
    builder.PrependUint64Slot(0, 7, 0)
    builder.PrependUOffsetTRelativeSlot(1, example_list, 0)
    builder.PrependUOffsetTRelativeSlot(2, category_list, 0)
    builder.Finish(builder.EndObject())
    path.write_bytes(builder.Output())
    return path


def _example(builder: flatbuffers.Builder, image: dict, rows: list[dict], idx: int) -> int:
    annotations = _offsets(builder, [_annotation(builder, row) for row in rows])
    name = builder.CreateString(image["file_name"])
    builder.StartObject(7)
    builder.PrependUOffsetTRelativeSlot(0, name, 0)
    builder.PrependUint64Slot(1, image["id"], 0)
    builder.PrependUOffsetTRelativeSlot(2, annotations, 0)
    builder.PrependUint64Slot(4, image["width"], 0)
    builder.PrependUint64Slot(5, image["height"], 0)
    builder.PrependUint64Slot(6, idx, 0)
    return builder.EndObject()


def _annotation(builder: flatbuffers.Builder, row: dict) -> int:
    x, y, width, height = row["bbox"]
    x1, y1, x2, y2 = int(x), int(y), int(x + width), int(y + height)
    builder.StartObject(5)
    builder.PrependUint16Slot(1, row["category_id"], 0)
    builder.PrependUint64Slot(2, row["id"], 0)
    builder.PrependUint64Slot(3, row["image_id"], 0)
    builder.PrependFloat32Slot(4, (x2 - x1) * (y2 - y1), 0.0)
    builder.Prep(4, 16)  # a struct lies inside the table; written from its last field to its first
    for value in (x2, y2, x1, y1):
        builder.PrependFloat32(value)
    builder.PrependStructSlot(0, builder.Offset(), 0)
    return builder.EndObject()


def _category(
    builder: flatbuffers.Builder, row: dict, kept: list[dict], of_image: dict[int, list[dict]]
) -> int:
    holds = [i for i, k in enumerate(kept) if any(a["category_id"] == row["id"] for a in of_image[k["id"]])]
    builder.StartVector(8, len(holds), 8)
    for idx in reversed(holds):
        builder.PrependUint64(idx)
    examples = builder.EndVector()
    name = builder.CreateString(row["name"])
    builder.StartObject(5)
    builder.PrependUOffsetTRelativeSlot(0, name, 0)
    builder.PrependUint16Slot(1, row["id"], 0)
    builder.PrependUOffsetTRelativeSlot(2, examples, 0)
    builder.PrependUint64Slot(3, len(holds), 0)
    builder.PrependUint64Slot(4, len(holds), 0)  # num_anns: the converter writes the pictures again
    return builder.EndObject()


def _offsets(builder: flatbuffers.Builder, offsets: list[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return builder.EndVector()
