"""The settings of the COCO protocol, and its tables of precision and recall as named numbers.

AP is the mean precision over ten IoU thresholds .50:.05:.95, 101 recall points and the classes that have
ground truth; sizes are small (area up to 32^2 pixels of the original picture), medium (up to 96^2) and large.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from suite.datasets.records import CocoSet

# linspace, because the published tools compare with exactly these doubles (0.6 is not 0.5 + 2 * 0.05)
IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALL_POINTS = np.linspace(0.0, 1.0, 101)
MAX_DETECTIONS = (1, 10, 100)  # per picture and class
AREA_RANGES = {
    "all": (0.0, 1e10),
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, 1e10),
}
UNDEFINED = -1.0  # table entry of a class, or size, without ground truth


@dataclass(frozen=True)
class ClassResult:
    """AP of one class; None where it has no ground truth."""

    category_id: int
    name: str
    ap: float | None
    ap50: float | None
    ap75: float | None
    ar: float | None
    num_ground_truth: int  # boxes that count, i.e. neither crowd nor ignored


@dataclass(frozen=True)
class CocoResult:
    """COCO metrics as fractions in [0, 1]; None where there is no ground truth. AR is at 100 detections
    unless its name says otherwise.
    """

    ap: float | None
    ap50: float | None
    ap75: float | None
    ap_small: float | None
    ap_medium: float | None
    ap_large: float | None
    ar1: float | None
    ar10: float | None
    ar100: float | None
    ar_small: float | None
    ar_medium: float | None
    ar_large: float | None
    per_class: tuple[ClassResult, ...]

    def to_tree(self) -> dict[str, Any]:
        """Plain dicts and lists, for JSON."""
        return asdict(self)


def summarise(precision: np.ndarray, recall: np.ndarray, ground_truth: CocoSet) -> CocoResult:
    """Named numbers of the tables `precision` (T, R, K, A, M) and `recall` (T, K, A, M).

    T thresholds, R recall points, K classes in id order, A area ranges, M detection limits; UNDEFINED = no
    ground truth.
    """
    areas = list(AREA_RANGES)
    at50, at75 = (int(np.argmin(np.abs(IOU_THRESHOLDS - t))) for t in (0.5, 0.75))

    def ap(
        area: str, thresholds: int | slice = slice(None), classes: int | slice = slice(None)
    ) -> float | None:
        return _mean(precision[thresholds, :, classes, areas.index(area), -1])

    def ar(area: str, limit: int = -1, classes: int | slice = slice(None)) -> float | None:
        return _mean(recall[:, classes, areas.index(area), limit])

    counted = [a.category_id for a in ground_truth.annotations if not (a.iscrowd or a.ignore)]
    per_class = tuple(
        ClassResult(
            category_id=category.id,
            name=category.name,
            ap=ap("all", classes=k),
            ap50=ap("all", at50, k),
            ap75=ap("all", at75, k),
            ar=ar("all", classes=k),
            num_ground_truth=counted.count(category.id),
        )
        for k, category in enumerate(ground_truth.categories)
    )
    return CocoResult(
        ap=ap("all"),
        ap50=ap("all", at50),
        ap75=ap("all", at75),
        ap_small=ap("small"),
        ap_medium=ap("medium"),
        ap_large=ap("large"),
        ar1=ar("all", 0),
        ar10=ar("all", 1),
        ar100=ar("all", 2),
        ar_small=ar("small"),
        ar_medium=ar("medium"),
        ar_large=ar("large"),
        per_class=per_class,
    )


def _mean(table: np.ndarray) -> float | None:
    defined = table[table > UNDEFINED]
    return float(defined.mean()) if defined.size else None
