"""`report`: one offline page about a generated set and the detectors that learned, with figures beside it.

    python -m experiments.imaginarynet report --config FILE --out DIR --filter DIR --images DIR ...

Of detectors: AP and CorLoc of every arm beside chance, classes, curves, pictures with boxes. Of the set: kept
and rejected pictures of every class, what each threshold would have kept, the models and settings behind the
pictures. Then the published results (marked as such), what differs from the published settings, times and
warnings. A run may have either part, or both. It reads what the stages wrote: no model is loaded.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from experiments.imaginarynet.classes import classes_of, label_of
from experiments.imaginarynet.config import CONFIG, CONFIGS, ImaginaryNetConfig
from experiments.imaginarynet.counts import ClassCount, class_counts
from experiments.imaginarynet.report_detectors import Detectors, read_detectors
from experiments.imaginarynet.report_plots import (
    class_plot,
    class_trade_off_plot,
    probability_plot,
    trade_off_plot,
)
from experiments.imaginarynet.report_switches import turned
from experiments.imaginarynet.report_tables import (
    confused,
    examples_of,
    models_of,
    params_of,
    published_rows,
    reasons_of,
    results,
    sources_of,
    totals,
    trade_off_of,
)
from experiments.imaginarynet.rounds import VERBS, quotas
from experiments.imaginarynet.sheets import class_sheet, plain_sheet, write_png
from experiments.imaginarynet.stages import SAMPLES, stages_of
from experiments.imaginarynet.store.manifest import Candidate, read_shards
from experiments.imaginarynet.store.pictures import Pictures
from suite.config import load_config
from suite.manifest import write_json
from suite.report.draw import jpeg_uri
from suite.report.figures import Figures
from suite.report.html import write_page
from suite.report.provenance import StageRecord, collect, deviations
from suite.stage import Context
from suite.tables import csv_text

HERE = Path(__file__).resolve().parent
EMBEDDED = "embedded-tiny"
NUM_SHOWN = 3  # figures of a kind on the page about all systems
TRADE_OFF = "tradeoff.csv"  # of the filter


@dataclass(frozen=True)
class Sheet:
    """A contact sheet: a file beside the page, and the same inside of it."""

    name: str
    file: str
    uri: str


@dataclass(frozen=True, eq=False)
class Run:
    """What the finished stages left of the set; empty where the run makes none."""

    config: ImaginaryNetConfig
    class_names: tuple[str, ...]
    rows: list[Candidate]
    counts: list[ClassCount]
    pictures: Pictures | None  # None: no set


def run(ctx: Context) -> None:
    """The stage: read the finished run; write index.html, summary.json, results.csv, classes.csv, sheets/."""
    found = read_run(ctx)
    detectors = read_detectors(ctx)
    stages = collect(ctx.inputs.values(), stages_of(found.config))
    paper = load_config(CONFIG, CONFIGS / "paper.yaml")
    switches, differences = turned(found.config), deviations(found.config, paper)
    summary = {**summarise(ctx.seed, found, stages), "detectors": detectors_summary(detectors)}
    switch_rows, difference_rows = [vars(row) for row in switches], [vars(row) for row in differences]
    write_json(ctx.out / "summary.json", {**summary, "switches": switch_rows, "deviations": difference_rows})
    set_rows = results(found.counts, summary) if found.pictures else []
    rows = [*set_rows, *(detectors.results if detectors else [])]
    (ctx.out / "results.csv").write_text(csv_text(rows), encoding="utf-8")
    if found.pictures:
        rows = (count.row() for count in found.counts)
        (ctx.out / "classes.csv").write_text(csv_text(rows), encoding="utf-8")
    generated = set_part(ctx, found) if found.pictures else None
    leave_figures(ctx.out, generated, detectors)
    write_page(
        ctx.out / "index.html",
        "report.html",
        folder=HERE / "templates",
        title=title_of(found, detectors),
        config=found.config,
        summary=summary,
        detectors=detectors,
        published=published_rows(),
        stages=stages,
        links={stage.name: os.path.relpath(stage.path, ctx.final) for stage in stages},
        main=main_manifest(stages),
        switches=switches,
        deviations=differences,
        generated=generated,
    )
    ctx.count("candidates", len(found.rows))
    ctx.count("sheets", len(found.class_names) if found.pictures else 0)
    ctx.count("arms", len(detectors.arms) if detectors else 0)


def leave_figures(out: Path, generated: Mapping[str, Any] | None, detectors: Detectors | None) -> None:
    """What the page about all systems shows of this run."""
    figures = Figures(out)
    if generated is not None:
        caption = "kept by CLIP, with the probability of the class, then rejected"
        for sheet in generated["sheets"][:NUM_SHOWN]:
            figures.picture(
                f"set-{label_of(sheet.name)}", f"Imaginary: {sheet.name}", sheet.uri, caption=caption
            )
        figures.svg("classes", "Classes", generated["class_plot"])
        for plot in generated["filter_plots"][:1]:
            figures.svg("filter", "The filter", plot)
    if detectors is not None:
        pictures = [row.uri for row in detectors.pictures[:NUM_SHOWN]]
        caption = f"boxes of {', '.join(detectors.columns)}"
        figures.sheet("found", f"Found on {detectors.target}", pictures, columns=1, caption=caption)
        for k, plot in enumerate(detectors.curves[:NUM_SHOWN]):
            figures.svg(f"losses{k}", "Losses", plot)
        figures.svg("recall", "Proposals", detectors.recall)
    figures.write()


def title_of(found: Run, detectors: Detectors | None) -> str:
    """Of the page."""
    pictures = f"imaginary pictures of {len(found.class_names)} classes" if found.pictures else None
    learned = f"detectors on {detectors.target}" if detectors else None
    return f"ImaginaryNet: {' and '.join(part for part in (pictures, learned) if part)}"


def set_part(ctx: Context, found: Run) -> dict[str, Any]:
    """What the page shows of the set."""
    return {
        "counts": found.counts,
        "class_plot": class_plot(found.counts),
        "examples": examples_of(found.rows),
        "sheets": class_sheets(ctx, found),
        "samples": samples_sheet(ctx),
        **filter_part(ctx, found),
    }


def read_run(ctx: Context) -> Run:
    """The candidates with their decisions, and their pictures. Raises BadInput for damaged stages."""
    config: ImaginaryNetConfig = ctx.config
    names = classes_of(config)
    if "filter" not in ctx.inputs:  # the detectors learned from another set, or from real pictures alone
        return Run(config, names, [], [], None)
    rows = read_shards(ctx.inputs["filter"])
    folders = [folder for name, folder in ctx.inputs.items() if name.partition("-")[0] == "images"]
    counts = class_counts(rows, names, quotas(config, len(names)))
    return Run(config, names, rows, counts, Pictures(folders))


def summarise(seed: int, found: Run, stages: list[StageRecord]) -> dict[str, Any]:
    """summary.json, without detectors and what differs from the published settings."""
    usage = {
        "seed": seed,
        "worker_seconds": sum(stage.wall_seconds for stage in stages),
        "peak_rss_bytes": max((stage.peak_rss_bytes for stage in stages), default=0),
    }
    return {**usage, **(summarise_set(found) if found.pictures else {})}


def summarise_set(found: Run) -> dict[str, Any]:
    """The figures of the set."""
    kept = sum(count.kept for count in found.counts)
    made = len(found.rows)
    return {
        "backend": found.config.images.backend,
        "embedded": embedded(found.config),
        "threshold": found.config.filter.threshold if found.config.clip.enabled else None,
        "classes": len(found.class_names),
        "quota": sum(count.quota for count in found.counts),
        "candidates": made,
        "kept": kept,
        "rejected": sum(count.rejected for count in found.counts),
        "failed": sum(count.failed for count in found.counts),
        "short": sum(count.shortage for count in found.counts),
        "acceptance": kept / made if made else None,
        "rounds": max((count.rounds for count in found.counts), default=0),
        "reasons": dict(reasons_of(found.rows)),
        "models": [vars(model) for model in models_of(found.rows)],
        "params": [{"params": text, "candidates": count} for text, count in params_of(found.rows)],
        "prompt_sources": dict(sources_of(found.rows)),
    }


def detectors_summary(detectors: Detectors | None) -> dict[str, Any] | None:
    """What summary.json says of detectors: figures of the arms and of chance, in percent."""
    if detectors is None:
        return None
    return {
        "target": detectors.target,
        "iou": detectors.iou,
        "test_pictures": detectors.test_pictures,
        "train_pictures": detectors.train_pictures,
        "arms": {arm.name: {k: v for k, v in vars(arm).items() if k != "name"} for arm in detectors.arms},
        "chance": {row.name: {k: v for k, v in vars(row).items() if k != "name"} for row in detectors.chance},
    }


def embedded(config: ImaginaryNetConfig) -> list[str]:
    """The settings that name a tiny model of this repository, of those that the run uses."""
    draws = config.images.backend
    used = {
        "dalle_mini.model": config.dalle_mini.model if draws == "dalle-mini" else None,
        "dalle_mini.vqgan": config.dalle_mini.vqgan if draws == "dalle-mini" else None,
        "diffusion.model": config.diffusion.model
        if draws == "stablediffusion" or config.diffusion_samples
        else None,
        "clip.model": config.clip.model if config.clip.enabled else None,
    }
    return [key for key, name in used.items() if name == EMBEDDED]


def filter_part(ctx: Context, found: Run) -> dict[str, Any]:
    """The trade-off, the probabilities and what was taken for what; nothing of it without the filter."""
    if not found.config.clip.enabled:
        return {"trade_off": [], "filter_plots": [], "confused": []}
    table = trade_off_of(ctx.inputs["filter"] / TRADE_OFF)
    threshold = found.config.filter.threshold
    (ctx.out / TRADE_OFF).write_bytes((ctx.inputs["filter"] / TRADE_OFF).read_bytes())
    return {
        "trade_off": totals(table),
        "filter_plots": [
            trade_off_plot(totals(table), threshold),
            class_trade_off_plot(table, found.class_names, threshold),
            probability_plot(found.rows),
        ],
        "confused": confused(found.rows, found.class_names),
    }


def class_sheets(ctx: Context, found: Run) -> list[Sheet]:
    """A sheet per class, written as PNG and inlined."""
    own: dict[int, list[Candidate]] = {index: [] for index in range(len(found.class_names))}
    for row in found.rows:
        own[row.class_id].append(row)
    sheets = []
    with ctx.progress(len(found.class_names)) as bar:
        for index, name in enumerate(found.class_names):
            ctx.check_stop()
            drawn = class_sheet(own[index], found.class_names, found.pictures.decode)
            sheets.append(_sheet(ctx, name, f"sheets/{label_of(name)}.png", drawn))
            bar.advance()
    return sheets


def samples_sheet(ctx: Context) -> Sheet | None:
    """The pictures of the diffusion pipeline, where there are some."""
    folder = ctx.inputs.get(SAMPLES)
    if folder is None:
        return None
    pictures = Pictures([folder])
    rows = [row for row in read_shards(folder) if row.status == "done"]
    title = "; ".join(row.prompt for row in rows)
    return _sheet(ctx, title, f"{SAMPLES}.png", plain_sheet("", [pictures.decode(row) for row in rows]))


def _sheet(ctx: Context, name: str, file: str, drawn: np.ndarray) -> Sheet:
    write_png(ctx.out / file, drawn)
    return Sheet(name, file, jpeg_uri(drawn))


def main_manifest(stages: list[StageRecord]) -> Mapping[str, Any]:
    """The manifest whose environment the page describes: of the first training, else of the pictures."""
    trained = [stage.manifest for stage in stages if stage.name.startswith("train-")]
    drawn = [stage.manifest for stage in stages if stage.name == VERBS[1]]
    return [*trained, *drawn, stages[-1].manifest][0]
