"""Published figures: `experiments/<system>/published.csv`, one schema for all systems.

    table,row,metric,definition,value,unit,source,tolerance

The keys (table, row, metric) are those of the system's own results.csv wherever the same thing is measured,
so that joining the two needs no code of the system. `definition` says how the metric is taken, for a reader
who knows another one of the same name (AP over 11 points or by area; of which pictures). `value` is a number,
"about x", "not found" (no public text gives it) or "not published". `tolerance`, in the unit of the value:
how far a measured figure of the published scale may lie from it; "exact" for what is a setting; empty where
nobody can say. A metric may end in ", run <k>": single runs of one figure, which `claims` puts together. The
same key may come from several sources: each is a claim of its own.
"""

from __future__ import annotations

import csv
import re
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from suite.errors import BadInput

FILE = "published.csv"
COLUMNS = ("table", "row", "metric", "definition", "value", "unit", "source", "tolerance")
NOT_FOUND, NOT_PUBLISHED = "not found", "not published"
EXACT = "exact"
ABOUT = "about "
RUN = re.compile(r", run (\d+)$")


@dataclass(frozen=True, kw_only=True)
class Figure:
    """What a published and a measured figure have in common."""

    table: str
    row: str
    metric: str  # of a Claim without ", run <k>"

    @property
    def key(self) -> tuple[str, str, str]:
        """By which the two are joined."""
        return self.table, self.row, self.metric


@dataclass(frozen=True, kw_only=True)
class Published(Figure):
    """One row. `value` as it is written; `number` where it is one (also of "about x")."""

    definition: str
    value: str
    unit: str
    source: str
    tolerance: str

    @property
    def number(self) -> float | None:
        """The figure; None where nothing is published."""
        if self.value in (NOT_FOUND, NOT_PUBLISHED):
            return None
        return float(self.value.removeprefix(ABOUT))


@dataclass(frozen=True, kw_only=True)
class Claim(Figure):
    """What one source says of one figure: a single value, or the mean over its published runs."""

    definition: str
    text: str  # "35.43", "about 1", "not found", or of runs "52.0 +- 2.9"
    number: float | None
    sd: float | None  # sample standard deviation over the runs; None for a single value
    runs: int
    unit: str
    source: str
    tolerance: str


def read_published(path: Path) -> tuple[Published, ...]:
    """All rows of a published.csv. Raises BadInput, naming the line, where one breaks the schema."""
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            reader = csv.DictReader(stream)
            lines = list(reader)
    except FileNotFoundError:
        raise BadInput("is missing", file=path, fix="take it from the repository again") from None
    if tuple(reader.fieldnames or ()) != COLUMNS:
        raise BadInput(f"the columns are not {','.join(COLUMNS)}", file=path, fix="mend the first line")
    rows = []
    seen: set[tuple[str, ...]] = set()
    for number, line in enumerate(lines, start=1):
        fault = _fault(line)
        if fault is None:
            row = Published(**line)
            if (*row.key, row.source) in seen:
                fault = "the same key from the same source stands there twice"
            seen.add((*row.key, row.source))
        if fault is not None:
            raise BadInput(f"row {number}: {fault}", file=path, fix="see suite/published.py")
        rows.append(row)
    return tuple(rows)


def _fault(line: dict[str | None, str | None]) -> str | None:
    """What is wrong with a row, or None."""
    if None in line or None in line.values():
        return f"has not {len(COLUMNS)} cells"
    for name in ("table", "row", "metric", "definition", "value", "source"):
        if not line[name].strip():
            return f"`{name}` is empty"
    value = line["value"]
    if value not in (NOT_FOUND, NOT_PUBLISHED) and not _is_number(value.removeprefix(ABOUT)):
        return f"value {value!r} is no number, not '{ABOUT}x', '{NOT_FOUND}' or '{NOT_PUBLISHED}'"
    tolerance = line["tolerance"]
    if tolerance not in ("", EXACT) and not (_is_number(tolerance) and float(tolerance) >= 0):
        return f"tolerance {tolerance!r} is no number >= 0, '{EXACT}' or empty"
    if tolerance and value in (NOT_FOUND, NOT_PUBLISHED):
        return "has a tolerance and no value"
    return None


def _is_number(text: str) -> bool:
    return re.fullmatch(r"-?\d+(\.\d+)?([eE][-+]?\d+)?", text) is not None


def claims(rows: Iterable[Published]) -> tuple[Claim, ...]:
    """The rows with runs of one figure put together, in the order of first sight."""
    groups: dict[tuple[str, ...], list[Published]] = {}
    for row in rows:
        groups.setdefault((row.table, row.row, RUN.sub("", row.metric), row.source), []).append(row)
    return tuple(_claim(metric, group) for (_, _, metric, _), group in groups.items())


def _claim(metric: str, group: list[Published]) -> Claim:
    first = group[0]
    numbers = [row.number for row in group if row.number is not None]
    many = len(numbers) > 1
    mean = statistics.fmean(numbers) if numbers else None
    sd = statistics.stdev(numbers) if many else None
    return Claim(
        table=first.table,
        row=first.row,
        metric=metric,
        definition=first.definition,
        text=f"{mean:.1f} \N{PLUS-MINUS SIGN} {sd:.1f}" if many else first.value,
        number=mean,
        sd=sd,
        runs=len(group),
        unit=first.unit,
        source=first.source,
        tolerance=first.tolerance,
    )
