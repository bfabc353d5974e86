"""`table`: what the cells came to, over the seeds.

Writes cells.csv (a row per cell) and table.csv (a row per detector, arm and number of real pictures: mean and
sample standard deviation of AP and AP50 over the seeds, and of the difference to real pictures alone, seed by
seed). All are COCO's box AP on the target's test pictures, 0..1.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from experiments.compare.arms import ARMS
from experiments.compare.cells.grid import cells
from experiments.compare.config import CompareConfig
from suite.errors import BadInput
from suite.manifest import read_json
from suite.stage import Context
from suite.tables import csv_text, read_csv

RESULT = "cell.json"
FACTS = (
    "name", "detector", "arm", "kind", "real", "seed", "pictures", "pictures_without_masks", "objects",
    "detections", "test_pictures", "ap", "ap50", "ap75",
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One detector, arm and number of real pictures, over its seeds. None: of one seed, or not defined."""

    detector: str
    arm: str
    kind: str
    real: int
    seeds: int
    ap: float
    ap_sd: float | None
    ap50: float
    ap50_sd: float | None
    gain: float | None  # AP less that of real pictures alone, as many of them, of the same seed
    gain_sd: float | None
    pictures: int  # that were trained on

    @property
    def title(self) -> str:
        """As tables say it: `pasted samples + 50 real`."""
        name = ARMS[self.arm].title
        if self.kind == "real":
            return f"{self.real} {name}"
        return f"{name} + {self.real} real" if self.real else name


def run(ctx: Context) -> None:
    """The stage."""
    found = read_cells(ctx.config, ctx.inputs["cells"])
    rows = table(found)
    chosen = [{name: one[name] for name in FACTS} for one in found]
    (ctx.out / "cells.csv").write_text(csv_text(chosen), encoding="utf-8")
    (ctx.out / "table.csv").write_text(csv_text(asdict(row) for row in rows), encoding="utf-8")
    ctx.count("cells", len(found))
    ctx.count("rows", len(rows))


def read_cells(config: CompareConfig, folder: Path) -> list[dict[str, Any]]:
    """cell.json of every cell, in the order of the grid. Raises BadInput where one is gone."""
    found = []
    for shard, cell in enumerate(cells(config)):
        path = folder / f"{shard:05d}" / RESULT
        tree = read_json(path)
        if not isinstance(tree, dict) or tree.get("name") != cell.name:
            raise BadInput("is missing or damaged", file=path, fix="run the stage cells again")
        found.append(tree)
    return found


def table(found: Iterable[Mapping[str, Any]]) -> list[Row]:
    """Rows in the order in which their cells first appear, by detector and arm."""
    groups: dict[tuple[str, str, int], list[Mapping[str, Any]]] = {}
    for one in found:
        groups.setdefault((one["detector"], one["arm"], one["real"]), []).append(one)
    alone = {
        (detector, real, one["seed"]): one["ap"]
        for (detector, arm, real), mine in groups.items()
        if arm == "real"
        for one in mine
    }
    return [_row(mine, alone) for mine in groups.values()]


def _row(mine: Sequence[Mapping[str, Any]], alone: Mapping[tuple[str, int, int], float]) -> Row:
    first = mine[0]
    ap, ap_sd = spread([one["ap"] for one in mine])
    ap50, ap50_sd = spread([one["ap50"] for one in mine])
    places = [(one, (one["detector"], one["real"], one["seed"])) for one in mine if one["arm"] != "real"]
    gains = [one["ap"] - alone[place] for one, place in places if place in alone]
    gain, gain_sd = spread(gains) if gains and len(gains) == len(mine) else (None, None)
    return Row(
        first["detector"], first["arm"], first["kind"], first["real"], len(mine), ap, ap_sd, ap50, ap50_sd,
        gain, gain_sd, first["pictures"],
    )  # fmt: skip


def spread(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and sample standard deviation; None for one value."""
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None


def read_table(folder: Path) -> list[Row]:
    """The rows of a finished stage. Raises BadInput."""
    path = folder / "table.csv"
    try:
        return [_parse(row) for row in read_csv(path)]
    except (KeyError, ValueError) as error:
        what = f"is not a table of this program ({error})"
        raise BadInput(what, file=path, fix="run the stage table again") from None


def _parse(row: Mapping[str, str]) -> Row:
    words = {name: row[name] for name in ("detector", "arm", "kind")}
    counts = {name: int(row[name]) for name in ("real", "seeds", "pictures")}
    names = ("ap", "ap_sd", "ap50", "ap50_sd", "gain", "gain_sd")
    figures = {name: float(row[name]) if row[name] else None for name in names}
    return Row(**words, **counts, **figures)  # type: ignore[arg-type]
