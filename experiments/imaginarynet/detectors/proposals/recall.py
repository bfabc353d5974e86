"""How many objects a detector could find at all: recall of the proposals, per IoU and number of boxes.

    overlaps = best_overlaps(book, target.train, target.train_dir)
    write_recall(out / "recall.csv", overlaps)

An object counts as found where one of the first N boxes of its picture has at least the IoU. Objects that are
difficult, crowds or ignored are left out. This looks at boxes of the target: for reports, never for training.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from experiments.imaginarynet.detectors.data.records import picture_digest
from suite.metrics.iou import box_iou, xywh_to_xyxy
from suite.tables import csv_text

if TYPE_CHECKING:
    from markupsafe import Markup

    from experiments.imaginarynet.detectors.proposals.book import ProposalBook
    from suite.datasets import CocoSet

IOUS = (0.5, 0.6, 0.7, 0.8, 0.9)
NUMBERS = (10, 30, 100, 300, 1000, 3000)
CHUNK = 1024  # boxes that are compared at once
RECALL = "recall.csv"


@dataclass(frozen=True, eq=False)
class Overlaps:
    """The best IoU of M objects with the first boxes of their pictures, and how many boxes there were."""

    numbers: tuple[int, ...]
    best: np.ndarray  # float64 (M, len(numbers))
    counts: np.ndarray  # int64 (pictures,): proposals of each

    def recall(self, iou: float, number: int) -> float | None:
        """Share of the objects found; None where there are no objects. KeyError-free: number is of ours."""
        column = self.best[:, self.numbers.index(number)]
        return float((column >= iou).mean()) if len(column) else None


def best_overlaps(
    book: ProposalBook, coco: CocoSet, images_dir: Path, *, numbers: tuple[int, ...] = NUMBERS
) -> Overlaps:
    """Compare every object of a set with the proposals of its picture. Raises BadInput where those lack."""
    best, counts = [np.zeros((0, len(numbers)))], []
    for image in coco.images:
        boxes = book[picture_digest(images_dir / image.file_name)].boxes
        counts.append(len(boxes))
        objects = [row for row in coco.annotations_by_image[image.id] if not (row.iscrowd or row.ignore)]
        if objects:
            truth = xywh_to_xyxy(np.array([row.box_xywh for row in objects], np.float64))
            best.append(_best(truth, boxes.astype(np.float64), numbers))
    return Overlaps(tuple(numbers), np.concatenate(best), np.array(counts, np.int64))


def _best(truth: np.ndarray, boxes: np.ndarray, numbers: tuple[int, ...]) -> np.ndarray:
    """(objects, numbers): the best IoU among the first N boxes; 0 without boxes."""
    if not len(boxes):
        return np.zeros((len(truth), len(numbers)))
    iou = np.concatenate(
        [box_iou(truth, boxes[start : start + CHUNK]) for start in range(0, len(boxes), CHUNK)], axis=1
    )
    so_far = np.maximum.accumulate(iou, axis=1)
    return so_far[:, [min(number, len(boxes)) - 1 for number in numbers]]


def recall_rows(overlaps: Overlaps) -> list[dict[str, float | int | None]]:
    """One row per IoU and number: iou, proposals, mean_proposals (as many as there were), recall, objects."""
    return [
        {
            "iou": iou,
            "proposals": number,
            "mean_proposals": _mean(np.minimum(overlaps.counts, number)),
            "recall": overlaps.recall(iou, number),
            "objects": len(overlaps.best),
        }
        for iou in IOUS
        for number in overlaps.numbers
    ]


def write_recall(path: Path, overlaps: Overlaps) -> None:
    """`recall_rows` as CSV."""
    path.write_text(csv_text(recall_rows(overlaps)), encoding="utf-8")


def recall_plot(rows: list[dict[str, str]]) -> Markup:
    """Recall over the number of boxes, a line per IoU, from the rows of recall.csv."""
    from matplotlib.axes import Axes

    from suite.report.plots import COLORS, plot

    def draw(axes: Axes) -> None:
        for place, iou in enumerate(sorted({row["iou"] for row in rows}, key=float)):
            found = [row for row in rows if row["iou"] == iou and row["recall"]]
            xs = [float(row["mean_proposals"]) for row in found]
            ys = [float(row["recall"]) for row in found]
            axes.plot(xs, ys, marker="o", markersize=3, label=f"IoU {iou}", color=COLORS[place % len(COLORS)])
        axes.set_ylim(0, 1.02)
        axes.set_xlim(left=0)

    return plot(draw, title="Objects that a proposal covers", x="proposals per picture", y="recall")


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if len(values) else None
