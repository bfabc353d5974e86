"""COCO JSON: read and checked, written the same way every time.

    coco = read_coco("annotations.json", images_dir="images", deep=True)
    write_coco("copy.json", coco)

Not covered: keypoints, captions and panoptic files keep their extra keys as they are, unchecked.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from suite.datasets.faults import Fault, Intake, OnBad
from suite.datasets.parse import parse_annotation, parse_category, parse_image
from suite.datasets.pictures import check_picture
from suite.datasets.records import CocoAnnotation, CocoCategory, CocoImage, CocoSet
from suite.errors import BadInput

LISTS = ("images", "annotations", "categories")
BOX_TOLERANCE = 1.0  # pixels; published sets hold boxes that stand out by rounding


def read_coco(
    path: str | Path,
    *,
    images_dir: str | Path | None = None,
    deep: bool = False,
    on_bad: OnBad = "raise",
    max_bad_share: float = 0.01,
    box_tolerance: float = BOX_TOLERANCE,
    require_annotations: bool = True,
    masks: bool = True,
) -> CocoSet:
    """Read and check a COCO file of boxes and masks.

    `images_dir`: where given, every picture must exist there; with `deep` it is also decoded and its size
    compared. `on_bad`, `max_bad_share`: see `suite.datasets.faults`; the share is taken of images and of
    annotations. `box_tolerance`: pixels that a box or polygon may stand out of the picture; such boxes are
    kept as written. `require_annotations=False` accepts a set without a single annotation (unlabelled
    pictures). `masks=False` leaves the segmentations out, unread and unchecked: most of a large file.
    Raises BadInput: one line with the file, what is wrong, which id, and what to do.
    """
    path = Path(path)
    return coco_from_tree(
        read_json(path, leave_out=None if masks else "segmentation"),
        path,
        images_dir=images_dir,
        deep=deep,
        on_bad=on_bad,
        max_bad_share=max_bad_share,
        box_tolerance=box_tolerance,
        require_annotations=require_annotations,
    )


def coco_from_tree(
    tree: Any,
    path: Path,
    *,
    images_dir: str | Path | None = None,
    deep: bool = False,
    on_bad: OnBad = "raise",
    max_bad_share: float = 0.01,
    box_tolerance: float = BOX_TOLERANCE,
    require_annotations: bool = True,
) -> CocoSet:
    """The checked set of a file that is parsed already; `path`: its name in messages. Else as `read_coco`."""
    if not isinstance(tree, dict):
        raise BadInput(
            "not a COCO file: the top level is no object", file=path, fix=f"it needs {', '.join(LISTS)}"
        )
    for key in LISTS:
        if not isinstance(tree.get(key), list):
            state = "missing" if key not in tree else "not a list"
            raise BadInput(f"not a COCO file: `{key}` is {state}", file=path, fix="check which file this is")
    intake = Intake(path, on_bad, max_bad_share)
    categories = _categories(tree["categories"], path)
    images, dropped = _images(tree["images"], intake, images_dir, deep)
    annotations = _annotations(tree["annotations"], intake, images, categories, dropped, box_tolerance)
    if not annotations and require_annotations:
        raise BadInput(
            "holds no usable annotation", file=path, fix="pass an annotated set, or allow unlabelled ones"
        )
    info = {key: value for key, value in tree.items() if key not in LISTS}
    return CocoSet(
        images=tuple(sorted(images.values(), key=_by_id)),
        annotations=tuple(sorted(annotations, key=_by_id)),
        categories=tuple(sorted(categories.values(), key=_by_id)),
        info=info,
        skipped=intake.skipped(),
    )


def read_json(path: Path, *, leave_out: str | None = None) -> Any:
    """The JSON value of a file; BadInput says whether it is missing, empty, cut off or no JSON.

    `leave_out`: a key dropped from every object as soon as it is parsed, so that its values never add up.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise BadInput("no such file", file=path, fix="check the path") from None
    except IsADirectoryError:
        raise BadInput("is a folder, not a file", file=path, fix="name the annotation file") from None
    except UnicodeDecodeError:
        raise BadInput("not JSON (not even UTF-8 text)", file=path, fix="check which file this is") from None
    if not text.strip():
        raise BadInput("the file is empty", file=path, fix="copy or make it again")

    def without(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        return {key: value for key, value in pairs if key != leave_out}

    try:
        return json.loads(text, object_pairs_hook=without if leave_out else None)
    except json.JSONDecodeError as error:
        # A cut file fails at its last characters: an open bracket, a string or number that never ends.
        unterminated = "Unterminated" in error.msg or not text[error.pos :].strip()
        what = "cut off" if unterminated else "not JSON"
        where = f"line {error.lineno}, column {error.colno}: {error.msg}"
        raise BadInput(f"{what} ({where})", file=path, fix="copy or make it again") from None
    except RecursionError:
        raise BadInput("not COCO: nested too deeply", file=path, fix="check which file this is") from None


def _by_id(record: CocoImage | CocoAnnotation | CocoCategory) -> int:
    return record.id


def _categories(raws: list[Any], path: Path) -> dict[int, CocoCategory]:
    """Classes are few and everything hangs on them: a fault here always ends reading."""
    found: dict[int, CocoCategory] = {}
    names: dict[str, int] = {}
    for position, raw in enumerate(raws):
        try:
            category = parse_category(raw, position)
            _first_of("category", category.id, found)
            if category.name in names:
                what = f"has the name {category.name!r} of category {names[category.name]}"
                raise Fault("duplicate name", f"category {category.id}", what, "give each class its own name")
        except Fault as fault:
            raise fault.error(path) from None
        found[category.id] = category
        names[category.name] = category.id
    if not found:
        raise BadInput("holds no categories", file=path, fix="list the classes under `categories`")
    return found


def _images(
    raws: list[Any], intake: Intake, images_dir: str | Path | None, deep: bool
) -> tuple[dict[int, CocoImage], set[int]]:
    """Good pictures by id, and the ids of the bad ones."""
    if not raws:
        raise BadInput("holds no images", file=intake.file, fix="check which file this is")
    found: dict[int, CocoImage] = {}
    names: dict[str, int] = {}
    dropped: set[int] = set()
    bad = 0
    for position, raw in enumerate(raws):
        try:
            image = parse_image(raw, position)
            _first_of("image", image.id, found)
            if image.file_name in names:
                what = f"has the file_name {image.file_name!r} of image {names[image.file_name]}"
                raise Fault("duplicate file_name", f"image {image.id}", what, "list each picture once")
            if images_dir is not None:
                check_picture(image, Path(images_dir), deep=deep)
        except Fault as fault:
            intake.reject(fault)
            bad += 1
            if isinstance(raw, dict) and type(raw.get("id")) is int:
                dropped.add(raw["id"])
            continue
        found[image.id] = image
        names[image.file_name] = image.id
    intake.close("images", bad=bad, total=len(raws))
    return found, dropped - found.keys()


def _annotations(
    raws: list[Any],
    intake: Intake,
    images: dict[int, CocoImage],
    categories: dict[int, CocoCategory],
    dropped: set[int],
    box_tolerance: float,
) -> list[CocoAnnotation]:
    found: dict[int, CocoAnnotation] = {}
    bad = 0
    for position, raw in enumerate(raws):
        if isinstance(raw, dict) and isinstance(raw.get("image_id"), int) and raw["image_id"] in dropped:
            intake.follow("annotation of a left-out image")
            continue
        try:
            annotation = parse_annotation(raw, position, images=images, box_tolerance=box_tolerance)
            _first_of("annotation", annotation.id, found)
            if annotation.category_id not in categories:
                what = f"category_id {annotation.category_id} is not among the categories"
                raise Fault(
                    "unknown category_id",
                    f"annotation {annotation.id}",
                    what,
                    "add the class or correct the id",
                )
        except Fault as fault:
            intake.reject(fault)
            bad += 1
            continue
        found[annotation.id] = annotation
    intake.close("annotations", bad=bad, total=len(raws))
    return list(found.values())


def _first_of(noun: str, key: int, found: dict[int, Any]) -> None:
    if key in found:
        raise Fault(
            f"duplicate {noun} id", f"{noun} {key}", "the id occurs twice", f"number the {noun} entries anew"
        )


def write_coco(path: str | Path, coco: CocoSet) -> None:
    """Write a COCO file: sorted by id, one record a line, keys sorted. Equal sets give equal bytes.

    Raises BadInput for values that JSON cannot hold (NaN, infinity).
    """
    sections = {
        "images": [_image_tree(image) for image in sorted(coco.images, key=_by_id)],
        "annotations": [_annotation_tree(annotation) for annotation in sorted(coco.annotations, key=_by_id)],
        "categories": [_category_tree(category) for category in sorted(coco.categories, key=_by_id)],
    }
    parts = [f"{json.dumps(key)}: {to_line(coco.info[key], path)}" for key in sorted(coco.info)]
    parts += [f'"{name}": {to_lines(rows, path)}' for name, rows in sections.items()]
    write_text(Path(path), "{\n" + ",\n".join(parts) + "\n}\n")


def to_line(tree: Any, path: str | Path) -> str:
    """One JSON value on one line, keys sorted."""
    try:
        return json.dumps(tree, sort_keys=True, allow_nan=False)
    except ValueError:
        raise BadInput(
            f"cannot write NaN or infinity: {tree!r:.80}", file=path, fix="leave the record out"
        ) from None


def to_lines(rows: Iterable[Any], path: str | Path) -> str:
    """A JSON list with one row a line."""
    lines = ",\n".join(to_line(row, path) for row in rows)
    return f"[\n{lines}\n]" if lines else "[]"


def write_text(path: Path, text: str) -> None:
    """Write a whole file or nothing, with Unix line ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8", newline="\n")
    os.replace(part, path)


def _image_tree(image: CocoImage) -> dict[str, Any]:
    tree = {"id": image.id, "file_name": image.file_name, "width": image.width, "height": image.height}
    return {**image.extra, **tree}


def _category_tree(category: CocoCategory) -> dict[str, Any]:
    tree = {"id": category.id, "name": category.name, "supercategory": category.supercategory}
    return {**category.extra, **tree}


def _annotation_tree(annotation: CocoAnnotation) -> dict[str, Any]:
    tree: dict[str, Any] = {
        "id": annotation.id,
        "image_id": annotation.image_id,
        "category_id": annotation.category_id,
        "bbox": list(annotation.box_xywh),
        "area": annotation.area,
        "iscrowd": int(annotation.iscrowd),
    }
    # The two flags are no part of the original format: written only where they say something.
    tree.update({key: 1 for key in ("ignore", "truncated") if getattr(annotation, key)})
    if annotation.segmentation is not None:
        tree["segmentation"] = annotation.segmentation
    return {**annotation.extra, **tree}
