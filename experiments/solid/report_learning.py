"""What the report says of learning: curves, retrieval, AP of each initialisation, predictions.

It reads the tables and logs that the stages `pretrain`, `finetune` and `evaluate` left, so it needs no torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from PIL import Image

from suite.errors import BadInput
from suite.manifest import read_json
from suite.report.draw import jpeg_uri
from suite.report.plots import lines
from suite.tables import read_csv, read_jsonl

SHOWN_METRICS = ("ap", "ap50", "ap75")
LOSSES = {
    "loss_cls": "which query",
    "loss_box_reg": "box",
    "loss_mask": "mask",
    "loss_rpn_cls": "RPN objectness",
    "loss_rpn_loc": "RPN box",
}
RETRIEVAL_CURVES = {
    "held_out_fresh_top1": "new scenes",
    "unseen_fresh_top1": "models never seen",
    "train_fresh_top1": "training scenes",
    "chance_top1": "chance",
}


@dataclass(frozen=True)
class Learning:
    """All that the page shows of learning; empty lists where a stage had nothing to show."""

    setting: str  # name of the target set
    arms: tuple[str, ...]
    pretraining: Mapping[str, Any]  # summary.json of `pretrain`
    plots: list[Markup]
    ap_rows: list[dict[str, Any]]  # metric and one value per arm, percent
    class_rows: list[dict[str, Any]]
    pictures: list[dict[str, Any]]
    columns: list[str]  # of the pictures
    min_score: float  # of the detections that are drawn
    transfers: list[dict[str, Any]]
    instances: list[dict[str, Any]]  # AP of instance detection by group of models
    results: list[dict[str, Any]]  # rows for results.csv


def read_learning(inputs: Mapping[str, Path]) -> Learning:
    """Collect the pages' parts from the folders `pretrain`, `finetune` and `evaluate`."""
    summary = _json(inputs["evaluate"] / "summary.json")
    arms = tuple(summary["arms"])
    shards = [inputs["finetune"] / f"{shard:05d}" for shard in range(len(arms))]
    tuning = [read_jsonl(shard / "metrics.jsonl") for shard in shards]
    pretraining = _json(inputs["pretrain"] / "summary.json")
    retrieval = read_jsonl(inputs["pretrain"] / "retrieval.jsonl")
    plots = [
        *pretraining_plots(read_jsonl(inputs["pretrain"] / "metrics.jsonl"), retrieval),
        finetune_plot(dict(zip(arms, tuning, strict=True))),
    ]
    measured = read_csv(inputs["evaluate"] / "results.csv")
    drawn = _json(inputs["evaluate"] / "drawn" / "drawn.json")
    return Learning(
        setting=summary["setting"],
        arms=arms,
        pretraining=pretraining,
        plots=plots,
        ap_rows=ap_table(measured, arms),
        class_rows=class_table(read_csv(inputs["evaluate"] / "per_class.csv"), arms),
        pictures=[picture_row(inputs["evaluate"] / "drawn", row) for row in drawn["pictures"]],
        columns=drawn["columns"],
        min_score=drawn["min_score"],
        transfers=[transfer_row(_json(shard / "transfer.json")) for shard in shards],
        instances=instance_table(_json(inputs["instances"] / "summary.json")),
        results=[
            *pretraining_rows(pretraining),
            *evaluation_rows(read_csv(inputs["instances"] / "results.csv")),
            *evaluation_rows(measured),
        ],
    )


def pretraining_plots(
    metrics: Sequence[Mapping[str, float]], retrieval: Sequence[Mapping[str, Any]]
) -> list[Markup]:
    """Losses, share of objects whose query is the nearest, and the learning rate."""
    steps = [row["step"] for row in metrics]
    losses = {
        title: (steps, [row[name] for row in metrics]) for name, title in LOSSES.items() if name in metrics[0]
    }
    curves = {}
    for name, title in RETRIEVAL_CURVES.items():
        known = [row for row in retrieval if row.get(name) is not None]
        if known:
            curves[title] = ([row["step"] for row in known], [100 * row[name] for row in known])
    plots = [lines(losses, title="Pre-training losses", x="iteration", y="loss")]
    if curves:
        title = "Objects whose own model is the nearest of all"
        plots.append(lines(curves, title=title, x="iteration", y="top-1 retrieval, %"))
    rate = {"rate": (steps, [row["lr"] for row in metrics])}
    plots.append(lines(rate, title="Learning rate of pre-training", x="iteration", y="learning rate"))
    return plots


def finetune_plot(metrics: Mapping[str, Sequence[Mapping[str, float]]]) -> Markup:
    """Total loss of every arm."""
    curves = {
        arm: ([row["step"] for row in rows], [row["total_loss"] for row in rows])
        for arm, rows in metrics.items()
    }
    return lines(curves, title="Fine-tuning, total loss", x="iteration", y="loss")


def ap_table(measured: Sequence[Mapping[str, str]], arms: Sequence[str]) -> list[dict[str, Any]]:
    """One row per metric with one value per arm (percent, None where it is undefined)."""
    titles = {(row["iou_type"], row["key"]): row["metric"] for row in measured}
    values = {(row["iou_type"], row["key"], row["init"]): _number(row["value"]) for row in measured}
    return [
        {"metric": title, "values": [values.get((iou_type, key, arm)) for arm in arms]}
        for (iou_type, key), title in titles.items()
        if key in SHOWN_METRICS
    ]


def instance_table(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row per group of models that were shown; AP in percent."""
    return [
        {
            "group": name,
            "models": group["models"],
            "objects": group["objects"],
            "values": [_percent(group[kind][key]) for kind in ("bbox", "segm") for key in ("ap", "ap50")],
        }
        for name, group in summary["groups"].items()
        if group["objects"]
    ]


def class_table(rows: Sequence[Mapping[str, str]], arms: Sequence[str]) -> list[dict[str, Any]]:
    """Box AP50 of every class with one value per arm."""
    boxes = [row for row in rows if row["iou_type"] == "bbox"]
    found = {(row["name"], row["init"]): _number(row["ap50"]) for row in boxes}
    objects = {row["name"]: int(row["objects"]) for row in boxes}
    return [
        {"name": name, "objects": count, "values": [found.get((name, arm)) for arm in arms]}
        for name, count in objects.items()
    ]


def picture_row(folder: Path, row: Mapping[str, Any]) -> dict[str, Any]:
    """One drawn test picture, inlined."""
    with Image.open(folder / row["file"]) as picture:
        return {"image_id": row["image_id"], "uri": jpeg_uri(np.asarray(picture.convert("RGB")))}


def transfer_row(tree: Mapping[str, Any]) -> dict[str, Any]:
    """How many tensors of the checkpoint an arm took, and which last layers it could not."""
    return {
        "init": tree["init"],
        "loaded": len(tree["loaded"]),
        "skipped": sorted(tree["skipped"]),
        "ignored": len(tree["ignored"]),
    }


def pretraining_rows(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of results.csv about pre-training."""
    first, last = summary["first"], summary["last_tenth"]
    found = summary["retrieval"]["last"]
    rows = [
        ("stop", "iterations", summary["iterations"], "count"),
        ("loss", "which query, first iteration", first["loss_cls"], "nats"),
        ("loss", "which query, last tenth", last["loss_cls"], "nats"),
        ("retrieval", "chance", _percent(found["chance_top1"]), "%"),
        ("retrieval", "top-1, training scenes", _percent(found["train_fresh_top1"]), "%"),
        ("retrieval", "top-1, new scenes", _percent(found["held_out_fresh_top1"]), "%"),
    ]
    if found.get("unseen_fresh_top1") is not None:
        rows.append(("retrieval", "top-1, models never seen", _percent(found["unseen_fresh_top1"]), "%"))
    return [_row("pretraining", *figures) for figures in rows]


def evaluation_rows(measured: Sequence[Mapping[str, str]]) -> list[dict[str, Any]]:
    """Rows of results.csv about AP: the evaluation's own, less what selects them there."""
    return [
        _row(row["table"], row["row"], row["metric"], _number(row["value"]), row["unit"]) for row in measured
    ]


def _json(path: Path) -> Any:
    tree = read_json(path)
    if tree is None:
        raise BadInput("is missing or damaged", file=path, fix="run its stage again")
    return tree


def _row(table: str, row: str, metric: str, value: float | None, unit: str) -> dict[str, Any]:
    return {"table": table, "row": row, "metric": metric, "value": value, "unit": unit}


def _number(text: str) -> float | None:
    return float(text) if text else None


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share
