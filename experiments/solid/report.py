"""`report`: one offline page about a run, plus its figures as summary.json and results.csv.

    python -m experiments.solid report --config FILE --out DIR
        --clean DIR --rooms DIR --store DIR --targets DIR --queries DIR --check DIR
        --pretrain DIR --finetune DIR --evaluate DIR

The page (`index.html`) has the pictures inlined and needs no network. It reads the statistics that `check`
wrote and the tables that the learning stages left, so its cost does not grow with the store.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.solid.config import SolidConfig
from experiments.solid.report_learning import Learning, read_learning
from experiments.solid.report_pictures import QueryFigure, TargetFigure, query_figures, target_figures
from experiments.solid.report_plots import distribution_plots
from experiments.solid.stages import STAGES
from experiments.solid.store.reader import SolidStore
from experiments.solid.store.statistics import TargetStatistics
from suite.config import load_config
from suite.errors import BadInput
from suite.manifest import read_json, write_json
from suite.published import Published, read_published
from suite.report.figures import Figures
from suite.report.html import write_page
from suite.report.provenance import StageRecord, collect, deviations
from suite.stage import Context
from suite.tables import csv_text

HERE = Path(__file__).resolve().parent
PUBLISHED = HERE / "published.csv"
NUM_SHOWN = 4  # pictures of a kind on the page about all systems
RESULT_COLUMNS = ("table", "row", "metric", "value", "unit")


def run(ctx: Context) -> None:
    """The stage: read the finished run, write index.html, summary.json and results.csv."""
    store = SolidStore.open(ctx.inputs["store"])
    check = read_json(ctx.inputs["check"] / "check.json")
    if check is None:
        raise BadInput("check.json is missing or damaged", file=ctx.inputs["check"], fix="run check again")
    statistics = TargetStatistics.from_tree(check["statistics"])
    stages = collect(ctx.inputs.values(), STAGES)
    differences = deviations(ctx.config, load_config(SolidConfig, HERE / "configs/paper.yaml"))
    summary = summarize(store, check, statistics, stages)
    learning = read_learning(ctx.inputs)
    rows = [*result_rows(summary), *learning.results]
    write_json(ctx.out / "summary.json", {**summary, "deviations": [vars(d) for d in differences]})
    (ctx.out / "results.csv").write_text(csv_text(rows), encoding="utf-8")
    targets = target_figures(store, read_names(store))
    queries = query_figures(store, statistics)
    leave_figures(ctx.out, targets, queries, learning)
    write_page(
        ctx.out / "index.html",
        "report.html",
        folder=HERE / "templates",
        title=f"SOLID: {summary['images']:,} pictures of {summary['classes']:,} models",
        summary=summary,
        targets=targets,
        queries=queries,
        plots=distribution_plots(statistics, ctx.config.layout, phases_per_item(stages)),
        learning=learning,
        rooms=room_rows(ctx.inputs["rooms"], statistics),
        comparison=compare(rows, read_published(PUBLISHED), same_settings=not differences),
        stages=stages,
        links={stage.name: os.path.relpath(stage.path, ctx.final) for stage in stages},
        environments={
            title: stage.manifest
            for name, title in (("targets", "rendering"), ("pretrain", "learning"))
            for stage in stages
            if stage.name == name
        },
        deviations=differences,
    )
    ctx.count("pictures", summary["images"])


def leave_figures(
    out: Path, targets: Sequence[TargetFigure], queries: Sequence[QueryFigure], learning: Learning
) -> None:
    """What the page about all systems shows of this run."""
    figures = Figures(out)
    boxes = "rendered, with the boxes and masks that came with it; class and visible share"
    pictures = [one.annotated for one in targets[:NUM_SHOWN]]
    figures.sheet("targets", "Targets", pictures, columns=2, caption=boxes)
    figures.sheet("queries", "Queries", [one.views for one in queries[:NUM_SHOWN]], columns=1)
    for k, plot in enumerate(learning.plots):
        figures.svg(f"curve{k}", "Learning", plot)
    shown = [row["uri"] for row in learning.pictures[:NUM_SHOWN]]
    caption = f"{', '.join(learning.columns)}; scores from {learning.min_score:g} on"
    figures.sheet("found", f"Found on {learning.setting}", shown, columns=1, caption=caption)
    figures.write()


def summarize(
    store: SolidStore, check: dict[str, Any], statistics: TargetStatistics, stages: list[StageRecord]
) -> dict[str, Any]:
    """The figures at the head of the page."""
    boxes = statistics.class_boxes.total()
    images = check["targets"]["finished"]
    by_name = {stage.name: stage for stage in stages}
    views = by_name["queries"].manifest["counts"].get("views", 0) if "queries" in by_name else 0
    per_image = by_name["targets"].wall_seconds / images if images and "targets" in by_name else None
    files = [f for f in store.path.rglob("*") if f.is_file()]
    return {
        "images": images,
        "classes": store.layout.num_classes,
        "shots_per_model": store.layout.num_shots,
        "views": views,
        "boxes": boxes,
        "boxes_per_image": boxes / images if images else None,
        "classes_in_targets": len(statistics.class_boxes),
        "resolution": f"{store.layout.width}x{store.layout.height}",
        "given_up": len(check["targets"]["given_up"]) + len(check["queries"]["given_up"]),
        "scenes_redrawn": sum((attempt - 1) * n for attempt, n in statistics.attempts.items()),
        "seconds_per_image": per_image,
        "store_bytes": sum(f.stat().st_size for f in files),
        "worker_seconds": sum(stage.wall_seconds for stage in stages),
        "peak_rss_bytes": max((stage.peak_rss_bytes for stage in stages), default=None),
    }


def phases_per_item(stages: list[StageRecord]) -> dict[str, float]:
    """Seconds per picture by phase of the targets stage; empty where it did not record them."""
    for stage in stages:
        images = stage.manifest["counts"].get("images", 0)
        if stage.name == "targets" and images:
            return {name: value / images for name, value in stage.phases.items()}
    return {}


def read_names(store: SolidStore) -> list[str]:
    """A short name for each class: the last part of the model's id."""
    return [str(row.get("id", k)).rsplit("/", 1)[-1] for k, row in enumerate(store.classes)]


def room_rows(rooms_dir: Path, statistics: TargetStatistics) -> list[dict[str, Any]]:
    """One row per room: surfaces by kind, materials with their number of textures, pictures taken in it."""
    tree = read_json(rooms_dir / "rooms.json") or {"rooms": []}
    rows = []
    for room in tree["rooms"]:
        kinds = [surface["kind"] for surface in room["surfaces"]]
        rows.append(
            {
                "id": room["id"],
                "surfaces": ", ".join(f"{kinds.count(kind)} {kind}" for kind in sorted(set(kinds))),
                "materials": ", ".join(
                    f"{name} ({len(files)})" for name, files in sorted(room["materials"].items())
                ),
                "pictures": statistics.rooms[str(room["id"])],
            }
        )
    return rows


def result_rows(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """Measured figures with the keys of published.csv where there is a published one."""
    figures = [
        ("dataset", "targets", "images", summary["images"], "count"),
        ("dataset", "models", "classes", summary["classes"], "count"),
        ("dataset", "queries", "shots per model", summary["shots_per_model"], "count"),
        ("dataset", "targets", "boxes", summary["boxes"], "count"),
        ("dataset", "targets", "boxes per image", summary["boxes_per_image"], "count"),
        ("rendering", "targets", "worker seconds per image", summary["seconds_per_image"], "s"),
        ("rendering", "store", "size", summary["store_bytes"], "bytes"),
    ]
    return [dict(zip(RESULT_COLUMNS, figure, strict=True)) for figure in figures]


def compare(
    rows: Sequence[dict[str, Any]], published: Sequence[Published], *, same_settings: bool
) -> list[dict[str, Any]]:
    """Published beside measured for the keys both have; below the published setting nothing is comparable."""
    measured = {(row["table"], row["row"], row["metric"]): row["value"] for row in rows}
    found = []
    for row in published:
        if row.key not in measured:
            continue
        equal = row.value == str(measured[row.key])
        verdict = ("as published" if equal else "differs") if same_settings else "not comparable"
        found.append({**vars(row), "measured": measured[row.key], "verdict": verdict})
    return found
