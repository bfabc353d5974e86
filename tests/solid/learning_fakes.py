"""Folders as `pretrain`, `instances`, `finetune` and `evaluate` leave them, with known figures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from suite.manifest import MANIFEST, write_json
from tests.solid.store.fakes import manifest, usage

LOSSES = ("loss_cls", "loss_box_reg", "loss_mask", "loss_rpn_cls", "loss_rpn_loc")
AP50 = {"pretrained": 12.5, "random": 3.25}
RETRIEVAL = {"chance_top1": 0.25, "train_fresh_top1": 0.75, "held_out_fresh_top1": 0.5}
RESULTS_HEADER = "table,row,metric,value,unit,init,iou_type,key\n"


def write_jsonl(path: Path, rows: list[dict]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def losses(step: int) -> dict:
    parts = dict.fromkeys(LOSSES, 1.0 / step)
    return {"step": step, **parts, "total_loss": sum(parts.values()), "lr": 0.01}


def finished_learning(root: Path) -> dict[str, Path]:
    """The four folders; AP75 of `random` is undefined, as where there is no ground truth."""
    folders = {name: root / name for name in ("pretrain", "instances", "finetune", "evaluate")}
    extras = {"finetune": {"shards": [usage(1), usage(2)]}}
    for name, folder in folders.items():
        folder.mkdir()
        write_json(folder / MANIFEST, manifest(name, **extras.get(name, {})))
    write_jsonl(folders["pretrain"] / "metrics.jsonl", [losses(k) for k in (1, 2, 4)])
    write_jsonl(folders["pretrain"] / "retrieval.jsonl", [{"step": 0, **RETRIEVAL}, {"step": 4, **RETRIEVAL}])
    write_json(
        folders["pretrain"] / "summary.json",
        {
            "iterations": 4,
            "first": {"loss_cls": 2.0},
            "last_tenth": {"loss_cls": 0.5},
            "retrieval": {"last": RETRIEVAL},
        },
    )
    for shard, (init, loaded, skipped) in enumerate(
        (("pretrained", ["a", "b"], {"cls_score.weight": {}}), ("random", [], {}))
    ):
        folder = folders["finetune"] / f"{shard:05d}"
        folder.mkdir()
        write_jsonl(folder / "metrics.jsonl", [losses(k) for k in (1, 2)])
        tree = {"init": init, "loaded": loaded, "skipped": skipped, "ignored": ["queue"] * len(skipped)}
        write_json(folder / "transfer.json", tree)
    write_instances(folders["instances"])
    write_evaluation(folders["evaluate"])
    return folders


def write_instances(folder: Path) -> None:
    """Two seen models, none unseen."""
    found, none = {"ap": 0.125, "ap50": 0.375}, {"ap": None, "ap50": None}
    groups = {
        "seen": {"models": 2, "objects": 9, "bbox": found, "segm": found},
        "unseen": {"models": 0, "objects": 0, "bbox": none, "segm": none},
    }
    write_json(folder / "summary.json", {"groups": groups})
    lines = ["table,row,metric,value,unit\n", "instances,seen models,box AP50,37.5,%\n"]
    (folder / "results.csv").write_text("".join([*lines, "instances,unseen models,box AP50,,%\n"]))


def write_evaluation(folder: Path) -> None:
    lines = [RESULTS_HEADER]
    classes = ["init,iou_type,category_id,name,objects,ap,ap50,ap75,ar\n"]
    for init, value in AP50.items():
        lines.append(f"results,tabletop {init},box AP50,{value},%,{init},bbox,ap50\n")
        ap75 = "" if init == "random" else "1.5"
        lines.append(f"results,tabletop {init},mask AP75,{ap75},%,{init},segm,ap75\n")
        classes.append(f"{init},bbox,1,mug,7,1.0,{value},,\n")
    (folder / "results.csv").write_text("".join(lines))
    (folder / "per_class.csv").write_text("".join(classes))
    write_json(folder / "summary.json", {"setting": "tabletop", "arms": {init: {} for init in AP50}})
    (folder / "drawn").mkdir()
    Image.fromarray(np.zeros((4, 12, 3), np.uint8)).save(folder / "drawn" / "000001.png")
    pictures = [{"file": "000001.png", "image_id": 1, "objects": [1, 0, 0]}]
    listing = {"columns": ["ground truth", *AP50], "min_score": 0.5, "pictures": pictures}
    write_json(folder / "drawn" / "drawn.json", listing)
