"""`report`: one offline page about a run, with its tables, plots and sheets as files beside it.

    python -m experiments.sample_synthesis report --config FILE --out DIR --qr-objects DIR ...

Per object: what is pasted and how it is masked, synthetic images with boxes and masks, how large and how many
objects are, training curves, published and measured results, detections; then the ablations, what differs
from the published settings, times and warnings. No framework is loaded.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.sample_synthesis.cells import cells, variants
from experiments.sample_synthesis.config import CONFIG, CONFIGS, SampleSynthesisConfig
from experiments.sample_synthesis.data.sets import read_sets
from experiments.sample_synthesis.metrics.published import ABLATION_FILES, main_file
from experiments.sample_synthesis.names import OBJECTS
from experiments.sample_synthesis.one_object import only, plain
from experiments.sample_synthesis.report_object import Section, section
from experiments.sample_synthesis.report_plots import drawing_of_test
from experiments.sample_synthesis.report_switches import turned
from experiments.sample_synthesis.report_tables import (
    STANDIN,
    ablation_tables,
    cell_text,
    measured_results,
    uses_standins,
    write_latex,
)
from experiments.sample_synthesis.stages import stages_of
from experiments.sample_synthesis.tables import Result, architectures, read_published
from suite.config import load_config
from suite.errors import BadInput
from suite.manifest import read_json, write_json
from suite.report.figures import Figures
from suite.report.html import write_page
from suite.report.provenance import Deviation, StageRecord, collect, deviations
from suite.stage import Context

HERE = Path(__file__).resolve().parent
NUM_SHEETS, NUM_PLOTS, NUM_FOUND = 2, 2, 2  # of an object on the page about all systems
COLUMNS = "table,row,metric,value,unit\n"


def run(ctx: Context) -> None:
    """The stage: read the finished run; write index.html, summary.json, results.csv, tables/, plots/ and
    sheets/.
    """
    config: SampleSynthesisConfig = ctx.config
    published = read_published()
    stages = collect(ctx.inputs.values(), stages_of(config))
    paper = load_config(CONFIG, CONFIGS / "paper.yaml", [f"objects=[{','.join(config.objects)}]"])
    sections = []
    with ctx.progress(len(config.objects)) as bar:
        for name in config.objects:
            ctx.check_stop()
            sections.append(one_object(ctx, name, published, paper))
            bar.advance()
    measured = [row for one in sections for row in one.measured]
    note = STANDIN if any(uses_standins(config, name) for name in config.objects) else ""
    ablations = ablation_tables(measured, note=note)
    published_ablations = ablation_tables([row for row in published if row.object in config.objects])
    write_tables(ctx.out / "tables", sections, ablations, published_ablations)
    published_plots = write_published_plots(ctx.out / "plots" / "published", published, config)
    leave_figures(ctx.out, sections)
    summary = summarise(ctx, sections, stages)
    switches, differences = turned(config), differing(config, paper)
    write_json(
        ctx.out / "summary.json",
        {
            **summary,
            "switches": [vars(row) for row in switches],
            "deviations": [vars(row) for row in differences],
        },
    )
    write_results(ctx)
    write_page(
        ctx.out / "index.html",
        "report.html",
        folder=HERE / "templates",
        title="Sample synthesis: detectors pre-trained on pasted objects",
        config=config,
        summary=summary,
        sections=sections,
        ablations=ablations,
        published_ablations=published_ablations,
        published_plots=published_plots,
        cell_text=cell_text,
        stages=stages,
        links={stage.name: os.path.relpath(stage.path, ctx.final) for stage in stages},
        main=main_manifest(stages),
        switches=switches,
        deviations=differences,
    )
    ctx.count("objects", len(sections))
    ctx.count("results", len(measured))


def inputs_of(ctx: Context, name: str) -> dict[str, Path]:
    """{stage without its object: folder} of one object."""
    return {plain(key): folder for key, folder in ctx.inputs.items() if key.startswith(f"{name}-")}


def one_object(
    ctx: Context, name: str, published: tuple[Result, ...], paper: SampleSynthesisConfig
) -> Section:
    """Everything that the page says of an object; its plots and sheets are written."""
    inputs = inputs_of(ctx, name)
    found = inputs["evaluate"]
    return section(
        only(ctx.config, name),
        name,
        inputs,
        seed=ctx.seed,
        out=ctx.out,
        paper=paper,
        real=read_sets(inputs["data"]),
        curves=load(found / "curves.json"),
        facts=load(found / "summary.json"),
        measured=measured_results(found, name, ctx.config),
        published=[row for row in published if row.object == name],
    )


def load(path: Path) -> Any:
    """A JSON file of `evaluate`. Raises BadInput where it is missing or damaged."""
    tree = read_json(path)
    if tree is None:
        raise BadInput("is missing or damaged", file=path, fix="run `evaluate` again")
    return tree


def write_tables(
    folder: Path, sections: list[Section], ablations: list[Any], published_ablations: list[Any]
) -> None:
    """LaTeX files: `<object>.tex` measured, `published_<object>.tex`, and the ablations of both."""
    tables = {}
    for one in sections:
        tables[one.name + ("_standin" if one.standin else "")] = one.table
        tables[f"published_{one.name}"] = one.published_table
    standin = "_standin" if any(one.standin for one in sections) else ""
    for number, table in enumerate(ablations, start=1):
        tables[f"ablation_{number}{standin}"] = table
    for number, table in enumerate(published_ablations, start=1):
        tables[f"published_ablation_{number}"] = table
    write_latex(folder, tables)


def write_published_plots(
    folder: Path, published: tuple[Result, ...], config: SampleSynthesisConfig
) -> dict[str, list[Any]]:
    """{object: SVGs}: the published results in our style, by the same function as the measured ones."""
    plots: dict[str, list[Any]] = {}
    for name in config.objects:
        rows = [row for row in published if row.object == name]
        total = max(row.num_real for row in rows)
        drawn = [
            drawing_of_test(rows, name, arch, total=total, note="published") for arch in architectures(rows)
        ]
        plots[name] = [drawing.write(folder) for drawing in drawn if drawing is not None]
    return plots


def leave_figures(out: Path, sections: Sequence[Section]) -> None:
    """What the page about all systems shows of this run."""
    figures = Figures(out)
    for one in sections:
        for k, sheet in enumerate(one.sheets[:NUM_SHEETS]):
            figures.picture(f"{one.name}-sheet{k}", f"{one.title}: {sheet['title']}", sheet["uri"])
        for k, plot in enumerate(one.results[:NUM_PLOTS]):
            figures.svg(f"{one.name}-result{k}", one.title, plot)
        for kind, rows in list(one.detections.items())[:1]:
            pictures = [cell["uri"] for row in rows[:NUM_FOUND] for cell in row["pictures"]]
            title = f"{one.title}: detections, {kind}"
            figures.sheet(f"{one.name}-found", title, pictures, columns=2, caption=one.detector)
    figures.write()


def write_results(ctx: Context) -> None:
    """results.csv of all objects, and each object's own files in the published columns below results/."""
    texts = []
    for name in ctx.config.objects:
        found = ctx.inputs[f"{name}-evaluate"]
        head, _, body = (found / "results.csv").read_text(encoding="utf-8").partition("\n")
        texts.append(body if head else "")
        folder = ctx.out / "results" / name
        folder.mkdir(parents=True, exist_ok=True)
        for file in (main_file(name), *ABLATION_FILES.values(), "cells.csv"):
            if (found / file).is_file():
                (folder / file).write_bytes((found / file).read_bytes())
    (ctx.out / "results.csv").write_text(COLUMNS + "".join(texts), encoding="utf-8")


def summarise(ctx: Context, sections: list[Section], stages: list[StageRecord]) -> dict[str, Any]:
    """summary.json, without what differs from the published settings."""
    return {
        "seed": ctx.seed,
        "objects": {
            one.name: {
                **one.facts,
                "stand_in": one.standin,
                "comparisons": [vars(row) for row in one.comparisons],
                "boxes": [vars(row) for row in one.statistics],
                "variants": list(variants(ctx.config, one.name)),
            }
            for one in sections
        },
        "cells": len(cells(ctx.config)),
        "worker_seconds": sum(stage.wall_seconds for stage in stages),
        "peak_rss_bytes": max((stage.peak_rss_bytes for stage in stages), default=0),
    }


def differing(config: SampleSynthesisConfig, paper: SampleSynthesisConfig) -> list[Deviation]:
    """Settings that differ from paper scale, without those of objects that are not in the run."""
    absent = [f"{name}." for name in OBJECTS if name not in config.objects]
    return [row for row in deviations(config, paper) if not row.key.startswith(tuple(absent))]


def main_manifest(stages: list[StageRecord]) -> Mapping[str, Any]:
    """The manifest whose environment the page describes: of the first training, else of the last stage."""
    trained = [stage.manifest for stage in stages if plain(stage.name) in ("pretrain", "cells")]
    return trained[0] if trained else stages[-1].manifest
