"""`instances`: how well the pre-trained detector finds the models in scenes that it was not trained on.

    python -m experiments.solid instances --config ... --clean DIR --store DIR --targets DIR --queries DIR \\
        --check DIR --pretrain DIR --out DIR

Every picture is asked for all models at once: the bank holds the mean direction of each model's query views
(learn/pretrain/retrieval.py), and a region is answered by its nearest row (learn/pretrain/instances.py). COCO
AP, where a class is a model, over the models that are shown:

    seen      models of pre-training, on pictures that are held out (`pretrain.held_out`, `held_out_models`)
    unseen    models that are held out of pre-training (`pretrain.held_out_models`), likewise
    any       the same pictures with one class for all models: found at all, whichever the answer

Objects at or below `pretrain.min_box`, and such without a query, count neither as found nor as missed. Writes
`summary.json`, `results.csv` and `predictions.json` (COCO results; category id = class id + 1). The published
code cannot run its pre-trained detector on a picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import suite.compat.detectron2  # noqa: F401

# isort: split
import numpy as np

from experiments.solid.config_learning import Pretrain
from experiments.solid.learn.data.index import StoreIndex, check_classes
from experiments.solid.learn.data.pretrain import held_out_batches
from experiments.solid.learn.data.transforms import resized_shape
from experiments.solid.learn.data.unseen import unseen_classes
from experiments.solid.learn.engine import ranks
from experiments.solid.learn.engine.setup import set_up
from experiments.solid.learn.evaluate_predict import predict
from experiments.solid.learn.pretrain.instances import QueryDetector
from experiments.solid.learn.pretrain.load import MODEL, load_pretrained
from experiments.solid.learn.pretrain.retrieval import fresh_bank, scene_rows
from experiments.solid.store.reader import SolidStore
from suite.datasets import CocoAnnotation, CocoCategory, CocoImage, CocoSet, Detections, write_detections
from suite.datasets.masks import encode
from suite.errors import BadInput
from suite.manifest import write_json
from suite.metrics.coco import coco_ap
from suite.stage import Context
from suite.tables import csv_text, read_jsonl

IOU_TYPES = {"bbox": "box", "segm": "mask"}
METRICS = {"ap": "AP", "ap50": "AP50"}
ANY = CocoCategory(1, "any model")


def run(ctx: Context) -> None:
    """The stage; see the module docstring."""
    config = ctx.config
    set_up(config.pretrain.threads)
    store = SolidStore.open(ctx.inputs["store"])
    check_classes(store, ctx.inputs["clean"] / "classes.json")
    index = StoreIndex.build(store, ctx.work / "index")
    scenes = scene_rows(index, config.pretrain)
    rows = np.unique(np.concatenate([rows for name, (rows, _) in scenes.items() if name != "train"]))
    truth = scene_truth(store, index, rows, config.pretrain)
    if not truth.images:
        ctx.warn("no picture is held out (pretrain.held_out, pretrain.held_out_models): nothing to measure")
        found = Detections.empty(masks=True)
    else:
        model = load_pretrained(ctx.inputs["pretrain"] / MODEL, config, ranks.torch_device(ctx.device))
        detector = QueryDetector(model, fresh_bank(model, store, config))
        kept = [image.id for image in truth.images]
        batches = held_out_batches(store.path, index, config, rows=kept, device=model.device)
        with ctx.progress(len(kept)) as bar:
            found = predict(detector, batches, class_ids(index.num_classes), after=bar.advance)
    unseen = unseen_classes(index.num_classes, config.pretrain.held_out_models)
    groups = measure(truth, found, unseen)
    retrieval = read_jsonl(ctx.inputs["pretrain"] / "retrieval.jsonl")[-1]
    write_detections(ctx.out / "predictions.json", found)
    write_json(
        ctx.out / "summary.json",
        {
            "models": index.num_classes,
            "held_out_models": int(unseen.sum()),
            "pictures": len(truth.images),
            "groups": groups,
            "retrieval": retrieval,
        },
    )
    (ctx.out / "results.csv").write_text(csv_text(result_rows(groups)), encoding="utf-8")
    ctx.count("pictures", len(truth.images))
    ctx.count("detections", len(found))
    ctx.event("measured", **{name: group["bbox"]["ap50"] for name, group in groups.items()})


def class_ids(num_classes: int) -> list[int]:
    """COCO category of every class."""
    return list(range(1, num_classes + 1))


def scene_truth(store: SolidStore, index: StoreIndex, rows: np.ndarray, settings: Pretrain) -> CocoSet:
    """Ground truth of the pictures that can be read: image id = row, category id = class id + 1."""
    images, annotations = [], []
    edge = sorted(settings.short_edges)[len(settings.short_edges) // 2]
    for row in rows.tolist():
        boxes = index.boxes_of(row)
        try:
            _, label_map = store.read_picture(row, len(boxes))
        except BadInput:
            continue
        height, width = label_map.shape
        new = resized_shape(height, width, edge, settings.max_edge)
        images.append(CocoImage(row, f"targets/{row:06d}.png", width, height))
        for k, (x1, y1, x2, y2, class_id) in enumerate(boxes.tolist(), start=1):
            mask = label_map == k
            sides = (x2 - x1) * new[1] / width, (y2 - y1) * new[0] / height
            annotations.append(
                CocoAnnotation(
                    id=len(annotations) + 1,
                    image_id=row,
                    category_id=class_id + 1,
                    box_xywh=(x1, y1, x2 - x1, y2 - y1),
                    area=float(mask.sum()),
                    ignore=min(sides) <= settings.min_box or not index.has_query[class_id],
                    segmentation=encode(mask),
                )
            )
    shown = sorted({annotation.category_id for annotation in annotations})
    names = [str(entry.get("id", position)) for position, entry in enumerate(store.classes)]
    categories = tuple(CocoCategory(number, names[number - 1]) for number in shown)
    return CocoSet(tuple(images), tuple(annotations), categories)


def restrict(truth: CocoSet, found: Detections, classes: np.ndarray) -> tuple[CocoSet, Detections]:
    """Truth and detections of the categories whose class is set in `classes` (C,) bool and that are shown.

    A class without ground truth has no AP, so leaving it out changes no mean over classes.
    """
    counted = {
        row.category_id for row in truth.annotations if not row.ignore and classes[row.category_id - 1]
    }
    part = replace(
        truth,
        annotations=tuple(row for row in truth.annotations if row.category_id in counted),
        categories=tuple(category for category in truth.categories if category.id in counted),
    )
    return part, select(found, np.isin(found.category_ids, sorted(counted)))


def select(found: Detections, chosen: np.ndarray) -> Detections:
    """The detections that are set in `chosen` (N,) bool."""
    masks = None if found.masks is None else tuple(found.masks[k] for k in np.flatnonzero(chosen))
    return Detections(
        found.image_ids[chosen],
        found.category_ids[chosen],
        found.scores[chosen],
        found.boxes_xyxy[chosen],
        masks,
    )


def without_classes(truth: CocoSet, found: Detections) -> tuple[CocoSet, Detections]:
    """Both with the one category `ANY`."""
    rows = tuple(replace(row, category_id=ANY.id) for row in truth.annotations)
    alike = replace(found, category_ids=np.full(len(found), ANY.id))
    return replace(truth, annotations=rows, categories=(ANY,)), alike


def measure(truth: CocoSet, found: Detections, unseen: np.ndarray) -> dict[str, dict[str, Any]]:
    """AP and AP50 (fractions, None without ground truth) of seen, unseen and any; see the module docstring.

    unseen: (C,) bool. Each group also has `models` and `objects`, the numbers of those that count.
    """
    parts = {"seen": restrict(truth, found, ~unseen), "unseen": restrict(truth, found, unseen)}
    parts["any"] = without_classes(truth, found)
    groups = {}
    for name, (part, theirs) in parts.items():
        objects = [row for row in part.annotations if not row.ignore]
        groups[name] = {
            "models": len({row.category_id for row in objects}),
            "objects": len(objects),
            **{kind: _figures(part, theirs, kind, bool(objects)) for kind in IOU_TYPES},
        }
    return groups


def _figures(part: CocoSet, found: Detections, kind: str, defined: bool) -> dict[str, float | None]:
    if not defined:
        return dict.fromkeys(METRICS)
    result = coco_ap(part, found, iou_type=kind)  # type: ignore[arg-type]
    return {name: getattr(result, name) for name in METRICS}


def result_rows(groups: Mapping[str, Mapping[str, Any]]) -> list[dict[str, object]]:
    """Columns as of the other tables; values in percent, empty where there is no ground truth."""
    return [
        {
            "table": "instances",
            "row": f"{group} models" if group != "any" else "any model",
            "metric": f"{title} {short}",
            "value": "" if figures[kind][key] is None else 100 * figures[kind][key],
            "unit": "%",
        }
        for group, figures in groups.items()
        for kind, title in IOU_TYPES.items()
        for key, short in METRICS.items()
    ]
