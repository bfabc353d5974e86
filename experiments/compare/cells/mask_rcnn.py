"""A cell of the small Mask R-CNN: SOLID's fine-tuning, from random weights or its pre-training's.

Pictures of which only boxes are known train everything but the mask head. The test asks for boxes alone.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import suite.compat.detectron2  # noqa: F401

# isort: split
import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.modeling import ROI_HEADS_REGISTRY
from detectron2.modeling.roi_heads import StandardROIHeads
from detectron2.structures import Instances
from torch import nn

from experiments.compare.cells.pictures import Lesson, Picture
from experiments.compare.config_cells import Training
from experiments.solid.config import SolidConfig
from experiments.solid.learn.data.coco import CocoRecords
from experiments.solid.learn.data.finetune import finetune_loader, test_loader
from experiments.solid.learn.engine import ranks
from experiments.solid.learn.engine.checkpoint import load_model_tensors
from experiments.solid.learn.engine.setup import seed_everything, set_up
from experiments.solid.learn.evaluate_predict import same_padding
from experiments.solid.learn.finetune import stage as finetuning
from experiments.solid.learn.finetune.cfg import build, effective, finetune_cfg
from experiments.solid.learn.finetune.transfer import transfer, unexpected
from suite.config import load_config
from suite.datasets import Detections
from suite.datasets.masks import to_rle
from suite.provenance import ROOT
from suite.stage import Context

CONFIGS = "experiments/solid/configs"
DROPS = (0.8, 0.925)  # of the iterations: where the rate falls, as of configs/smoke.yaml


def settings(training: Training) -> SolidConfig:
    """Settings of the detector and its fine-tuning, with the budget. Raises BadInput as every config does."""
    steps = sorted({int(share * training.iterations) for share in DROPS} - {0})
    budget = (f"finetune.iterations={training.iterations}", f"finetune.steps={steps}")
    path = ROOT / CONFIGS / f"{training.scale}.yaml"
    return load_config(SolidConfig, path, (*budget, *training.overrides))


def train_and_detect(
    ctx: Context, training: Training, lesson: Lesson, *, seed: int, weights: Path | None
) -> Detections:
    """Train on the lesson, then find the objects of the test pictures; resumes to the step.

    weights: a checkpoint to begin with; None: random ones.
    """
    config = settings(training)
    set_up(config.finetune.threads, config.finetune.precision)
    with ranks.process_group(ctx.device) as device:
        names = lesson.target.class_names
        cfg = with_own_heads(finetune_cfg(config, num_classes=len(names), device=str(device)))
        tune = effective(config, cfg).finetune
        seed_everything(seed, "compare.mask-rcnn.init")
        model = build(cfg)
        if weights is not None:
            odd = unexpected(transfer(model, load_model_tensors(weights), file=weights))
            if odd:
                ctx.warn(odd)
        order = lesson.order * -(-tune.batch_size // len(lesson.order))
        data = TrainingData(lesson.pictures, order)

        def batches(*, start_step: int, stop_step: int) -> Iterator[list[dict[str, Any]]]:
            return data.batches(tune, seed=seed, device=device, start_step=start_step, stop_step=stop_step)

        own = replace(ctx, seed=seed)
        finetuning.train(own, cfg, tune, model=model, device=device, batches=batches)  # type: ignore[arg-type]
        records = tested_records(lesson)
        loader = test_loader(records, tune, batch_size=config.evaluate.batch_size, device=device)
        return detect_all(ctx, model.eval(), loader, [one.id for one in lesson.target.categories])


def with_own_heads(cfg: CfgNode) -> CfgNode:
    """The same settings with heads that leave out masks which are not known."""
    changed = cfg.clone()
    changed.defrost()
    changed.MODEL.ROI_HEADS.NAME = HeadsWhereMasksAre.__name__
    changed.freeze()
    return changed


@ROI_HEADS_REGISTRY.register()
class HeadsWhereMasksAre(StandardROIHeads):
    """detectron2's heads; the mask loss sees objects alone whose field `gt_has_mask` is true."""

    def _forward_mask(self, features: dict[str, torch.Tensor], instances: list[Instances]) -> Any:
        if self.training:
            instances = [one[one.gt_has_mask] if one.has("gt_has_mask") else one for one in instances]
        return super()._forward_mask(features, instances)


class TrainingData:
    """Pictures as SOLID's loader takes them; `order`: places in `pictures`, which may repeat."""

    def __init__(self, pictures: Sequence[Picture], order: Sequence[int]) -> None:
        self.has_masks = [picture.has_masks for picture in pictures]
        trees = [training_record(place, picture) for place, picture in enumerate(pictures)]
        self.records = CocoRecords.of((trees[place] for place in order), Path("/"), Path("/"))

    def batches(
        self, tune: Any, *, seed: int, device: torch.device, start_step: int, stop_step: int
    ) -> Iterator[list[dict[str, Any]]]:
        """Batches of the steps as of `finetune_loader`, instances with the field `gt_has_mask`."""
        loader = finetune_loader(
            self.records, tune, seed=seed, device=device, start_step=start_step, stop_step=stop_step
        )
        for batch in loader:
            for item in batch:
                instances = item["instances"]
                known = self.has_masks[item["image_id"]]
                instances.gt_has_mask = torch.full((len(instances),), known, device=device)
            yield batch


def training_record(place: int, picture: Picture) -> dict[str, Any]:
    """One picture as a detectron2 dataset dict. Without a mask the box stands in, never looked at."""
    shapes = picture.shapes or [[rectangle(box)] for box in picture.boxes.tolist()]
    return {
        "file_name": str(picture.file), "height": picture.height, "width": picture.width, "image_id": place,
        "annotations": [
            {"bbox": box, "category_id": label, "segmentation": outline(shape, picture), "iscrowd": 0}
            for box, label, shape in zip(
                picture.boxes.tolist(), picture.labels.tolist(), shapes, strict=True
            )
        ],
    }  # fmt: skip


def outline(shape: Any, picture: Picture) -> Any:
    """Polygons as lists, or compressed RLE."""
    if isinstance(shape, dict) or hasattr(shape, "keys"):
        return to_rle(shape, picture.height, picture.width)
    return [list(polygon) for polygon in shape]


def rectangle(box: Sequence[float]) -> list[float]:
    """The corners of a box as a polygon."""
    x1, y1, x2, y2 = box
    return [x1, y1, x2, y1, x2, y2, x1, y2]


def tested_records(lesson: Lesson) -> CocoRecords:
    """The test pictures, without objects."""
    target = lesson.target
    folder = target.test_dir.absolute()
    rows = (
        {
            "file_name": one.file_name, "height": one.height, "width": one.width, "image_id": one.id,
            "annotations": [],
        }
        for one in target.test.images
    )  # fmt: skip
    return CocoRecords.of(rows, folder, folder)


@torch.inference_mode()
def detect_all(
    ctx: Context, model: nn.Module, loader: Generator[list[dict]], category_ids: Sequence[int]
) -> Detections:
    """Boxes in pixels of the stored pictures; SIGTERM stops between two batches."""
    model.roi_heads.mask_on = False
    ids, classes, scores, boxes = [], [], [], []
    for batch in loader:
        for group in same_padding(batch, model.backbone.size_divisibility):
            for item, output in zip(group, model(group), strict=True):
                found = output["instances"].to("cpu")
                ids.append(np.full(len(found), item["image_id"]))
                classes.append(np.asarray(category_ids, np.int64)[found.pred_classes.numpy()])
                scores.append(found.scores.double().numpy())
                boxes.append(found.pred_boxes.tensor.double().numpy())
        ctx.check_stop()
    return Detections(*map(np.concatenate, (ids, classes, scores, boxes)))
