"""`make report`: RUNS_DIR/report/index.html leads to the report of every run and joins their seeds."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from suite.errors import Missing
from suite.manifest import read_manifest
from suite.over_seeds import over_seeds, write_spreads
from suite.report.html import TEMPLATES, write_page
from suite.runs import folder_setting


def write_overview() -> int:
    """Write the page and results.csv beside it; Missing where no run has a report yet."""
    runs = folder_setting("RUNS_DIR", "runs")
    reports = sorted(path.parent for path in runs.glob("*/*/seed*/report/index.html"))
    if not reports:
        raise Missing("no run has a report yet", file=runs, fix="make reproduce-solid")
    folder = runs / "report"
    folder.mkdir(parents=True, exist_ok=True)
    spreads = over_seeds(reports)
    write_spreads(folder / "results.csv", spreads)
    page = write_page(
        folder / "index.html",
        "overview.html",
        folder=TEMPLATES,
        title="syndet: runs",
        runs=[describe(report, folder) for report in reports],
        spreads=spreads,
    )
    print(f"report: {os.path.relpath(page)} ({len(reports)} runs)")
    return 0


def describe(report: Path, folder: Path) -> dict[str, Any]:
    """One run as a row of the table; the link is relative to `folder`."""
    system, scale, seed = report.parts[-4:-1]
    manifest = read_manifest(report) or {}
    return {
        "system": system,
        "scale": scale,
        "seed": seed.removeprefix("seed"),
        "link": os.path.relpath(report / "index.html", folder),
        "commit": ((manifest.get("git") or {}).get("commit") or "unknown")[:12],
        "warnings": len(manifest.get("warnings", [])),
    }
