"""`evaluate-<arm>`: a trained detector on the target set. AP on its test split, CorLoc on its training split.

Writes detections.json (COCO results on the test split), best_train.json (the surest box of each class in
each training picture), results.json, results.csv, per_class.csv, shown.json (what the report draws), and
recall.csv of the proposals on the training split where the detector needs them.
The target's boxes are read here and nowhere in training of a setting with image-level labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.imaginarynet.arms import Arm, arm_of_stage
from experiments.imaginarynet.detectors.api import Detector, load_detector
from experiments.imaginarynet.detectors.data.load import load_target
from experiments.imaginarynet.detectors.detect_all import Item, Many, detect_all, from_book, items_of
from experiments.imaginarynet.detectors.figures import (
    category_ids,
    class_rows,
    only,
    percent,
    surest_overall,
    test_figures,
    train_figures,
)
from experiments.imaginarynet.detectors.proposals.book import ProposalBook
from experiments.imaginarynet.detectors.proposals.recall import RECALL, best_overlaps, write_recall
from suite.datasets import CocoSet, Detections, write_detections
from suite.manifest import write_json
from suite.stage import Context
from suite.tables import csv_text

DETECTIONS, BEST, RESULTS, SHOWN = "detections.json", "best_train.json", "results.json", "shown.json"
SHOWN_PICTURES = 8  # spread evenly over the test split
SHOWN_BOXES = 4  # surest boxes of a picture


def run(ctx: Context) -> None:
    """The stage. Raises BadInput where the target lacks a class, or a picture has no entry of proposals."""
    import torch

    torch.set_num_threads(ctx.config.evaluate.threads)
    arm = arm_of_stage(ctx.stage.name, ctx.config)
    measure(ctx, arm, load_detector(ctx.inputs[arm.train], ctx.device))


def measure(ctx: Context, arm: Arm, detector: Detector) -> None:
    """Detect in both splits of the target, and write the tables; see `run`."""
    target = load_target(ctx.config)
    ids = category_ids(detector.class_names, target.test)
    category_ids(detector.class_names, target.train)
    book = ProposalBook.open(ctx.inputs["proposals"]) if "proposals" in ctx.inputs else None
    test, train = (only(part, detector.class_names) for part in (target.test, target.train))
    found = _detected(ctx, detector, "test", items=items_of(test, target.test_dir), book=book)
    best = _detected(ctx, detector, "train", items=items_of(train, target.train_dir), book=book, best=True)
    most = ctx.config.evaluate.max_per_class * len(test.images)
    on_test = surest_overall(found.detections(ids), most)
    on_train = best.detections(ids)
    write_detections(ctx.out / DETECTIONS, on_test)
    write_detections(ctx.out / BEST, on_train)
    tree = {
        "arm": arm.name,
        "setting": arm.setting,
        "detector": arm.detector,
        "classes": list(detector.class_names),
        "iou": ctx.config.evaluate.iou,
        "test": test_figures(test, on_test, iou=ctx.config.evaluate.iou),
        "train": train_figures(train, on_train, iou=ctx.config.evaluate.iou),
    }
    write_tables(ctx.out, tree, test)
    write_json(ctx.out / SHOWN, shown(test, on_test))
    if book is not None:
        write_recall(ctx.out / RECALL, best_overlaps(book, train, target.train_dir))
    ctx.count("detections", len(on_test))
    _tell_empty(ctx, found, best)


def _detected(
    ctx: Context,
    detector: Detector,
    split: str,
    *,
    items: Sequence[Item],
    book: ProposalBook | None,
    best: bool = False,
) -> Many:
    """All pictures of a split, with a bar; SIGTERM stops between two of them."""
    with ctx.progress(len(items), f"{ctx.label} {split}") as bar:

        def after() -> None:
            bar.advance()
            ctx.check_stop()

        proposals = None if book is None else from_book(book)
        found = detect_all(detector, items, proposals, folder=ctx.work / split, best=best, after=after)
    ctx.count(f"{split} pictures", len(items))
    return found


def _tell_empty(ctx: Context, *found: Many) -> None:
    empty = sum(one.without_proposals for one in found)
    if empty:
        ctx.count("pictures without proposals", empty)
        ctx.warn(f"{empty} pictures have no proposals, and so no detections")


def write_tables(out: Path, tree: dict[str, Any], test: CocoSet) -> None:
    """results.json, results.csv (table, row, metric, value, unit) and per_class.csv."""
    write_json(out / RESULTS, tree)
    (out / "results.csv").write_text(csv_text(result_rows(tree)), encoding="utf-8")
    rows = class_rows(test, tree["test"], tree["train"])
    (out / "per_class.csv").write_text(csv_text(rows), encoding="utf-8")


def result_rows(tree: dict[str, Any]) -> list[dict[str, object]]:
    """The figures of an arm as the suite joins them over seeds: percent, empty where undefined."""
    test, train = tree["test"], tree["train"]
    figures = [
        ("AP VOC07 11 points", percent(test["voc07_ap"]["mean"]), "%"),
        ("AP VOC area", percent(test["voc_area_ap"]["mean"]), "%"),
        ("AP COCO", percent(test["coco"]["ap"]), "%"),
        ("AP50 COCO", percent(test["coco"]["ap50"]), "%"),
        ("CorLoc", percent(train["corloc"]["mean"]), "%"),
        ("median area of the surest box / object", train["median_area_ratio"], "ratio"),
    ]
    return [
        {"table": "detectors", "row": tree["arm"], "metric": metric, "value": value, "unit": unit}
        for metric, value, unit in figures
    ]


def shown(test: CocoSet, found: Detections) -> list[dict[str, Any]]:
    """The surest boxes of some pictures, evenly over the set: file_name, boxes (corners), scores, labels."""
    count = min(SHOWN_PICTURES, len(test.images))
    places = np.linspace(0, len(test.images) - 1, count).astype(int) if count else ()
    rows = []
    for image in (test.images[place] for place in places):
        mine = np.flatnonzero(found.image_ids == image.id)
        mine = mine[np.argsort(-found.scores[mine], kind="stable")][:SHOWN_BOXES]
        rows.append(
            {
                "image_id": image.id,
                "file_name": image.file_name,
                "boxes": found.boxes_xyxy[mine].tolist(),
                "scores": found.scores[mine].tolist(),
                "labels": [test.category_by_id[int(key)].name for key in found.category_ids[mine]],
            }
        )
    return rows
