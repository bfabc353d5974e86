"""`report`: one offline page about a run, plus its figures as summary.json and results.csv.

    python -m experiments.gafi report --config FILE --out DIR --evaluate DIR ...

Published beside measured with the split that chose, generated pictures before and after the filter,
confidence, search curves with the chosen points, training curves, what choosing by test would have added,
controls. It reads what `evaluate` wrote and the manifests of all stages: no framework is loaded.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from experiments.gafi.config import GafiConfig
from experiments.gafi.report_plots import acceptance_plot, confidence_plot, search_plot, training_plots
from experiments.gafi.report_switches import turned
from experiments.gafi.report_tables import PUBLISHED, comparisons, is_paper_scale, joined_results
from experiments.gafi.stages import STAGES
from suite.config import load_config
from suite.errors import BadInput
from suite.manifest import read_json, write_json
from suite.published import read_published
from suite.report.draw import jpeg_uri
from suite.report.figures import Figures
from suite.report.html import write_page
from suite.report.provenance import StageRecord, collect, deviations
from suite.stage import Context
from suite.tables import csv_text, read_csv

HERE = Path(__file__).resolve().parent
NUM_CURVES = 3  # of a kind on the page about all systems
MEANING = {
    "filtered": "chosen epoch, stddev and threshold; new pictures in every epoch",
    "unfiltered": "the plain generator: the same epoch, stddev 1, every picture is kept",
    "multigan": "a share from each GAN, each at its own choice",
    "fixed": "filtered, but the first set of pictures is kept throughout",
    "shuffled": "filtered, labels shuffled: nothing is to be learnt",
    "real": "real training pictures through the same loop",
}


def run(ctx: Context) -> None:
    """The stage: read the finished run, write index.html, summary.json and results.csv."""
    config: GafiConfig = ctx.config
    found = ctx.inputs["evaluate"]
    measured = load(found / "summary.json")
    selection = load(found / "selection.json")
    stages = collect(ctx.inputs.values(), STAGES)
    paper = load_config(GafiConfig, HERE / "configs/paper.yaml", [f"dataset={config.dataset}"])
    compared = comparisons(measured, at_paper_scale=is_paper_scale(config, paper))
    switches, differences = turned(config), deviations(config, paper)
    summary = {
        **measured,
        "worker_seconds": sum(stage.wall_seconds for stage in stages),
        "peak_rss_bytes": max(stage.peak_rss_bytes for stage in stages),
    }
    write_json(
        ctx.out / "summary.json",
        {
            **summary,
            "comparisons": [vars(row) for row in compared],
            "switches": [vars(row) for row in switches],
            "deviations": [vars(row) for row in differences],
        },
    )
    rows = [*read_csv(found / "results.csv"), *joined_results(measured)]
    (ctx.out / "results.csv").write_text(csv_text(rows), encoding="utf-8")
    sections = {
        "searches": [search_plot(step, measured["selection_split"]) for step in selection["steps"]],
        "confidence": confidence_plots(found),
        "training": training_plots(load(found / "curves.json")),
        "sheets": sheets(found / "samples"),
    }
    leave_figures(ctx.out, **sections)
    write_page(
        ctx.out / "index.html",
        "report.html",
        folder=HERE / "templates",
        title=f"GaFi on {measured['dataset']}: classifiers trained on generated pictures",
        summary=summary,
        meaning=MEANING,
        compared=compared,
        published=read_published(PUBLISHED),
        bias=selection["bias"],
        acceptance=acceptance_plots(found),
        **sections,
        confusions=load(found / "confusion.json"),
        stages=stages,
        links={stage.name: os.path.relpath(stage.path, ctx.final) for stage in stages},
        main=main_manifest(stages),
        switches=switches,
        deviations=differences,
    )
    ctx.count("rows", len(measured["rows"]) + 1)


def leave_figures(
    out: Path,
    *,
    searches: Sequence[Any],
    confidence: Sequence[Any],
    training: Sequence[Any],
    sheets: Mapping[str, Sequence[Mapping[str, str]]],
) -> None:
    """What the page about all systems shows of this run: of the first GAN."""
    figures = Figures(out)
    for gan, rows in list(sheets.items())[:1]:
        pictures = [row["uri"] for row in rows]
        caption = "a sheet a class, before and after the filter"
        figures.sheet("samples", f"Generated pictures of {gan}", pictures, columns=2, caption=caption)
    for k, plot in enumerate(training[:NUM_CURVES]):
        figures.svg(f"training{k}", "Training", plot)
    for k, plot in enumerate(searches[:NUM_CURVES]):
        figures.svg(f"search{k}", "Search", plot)
    for plot in confidence[:1]:
        figures.svg("confidence", "Confidence", plot)
    figures.write()


def load(path: Path) -> Any:
    """A JSON file of `evaluate`. Raises BadInput where it is missing or damaged."""
    tree = read_json(path)
    if tree is None:
        raise BadInput("is missing or damaged", file=path, fix="run `evaluate` again")
    return tree


def main_manifest(stages: list[StageRecord]) -> Any:
    """The manifest whose environment the page describes: of the GAN's training, else of the last stage."""
    by_name = {stage.name: stage.manifest for stage in stages}
    return by_name.get("train-gan", stages[-1].manifest)


def confidence_plots(found: Path) -> list[Any]:
    """One histogram per GAN."""
    return [confidence_plot(gan, one) for gan, one in load(found / "histograms.json").items()]


def acceptance_plots(found: Path) -> list[Any]:
    """One plot per GAN."""
    rows = [row for row in read_csv(found / "acceptance.csv") if row["share"] != "nan"]
    gans = dict.fromkeys(row["gan"] for row in rows)
    return [acceptance_plot(gan, [row for row in rows if row["gan"] == gan]) for gan in gans]


def sheets(folder: Path) -> dict[str, list[dict[str, str]]]:
    """{GAN: [{"name": class, "uri": picture}]} of the PNG files that `evaluate` drew."""
    return {
        gan.name: [
            {"name": path.stem.partition("_")[2], "uri": picture(path)} for path in sorted(gan.glob("*.png"))
        ]
        for gan in sorted(folder.iterdir())
    }


def picture(path: Path) -> str:
    """A PNG as a data URI."""
    with Image.open(path) as image:
        return jpeg_uri(np.asarray(image.convert("RGB")))
