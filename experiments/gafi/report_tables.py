"""Published beside measured, the split that chose, and whether the two may be compared."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from suite.config import to_tree
from suite.published import NOT_FOUND, read_published
from suite.report.switches import value_of

PUBLISHED = Path(__file__).resolve().parent / "published.csv"
RESULT_COLUMNS = ("table", "row", "metric", "value", "unit")
# What decides a figure. The other sections say how and where it is computed and what else is looked at.
DECIDING = (
    "classifier",
    "gan",
    "pipeline",
    "multigan",
    "SUBSET",
    "RECYCLE",
    "SEARCH.epochs",
    "COMPUTE.lr_milestones",
)


@dataclass(frozen=True)
class Comparison:
    """A line of the table published | measured | split."""

    figure: str
    published: str
    measured: float | None
    unit: str  # points or fraction
    split: str  # that chose epoch, stddev, threshold and the classifier's epoch
    verdict: str


def published_value(table: str, dataset: str) -> tuple[str, float | None]:
    """(value as it is written, tolerance) of a data set's row; "not found" where nothing is published."""
    for row in read_published(PUBLISHED):
        if (row.table, row.row) == (table, dataset):
            return row.value, float(row.tolerance) if row.tolerance else None
    return NOT_FOUND, None


def is_paper_scale(config: Any, paper: Any) -> bool:
    """Whether all settings that decide a figure are those of the published scale of the same data set."""
    here, there = to_tree(config), to_tree(paper)
    return all(value_of(here, name) == value_of(there, name) for name in DECIDING)


def comparisons(summary: dict[str, Any], *, at_paper_scale: bool) -> list[Comparison]:
    """Published beside measured, for the head of the page.

    The published gap is that of the published rule: everything chosen by the test pictures. So both rules
    stand in the table where the test accuracy of every epoch is known, and only at the published scale is
    there a verdict.
    """
    dataset, by = summary["dataset"], summary["selection_split"]
    gap, tolerance = published_value("gap", dataset)
    real, _ = published_value("real accuracy", dataset)
    cas, _ = published_value("CAS", dataset)
    rows = [
        Comparison("real accuracy", real, summary["real"]["accuracy"], "fraction", "val", no_figure(real))
    ]
    for row in summary["rows"]:
        if row["kind"] not in ("filtered", "multigan"):
            continue
        rows.append(Comparison(f"CAS, {row['name']}", cas, row["accuracy"], "fraction", by, no_figure(cas)))
        rules = [(by, row["gap"])]
        if row["flattered"] is not None and by == "val":
            rules.append(("test (classifier's epoch)", row["flattered"]["gap"]))
        for split, measured in rules:
            said = verdict(gap, measured, tolerance, at_paper_scale=at_paper_scale, by=split)
            rows.append(Comparison(f"gap, {row['name']}", gap, measured, "points", split, said))
    return rows


def joined_results(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of results.csv with the keys of published.csv: of several GANs where there are, else of the first.

    The gap is that of the split that chose, "epoch by test" the one with the classifier's epoch as published.
    """
    dataset = summary["dataset"]
    kinds = {row["kind"]: row for row in reversed(summary["rows"])}
    best = kinds.get("multigan") or kinds.get("filtered")
    rows = [("real accuracy", dataset, "accuracy", summary["real"]["accuracy"], "fraction")]
    if best is not None:
        rows.append(("CAS", dataset, "accuracy", best["accuracy"], "fraction"))
        rows.append(("gap", dataset, "real accuracy minus CAS", best["gap"], "points"))
        if best["flattered"] is not None:
            metric = "real accuracy minus CAS, epoch by test"
            rows.append(("gap", dataset, metric, best["flattered"]["gap"], "points"))
    return [dict(zip(RESULT_COLUMNS, row, strict=True)) for row in rows]


def no_figure(published: str) -> str:
    """The verdict on a figure that is not published."""
    return "nothing published" if published == NOT_FOUND else "not comparable"


def verdict(
    published: str, measured: float, tolerance: float | None, *, at_paper_scale: bool, by: str
) -> str:
    """What a measured gap says about the published one; "not comparable" below the published scale."""
    if published == NOT_FOUND:
        return "nothing published"
    if not at_paper_scale:
        return "not comparable: smaller than the published scale"
    met = measured <= float(published) + (tolerance or 0)
    word = "within" if met else "above"
    note = "" if by == "test" else "; the published gap was chosen by test"
    return f"{word} published + {tolerance:g} points{note}"
