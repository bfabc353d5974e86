"""The plots of the page: test mAP over the number of real images, validation mAP over iterations, losses,
sizes of boxes.

The first two are the published ones, under their published names `<arch>_{test,valid}_results_<object>`; on
stand-ins with `_standin` behind it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter

from experiments.sample_synthesis.cells import Cell
from experiments.sample_synthesis.detector.archs import find_arch
from experiments.sample_synthesis.names import ALL
from experiments.sample_synthesis.report_tables import kinds_of, percent_of
from experiments.sample_synthesis.tables import TYPES, Result, find
from suite.report.plots import COLORS, lines, plot, plot_png

SIZE, DPI = (6.0, 14 / 3), 150  # inches; 900 x 700 pixels, as published
TOP = 105  # percent, so that an error bar at 100 is whole
COLOR = dict(zip(TYPES, COLORS, strict=False))


@dataclass(frozen=True)
class Drawing:
    """A plot that is a file, too."""

    stem: str  # name of its files
    draw: Callable[[Axes], None]
    title: str
    x: str
    y: str

    def svg(self) -> Markup:
        """For the page."""
        return plot(self.draw, title=self.title, x=self.x, y=self.y, size=SIZE)

    def write(self, folder: Path) -> Markup:
        """`<stem>.svg` and `<stem>.png`, of 900 x 700 pixels; the first of them, for the page."""
        folder.mkdir(parents=True, exist_ok=True)
        drawn = self.svg()
        (folder / f"{self.stem}.svg").write_text(f"{drawn}\n", encoding="utf-8")
        png = plot_png(self.draw, title=self.title, x=self.x, y=self.y, size=SIZE, dpi=DPI)
        (folder / f"{self.stem}.png").write_bytes(png)
        return drawn


def file_stem(architecture: str, split: str, name: str, *, standin: bool = False) -> str:
    """`ssdmobilenet_test_results_qr`, and what is said of stand-ins."""
    arch = re.sub(r"[^a-z0-9]", "", architecture.lower().removesuffix(" (ours)"))
    return f"{arch}_{split}_results_{name}" + ("_standin" if standin else "")


def drawing_of_test(
    rows: Sequence[Result], name: str, architecture: str, *, total: int, note: str = ""
) -> Drawing | None:
    """Test mAP of one architecture over N: a curve per arm with the sample deviation over runs; dashed, with
    a band, the network that was pretrained only. total: all training images. None where there is no such row.
    """
    mine = [
        row for row in rows if (row.experiment, row.object, row.architecture) == ("main", name, architecture)
    ]
    sizes = sorted({row.num_real for row in mine if row.num_real})
    if not sizes:
        return None
    alone = find(mine, train_type="pretrained")

    def draw(axes: Axes) -> None:
        for kind in kinds_of(mine):
            points = [row for row in mine if row.train_type == kind]
            places = [sizes.index(row.num_real) for row in points]
            figures = [row.figure() for row in points]
            axes.errorbar(
                places, [f.mean for f in figures], yerr=[f.sd or 0.0 for f in figures], marker="o",
                markersize=4, capsize=3, color=COLOR[kind], label=TYPES[kind],
            )  # fmt: skip
        if alone is not None:
            figure = alone.figure()
            axes.axhline(figure.mean, linestyle="--", color="grey", label="pretrained only")
            if figure.sd:
                axes.axhspan(figure.mean - figure.sd, figure.mean + figure.sd, color="grey", alpha=0.2)
        axes.set_xticks(range(len(sizes)), [f"{n}\n~{percent_of(n, total)}%" for n in sizes], fontsize=7)
        axes.set_ylim(0, TOP)

    title = f"{ALL[name].title}, {architecture}" + (f" ({note})" if note else "")
    stem = file_stem(architecture, "test", name, standin=bool(note) and note != "published")
    return Drawing(stem, draw, title, "real training images, and share of all", "test mAP@0.5, %")


def drawing_of_validation(
    curves: Mapping[str, Sequence[float | None]], cells: Sequence[Cell], name: str, arch: str, *,
    steps_per_epoch: int, note: str = "",
) -> Drawing | None:  # fmt: skip
    """Validation mAP over iterations of the trainings on most real images: mean and deviation over runs.

    curves: {cell: validation mAP after each epoch}. None where no training was validated.
    """
    main = [c for c in cells if (c.object, c.arch, c.ablation) == (name, arch, None) and c.num_real]
    most = max((cell.num_real for cell in main), default=0)
    runs: dict[str, list[Sequence[float | None]]] = {}
    for cell in main:
        values = curves.get(cell.name, ())
        if cell.num_real == most and values and None not in values:
            runs.setdefault(cell.arm, []).append(values)
    if not runs:
        return None

    def draw(axes: Axes) -> None:
        for kind in (kind for kind in TYPES if kind in runs):
            values = 100 * np.array(runs[kind], dtype=np.float64)
            steps = steps_per_epoch * (1 + np.arange(values.shape[1]))
            mean = values.mean(axis=0)
            axes.plot(steps, mean, color=COLOR[kind], label=TYPES[kind])
            if len(values) > 1:
                sd = values.std(axis=0, ddof=1)
                axes.fill_between(steps, mean - sd, mean + sd, color=COLOR[kind], alpha=0.2, linewidth=0)
        axes.set_ylim(0, TOP)

    architecture = find_arch(arch).title
    title = f"{ALL[name].title}, {architecture}, {most} real images" + (f" ({note})" if note else "")
    stem = file_stem(architecture, "valid", name, standin=bool(note))
    return Drawing(stem, draw, title, "iteration", "validation mAP@0.5, %")


def loss_plot(histories: Mapping[str, Sequence[Mapping[str, Any]]], *, title: str) -> Markup:
    """Training loss over epochs, logarithmic, a curve per training; histories: rows of history.json."""

    def draw(axes: Axes) -> None:
        for number, (label, rows) in enumerate(histories.items()):
            xs, ys = [row["epoch"] for row in rows], [row["loss"] for row in rows]
            axes.plot(xs, ys, marker=".", color=COLORS[number % len(COLORS)], label=label)
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")  # the usual powers of ten need fonts that are not shipped
        axes.yaxis.set_minor_formatter(NullFormatter())

    return plot(draw, title=title, x="epoch", y="loss")


def sizes_plot(shares: Mapping[str, np.ndarray], *, title: str) -> Markup:
    """How large boxes are: the share of boxes below a side, one curve per set.

    shares: {set: sqrt(box area / picture area), float64 (n,)}.
    """
    edges = np.linspace(0, 1, 41)
    curves = {
        name: (edges.tolist(), [100 * float((values <= edge).mean()) for edge in edges])
        for name, values in shares.items()
        if len(values)
    }
    return lines(curves, title=title, x="side of a box / side of its picture", y="boxes below, %")
