"""`make report`: one page, RUNS_DIR/report/index.html, that leads to the report of every run."""

from __future__ import annotations

import html
import os
from pathlib import Path

from suite.errors import Missing
from suite.manifest import read_manifest
from suite.runs import folder_setting

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>syndet: runs</title>
<style>
body {{ font: 16px/1.5 sans-serif; margin: 2em auto; max-width: 60em }}
td, th {{ padding: .2em 1em; text-align: left }}
</style>
<h1>Runs</h1>
<table><tr><th>system</th><th>scale</th><th>seed</th><th>report</th><th>git commit</th><th>warnings</th></tr>
{rows}
</table></html>
"""


def write_overview() -> int:
    """Write the page; Missing where no run has a report yet."""
    runs = folder_setting("RUNS_DIR", "runs")
    reports = sorted(runs.glob("*/*/seed*/report/index.html"))
    if not reports:
        raise Missing("no run has a report yet", file=runs, fix="make reproduce-solid")
    page = runs / "report" / "index.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(PAGE.format(rows="\n".join(row(report, page) for report in reports)), encoding="utf-8")
    print(f"report: {os.path.relpath(page)} ({len(reports)} runs)")
    return 0


def row(report: Path, page: Path) -> str:
    """One run as a row of the table."""
    system, scale, seed = report.parts[-5:-2]
    manifest = read_manifest(report.parent) or {}
    commit = ((manifest.get("git") or {}).get("commit") or "unknown")[:12]
    link = html.escape(os.path.relpath(report, page.parent), quote=True)
    cells = [
        html.escape(system), html.escape(scale), html.escape(seed.removeprefix("seed")),
        f'<a href="{link}">report</a>', html.escape(commit), str(len(manifest.get("warnings", []))),
    ]  # fmt: skip
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"
