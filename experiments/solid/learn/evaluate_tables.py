"""Tables of an evaluation: CSV rows with the keys of published.csv where the setting is a published one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from experiments.solid.config_learning import TargetSet
from suite.metrics.coco_result import CocoResult

IOU_TYPES = {"bbox": "box", "segm": "mask"}
TITLES = {
    "ap": "AP",
    "ap50": "AP50",
    "ap75": "AP75",
    "ap_small": "APs",
    "ap_medium": "APm",
    "ap_large": "APl",
    "ar1": "AR1",
    "ar10": "AR10",
    "ar100": "AR100",
    "ar_small": "ARs",
    "ar_medium": "ARm",
    "ar_large": "ARl",
}
COCO_TEST = "instances_val2017.json"
SCHEDULES = {90_000: "COCO 1x", 180_000: "COCO 2x"}  # published names


def arm_names(init: Sequence[str]) -> list[str]:
    """One name per arm; a repeated initialisation gets a number."""
    seen: Counter[str] = Counter()
    names = []
    for name in init:
        seen[name] += 1
        names.append(name if seen[name] == 1 else f"{name}-{seen[name]}")
    return names


def schedule_name(target: TargetSet, iterations: int) -> str:
    """`COCO 1x`, `COCO 2x` for the published settings; else the name of the test set."""
    if target.source == "tabletop":
        return "tabletop"
    name = Path(target.test_json or "").name
    if name == COCO_TEST and target.max_test is None and target.max_train is None:
        return SCHEDULES.get(iterations, "COCO")
    return name.removesuffix(".json")


def result_rows(setting: str, results: Mapping[str, Mapping[str, CocoResult]]) -> list[dict[str, object]]:
    """Columns table, row, metric, value, unit as in published.csv; init, iou_type, key to select by.

    Values are percent, empty where there is no ground truth. The published row is the pre-trained arm's.
    """
    rows = []
    for init, by_type in results.items():
        row = setting if init == "pretrained" and setting.startswith("COCO") else f"{setting} {init}"
        for iou_type, title in IOU_TYPES.items():
            for key, short in TITLES.items():
                value = getattr(by_type[iou_type], key)
                rows.append(
                    {
                        "table": "results",
                        "row": row,
                        "metric": f"{title} {short}",
                        "value": "" if value is None else 100 * value,
                        "unit": "%",
                        "init": init,
                        "iou_type": iou_type,
                        "key": key,
                    }
                )
    return rows


def class_rows(results: Mapping[str, Mapping[str, CocoResult]]) -> list[dict[str, object]]:
    """One row per arm, IoU type and class; AP in percent."""
    return [
        {
            "init": init,
            "iou_type": iou_type,
            "category_id": part.category_id,
            "name": part.name,
            "objects": part.num_ground_truth,
            **{
                key: "" if getattr(part, key) is None else 100 * getattr(part, key)
                for key in ("ap", "ap50", "ap75", "ar")
            },
        }
        for init, by_type in results.items()
        for iou_type, result in by_type.items()
        for part in result.per_class
    ]
