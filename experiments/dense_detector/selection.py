"""Which pictures and boxes a run sees: classes, areas and crowds decided by one SQL query.

    selection = select(conn, split="train", classes=("person",), area=(0.0, 1e6), area_policy="ignore")

A box *counts* if it is no crowd region and low < area < high, both limits exclusive, as in the published
reader; `area` is COCO's area of the mask in pixels^2 of the original picture (that of the box in a database
made from the published FlatBuffers file). The file is not called select.py: Python has a module of that name.
`area_policy` says what becomes of the other boxes of the classes:

    ignore  they become ignore regions: no loss on the anchors there, neither hit nor miss in the metric
    drop    they vanish, and their pixels become background (as published from the research branch on)
    image   only crowd regions are ignored; one counting box keeps a picture and all its boxes (as published
            on master)

Pictures without a counting box are left out unless `keep_empty`; those on the skip list always. Labels are
0..k-1 in the order of the category ids among the k chosen classes.
"""

from __future__ import annotations

import difflib
import itertools
import math
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from suite.datasets import CocoAnnotation, CocoCategory, CocoImage, CocoSet
from suite.errors import BadInput
from suite.seeds import item_rng

AreaPolicy = Literal["ignore", "drop", "image"]
ALL_AREAS = (0.0, math.inf)

# One row per box of the classes, all rows of a picture one after the other; a picture without such a box
# gives one row of NULLs. `num_counting` is the number of counting boxes of the whole picture.
QUERY = """
WITH boxes AS (
    SELECT i.image_id, i.file_name, i.width, i.height, a.annotation_id, a.category_id, a.x1, a.y1, a.x2, a.y2,
           a.area, a.iscrowd, a.iscrowd = 0 AND a.area > :low AND a.area < :high AS counts
    FROM images i
    LEFT JOIN annotations a
        ON a.image_id = i.image_id AND a.category_id IN (SELECT value FROM json_each(:ids))
    WHERE i.split = :split AND i.image_id NOT IN (SELECT image_id FROM skipped)
), grouped AS (
    SELECT *, TOTAL(counts) OVER (PARTITION BY image_id) AS num_counting FROM boxes
)
SELECT image_id, file_name, width, height, category_id, x1, y1, x2, y2, area, iscrowd, counts
FROM grouped WHERE num_counting > 0 OR :keep_empty ORDER BY image_id, annotation_id
"""


@dataclass(frozen=True, eq=False)
class ImageRecord:
    """One picture with its boxes, n that count and m ignored, in pixels of the original, clipped to it."""

    image_id: int
    file_name: str
    width: int
    height: int
    boxes: np.ndarray  # float32 (n, 4): x1, y1, x2, y2
    labels: np.ndarray  # int64 (n,)
    areas: np.ndarray  # float64 (n,): as in the database
    ignore: np.ndarray  # float32 (m, 4)
    ignore_labels: np.ndarray  # int64 (m,)
    ignore_areas: np.ndarray  # float64 (m,)
    ignore_crowd: np.ndarray  # bool (m,): a region of many objects, not one of another size


@dataclass(frozen=True, eq=False)
class Selection:
    """Pictures in the order of their ids, and the classes in the order of their labels."""

    images: tuple[ImageRecord, ...]
    class_names: tuple[str, ...]
    category_ids: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.images)


def select(
    conn: sqlite3.Connection,
    *,
    split: str,
    classes: Sequence[str] | None = None,
    area: tuple[float, float] = ALL_AREAS,
    area_policy: AreaPolicy = "ignore",
    keep_empty: bool = False,
) -> Selection:
    """The pictures of `split` with the boxes of `classes` (None: all of the database).

    `area`: exclusive limits in pixels^2; `keep_empty`: pictures without a counting box stay, as background
    (the metric needs them). Raises BadInput for an unknown class (near matches are named), an unknown split
    and an empty selection.
    """
    if area_policy not in ("ignore", "drop", "image"):
        raise ValueError(f"area_policy is {area_policy!r}, choose ignore, drop or image")
    categories = _categories(conn, classes)
    ids = [category_id for category_id, _ in categories]
    values = {
        "split": split,
        "ids": "[" + ", ".join(map(str, ids)) + "]",
        "low": area[0],
        "high": area[1],
        "keep_empty": keep_empty,
    }
    label_of = {category_id: label for label, category_id in enumerate(ids)}
    pictures = itertools.groupby(conn.execute(QUERY, values), key=lambda row: row["image_id"])
    images = tuple(_record(list(rows), label_of, area_policy) for _, rows in pictures)
    if not any(len(image.boxes) for image in images):
        raise _empty(conn, split, [name for _, name in categories], area)
    return Selection(images, tuple(name for _, name in categories), tuple(ids))


def _categories(conn: sqlite3.Connection, classes: Sequence[str] | None) -> list[tuple[int, str]]:
    """(category id, name) of the wanted classes in the order of the ids."""
    rows = conn.execute("SELECT category_id, name FROM categories ORDER BY category_id")
    known = [tuple(row) for row in rows]
    names = [name for _, name in known]
    for name in classes or ():
        if name not in names:
            near = difflib.get_close_matches(name.lower(), names, n=3, cutoff=0.5)
            fix = f"did you mean {' or '.join(near)}?" if near else f"it holds {', '.join(names)}"
            raise BadInput(f"holds no class {name!r}", file=_file(conn), fix=fix)
    return known if classes is None else [(key, name) for key, name in known if name in classes]


def _record(rows: list[sqlite3.Row], label_of: dict[int, int], area_policy: AreaPolicy) -> ImageRecord:
    first = rows[0]
    counting, ignored = [], []
    for row in rows:
        if row["category_id"] is None:
            continue
        if row["counts"] or (area_policy == "image" and not row["iscrowd"]):
            counting.append(row)
        elif area_policy != "drop":
            ignored.append(row)
    size = (first["width"], first["height"])
    return ImageRecord(
        first["image_id"], first["file_name"], *size,
        boxes=_boxes(counting, size), labels=_column(counting, "category_id", label_of),
        areas=np.array([row["area"] for row in counting], np.float64),
        ignore=_boxes(ignored, size), ignore_labels=_column(ignored, "category_id", label_of),
        ignore_areas=np.array([row["area"] for row in ignored], np.float64),
        ignore_crowd=np.array([row["iscrowd"] for row in ignored], bool),
    )  # fmt: skip


def _boxes(rows: Iterable[sqlite3.Row], size_wh: tuple[int, int]) -> np.ndarray:
    corners = [[row["x1"], row["y1"], row["x2"], row["y2"]] for row in rows]
    boxes = np.array(corners, np.float64).reshape(-1, 4)
    return np.clip(boxes, 0, [*size_wh, *size_wh]).astype(np.float32)


def _column(rows: Iterable[sqlite3.Row], name: str, mapping: dict[int, int]) -> np.ndarray:
    return np.array([mapping[row[name]] for row in rows], np.int64)


def _empty(conn: sqlite3.Connection, split: str, names: list[str], area: tuple[float, float]) -> BadInput:
    """Why nothing is left: the split, or the classes, or the limits."""
    splits = [row[0] for row in conn.execute("SELECT DISTINCT split FROM images ORDER BY split")]
    if split not in splits:
        fix = f"choose one of {', '.join(splits)}" if splits else "import one"
        return BadInput(f"holds no split {split!r}", file=_file(conn), fix=fix)
    marks = ", ".join("?" * len(names))
    number, low, high = conn.execute(
        "SELECT count(*), min(a.area), max(a.area) FROM annotations a JOIN images i USING (image_id) "
        "JOIN categories c USING (category_id) WHERE a.iscrowd = 0 AND i.split = ? "
        f"AND i.image_id NOT IN (SELECT image_id FROM skipped) AND c.name IN ({marks})",
        (split, *names),
    ).fetchone()
    what = f"the selection is empty: no box of {', '.join(names)} in split {split!r}"
    if number:
        what += f" has an area between {area[0]:g} and {area[1]:g}"
        fix = f"widen the limits: its {number} boxes have areas of {low:g} to {high:g}"
        return BadInput(what, file=_file(conn), fix=fix)
    return BadInput(what, file=_file(conn), fix="choose other classes or another split")


def _file(conn: sqlite3.Connection) -> str:
    return conn.execute("PRAGMA database_list").fetchone()["file"]


def hash_split(selection: Selection, *, share: float, seed: int) -> tuple[Selection, Selection]:
    """(rest, held out): each picture's fate hangs on (seed, image id) alone, about `share` are held out.

    So a picture stays on its side whatever else is selected. Raises BadInput where a side comes out empty.
    """
    held = [item_rng(seed, "dense.split", image.image_id).random() < share for image in selection.images]
    sides = []
    for wanted in (False, True):
        images = tuple(i for i, flag in zip(selection.images, held, strict=True) if flag is wanted)
        if not any(len(image.boxes) for image in images):
            what = (
                f"a share of {share:g} of {len(selection.images)} pictures leaves a side of the split empty"
            )
            raise BadInput(what, fix="give a validation set, or another share")
        sides.append(replace(selection, images=images))
    return sides[0], sides[1]


def ground_truth(selection: Selection) -> CocoSet:
    """The selection for suite.metrics: original ids, ignored boxes as `ignore`, crowd regions as crowd."""
    annotations: list[CocoAnnotation] = []
    for image in selection.images:
        crowd = np.concatenate([np.zeros(len(image.boxes), bool), image.ignore_crowd])
        ignore = np.arange(len(crowd)) >= len(image.boxes)
        boxes = np.concatenate([image.boxes, image.ignore]).astype(np.float64)
        labels = np.concatenate([image.labels, image.ignore_labels])
        areas = np.concatenate([image.areas, image.ignore_areas])
        for k, (x1, y1, x2, y2) in enumerate(boxes.tolist()):
            annotations.append(
                CocoAnnotation(
                    id=len(annotations) + 1,
                    image_id=image.image_id,
                    category_id=selection.category_ids[labels[k]],
                    box_xywh=(x1, y1, x2 - x1, y2 - y1),
                    area=float(areas[k]),
                    iscrowd=bool(crowd[k]),
                    ignore=bool(ignore[k]),
                )
            )
    images = tuple(CocoImage(i.image_id, i.file_name, i.width, i.height) for i in selection.images)
    categories = tuple(map(CocoCategory, selection.category_ids, selection.class_names))
    return CocoSet(images, tuple(annotations), categories)
