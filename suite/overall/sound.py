"""Which runs can be put on the page. One that is damaged, or left by another version of this program, is left
out and named, and the others are shown.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from suite.errors import BadInput
from suite.manifest import MANIFEST, file_digest, read_json, read_manifest
from suite.over_seeds import RESULTS, read_results
from suite.overall.figure_files import FOLDER, INDEX
from suite.overall.found import RunReport
from suite.runs import COMPARISON, target_of

SUMMARY = "summary.json"
USAGE = {"wall_seconds", "cpu_seconds", "peak_rss_bytes"}
STAGE_KEYS = USAGE | {"stage", "system", "key", "inputs", "outputs", "device"}
FIGURE_KEYS = {"name", "title", "caption", "file"}
ARM_KEYS = {
    "title", "detector", "kind", "real", "seeds", "ap", "ap_sd", "ap50", "ap50_sd", "gain", "gain_sd",
    "data_cpu_hours", "data_gpu_hours", "training_cpu_hours", "training_gpu_hours",
}  # fmt: skip
LISTS = {"deviations": {"key", "here", "published"}, "switches": {"key", "here", "published", "why"}}


def sound(reports: Iterable[RunReport]) -> tuple[list[RunReport], list[str]]:
    """Those that can be shown, and why each of the others cannot, as lines for a reader."""
    good, told = [], []
    for run in reports:
        fault = fault_of(run)
        if fault is None:
            good.append(run)
        else:
            command = f"make {target_of(run.system)} SCALE={run.scale} SEED={run.seed}"
            told.append(f"left out: {fault}; delete {run.folder}, then {command}")
    return good, told


def fault_of(run: RunReport) -> str | None:
    """What is wrong with a run's report, the file first; None where it can be shown."""
    checks = (_stage_fault, _file_fault, _summary_fault, _results_fault, _figures_fault)
    return next((fault for check in checks if (fault := check(run)) is not None), None)


def _stage_fault(run: RunReport) -> str | None:
    """Of the manifests of the report and of what it was made from, as far as they are there."""
    report = run.folder.resolve()
    seen: set[Path] = set()
    queue = [report]
    while queue:
        folder = queue.pop().resolve()
        file = folder / MANIFEST
        if folder in seen or (folder != report and not file.is_file()):
            continue
        seen.add(folder)
        tree = read_manifest(folder)
        if tree is None:
            return f"{file}: is missing or damaged"
        shards = _mappings(tree.get("shards", []))
        lacking = [*(STAGE_KEYS - tree.keys()), *(key for row in shards for key in USAGE - row.keys())]
        if lacking:
            return f"{file}: has no {min(lacking)}"
        queue += [folder / row["path"] for row in tree["inputs"].values()]
    return None


def _file_fault(run: RunReport) -> str | None:
    """A figure of the page is one that the stage left: its files are those that its manifest lists."""
    for row in run.manifest["outputs"]:
        file = run.folder / row["path"]
        if not file.is_file() or file_digest(file) != row["sha256"]:
            return f"{file}: is not as the report left it"
    return None


def _summary_fault(run: RunReport) -> str | None:
    file = run.folder / SUMMARY
    if not file.is_file():
        return f"{file}: is missing" if run.system == COMPARISON else None
    tree = read_json(file)
    if not isinstance(tree, Mapping):
        return f"{file}: is damaged"
    wanted = {"table": ARM_KEYS} if run.system == COMPARISON else LISTS
    for name, keys in wanted.items():
        rows = tree.get(name, None if run.system == COMPARISON else [])
        if not isinstance(rows, list) or any(not keys <= row.keys() for row in _mappings(rows)):
            return f"{file}: its {name} is not of this version"
    return None


def _results_fault(run: RunReport) -> str | None:
    file = run.folder / RESULTS
    try:
        read_results(file)
    except BadInput as error:
        return f"{file}: {error.what}"
    except UnicodeDecodeError:
        return f"{file}: is damaged"
    return None


def _figures_fault(run: RunReport) -> str | None:
    file = run.folder / FOLDER / INDEX
    if not file.is_file():
        return None
    rows = read_json(file)
    if not isinstance(rows, list) or any(not FIGURE_KEYS <= row.keys() for row in _mappings(rows)):
        return f"{file}: is damaged, or not of this version"
    return None


def _mappings(rows: Any) -> list[Mapping[str, Any]]:
    """Rows of JSON, those without keys as empty ones, so that their keys are missed."""
    return [row if isinstance(row, Mapping) else {} for row in rows]
