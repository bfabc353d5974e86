"""`report`: one offline page about a run, plus its figures as summary.json and results.csv.

    python -m experiments.dense_detector report --config FILE --out DIR
        --import DIR --verify DIR --train DIR --eval DIR

Curves of loss and AP, heat maps and predictions over training time, every variant beside what is possible
with the anchors alone and what is trivial. Reads JSON, CSV and PNG only: no network is loaded.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from PIL import Image

from experiments.dense_detector.config import DenseConfig
from experiments.dense_detector.stages import STAGES
from suite.config import load_config
from suite.manifest import read_json, write_json
from suite.published import read_published
from suite.report.draw import jpeg_uri
from suite.report.figures import Figures
from suite.report.html import write_page
from suite.report.plots import lines
from suite.report.provenance import StageRecord, collect, deviations
from suite.stage import Context

HERE = Path(__file__).resolve().parent
PUBLISHED = HERE / "published.csv"
COLUMNS = ("table", "row", "metric", "value", "unit")
MEANING = {
    "ours": "aligned flattening, box head",
    "no_box_head": "as ours, but a prediction is an unmodified anchor",
    "misordered": "as ours, but the head's output is flattened as published",
    "compat": "the published behaviour, faults included",
    "anchor oracle": "the best anchor of every box: no detector without a box head can do better",
    "mean box": "the mean box of each class in every picture: what one gets without looking",
}
NUM_SHOWN = 4  # pictures on the page about all systems
SHOWN = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large", "ar100")


@dataclass(frozen=True)
class Frame:
    """One picture of the page."""

    uri: str
    caption: str


def run(ctx: Context) -> None:
    """The stage: read the finished run, write index.html, summary.json and results.csv."""
    config: DenseConfig = ctx.config
    measured = json.loads((ctx.inputs["eval"] / "summary.json").read_text(encoding="utf-8"))
    arms = {name: ctx.inputs["train"] / f"{shard:05d}" for shard, name in enumerate(config.train.variants)}
    stages = collect(ctx.inputs.values(), STAGES)
    differences = deviations(config, load_config(DenseConfig, HERE / "configs/paper.yaml"))
    training = {name: read_json(folder / "summary.json") for name, folder in arms.items()}
    summary = summarize(measured, training, stages)
    rows = result_rows(measured, training)
    write_json(ctx.out / "summary.json", {**summary, "deviations": [vars(d) for d in differences]})
    write_csv(ctx.out / "results.csv", rows)
    curves, precision = curve_plots(arms), precision_plots(ctx.inputs["eval"] / "curves.json")
    lapse = {name: time_lapse(folder / "snapshots") for name, folder in arms.items()}
    drawn = {name: frames(ctx.inputs["eval"] / "drawn" / name) for name in arms}
    leave_figures(ctx.out, [*curves[:1], *curves[3:4], *precision], lapse[summary["variant"]], drawn)
    write_page(
        ctx.out / "index.html",
        "report.html",
        folder=HERE / "templates",
        title=f"Dense detector: {summary['test_pictures']:,} test pictures",
        summary=summary,
        table=[{"name": name, "meaning": MEANING[name], **row} for name, row in ordered(measured["arms"])],
        shown=SHOWN,
        variants=measured["variants"],
        training=training,
        ceiling=measured["recall_ceiling"],
        curves=curves,
        precision=precision,
        time_lapse=lapse,
        class_maps=class_maps(arms[config.train.variants[0]] / "snapshots"),
        drawn=drawn,
        published=read_published(PUBLISHED),
        stages=stages,
        links={stage.name: os.path.relpath(stage.path, ctx.final) for stage in stages},
        main=next(stage.manifest for stage in stages if stage.name == "train"),
        deviations=differences,
        no_test_file=config.data.source == "coco" and config.data.test_json is None,
    )
    ctx.count("variants", len(arms))


def leave_figures(
    out: Path, plots: Sequence[Markup], lapse: Sequence[dict[str, Any]], drawn: dict[str, list[Frame]]
) -> None:
    """What the page about all systems shows of this run."""
    figures = Figures(out)
    for k, one in enumerate(plots):
        figures.svg(f"curve{k}", "Curves", one)
    for name, rows in list(drawn.items())[:1]:
        pictures = [frame.uri for frame in rows[:NUM_SHOWN]]
        figures.sheet(
            "found", f"Test pictures, {name}", pictures, columns=2, caption="objects and predictions"
        )
    last = lapse[-1:] and [lapse[-1]["heatmap_any"], lapse[-1]["predictions"]]
    figures.sheet("heat", "Heat map and predictions after the last step", last, columns=2)
    figures.write()


def ordered(arms: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Variants and baselines in the order of MEANING."""
    return [(name, arms[name]) for name in MEANING if name in arms]


def summarize(
    measured: dict[str, Any], training: dict[str, Any], stages: list[StageRecord]
) -> dict[str, Any]:
    """The figures at the head of the page; of the first variant where there are several."""
    first = next(iter(training))
    speeds = [
        part["facts"]["speed"]["images_per_second"]
        for stage in stages
        for part in stage.parts
        if "speed" in part.get("facts", {})
    ]
    return {
        "variant": first,
        "ap": measured["arms"][first]["ap"],
        "ap50": measured["arms"][first]["ap50"],
        "test_pictures": measured["pictures"],
        "test_boxes": measured["boxes"],
        "steps": training[first]["steps"],
        "parameters": training[first]["parameters"],
        "macs": training[first]["macs"],
        "anchors": training[first]["anchors"],
        "images_per_second": speeds[0] if speeds else None,
        "worker_seconds": sum(stage.wall_seconds for stage in stages),
        "peak_rss_bytes": max(stage.peak_rss_bytes for stage in stages),
    }


def result_rows(measured: dict[str, Any], training: dict[str, Any]) -> list[dict[str, Any]]:
    """Every measured figure as a row of results.csv."""
    rows = [
        ("results", name, metric, value, "fraction")
        for name, row in ordered(measured["arms"])
        for metric, value in row.items()
    ]
    rows += [
        ("anchors", "best anchor", f"recall at IoU {level}", value, "fraction")
        for level, value in measured["recall_ceiling"].items()
    ]
    for name, one in training.items():
        rows += [("cost", name, key, one[key], "count") for key in ("parameters", "macs", "anchors")]
    return [dict(zip(COLUMNS, row, strict=True)) for row in rows]


def write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    """results.csv: COLUMNS, floats in full precision, an empty cell where there is no ground truth."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read_metrics(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The rows of metrics.jsonl by kind."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return {kind: [row for row in rows if row["kind"] == kind] for kind in ("train", "val")}


def curve_plots(arms: dict[str, Path]) -> list[Markup]:
    """Loss, its parts and validation AP over steps, one curve per variant."""
    metrics = {name: read_metrics(folder) for name, folder in arms.items()}

    def plot(kind: str, key: str, title: str) -> Markup:
        curves = {}
        for name, rows in metrics.items():
            points = [(row["step"], row[key]) for row in rows[kind] if row[key] is not None]
            curves[name] = ([x for x, _ in points], [y for _, y in points])
        return lines(curves, title=title, x="step", y=key)

    return [
        plot("train", "loss", "Training loss"),
        plot("train", "cls", "Class loss"),
        plot("train", "box", "Box loss (0 without a box head)"),
        plot("val", "ap", "Validation AP"),
        plot("val", "ap50", "Validation AP at IoU 0.5"),
        plot("train", "lr", "Learning rate"),
    ]


def precision_plots(path: Path) -> list[Markup]:
    """Precision over recall at IoU 0.5, mean over the classes, of each arm on the test pictures."""
    tree = json.loads(path.read_text(encoding="utf-8"))
    recall = np.linspace(0, 1, 101).tolist()
    curves = {
        name: (recall, np.mean(list(tree[name].values()), axis=0).tolist())
        for name in MEANING
        if tree.get(name)
    }
    title = "Precision and recall at IoU 0.5, mean over classes"
    return [lines(curves, title=title, x="recall", y="precision")]


def time_lapse(snapshots: Path) -> list[dict[str, Any]]:
    """Heat map, predictions, and the maps that explain them, at each step that was drawn."""
    rows = []
    for folder in sorted(snapshots.iterdir()):
        pictures = {
            name: picture(folder / f"{name}.png")
            for name in ("heatmap/any", "predictions", "heatmap_by_anchor", "assignment")
        }
        rows.append({"step": int(folder.name), **{n.replace("/", "_"): uri for n, uri in pictures.items()}})
    return rows


def class_maps(snapshots: Path) -> list[Frame]:
    """Heat maps of single classes at the last step."""
    last = sorted(snapshots.iterdir())[-1] / "heatmap"
    return [Frame(picture(path), path.stem) for path in sorted(last.glob("*.png")) if path.stem != "any"]


def frames(folder: Path) -> list[Frame]:
    """The pictures of a folder."""
    return [Frame(picture(path), path.stem) for path in sorted(folder.glob("*.png"))]


def picture(path: Path) -> str:
    """A PNG as a data URI."""
    with Image.open(path) as image:
        return jpeg_uri(np.asarray(image.convert("RGB")))
