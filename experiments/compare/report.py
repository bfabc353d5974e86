"""`report`: the comparison on one offline page; table.csv (with costs), costs.csv, results.csv beside it.

Costs come from manifests (cost.py): an arm's data with all that made them, and the training of a cell, mean
over the seeds. Times differ from run to run, so they stand here and not in the stage `table`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from PIL import Image

from experiments.compare.arms import ARMS, Arm, arms_of
from experiments.compare.cells.grid import cells
from experiments.compare.coco_files import read_arm
from experiments.compare.config import CompareConfig
from experiments.compare.cost import HOUR, Cost, arm_cost
from experiments.compare.report_plots import figure, loss_plots
from experiments.compare.stages import stages_of
from experiments.compare.table import Row, read_table
from experiments.compare.target import load_target
from suite.datasets import CocoSet
from suite.manifest import read_manifest, write_json
from suite.report.draw import draw_annotations, jpeg_uri
from suite.report.figures import Figures
from suite.report.html import write_page
from suite.report.provenance import collect
from suite.stage import Context
from suite.tables import csv_text

HERE = Path(__file__).resolve().parent
NUM_SAMPLES = 6  # pictures of each arm that are shown
SAMPLE_WIDTH = 320
UNITS = {"ap": "fraction", "ap50": "fraction", "gain": "fraction"}

Hours = dict[str, float]  # cpu, gpu


def run(ctx: Context) -> None:
    """The stage."""
    config: CompareConfig = ctx.config
    rows = read_table(ctx.inputs["table"])
    costs = {arm.name: arm_cost(arm.stage and ctx.inputs[arm.stage]) for arm in arms_of(config)}
    training = training_hours(config, ctx.inputs["cells"])
    lines = [priced(row, costs[row.arm], training[row.detector, row.arm, row.real]) for row in rows]
    plot = figure(rows, config.cells.real)
    losses = loss_plots(config, ctx.inputs["cells"])
    samples = dict(sample_pictures(ctx))
    leave_files(ctx.out, lines, costs, rows)
    leave_figures(ctx.out, plot, samples)
    stages = collect(ctx.inputs.values(), stages_of(config))
    write_page(
        ctx.out / "index.html",
        "report.html",
        folder=HERE / "templates",
        title="Which synthetic data helps?",
        config=config,
        blocks=blocks(lines),
        costs=costs,
        arms=ARMS,
        plot=plot,
        losses=losses,
        samples={title: [jpeg_uri(picture) for picture in mine] for title, mine in samples.items()},
        test_pictures=len(load_target(config.target).test.images),
        stages=stages,
        links={stage.name: os.path.relpath(stage.path, ctx.final) for stage in stages},
        main=next(stage.manifest for stage in stages if stage.name == "cells"),
    )
    ctx.count("rows", len(rows))


# --- costs ---


def training_hours(config: CompareConfig, folder: Path) -> dict[tuple[str, str, int], Hours]:
    """Hours of one training and its test by (detector, arm, real pictures), mean over the seeds."""
    manifest = read_manifest(folder) or {"shards": [], "device": "cpu"}
    on_gpu = manifest["device"] == "cuda"
    found: dict[tuple[str, str, int], list[Hours]] = {}
    for cell, shard in zip(cells(config), manifest["shards"], strict=True):
        gpu = shard["wall_seconds"] if on_gpu else 0.0
        hours = {"cpu": shard["cpu_seconds"] / HOUR, "gpu": gpu / HOUR}
        found.setdefault((cell.detector, cell.arm.name, cell.real), []).append(hours)
    return {
        place: {name: fmean(one[name] for one in mine) for name in ("cpu", "gpu")}
        for place, mine in found.items()
    }


def priced(row: Row, cost: Cost, training: Hours) -> dict[str, Any]:
    """A row of the table with what it took."""
    return {
        "title": row.title,
        **asdict(row),
        "data_cpu_hours": cost.cpu_hours,
        "data_gpu_hours": cost.gpu_hours,
        "training_cpu_hours": training["cpu"],
        "training_gpu_hours": training["gpu"],
    }


def cost_rows(costs: Mapping[str, Cost]) -> list[dict[str, Any]]:
    """Every part that was paid for, by arm."""
    empty = {"arm": "", "name": "", "cpu_seconds": "", "gpu_seconds": "", "note": ""}
    rows = [{"arm": name, **asdict(part)} for name, cost in costs.items() for part in cost.parts]
    return rows or [empty]


def blocks(lines: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The tables of the page: by detector, initialisations apart, because they know no classes."""
    detectors = list(dict.fromkeys(line["detector"] for line in lines))
    return [
        {"detector": detector, "kind": "initialisation" if kind else "pictures", "lines": mine}
        for detector in detectors
        for kind in (False, True)
        if (mine := [x for x in lines if x["detector"] == detector and (x["kind"] == "init") == kind])
    ]


# --- files ---


def leave_files(
    out: Path, lines: Sequence[Mapping[str, Any]], costs: Mapping[str, Cost], rows: Sequence[Row]
) -> None:
    """table.csv (with costs), costs.csv, results.csv (as every system's), summary.json."""
    (out / "table.csv").write_text(csv_text(lines), encoding="utf-8")
    (out / "costs.csv").write_text(csv_text(cost_rows(costs)), encoding="utf-8")
    (out / "results.csv").write_text(csv_text(result_rows(rows, costs)), encoding="utf-8")
    totals = {name: {"cpu_hours": one.cpu_hours, "gpu_hours": one.gpu_hours} for name, one in costs.items()}
    write_json(out / "summary.json", {"table": list(lines), "costs": totals})


def result_rows(rows: Sequence[Row], costs: Mapping[str, Cost]) -> Iterator[dict[str, Any]]:
    """table, row, metric, value, unit."""
    for row in rows:
        for metric, unit in UNITS.items():
            value = getattr(row, metric)
            if value is not None:
                yield _result(row.detector, row.title, metric, value, unit)
    for name, cost in costs.items():
        yield _result("cost of the data", ARMS[name].title, "cpu", cost.cpu_hours, "hours")
        yield _result("cost of the data", ARMS[name].title, "gpu", cost.gpu_hours, "hours")


def _result(table: str, row: str, metric: str, value: float, unit: str) -> dict[str, Any]:
    return {"table": table, "row": row, "metric": metric, "value": value, "unit": unit}


def leave_figures(out: Path, plot: str, samples: Mapping[str, Sequence[np.ndarray]]) -> None:
    """For the page about all systems."""
    figures = Figures(out)
    caption = "Mean over the seeds, bars: standard deviation. The same number of updates everywhere."
    figures.svg("comparison", "Box AP over real pictures", plot, caption=caption)
    for number, (title, pictures) in enumerate(samples.items()):
        figures.sheet(f"samples-{number}", title, pictures, caption="what the arm is trained on")
    figures.write()


# --- pictures ---


def sample_pictures(ctx: Context) -> Iterator[tuple[str, list[np.ndarray]]]:
    """(title, pictures with boxes) of the target and of each arm that has pictures."""
    target = load_target(ctx.config.target)
    yield "the target: real pictures", drawn(target.train, target.train_dir)
    for arm in arms_of(ctx.config):
        if arm.kind == "data":
            yield arm.title, drawn(*read_arm(arm_folder(ctx, arm)))


def arm_folder(ctx: Context, arm: Arm) -> Path:
    """Of the stage that made an arm."""
    return ctx.inputs[str(arm.stage)]


def drawn(coco: CocoSet, folder: Path) -> list[np.ndarray]:
    """Evenly spread pictures of a set with the boxes and names of their objects, RGB."""
    images = [image for image in coco.images if coco.annotations_by_image[image.id]]
    places = np.unique(np.linspace(0, len(images) - 1, NUM_SAMPLES).round().astype(int)).tolist()
    return [draw_one(coco, images[place].id, folder) for place in places]


def draw_one(coco: CocoSet, image_id: int, folder: Path) -> np.ndarray:
    """One picture with its boxes."""
    objects = coco.annotations_by_image[image_id]
    boxes = np.array([one.box_xywh for one in objects], np.float64)
    boxes[:, 2:] += boxes[:, :2]
    with Image.open(folder / coco.image_by_id[image_id].file_name) as picture:
        rgb = np.asarray(picture.convert("RGB"))
    captions = [coco.category_by_id[one.category_id].name for one in objects]
    return draw_annotations(rgb, boxes=boxes, captions=captions, min_width=SAMPLE_WIDTH)
