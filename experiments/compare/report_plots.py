"""The figure of the comparison, and the losses of its cells."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup
from matplotlib.axes import Axes

from experiments.compare.arms import ARMS
from experiments.compare.cells.grid import cells
from experiments.compare.config import CompareConfig
from experiments.compare.table import Row
from suite.report.plots import COLORS, lines, panels
from suite.tables import read_jsonl

COLOR = {name: COLORS[(number + 4) % len(COLORS)] for number, name in enumerate(ARMS)}
MARKERS = "osD^v"
SHIFT = 0.05  # arms stand side by side, so that their bars do not cover each other
NAMES = {"mask-rcnn": "Small Mask R-CNN", "dense": "Dense detector"}


def figure(rows: Sequence[Row], real: Sequence[int]) -> Markup:
    """Box AP over the number of real pictures: a panel per detector, a line per arm."""
    numbers = sorted(real)
    detectors = list(dict.fromkeys(row.detector for row in rows))

    def draw(axes: Axes, detector: str) -> None:
        arms = [name for name in ARMS if any(r.arm == name and r.detector == detector for r in rows)]
        for place, name in enumerate(arms):
            mine = sorted(
                (row for row in rows if row.arm == name and row.detector == detector), key=lambda r: r.real
            )
            shift = SHIFT * (place - (len(arms) - 1) / 2)
            axes.errorbar(
                [numbers.index(row.real) + shift for row in mine], [100 * row.ap for row in mine],
                yerr=[100 * (row.ap_sd or 0) for row in mine], label=ARMS[name].title, color=COLOR[name],
                marker=MARKERS[place % len(MARKERS)], markersize=4, capsize=2,
                linestyle="--" if ARMS[name].kind == "init" else "-",
            )  # fmt: skip
        axes.set_xticks(range(len(numbers)), [str(number) for number in numbers])
        axes.set_ylim(bottom=0)

    drawers = {NAMES[name]: lambda axes, name=name: draw(axes, name) for name in detectors}
    return panels(drawers, x="real pictures", y="AP, percent")


def loss_plots(config: CompareConfig, folder: Path) -> list[Markup]:
    """Training losses of the first seed, a plot per detector, a curve per arm and number of real pictures."""
    found: dict[str, dict[str, tuple[list[float], list[float]]]] = {}
    for shard, cell in enumerate(cells(config)):
        if cell.seed == config.cells.seeds[0] and cell.real in (0, max(config.cells.real)):
            log = read_jsonl(folder / f"{shard:05d}" / "metrics.jsonl")
            points = ([row["step"] for row in log], [row["total_loss"] for row in log])
            found.setdefault(cell.detector, {})[f"{cell.arm.name}, {cell.real} real"] = points
    return [
        lines(curves, title=f"Training loss: {NAMES[name]}", x="update", y="loss")
        for name, curves in found.items()
    ]
