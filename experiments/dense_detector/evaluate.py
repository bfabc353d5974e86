"""Evaluation by the COCO protocol, in pixels of the original pictures; stage `eval`.

At 128x64 every object would count as small, and boxes of different pictures would be stretched differently:
so detections are mapped back first. Boxes that the area limits took out of training are neither hits nor
misses. Beside the trained arms stand the two baselines without a network (baselines.py): the best anchor of
every box, which bounds a detector without a box head, and the mean box of each class.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from experiments.dense_detector.baselines import mean_box, oracle, recall_ceiling
from experiments.dense_detector.checkpoint import BEST, load_checkpoint
from experiments.dense_detector.data import DetectionDataset, batches
from experiments.dense_detector.decode import Detections as Found
from experiments.dense_detector.detector import Detector, load_detector
from experiments.dense_detector.selection import ground_truth
from experiments.dense_detector.splits import dataset_of, test_set, training_sets
from experiments.dense_detector.viz import draw_all, drawn_batch
from suite.datasets.detections import Detections, write_detections
from suite.datasets.records import CocoSet
from suite.manifest import write_json
from suite.metrics.coco import coco_tables
from suite.metrics.coco_result import IOU_THRESHOLDS, CocoResult, summarise
from suite.stage import Context
from suite.tables import csv_text

METRICS = (
    "ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large", "ar1", "ar10", "ar100",
    "ar_small", "ar_medium", "ar_large",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Curve:
    """Precision (101,) at recall 0, 0.01, ..., 1 of one class at IoU 0.5."""

    name: str
    precision: np.ndarray
    num_truth: int  # boxes that count


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What an evaluation found."""

    detections: Detections  # original pixels
    metrics: CocoResult
    curves: tuple[Curve, ...]  # of the classes that have ground truth


class Evaluator:
    """Measures detectors, or given detections, on the pictures of one data set."""

    def __init__(self, dataset: DetectionDataset) -> None:
        self.dataset = dataset
        self.truth: CocoSet = ground_truth(dataset.selection)

    def evaluate(self, detector: Detector) -> Evaluation:
        """Run the detector over all pictures and measure."""
        return self.measure(detect_all(detector, self.dataset))

    def measure(self, detections: Detections) -> Evaluation:
        """COCO metrics and precision-recall curves of detections in original pixels."""
        precision, recall = coco_tables(self.truth, detections, iou_type="bbox")
        metrics = summarise(precision, recall, self.truth)
        at50 = int(np.argmin(np.abs(IOU_THRESHOLDS - 0.5)))
        curves = tuple(
            Curve(one.name, precision[at50, :, k, 0, -1], one.num_ground_truth)
            for k, one in enumerate(metrics.per_class)
            if one.num_ground_truth
        )
        return Evaluation(detections, metrics, curves)


def detect_all(detector: Detector, dataset: DetectionDataset) -> Detections:
    """Detections in all pictures of a data set, in original pixels."""
    image_ids: list[int] = []
    found: list[Found] = []
    sizes: list[torch.Tensor] = []
    for batch in batches(dataset, detector.config.evaluate.batch_size):
        found += detector.detect(batch.images)
        image_ids += batch.image_ids
        sizes.append(batch.sizes)
    return to_original(detector, found, image_ids, torch.cat(sizes))


def to_original(
    detector: Detector, found: Iterable[Found], image_ids: list[int], sizes: torch.Tensor
) -> Detections:
    """Detections in resized pixels -> one table in pixels of the originals; sizes (N, 2) are their w, h."""
    height, width = detector.image_hw
    ids, categories, scores, boxes = [], [], [], []
    of_label = np.array([key for key, _ in detector.classes])
    for one, image_id, size in zip(found, image_ids, sizes.numpy(), strict=True):
        factor = np.tile(size / (width, height), 2)
        boxes.append(one.boxes.cpu().numpy().astype(np.float64) * factor)
        scores.append(one.scores.cpu().numpy().astype(np.float64))
        categories.append(of_label[one.labels.cpu().numpy()])
        ids.append(np.full(len(one.scores), image_id))
    return Detections(*map(np.concatenate, (ids, categories, scores, boxes)))


def metric_rows(arm: str, metrics: CocoResult) -> list[dict[str, Any]]:
    """{"arm", "metric", "value"} of every metric; the value is None where there is no ground truth."""
    return [{"arm": arm, "metric": name, "value": getattr(metrics, name)} for name in METRICS]


def class_rows(arm: str, metrics: CocoResult) -> list[dict[str, Any]]:
    """One row per class."""
    names = ("name", "ap", "ap50", "ap75", "ar", "num_ground_truth")
    return [{"arm": arm, **{n: getattr(one, n) for n in names}} for one in metrics.per_class]


def locality(detector: Detector) -> dict[str, float]:
    """How far the head's output lies from the anchors that it is read for, in cells.

    {"own_share": share of anchors that get the logit of their own cell and shape, "mean_cells": mean distance
    of cells}: 1 and 0 with the aligned flattening. Found by flattening a map that holds its own addresses.
    """
    rows, columns = detector.feature_hw
    shapes, classes = len(detector.shapes), len(detector.classes)
    row, column, shape = torch.meshgrid(*map(torch.arange, (rows, columns, shapes)), indexing="ij")
    own = torch.stack([row, column, shape], dim=-1).reshape(-1, 3)  # of anchor number 0, 1, ...

    def read(address: torch.Tensor) -> torch.Tensor:
        channels = address.permute(2, 0, 1).repeat_interleave(classes, dim=0)  # channel = shape * C + class
        return detector.model.flatten(channels[None], classes)[0, :, 0]

    got = torch.stack([read(row), read(column), read(shape)], dim=-1)
    cells = (got - own)[:, :2].double().norm(dim=1)
    share = (got == own).all(dim=1).double().mean()
    return {"own_share": share.item(), "mean_cells": cells.mean().item()}


def save_drawn(folder: Path, detector: Detector, dataset: DetectionDataset) -> None:
    """Predictions and heat map of a few test pictures, as PNG."""
    pictures = draw_all(detector, *drawn_batch(dataset, detector.config.evaluate.num_drawn))
    folder.mkdir(parents=True, exist_ok=True)
    for name, tag in (("predictions", "predictions"), ("heatmap", "heatmap/any")):
        Image.fromarray(pictures[tag]).save(folder / f"{name}.png")


def run(ctx: Context) -> None:
    """Stage `eval`: every arm and both baselines on the test pictures."""
    config, databases = ctx.config, ctx.inputs["verify"]
    torch.set_num_threads(config.train.threads)
    subset = test_set(config.data, databases, ctx.seed)
    evaluator = Evaluator(dataset_of(subset, config.data))
    results: dict[str, Evaluation] = {}
    facts: dict[str, Any] = {}
    for shard, name in enumerate(config.train.variants):
        ctx.check_stop()
        path = ctx.inputs["train"] / f"{shard:05d}" / BEST
        detector = load_detector(path, ctx.device)
        results[name] = evaluator.evaluate(detector)
        facts[name] = {**locality(detector), "step": load_checkpoint(path)["step"]}
        write_detections(ctx.out / f"predictions_{name}.json", results[name].detections)
        save_drawn(ctx.out / "drawn" / name, detector, evaluator.dataset)
        ctx.event("evaluated", variant=name, ap50=results[name].metrics.ap50)
    # The first arm's anchors: all arms share their shapes, `compat` alone moves them by half a cell.
    anchors = load_detector(ctx.inputs["train"] / "00000" / BEST, "cpu").anchors
    best_anchors = oracle(subset.selection, anchors, config.data.size_wh)
    trivial = mean_box(training_sets(config.data, databases, ctx.seed)[0].selection, subset.selection)
    results |= {"anchor oracle": evaluator.measure(best_anchors), "mean box": evaluator.measure(trivial)}
    write_results(ctx.out, results)
    summary = {
        "arms": {name: {m: getattr(one.metrics, m) for m in METRICS} for name, one in results.items()},
        "variants": facts,
        "recall_ceiling": recall_ceiling(subset.selection, anchors, config.data.size_wh),
        "pictures": len(subset.selection),
        "boxes": sum(one.num_ground_truth for one in results["mean box"].metrics.per_class),
        "classes": list(subset.selection.class_names),
    }
    write_json(ctx.out / "summary.json", summary)
    ctx.count("pictures", len(subset.selection))


def write_results(out: Path, results: dict[str, Evaluation]) -> None:
    """results.csv, per_class.csv and curves.json: {arm: {class: precision at recall 0, 0.01, ..., 1}}."""
    rows = [row for name, one in results.items() for row in metric_rows(name, one.metrics)]
    (out / "results.csv").write_text(csv_text(rows), encoding="utf-8")
    rows = [row for name, one in results.items() for row in class_rows(name, one.metrics)]
    (out / "per_class.csv").write_text(csv_text(rows), encoding="utf-8")
    curves = {name: {c.name: c.precision.tolist() for c in one.curves} for name, one in results.items()}
    write_json(out / "curves.json", curves)
