"""The page and the numbers beside it: index.html, results.csv, results.json below RUNS_DIR/report.

python -m suite report            # links to the runs' own pages and manifests
python -m suite report --out DIR  # to keep or to send: outside of RUNS_DIR, so without links into it
"""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from suite.errors import Missing
from suite.manifest import write_json
from suite.overall import numbers
from suite.overall.found import (
    Group,
    RunReport,
    audits,
    environments,
    find_reports,
    grouped,
    made_by,
)
from suite.overall.join import Joined, terms
from suite.overall.sound import sound
from suite.overall.systems import Section, systems_of
from suite.report.html import write_page
from suite.runs import COMPARISON, folder_setting, papers

HERE = Path(__file__).resolve().parent
SCHEMA = 2
COLUMNS = (
    "system", "scale", "table", "row", "metric", "definition", "unit", "mean", "sd", "seeds",
    "published", "published_sd", "tolerance", "difference", "verdict", "source",
)  # fmt: skip


def write_report(out: Path | None = None) -> int:
    """Write the page, results.csv and results.json; Missing where no run has a report yet."""
    runs = folder_setting("RUNS_DIR", "runs")
    reports, left_out = sound(find_reports(runs))
    examined, unread = audits(runs)
    for text in (left_out := [*left_out, *unread]):
        print(f"warning: {text}", file=sys.stderr)
    if not reports:
        raise Missing("no run has a report yet", file=runs, fix="make reproduce-solid")
    folder = runs / "report" if out is None else out
    folder.mkdir(parents=True, exist_ok=True)
    groups = grouped(reports)
    found = {group.system for group in groups}
    systems = systems_of([*papers(), *sorted(found - {*papers(), COMPARISON})], groups)
    comparisons = systems_of([COMPARISON] if COMPARISON in found else [], groups)
    write_numbers(folder, [one for system in [*systems, *comparisons] for one in system.sections], examined)
    link = linker(folder, runs)
    page = write_page(
        folder / "index.html",
        "overall.html",
        folder=HERE / "templates",
        title="syndet: published beside measured",
        systems=systems,
        comparisons=[one for system in comparisons for one in system.sections],
        made_by=made_by(groups),
        left_out=left_out,
        environments=environments(groups),
        audits=examined,
        link=link,
        numbers=numbers,
        terms_of=terms,
        has_links=link(reports[0].folder / "index.html") is not None,
    )
    print(f"report: {os.path.relpath(page)} ({len(reports)} runs)")
    return 0


def linker(folder: Path, runs: Path) -> Any:
    """What a template asks for a link: relative to the page, or None where the page lies outside of the runs
    and may be moved.
    """
    inside = folder.resolve().is_relative_to(runs.resolve())

    def link(path: Path) -> str | None:
        return os.path.relpath(path, folder) if inside and path.is_file() else None

    return link


# --- numbers ---


def write_numbers(
    folder: Path, sections: Sequence[Section], found_audits: Iterable[Mapping[str, Any]]
) -> None:
    """results.csv: a row a figure; results.json: the same with stages, settings, warnings and audits."""
    with (folder / "results.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for one in sections:
            writer.writerows(csv_row(one.group, row) for row in one.rows)
    tree = {
        "schema": SCHEMA,
        "systems": [section_tree(one) for one in sections],
        "audits": [
            {key: tree[key] for key in ("audit", "command", "passed", "counts", "seconds", "machine")}
            | {"groups": tree["groups"]}
            for tree in found_audits
        ],
    }
    write_json(folder / "results.json", tree)


def csv_row(group: Group, row: Joined) -> dict[str, Any]:
    """A line of results.csv; measured figures stand in `mean` and `sd`, published ones never do."""
    values = {
        "system": group.system, "scale": group.scale, "table": row.table, "row": row.row,
        "metric": row.metric, "definition": row.definition, "unit": row.unit, "mean": row.mean, "sd": row.sd,
        "seeds": " ".join(map(str, row.seeds)), "published": row.published,
        "published_sd": row.published_sd, "tolerance": row.tolerance, "difference": row.difference,
        "verdict": row.verdict, "source": row.source,
    }  # fmt: skip
    return {name: "" if value is None else value for name, value in values.items()}


def section_tree(one: Section) -> dict[str, Any]:
    """A system at a scale as plain data."""
    group = one.group
    return {
        "system": group.system,
        "scale": group.scale,
        "seeds": list(group.seeds),
        "runs": [run_tree(run) for run in group.runs],
        "compared": [asdict(row) for row in one.both],
        "measured": [asdict(row) for row in one.measured],
        "published": [asdict(row) for row in one.published],
        "switches": group.switches,
        "deviations": group.deviations,
        "warnings": [{"stage": stage, "text": text, "runs": count} for stage, text, count in group.warnings],
    }


def run_tree(run: RunReport) -> dict[str, Any]:
    """A run as plain data."""
    return {
        "seed": run.seed,
        "commit": run.commit,
        "stages": [
            {
                "stage": stage.name,
                "key": stage.manifest["key"],
                "wall_seconds": stage.wall_seconds,
                "cpu_seconds": stage.cpu_seconds,
                "peak_rss_bytes": stage.peak_rss_bytes,
                "peak_gpu_bytes": stage.peak_gpu_bytes,
                "device": stage.manifest.get("device"),
                "environment": less(stage.manifest.get("environment"), "prefix"),
                "host": less(stage.manifest.get("host"), "name"),
            }
            for stage in run.stages
        ],
    }


def less(tree: Mapping[str, Any] | None, name: str) -> dict[str, Any]:
    """Without what names one machine's own folders or the machine itself: the file may be published."""
    return {key: value for key, value in (tree or {}).items() if key != name}
