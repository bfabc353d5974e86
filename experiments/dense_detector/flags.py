"""The flags of the published command: each is another name for a setting.

    settings = settings_of(parser.parse_args([...]))      # a DenseConfig

What a flag does not name has the value of DEFAULTS over configs/paper.yaml; any setting can also be given as
`-o key=value`, which wins.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from experiments.dense_detector.config import DenseConfig, variant
from experiments.dense_detector.presets import PRESETS
from suite.config import build, merge, parse_override, read_tree

PAPER = Path(__file__).resolve().parent / "configs" / "paper.yaml"
# Ours where we think better of it than the published defaults; README, "Deviations".
DEFAULTS: dict[str, Any] = {
    "data": {"area": [0, float("inf")], "area_policy": "ignore", "size_wh": [128, 64], "cache": True},
    "train": {
        "epochs": 10, "optim": "adamw", "lr": 1e-3, "weight_decay": 1e-4, "schedule": "warmup_cosine",
        "log_every": 50, "variants": ["ours"],
    },
}  # fmt: skip

# flag: (setting, type, help). The names before the blank line are the published ones.
FLAGS: dict[str, tuple[str, type, str]] = {
    "--batch_size": ("train.batch_size", int, "pictures per step"),
    "--epochs": ("train.epochs", int, "passes over the training pictures"),
    "--lr": ("train.lr", float, "highest learning rate (there: ignored on branch research)"),
    "--weight_decay": ("train.weight_decay", float, "of the optimiser"),
    "--pos_anchor_iou": ("assign.pos_iou", float, "an anchor is an object from this overlap on"),
    "--neg_anchor_iou": ("assign.neg_iou", float, "and background below this one"),
    "--nms_iou": ("evaluate.nms_iou", float, "of two boxes that overlap more, the surer one stays"),
    "--filter_conf": ("evaluate.display_score", float, "boxes that are drawn (there: without effect)"),
    "--log_interval": ("train.log_every", int, "steps between two log lines"),
    "--validation": ("train.eval_every", int, "epochs between two validations"),
    "--num_data_workers": ("data.workers", int, "threads that decode ahead"),

    "--area_policy": ("data.area_policy", str, "ignore, drop or image: what becomes of boxes beyond --area"),
    "--optim": ("train.optim", str, "adamw, adam or sgd"),
    "--momentum": ("train.momentum", float, "of sgd"),
    "--schedule": ("train.schedule", str, "warmup_cosine, step, epochs_research or constant"),
    "--head_width": ("model.network.head_channels", int, "channels of the heads"),
    "--box_head": ("model.box_head", str, "delta or none (as published: predictions are anchors)"),
    "--loss": ("loss.kind", str, "bce_focal or bce (hard negatives)"),
    "--eval_conf": ("evaluate.score", float, "detections below it are not kept"),
    "--max_steps": ("train.max_steps", int, "stop here; the schedule stays that of --epochs"),
}  # fmt: skip
UNUSED = ("--metric_interval", "--valid_log_interval")  # published; what they timed is not logged here


def add_flags(parser: argparse.ArgumentParser) -> None:
    """All flags that settle what is trained."""
    for flag, (setting, kind, text) in FLAGS.items():
        parser.add_argument(flag, type=kind, help=f"{text} [{setting}]")
    for flag in UNUSED:
        parser.add_argument(flag, type=int, help="accepted, without effect")
    parser.add_argument(
        "--resize", nargs=2, type=int, metavar=("W", "H"), help="width and height of the input, in this order"
    )
    parser.add_argument(
        "--classes", help="names separated by commas, or `all`; default person [data.classes]"
    )
    parser.add_argument(
        "--area",
        nargs=2,
        type=float,
        metavar=("MIN", "MAX"),
        help="object areas, original pixels^2 [data.area]",
    )
    parser.add_argument("--preset", choices=sorted(PRESETS), help="network and anchors (presets.py)")
    parser.add_argument(
        "--anchors", choices=("preset", "auto"), default="preset", help="auto: k-means on the boxes"
    )
    parser.add_argument("--amp", action="store_true", help="mixed precision [train.amp]")
    parser.add_argument(
        "--compat",
        action="store_true",
        help="do as the published code does, faults included (config.variant)",
    )
    parser.add_argument(
        "-o", "--override", action="append", default=[], metavar="KEY=VALUE", help="any other setting"
    )


def settings_of(args: argparse.Namespace) -> DenseConfig:
    """The config that the flags describe. Raises BadInput with the flag's setting for a wrong value."""
    tree = merge(read_tree(PAPER), DEFAULTS)
    if args.preset:
        preset = PRESETS[args.preset]
        tree = merge(tree, {"model": {"network": _plain(preset.network)}, "anchors": _plain(preset.anchors)})
    given = {setting: getattr(args, flag[2:]) for flag, (setting, _, _) in FLAGS.items()}
    given["data.size_wh"] = args.resize
    given["data.area"] = args.area
    given["data.classes"] = args.classes.split(",") if args.classes else None
    given["train.amp"] = True if args.amp else None
    given["anchors.sizes"] = [] if args.anchors == "auto" else None
    for setting, value in given.items():
        if value is not None:
            tree = merge(tree, _nested(setting, value))
    if args.classes == "all":
        tree["data"]["classes"] = None
    for text in args.override:
        tree = merge(tree, parse_override(text))
    config = build(DenseConfig, tree, where="command line")
    return variant(config, "compat") if args.compat else config


def _plain(record: Any) -> dict[str, Any]:
    """A dataclass with lists in place of tuples."""
    return json.loads(json.dumps(asdict(record)))


def _nested(dotted: str, value: Any) -> dict[str, Any]:
    for part in reversed(dotted.split(".")):
        value = {part: value}
    return value
