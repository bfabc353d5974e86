"""`make status` and `make logs`: what runs, what is left, how the last launches ended. Reads files, starts
nothing.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from suite.errors import EXIT_STOPPED, Missing
from suite.launch.state import read_state
from suite.launch.worker import tail
from suite.plan import table, time_text
from suite.runs import Run, choose, folder_setting, target_of


def launches() -> list[dict[str, Any]]:
    """The last launch of every stage of every run, newest first; `run` is the run's folder below RUNS_DIR."""
    runs = folder_setting("RUNS_DIR", "runs")
    found = []
    for path in runs.glob("*/*/seed*/logs/*.json"):
        tree = read_state(path)
        if tree is not None:
            found.append({"run": str(path.parent.parent.relative_to(runs)), **tree})
    return sorted(found, key=lambda tree: tree["started"], reverse=True)


def print_status(*, as_json: bool) -> int:
    """The table of launches."""
    found = launches()
    if as_json:
        print(json.dumps(found, indent=1))
        return 0
    if not found:
        print("nothing was started yet; `make help` says what there is")
        return 0
    rows = [("run", "stage", "state", "shards", "time", "what to know")]
    rows += [row(tree) for tree in found]
    print("\n".join(table(rows)))
    running = sum(tree["state"] == "running" for tree in found)
    print(f"\n{running} running; the log of a stage: make logs STAGE=<stage> SCALE=<scale>")
    return 0


def row(tree: dict[str, Any]) -> tuple[str, ...]:
    """One launch as text."""
    shards = f"{tree['finished']}/{tree['total']}" if "total" in tree else "-"
    seconds = tree.get("ended", time.time()) - tree["started"]
    return (
        tree["run"],
        tree["stage"],
        tree["state"],
        shards,
        time_text(round(seconds, 1) or None),
        remark(tree, seconds),
    )


def remark(tree: dict[str, Any], seconds: float) -> str:
    """Place and process of a running launch, the failures of an ended one."""
    if tree["state"] == "running":
        left = ""
        done_now = tree.get("finished", 0) - tree.get("finished_before", 0)
        if done_now > 0:
            left = f", about {time_text(seconds / done_now * (tree['total'] - tree['finished']) or 1)} left"
        if "slurm_job" in tree:
            return f"slurm, job {tree['slurm_job']}: {tree['queue']}{left}"
        return f"{tree['place']}, {tree['jobs']} at a time, process {tree['pid']} on {tree['host']}{left}"
    if "slurm_job" in tree and (tree["state"] == "died" or tree.get("code") == EXIT_STOPPED):
        return f"slurm, job {tree['slurm_job']} may go on; the same make command waits for it"
    if tree["state"] == "died":
        return "killed; the same make command goes on from there"
    if tree.get("failed"):
        shards = ", ".join(str(item["shard"]) for item in tree["failed"][:5])
        return f"exit code {tree['code']}, shards {shards}{' ...' if len(tree['failed']) > 5 else ''}"
    return "" if tree["state"] == "done" else f"exit code {tree['code']}"


def print_log(run: Run, stage: str, *, lines: int) -> int:
    """The last lines of a stage's log; without a stage, of the run's newest log."""
    folder = run.folder / "logs"
    if stage:
        log = folder / f"{choose(stage, list(run.stages), 'stage')}.log"
    else:
        found = sorted(folder.glob("*.log"), key=lambda path: path.stat().st_mtime)
        log = found[-1] if found else folder / "any.log"
    if not log.is_file():
        raise Missing(
            "no log yet", file=shown(log), fix=f"start it: make {target_of(run.system)} SCALE={run.scale}"
        )
    print(f"==> {shown(log)} <==\n{tail(log, lines)}")
    return 0


def shown(path: Path) -> str:
    """Relative to where the user is."""
    return os.path.relpath(path)
