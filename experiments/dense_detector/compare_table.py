"""Stage `compare-table`: the shards of `compare` as one table, a row per (model, input).

    python -m suite reproduce dense-detector --until compare-table

`comparison.csv` and `comparison.json` hold mean and sample deviation over the seeds (empty for one seed),
what a model costs, and two rows without a network: the best anchor of every box, and the mean box of each
class. `trials.csv` holds every training, those that only chose a rate included. Times and memory are
measured here, one model after the other with nothing beside it: they belong to the machine, and differ from
run to run where nothing else does.
"""

from __future__ import annotations

import csv
import statistics
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import torch

from experiments.dense_detector.anchors import grid_anchors
from experiments.dense_detector.baselines import mean_box, oracle
from experiments.dense_detector.compare import RESULT, WEIGHTS
from experiments.dense_detector.config import DenseConfig
from experiments.dense_detector.detector import choose_shapes
from experiments.dense_detector.measure import measure
from experiments.dense_detector.selection import Selection, ground_truth
from experiments.dense_detector.splits import test_set, training_sets
from suite.errors import BadInput
from suite.manifest import read_json, write_json
from suite.metrics.coco import coco_ap
from suite.stage import Context

COLUMNS = (
    "model", "input", "seeds", "pictures_seen", "parameters", "macs",
    "latency_ms", "images_per_second", "rss_imports_bytes", "rss_detect_bytes", "rss_train_bytes",
    "ap_mean", "ap_sd", "ap50_mean", "ap50_sd", "lrs", "diverged",
)  # fmt: skip
TRIALS = ("model", "input", "seed", "trial", "lr", "steps", "diverged", "ap", "ap50", "ap75", "ar100")


def read_shards(folder: Path) -> list[dict[str, Any]]:
    """The shards' results, in the order of the shards; "folder" is where each lies."""
    rows = [{**read_json(path), "folder": path.parent} for path in sorted(folder.glob(f"[0-9]*/{RESULT}"))]
    if not rows:
        raise BadInput("holds no result", file=folder, fix="run the stage `compare` first")
    return rows


def summarise(
    shards: Iterable[Mapping[str, Any]], figures: Mapping[tuple[str, str], Mapping[str, float]]
) -> list[dict[str, Any]]:
    """One row of COLUMNS per (model, input): mean and deviation of AP over the shards, and what
    `figures[model, input]` (measure.FIGURES) says that it costs.
    """
    rows = []
    for cell, group in groupby(shards, key=cell_of):
        group = list(group)
        finals = [shard["final"] for shard in group]
        row = {"model": cell[0], "input": cell[1], "seeds": len(group)}
        row |= {"pictures_seen": group[0]["pictures_seen"], **figures[cell]}
        for name in ("ap", "ap50"):
            row[f"{name}_mean"], row[f"{name}_sd"] = mean_and_deviation([final[name] for final in finals])
        row["lrs"] = " ".join(f"{final['lr']:g}" for final in finals)
        row["diverged"] = sum(final["diverged"] for final in finals)
        rows.append(row)
    return rows


def cell_of(shard: Mapping[str, Any]) -> tuple[str, str]:
    """(model, input) of a shard."""
    return shard["model"], shard["input"]


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and sample standard deviation; None for a single value."""
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None


def trials(shards: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row of TRIALS per training."""
    rows = []
    for shard in shards:
        about = {name: shard[name] for name in ("model", "input", "seed")}
        rows += [{**about, "trial": "search", **row} for row in shard["search"]]
        rows.append({**about, "trial": "final", **shard["final"]})
    return rows


def without_network(
    config: DenseConfig, shapes: torch.Tensor, train: Selection, test: Selection
) -> list[dict[str, Any]]:
    """The rows of the anchor oracle, with our anchors' `shapes` (A, 2), and of the mean box."""
    width, height = size_wh = config.data.size_wh
    feature_hw = config.model.network.feature_hw((height, width))
    anchors = grid_anchors(feature_hw, (height, width), shapes, grid=config.anchors.grid)
    rows = []
    found_by = {"anchor oracle": oracle(test, anchors, size_wh), "mean box": mean_box(train, test)}
    for name, found in found_by.items():
        metrics = coco_ap(ground_truth(test), found, iou_type="bbox")
        scores = {"ap_mean": metrics.ap, "ap50_mean": metrics.ap50}
        rows.append({**dict.fromkeys(COLUMNS), "model": name, "input": "matched", **scores})
    return rows


def as_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """The table for a terminal: millions, milliseconds, megabytes."""
    head = ("M par.", "M MAC", "ms @1", "img/s @16", "MB det.", "MB train")
    names = "".join(f"{name:>10}" for name in head)
    lines = [f"{'model':<14}{'input':<9}{names}{'AP':>18}{'AP50':>18}"]
    for row in rows:
        scaled = (
            (row["parameters"], 1e-6, 2), (row["macs"], 1e-6, 0),
            (row["latency_ms"], 1, 1), (row["images_per_second"], 1, 1),
            (row["rss_detect_bytes"], 1e-6, 0), (row["rss_train_bytes"], 1e-6, 0),
        )  # fmt: skip
        cells = ["-" if value is None else f"{value * factor:.{digits}f}" for value, factor, digits in scaled]
        scores = [_with_deviation(row[f"{name}_mean"], row[f"{name}_sd"]) for name in ("ap", "ap50")]
        line = f"{row['model']:<14}{row['input']:<9}" + "".join(f"{cell:>10}" for cell in cells)
        lines.append(line + "".join(f"{score:>18}" for score in scores))
    return "\n".join(lines)


def _with_deviation(mean: float, deviation: float | None) -> str:
    return f"{mean:.4f}" if deviation is None else f"{mean:.4f} +- {deviation:.4f}"


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Rows as CSV; None is an empty cell."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def run(ctx: Context) -> None:
    """Stage `compare-table`."""
    config, databases = ctx.config, ctx.inputs["verify"]
    train = training_sets(config.data, databases, ctx.seed)[0].selection
    test = test_set(config.data, databases, ctx.seed).selection
    shapes = choose_shapes(config, train, ctx.seed)
    shards, figures = read_shards(ctx.inputs["compare"]), {}
    for shard in shards:
        weights = shard["folder"] / WEIGHTS
        if weights.exists():  # one seed of each (model, input) has kept them
            ctx.check_stop()
            figures[cell_of(shard)] = measure(
                config, *cell_of(shard), shapes=shapes, databases=databases, seed=ctx.seed, weights=weights,
                device=ctx.device,
            )  # fmt: skip
    rows = summarise(shards, figures) + without_network(config, shapes, train, test)
    write_csv(ctx.out / "comparison.csv", COLUMNS, rows)
    write_csv(ctx.out / "trials.csv", TRIALS, trials(shards))
    write_json(ctx.out / "comparison.json", rows)
    (ctx.out / "comparison.txt").write_text(as_text(rows) + "\n", encoding="utf-8")
    print(as_text(rows))
    ctx.count("rows", len(rows))
