"""Evaluation by the COCO protocol, in pixels of the original pictures; stage `eval`.

At 128x64 every object would count as small, and boxes of different pictures would be stretched differently:
so detections are mapped back first. Boxes that the area limits took out of training are neither hits nor
misses. Beside the trained arms stand the two baselines without a network (baselines.py): the best anchor of
every box, which bounds a detector without a box head, and the mean box of each class.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from experiments.dense_detector.checkpoint import BEST
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
    """Detections of pictures in resized pixels -> one table in pixels of the originals, sizes (N, 2) as w, h."""
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


def csv_text(rows: list[dict[str, Any]]) -> str:
    """Rows with the same keys as CSV; None is an empty cell."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def run(ctx: Context) -> None:
    """Stage `eval`: every arm and both baselines on the test pictures."""
    from experiments.dense_detector.baselines import mean_box, oracle, recall_ceiling

    config, databases = ctx.config, ctx.inputs["verify"]
    torch.set_num_threads(config.train.threads)
    dataset = dataset_of(test_set(config.data, databases, ctx.seed), config.data)
    evaluator = Evaluator(dataset)
    results: dict[str, Evaluation] = {}
    detector = None
    for shard, name in enumerate(config.train.variants):
        ctx.check_stop()
        detector = load_detector(ctx.inputs["train"] / f"{shard:05d}" / BEST, ctx.device)
        results[name] = evaluator.evaluate(detector)
        save_drawn(ctx.out / "drawn" / name, detector, dataset)
