"""`evaluate`: COCO box and mask AP of every fine-tuned detector on the test pictures.

Writes predictions_<init>.json (COCO results with RLE masks), results.csv, per_class.csv, summary.json and
drawn/*.png (ground truth | one column per arm).
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from time import perf_counter

import suite.compat.detectron2  # noqa: F401

# isort: split
from detectron2.config import CfgNode
from torch import nn

from experiments.solid.config_learning import Finetune
from experiments.solid.learn.data.coco import TargetData, load_target_set
from experiments.solid.learn.data.finetune import test_loader
from experiments.solid.learn.engine import ranks
from experiments.solid.learn.engine.checkpoint import load_model_tensors
from experiments.solid.learn.engine.setup import set_up
from experiments.solid.learn.evaluate_drawn import draw_pictures
from experiments.solid.learn.evaluate_predict import predict
from experiments.solid.learn.evaluate_tables import (
    IOU_TYPES,
    arm_names,
    class_rows,
    result_rows,
    schedule_name,
)
from experiments.solid.learn.finetune.cfg import build, effective, finetune_cfg
from suite.datasets import Detections, read_detections, write_detections
from suite.errors import BadInput
from suite.manifest import write_json
from suite.metrics.coco import coco_ap
from suite.metrics.coco_result import CocoResult
from suite.stage import Context
from suite.tables import csv_text

MODEL = "model.pth"


def run(ctx: Context) -> None:
    """The stage: predict with every arm, measure, draw."""
    set_up(ctx.config.evaluate.threads)
    data = load_target_set(ctx.config.target_set)
    for note in data.notes:
        ctx.warn(note)
    device = ranks.torch_device(ctx.device)
    cfg = finetune_cfg(ctx.config, num_classes=len(data.class_names), device=str(device))
    tune = effective(ctx.config, cfg).finetune
    found: dict[str, Detections] = {}
    results: dict[str, dict[str, CocoResult]] = {}
    for shard, name in enumerate(arm_names(tune.init)):
        begun = perf_counter()
        path = ctx.out / f"predictions_{name}.json"
        if not path.exists():  # written as a whole by an earlier start that was killed later
            model = load_arm(cfg, ctx.inputs["finetune"] / f"{shard:05d}" / MODEL)
            write_detections(path, predict_all(ctx, model, data, tune, name))
        found[name] = read_detections(path, data.test_set)
        results[name] = {kind: coco_ap(data.test_set, found[name], iou_type=kind) for kind in IOU_TYPES}
        ctx.facts[f"seconds_{name}"] = perf_counter() - begun
        box, mask = results[name]["bbox"], results[name]["segm"]
        ctx.event("evaluated", init=name, box_ap50=box.ap50, mask_ap50=mask.ap50)
        ctx.count("predictions", len(found[name]))
    write_tables(ctx, data, tune, found, results)
    draw_pictures(ctx.out / "drawn", data, found, count=ctx.config.evaluate.num_drawn)
    ctx.count("pictures", len(data.test))


def load_arm(cfg: CfgNode, path: Path) -> nn.Module:
    """The fine-tuned model in evaluation mode. BadInput unless names and shapes are exactly the model's."""
    model = build(cfg)
    tensors, own = load_model_tensors(path), model.state_dict()
    wrong = sorted(own.keys() ^ tensors.keys()) or sorted(
        name for name, value in own.items() if value.shape != tensors[name].shape
    )
    if wrong:
        raise BadInput(f"is no model of this config: {wrong[0]} differs", file=path, fix="fine-tune again")
    model.load_state_dict(tensors)
    return model.eval()


def predict_all(ctx: Context, model: nn.Module, data: TargetData, tune: Finetune, name: str) -> Detections:
    """Detections of all test pictures, with a bar; SIGTERM stops between two batches."""
    batches = test_loader(
        data.test, tune, batch_size=ctx.config.evaluate.batch_size, device=ranks.torch_device(ctx.device)
    )

    with ctx.progress(len(data.test), f"{ctx.label} {name}") as bar:

        def after(pictures: int) -> None:
            bar.advance(pictures)
            ctx.check_stop()

        return predict(model, batches, data.category_ids, after=after)


def write_tables(
    ctx: Context,
    data: TargetData,
    tune: Finetune,
    found: dict[str, Detections],
    results: dict[str, dict[str, CocoResult]],
) -> None:
    """results.csv, per_class.csv, summary.json."""
    setting = schedule_name(ctx.config.target_set, tune.iterations)
    (ctx.out / "results.csv").write_text(csv_text(result_rows(setting, results)), encoding="utf-8")
    (ctx.out / "per_class.csv").write_text(csv_text(class_rows(results)), encoding="utf-8")
    arms = {
        name: {
            "detections": len(found[name]),
            **{
                kind: {key: value for key, value in asdict(result).items() if key != "per_class"}
                for kind, result in by_type.items()
            },
        }
        for name, by_type in results.items()
    }
    summary = {
        "setting": setting,
        "pictures": len(data.test),
        "objects": len(data.test_set.annotations),
        "classes": list(data.class_names),
        "arms": arms,
    }
    write_json(ctx.out / "summary.json", summary)
