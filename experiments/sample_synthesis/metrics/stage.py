"""The stage `evaluate`: what every cell of one object reaches, from the detections that it left.

results.csv        every figure over runs: table, row, metric, value, unit
results_*.csv      the test mAP in the published columns (published.py)
cells.csv          a row per cell and split: its epoch and all metrics, fractions
curves.json        {cell: validation mAP after each epoch}
summary.json       images and boxes per split, whether they are stand-ins, what differs from the published
                   counts
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.sample_synthesis.cells import Cell, cells
from experiments.sample_synthesis.data.sets import read_index, read_sets
from experiments.sample_synthesis.detector.archs import find_arch
from experiments.sample_synthesis.metrics.published import (
    ABLATION_FILES,
    ablation_rows,
    groups,
    main_file,
    main_rows,
)
from experiments.sample_synthesis.metrics.scores import HEADLINES, all_scores
from experiments.sample_synthesis.names import ALL
from experiments.sample_synthesis.train.cell_files import (
    EVALUATED,
    HISTORY,
    cell_folder,
    finished,
    predictions_file,
    read_predictions,
)
from suite.errors import BadInput
from suite.manifest import read_json, write_json
from suite.tables import csv_text

if TYPE_CHECKING:
    from experiments.sample_synthesis.config import SampleSynthesisConfig
    from suite.stage import Context

Scores = dict[Cell, dict[str, dict[str, float | None]]]  # {cell: {split: {metric: fraction}}}
COLUMNS = ("table", "row", "metric", "value", "unit")


def run(ctx: Context) -> None:
    """The stage."""
    config, (name,) = ctx.config, ctx.config.objects
    sets = read_sets(ctx.inputs["data"])
    _, index = read_index(ctx.inputs["data"])
    scores: Scores = {}
    rows, curves = [], {}
    with ctx.progress(len(cells(config))) as bar:
        for cell in cells(config):
            ctx.check_stop()
            folder = folder_of(cell, ctx.inputs)
            facts, curves[cell.name] = finished(folder), curve(folder)
            scores[cell] = {}
            for split in EVALUATED:
                found = read_predictions(folder / predictions_file(split))
                scores[cell][split] = all_scores(sets[split].coco, found, config.detector)
                rows.append(cell_row(cell, split, facts, scores[cell][split]))
            bar.advance()
    (ctx.out / "cells.csv").write_text(csv_text(rows), encoding="utf-8")
    write_json(ctx.out / "curves.json", curves)
    write_published(ctx.out, name, config, scores)
    stand_in = bool(index["stand_in"])
    results = result_rows(name, scores, stand_in=stand_in)
    (ctx.out / "results.csv").write_text(csv_text(results), encoding="utf-8")
    write_json(ctx.out / "summary.json", summary(name, index, config))
    ctx.count("cells", len(scores))


def folder_of(cell: Cell, inputs: Mapping[str, Path]) -> Path:
    """Where a finished cell lies. Raises BadInput."""
    return cell_folder(inputs["pretrain" if cell.is_pretraining else "cells"], cell)


def curve(folder: Path) -> list[float | None]:
    """Validation mAP after each epoch."""
    history = read_json(folder / HISTORY)
    if not isinstance(history, list):
        raise BadInput("is no history", file=folder / HISTORY, fix="train the cell again")
    return [row["val_meanAP"] for row in history]


def cell_row(
    cell: Cell, split: str, facts: Mapping[str, Any], found: Mapping[str, float | None]
) -> dict[str, Any]:
    """A row of cells.csv."""
    return {
        "cell": cell.name, "object": cell.object, "architecture": find_arch(cell.arch).title, "arm": cell.arm,
        "variant": cell.variant, "ablation": cell.ablation, "num_real": cell.num_real, "factor": cell.factor,
        "run": cell.run, "epoch": facts["epoch"], "steps": facts["steps"],
        "validation_images": facts["validation_images"], "split": split, **found,
    }  # fmt: skip


def write_published(out: Path, name: str, config: SampleSynthesisConfig, scores: Scores) -> None:
    """The test mAP of all cells in the published columns."""
    values = {cell: found["test"]["compat_map"] for cell, found in scores.items()}
    (out / main_file(name)).write_text(csv_text(main_rows(values)), encoding="utf-8")
    for ablation in config.ablations:
        rows = ablation_rows(values, ablation)
        if rows:  # QR codes have no naive and no no-GAN variant
            (out / ABLATION_FILES[ablation]).write_text(csv_text(rows), encoding="utf-8")


def result_rows(name: str, scores: Scores, *, stand_in: bool) -> list[dict[str, Any]]:
    """Rows of results.csv: mean, and sample standard deviation from two runs on, over the runs; percent."""
    note = ", stand-in" if stand_in else ""
    rows = []
    for group in groups(list(scores)).values():
        first = group[0]
        table = f"{ALL[name].title}, test{note}"
        if first.ablation is not None:
            table += f", ablation {first.ablation}"
        for key, title in HEADLINES.items():
            values = [scores[cell]["test"][key] for cell in group]
            known = [100 * value for value in values if value is not None]
            if not known:
                continue
            runs = f" over {len(known)} runs" if len(known) > 1 else ""
            rows.append(
                _row(table, label(first), f"{title}, mean{runs}" if runs else title, statistics.fmean(known))
            )
            if len(known) > 1:
                rows.append(_row(table, label(first), f"{title}, sd{runs}", statistics.stdev(known)))
    return rows


def label(cell: Cell) -> str:
    """A training in words, without its run: `SSDMobileNet, finetuned, 50 real`."""
    parts = [find_arch(cell.arch).title, cell.arm.replace("_", " ")]
    parts += [] if cell.num_real is None else [f"{cell.num_real} real"]
    parts += [] if cell.factor is None else [f"{cell.factor}x synthetic"]
    return ", ".join(parts)


def _row(table: str, row: str, metric: str, value: float) -> dict[str, Any]:
    return dict(zip(COLUMNS, (table, row, metric, value, "%"), strict=True))


def summary(name: str, index: Mapping[str, Any], config: SampleSynthesisConfig) -> dict[str, Any]:
    """summary.json."""
    counts = {
        split: {"images": facts["images"], "boxes": facts["boxes"]}
        for split, facts in index["splits"].items()
    }
    return {
        "object": name,
        "source": index["source"],
        "stand_in": index["stand_in"],
        "splits": counts,
        "differences": index["differences"],
        "cells": len(cells(config)),
        "runs": config.train.runs,
    }
