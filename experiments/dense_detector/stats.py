"""What a database holds: pictures, boxes and areas of each class, as figures and as text.

    print(describe(stats("train.db", split="train")))

The quantiles of the areas help to choose `data.area`, those of the sides in resized pixels the anchors.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from experiments.dense_detector.db import check_split, open_read_only

QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)
# One row per class, crowd rows counted apart; a class without a row in the split appears with zeros.
PER_CLASS = """
SELECT c.category_id, c.name, count(DISTINCT a.image_id) AS pictures, TOTAL(a.iscrowd = 0) AS boxes,
       TOTAL(a.iscrowd) AS crowd, json_group_array(a.area) FILTER (WHERE a.iscrowd = 0) AS areas
FROM categories c
LEFT JOIN (
    SELECT annotations.* FROM annotations JOIN images USING (image_id)
    WHERE :split IS NULL OR split = :split) a USING (category_id)
GROUP BY c.category_id ORDER BY c.category_id
"""
OF_SPLIT = "WHERE (:split IS NULL OR split = :split)"
SIZES = f"SELECT width, height, count(*) FROM images {OF_SPLIT} GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2"
WITHOUT_BOXES = f"""
SELECT count(*) FROM images {OF_SPLIT} AND image_id NOT IN (SELECT image_id FROM annotations)
"""
SKIPPED = f"SELECT count(*) FROM skipped JOIN images USING (image_id) {OF_SPLIT}"


@dataclass(frozen=True)
class ClassStats:
    """One class of a split; `areas` are quantiles (0, 1/4, 1/2, 3/4, 1) in pixels^2, None without a box."""

    category_id: int
    name: str
    pictures: int
    boxes: int
    crowd: int
    areas: tuple[float, ...] | None


@dataclass(frozen=True)
class Stats:
    """One split."""

    split: str | None  # None: the whole database
    pictures: int
    without_boxes: int
    skipped: int
    sizes: tuple[tuple[int, int, int], ...]  # width, height, number of pictures; the most frequent first
    per_class: tuple[ClassStats, ...]

    def to_tree(self) -> dict[str, Any]:
        """Plain dicts and lists, for JSON."""
        return asdict(self)


def stats(db_path: str | Path, *, split: str | None = None) -> Stats:
    """Figures of a split (None: of the whole database). Raises BadInput for another split or file."""
    with contextlib.closing(open_read_only(db_path)) as conn:
        if split is not None:
            check_split(conn, split, db_path)
        values = {"split": split}
        sizes = tuple(tuple(row) for row in conn.execute(SIZES, values))
        classes = tuple(_class(row) for row in conn.execute(PER_CLASS, values))
        without = conn.execute(WITHOUT_BOXES, values).fetchone()[0]
        skipped = conn.execute(SKIPPED, values).fetchone()[0]
    return Stats(split, sum(row[2] for row in sizes), without, skipped, sizes, classes)


def _class(row: Any) -> ClassStats:
    areas = np.array(json.loads(row["areas"]), np.float64)
    quantiles = tuple(np.quantile(areas, QUANTILES).round(1).tolist()) if areas.size else None
    whole = (int(row[name]) for name in ("pictures", "boxes", "crowd"))
    return ClassStats(row["category_id"], row["name"], *whole, quantiles)


def describe(figures: Stats, *, max_sizes: int = 5) -> str:
    """The figures as lines of text."""
    lines = [
        f"{figures.split or 'all splits'}: {figures.pictures} pictures, "
        f"{figures.without_boxes} without a box, {figures.skipped} on the skip list",
        "sizes: " + ", ".join(f"{w}x{h} ({n})" for w, h, n in figures.sizes[:max_sizes]),
    ]
    if len(figures.sizes) > max_sizes:
        lines[-1] += f" and {len(figures.sizes) - max_sizes} more"
    lines.append(
        f"{'id':>4} {'class':<16} {'pictures':>8} {'boxes':>8} {'crowd':>6}  area min, 1/4, 1/2, 3/4, max"
    )
    for row in figures.per_class:
        areas = " ".join(f"{value:.0f}" for value in row.areas) if row.areas else "-"
        counts = f"{row.pictures:>8} {row.boxes:>8} {row.crowd:>6}"
        lines.append(f"{row.category_id:>4} {row.name:<16} {counts}  {areas}")
    return "\n".join(lines)
