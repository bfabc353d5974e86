"""One raw JSON object of a COCO file -> one record, or a Fault that says what is wrong with it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from suite.datasets.faults import Fault
from suite.datasets.records import CocoAnnotation, CocoCategory, CocoImage, Polygons
from suite.datasets.rle import check_rle

MENDED_BY_EDIT = "correct the entry or remove it"


def parse_image(raw: Any, position: int) -> CocoImage:
    """The picture at `position` of the list `images`."""
    raw, subject = _entry(raw, "image", position)
    name = raw.get("file_name")
    if not isinstance(name, str) or not name:
        raise Fault(
            "image without file_name", subject, f"file_name is {name!r}", "give the path of the picture"
        )
    if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or "\0" in name:
        what = f"file_name {name!r} leaves the folder of pictures"
        raise Fault(
            "image outside the folder", subject, what, "use a path relative to the folder, without .."
        )
    for key in ("width", "height"):
        if type(raw.get(key)) is not int or raw[key] <= 0:
            what = f"{key} is {raw.get(key)!r}, not a positive integer"
            raise Fault("image without size", subject, what, "give the size in pixels")
    extra = _rest(raw, ("id", "file_name", "width", "height"))
    return CocoImage(raw["id"], name, raw["width"], raw["height"], extra)


def parse_category(raw: Any, position: int) -> CocoCategory:
    """The class at `position` of the list `categories`."""
    raw, subject = _entry(raw, "category", position)
    name, above = raw.get("name"), raw.get("supercategory") or ""
    if not isinstance(name, str) or not name.strip():
        raise Fault("category without name", subject, f"name is {name!r}", "give the class a name")
    if not isinstance(above, str):
        raise Fault("category", subject, f"supercategory is {above!r}, not a string", MENDED_BY_EDIT)
    return CocoCategory(raw["id"], name, above, _rest(raw, ("id", "name", "supercategory")))


def parse_annotation(
    raw: Any, position: int, *, images: Mapping[int, CocoImage], box_tolerance: float
) -> CocoAnnotation:
    """The annotation at `position`; `images` are the known pictures by id, `box_tolerance` in pixels."""
    raw, subject = _entry(raw, "annotation", position)
    for key in ("image_id", "category_id"):
        if type(raw.get(key)) is not int:
            raise Fault(f"no {key}", subject, f"{key} is {raw.get(key)!r}, not an integer", MENDED_BY_EDIT)
    image = images.get(raw["image_id"])
    if image is None:
        what = f"image_id {raw['image_id']} is not among the images"
        raise Fault("unknown image_id", subject, what, "add the image or remove the annotation")
    box = parse_box(raw.get("bbox"), subject)
    check_inside(box, image, subject, box_tolerance)
    crowd = _flag(raw, "iscrowd", subject)
    segmentation = parse_segmentation(raw.get("segmentation"), image, subject, box_tolerance)
    area = raw.get("area", box[2] * box[3])
    if not _is_number(area) or area < 0:
        raise Fault(
            "invalid area", subject, f"area is {area!r}", "give the area of the mask, or leave the key out"
        )
    fields = (
        "id",
        "image_id",
        "category_id",
        "bbox",
        "area",
        "iscrowd",
        "ignore",
        "truncated",
        "segmentation",
    )
    return CocoAnnotation(
        id=raw["id"],
        image_id=raw["image_id"],
        category_id=raw["category_id"],
        box_xywh=box,
        area=float(area),
        iscrowd=crowd,
        ignore=_flag(raw, "ignore", subject),
        truncated=_flag(raw, "truncated", subject),
        segmentation=segmentation,
        extra=_rest(raw, fields),
    )


def parse_box(raw: Any, subject: str) -> tuple[float, float, float, float]:
    """Four finite numbers, width and height above zero."""
    if not isinstance(raw, (list, tuple)) or len(raw) != 4:
        raise Fault("invalid box", subject, f"bbox is {raw!r}, not [x, y, width, height]", MENDED_BY_EDIT)
    if not all(_is_number(value) for value in raw):
        raise Fault(
            "non-finite box",
            subject,
            f"bbox {list(raw)} holds a value that is no finite number",
            MENDED_BY_EDIT,
        )
    x, y, width, height = (float(value) for value in raw)
    if width <= 0 or height <= 0:
        what = f"bbox {list(raw)} has no area (width {width:g}, height {height:g})"
        raise Fault(
            "box without area",
            subject,
            what,
            "bbox is [x, y, width, height], not two corners; " + MENDED_BY_EDIT,
        )
    return x, y, width, height


def check_inside(box: tuple[float, ...], image: CocoImage, subject: str, tolerance: float) -> None:
    """Fault unless the box lies in the picture, up to `tolerance` pixels on each side."""
    x, y, width, height = box
    if min(x, y) < -tolerance or x + width > image.width + tolerance or y + height > image.height + tolerance:
        corners = f"({x:g}, {y:g})-({x + width:g}, {y + height:g})"
        what = f"box {corners} leaves image {image.id} of {image.width}x{image.height}"
        raise Fault(
            "box outside the image", subject, what, "clip it; bbox is [x, y, width, height] in pixels"
        )


def parse_segmentation(raw: Any, image: CocoImage, subject: str, tolerance: float) -> Polygons | dict | None:
    """Checked polygons or RLE of one annotation; None where there is no mask."""
    if raw is None or raw == []:
        return None
    if isinstance(raw, Mapping):
        try:
            check_rle(raw, image.height, image.width)
        except ValueError as error:
            raise Fault("invalid RLE", subject, str(error), "encode the mask again") from None
        counts = raw["counts"]
        return {
            "size": [image.height, image.width],
            "counts": list(counts) if isinstance(counts, list) else counts,
        }
    if not isinstance(raw, (list, tuple)):
        raise Fault("invalid polygon", subject, "segmentation is neither polygons nor RLE", MENDED_BY_EDIT)
    return tuple(_polygon(points, image, subject, tolerance) for points in raw)


def _polygon(points: Any, image: CocoImage, subject: str, tolerance: float) -> tuple[float, ...]:
    if not isinstance(points, (list, tuple)) or len(points) < 6 or len(points) % 2:
        what = "a polygon needs x, y for at least three points"
        raise Fault("invalid polygon", subject, what, MENDED_BY_EDIT)
    if not all(_is_number(value) for value in points):
        raise Fault(
            "invalid polygon", subject, "a polygon holds a value that is no finite number", MENDED_BY_EDIT
        )
    xs, ys = points[0::2], points[1::2]
    far = max(max(xs) - image.width, max(ys) - image.height, -min(xs), -min(ys))
    if far > tolerance:
        what = f"a polygon leaves image {image.id} by {far:g} pixels"
        raise Fault("polygon outside the image", subject, what, "clip it to the picture")
    return tuple(float(value) for value in points)


def _entry(raw: Any, noun: str, position: int) -> tuple[Mapping[str, Any], str]:
    if not isinstance(raw, Mapping):
        raise Fault(
            f"{noun} is no object", f"{noun} at position {position}", f"is {raw!r:.40}", MENDED_BY_EDIT
        )
    if type(raw.get("id")) is not int:
        what = f"id is {raw.get('id')!r:.40}, not an integer"
        raise Fault(f"{noun} without id", f"{noun} at position {position}", what, "number the entries")
    return raw, f"{noun} {raw['id']}"


def _is_number(value: Any) -> bool:
    if type(value) is float:
        return math.isfinite(value)
    return type(value) is int and abs(value) < 2**53  # beyond that a float no longer holds it


def _flag(raw: Mapping[str, Any], key: str, subject: str) -> bool:
    value = raw.get(key, 0)
    if value not in (0, 1):
        raise Fault(f"invalid {key}", subject, f"{key} is {value!r}", "write 0 or 1")
    return bool(value)


def _rest(raw: Mapping[str, Any], known: tuple[str, ...]) -> dict[str, Any]:
    return {key: value for key, value in raw.items() if key not in known}
