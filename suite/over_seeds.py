"""Figures of several seeds put together: mean and sample standard deviation per figure.

A run's report leaves `results.csv` (columns table, row, metric, value, unit). Runs of one system at one scale
that differ only in the seed are one group. Published numbers do not enter here.
"""

from __future__ import annotations

import csv
import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from suite.errors import BadInput

RESULTS = "results.csv"
COLUMNS = ("system", "scale", "table", "row", "metric", "unit", "mean", "sd", "seeds")


@dataclass(frozen=True)
class Spread:
    """One figure over seeds. `sd` is the sample standard deviation; None for a single seed."""

    system: str
    scale: str
    table: str
    row: str
    metric: str
    unit: str
    mean: float
    sd: float | None
    seeds: tuple[int, ...]


def over_seeds(reports: Iterable[Path]) -> list[Spread]:
    """Spreads of all figures below `.../<system>/<scale>/seed<k>/report/`, in the order they first appear.

    A figure that a seed does not have is averaged over the others; `seeds` says over which.
    """
    found: dict[tuple[str, ...], dict[int, float]] = {}
    for report in sorted(reports):
        system, scale, seed = report.parts[-4:-1]
        for key, value in read_results(report / RESULTS):
            found.setdefault((system, scale, *key), {})[int(seed.removeprefix("seed"))] = value
    return [
        Spread(
            *key,
            mean=statistics.fmean(values.values()),
            sd=statistics.stdev(values.values()) if len(values) > 1 else None,
            seeds=tuple(sorted(values)),
        )
        for key, values in found.items()
    ]


def read_results(path: Path) -> list[tuple[tuple[str, str, str, str], float]]:
    """((table, row, metric, unit), value) of every finite number in a results.csv; [] where there is none."""
    if not path.is_file():
        return []
    rows = []
    with path.open(newline="", encoding="utf-8") as stream:
        for line in csv.DictReader(stream):
            try:
                value = float(line["value"] or "nan")
            except (KeyError, TypeError, ValueError):
                raise BadInput(
                    "not a table of table,row,metric,value,unit", file=path, fix="make the report again"
                ) from None
            if math.isfinite(value):
                rows.append(((line["table"], line["row"], line["metric"], line.get("unit") or ""), value))
    return rows


def write_spreads(path: Path, spreads: Iterable[Spread]) -> None:
    """The same table as CSV, numbers in full precision."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in spreads:
            sd = "" if row.sd is None else row.sd
            seeds = " ".join(map(str, row.seeds))
            writer.writerow(
                (row.system, row.scale, row.table, row.row, row.metric, row.unit, row.mean, sd, seeds)
            )
