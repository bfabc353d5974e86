"""Where a report leaves its figures for the page about all runs (suite/report/figures.py writes them)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from suite.manifest import read_json

FOLDER = "figures"  # below the report
INDEX = "figures.json"
MAX_BYTES = 400_000  # of a run's figures, one object or target: a page of five systems stays below 3 MB


def read_figures(report: Path) -> list[dict[str, Any]]:
    """The figures of a finished report: name, title, caption, file, path; [] where it left none."""
    rows = read_json(report / FOLDER / INDEX) or []
    return [{**row, "path": report / row["file"]} for row in rows]
