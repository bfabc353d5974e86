"""`cells`: one training and its test per shard.

Writes cell.json (which cell, AP of boxes on the target's test pictures, what was trained on) and
metrics.jsonl (losses by update). A killed cell goes on from its checkpoint; the figures are the same.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from experiments.compare.cells.grid import Cell, cells
from experiments.compare.cells.pictures import Lesson, cell_seed, load_lesson
from experiments.compare.weights import weights_file
from suite.datasets import Detections
from suite.errors import BadInput
from suite.manifest import write_json
from suite.metrics.coco import coco_ap
from suite.stage import Context

RESULT = "cell.json"
METRICS = ("ap", "ap50", "ap75")


def run(ctx: Context) -> None:
    """The stage: the cell of this shard."""
    cell = cells(ctx.config)[ctx.shard or 0]
    folder = None if cell.arm.stage is None else ctx.inputs[cell.arm.stage]
    lesson = load_lesson(ctx.config, cell, folder if cell.arm.kind == "data" else None, seed=ctx.seed)
    ctx.event("learning", cell=cell.name, pictures=len(lesson.pictures))
    found = train_and_detect(ctx, cell, lesson, folder)
    write_json(ctx.out / RESULT, {**describe(cell, lesson), **measure(lesson, found)})
    training = ctx.config.cells.training(cell.detector)
    ctx.count("cells")
    ctx.count("updates", training.iterations)


def train_and_detect(ctx: Context, cell: Cell, lesson: Lesson, folder: Path | None) -> Detections:
    """Boxes that the cell's detector finds in the test pictures."""
    training = ctx.config.cells.training(cell.detector)
    seed = cell_seed(ctx.seed, cell)
    if cell.detector == "dense":
        from experiments.compare.cells import dense

        return dense.train_and_detect(ctx, training, lesson, seed=seed)
    from experiments.compare.cells import mask_rcnn  # detectron2: the dense detector needs none of it

    weights = weights_file(folder) if cell.arm.kind == "init" and folder is not None else None
    return mask_rcnn.train_and_detect(ctx, training, lesson, seed=seed, weights=weights)


def describe(cell: Cell, lesson: Lesson) -> dict[str, Any]:
    """What the cell is, and what it learned from."""
    return {
        "name": cell.name, "arm": cell.arm.name, "kind": cell.arm.kind, "real": cell.real, "seed": cell.seed,
        "detector": cell.detector, "pictures": len(lesson.pictures),
        "pictures_without_masks": sum(not one.has_masks for one in lesson.pictures),
        "objects": sum(len(one.boxes) for one in lesson.pictures),
    }  # fmt: skip


def measure(lesson: Lesson, found: Detections) -> dict[str, Any]:
    """COCO AP of boxes, 0..1, and by class."""
    if not lesson.target.test.annotations:
        raise BadInput("`target`: the test pictures show no object", fix="name a set that does")
    result = coco_ap(lesson.target.test, found, iou_type="bbox")
    by_class = {one.name: one.ap for one in result.per_class}
    return {
        **{name: getattr(result, name) for name in METRICS},
        "per_class": by_class, "detections": len(found), "test_pictures": len(lesson.target.test.images),
    }  # fmt: skip
