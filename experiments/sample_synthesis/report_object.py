"""What the page says of one object: sheets, statistics, plots and tables, all made here and written as
files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from experiments.sample_synthesis.cells import Cell, cells, variants
from experiments.sample_synthesis.config import SampleSynthesisConfig
from experiments.sample_synthesis.data.types import RealSet
from experiments.sample_synthesis.detector.archs import find_arch
from experiments.sample_synthesis.names import ALL
from experiments.sample_synthesis.report_detections import examples, histories, shown_cells
from experiments.sample_synthesis.report_layout import Statistics, real_boxes, statistics, synthetic_boxes
from experiments.sample_synthesis.report_plots import (
    drawing_of_test,
    drawing_of_validation,
    loss_plot,
    sizes_plot,
)
from experiments.sample_synthesis.report_samples import Sheet, object_sheets, sample_sheets
from experiments.sample_synthesis.report_tables import (
    STANDIN,
    Comparison,
    comparisons,
    object_table,
    uses_standins,
)
from experiments.sample_synthesis.tables import Result, Table
from suite.report.draw import jpeg_uri

SHEET_QUALITY = 90  # of the JPEG files


@dataclass(frozen=True, eq=False)
class Section:
    """An object on the page. Plots are SVG, pictures data URIs."""

    name: str
    title: str
    standin: bool
    facts: Mapping[str, Any]  # summary.json of `evaluate`
    measured: tuple[Result, ...]
    table: Table | None
    published_table: Table | None
    comparisons: list[Comparison]
    statistics: list[Statistics]
    sheets: list[dict[str, str]]  # {"title", "uri"}: objects, then samples
    results: list[Any] = field(default_factory=list)  # test and validation plots
    curves: list[Any] = field(default_factory=list)  # losses and sizes
    detections: Mapping[str, list[dict[str, Any]]] = field(default_factory=dict)
    detector: str = ""  # whose detections they are


def section(
    config: SampleSynthesisConfig,
    name: str,
    inputs: Mapping[str, Path],
    *,
    seed: int,
    out: Path,
    paper: SampleSynthesisConfig,
    real: Mapping[str, RealSet],
    curves: Mapping[str, Any],
    facts: Mapping[str, Any],
    measured: tuple[Result, ...],
    published: Sequence[Result],
) -> Section:
    """config: with this object alone; inputs: its stages' folders; out: where plots/ and sheets/ are written.

    Raises BadInput, Missing where files of the run or of the data are gone.
    """
    standin = uses_standins(config, name)
    note = STANDIN if standin else ""
    lines, sizes = box_statistics(config, name, inputs, real)
    sheets = [
        *object_sheets(config, name, inputs, seed=seed), *sample_sheets(config, name, inputs, seed=seed)
    ]  # fmt: skip
    mine = cells(config)
    arch = config.detector.archs[0]
    shown = shown_cells(mine, arch)
    total = len(real["train"])
    return Section(
        name=name,
        title=ALL[name].title,
        standin=standin,
        facts=facts,
        measured=measured,
        table=object_table(measured, name, total=total, note=note),
        published_table=object_table(
            published, name, total=max(row.num_real for row in published), note="published"
        ),
        comparisons=comparisons(measured, published, config=config, paper=paper),
        statistics=lines,
        sheets=[write_sheet(out / "sheets", sheet) for sheet in sheets],
        results=result_plots(config, name, measured, curves, out=out / "plots", total=total, note=note),
        curves=[*loss_plots(config, mine, inputs), sizes_plot(sizes, title="Sizes of boxes")],
        detections={
            kind: [as_figure(one) for one in some]
            for kind, some in examples(
                real["test"], shown, inputs, floor=config.detector.min_confidence
            ).items()
        },
        detector=describe(shown),
    )


def box_statistics(
    config: SampleSynthesisConfig, name: str, inputs: Mapping[str, Path], real: Mapping[str, RealSet]
) -> tuple[list[Statistics], dict[str, Any]]:
    """A line per set, and the sides of the boxes of the masked and the real training images."""
    settings = config.of(name).synthesis
    found = {
        f"synthetic, {variant}": synthetic_boxes(
            inputs["synth"], variant, size=settings.image_size, num=settings.num_samples
        )
        for variant in variants(config, name)
    }
    found |= {f"real, {split}": real_boxes(one) for split, one in real.items()}
    sizes = {key: one.sides for key, one in found.items() if key != "real, valid"}
    return [statistics(key, one) for key, one in found.items()], sizes


def result_plots(
    config: SampleSynthesisConfig, name: str, measured: Sequence[Result], curves: Mapping[str, Any], *,
    out: Path, total: int, note: str,
) -> list[Any]:  # fmt: skip
    """Test and validation plot of every architecture, written as SVG and PNG."""
    plots = []
    for arch in config.detector.archs:
        title = find_arch(arch).title
        drawings = (
            drawing_of_test(measured, name, title, total=total, note=note),
            drawing_of_validation(
                curves, cells(config), name, arch, steps_per_epoch=config.train.steps_per_epoch, note=note
            ),
        )
        plots += [drawing.write(out) for drawing in drawings if drawing is not None]
    return plots


def loss_plots(
    config: SampleSynthesisConfig, all_cells: Sequence[Cell], inputs: Mapping[str, Path]
) -> list[Any]:
    """Losses of the first run of every architecture."""
    plots = []
    for arch in config.detector.archs:
        found = histories(inputs, [cell for cell in all_cells if cell.arch == arch])
        if found:
            plots.append(loss_plot(found, title=f"{find_arch(arch).title}: loss, run 1"))
    return plots


def write_sheet(folder: Path, sheet: Sheet) -> dict[str, str]:
    """`<name>.jpg`, and what the page needs of it."""
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(sheet.picture).save(folder / f"{sheet.name}.jpg", quality=SHEET_QUALITY)
    return {"title": sheet.title, "uri": jpeg_uri(sheet.picture)}


def as_figure(one: Any) -> dict[str, Any]:
    """An example with its pictures as data URIs."""
    return {
        "file_name": one.file_name,
        "pictures": [
            {"arm": arm.replace("_", " "), "uri": jpeg_uri(picture), "caption": one.captions[arm]}
            for arm, picture in one.pictures.items()
        ],
    }


def describe(shown: Mapping[str, Cell]) -> str:
    """Whose detections are shown; empty where there are none."""
    if not shown:
        return ""
    first = next(iter(shown.values()))
    return f"{find_arch(first.arch).title}, {first.num_real} real images, run {first.run}"
