"""`make plan`: stages, shards, what is up to date and why not, disk, GPUs, time. Starts nothing.

Time is given only where it was measured (experiments/<system>/measured.yaml, which names machine and
command), for the same scale; everything else says "not measured". A scale that was not measured may have an
estimate from measured units of work: `lines(config)` of experiments/<system>/estimate.py.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from suite.inspect_run import DONE, StageState, inspect
from suite.launch.gpu import list_gpus
from suite.runs import Run, folder_setting, target_of


@dataclass(frozen=True, kw_only=True)
class PlanRow:
    """One stage as it is shown."""

    stage: str
    toolchain: str
    state: str
    reason: str
    shards: int | None
    shards_done: int | None
    disk_bytes: int | None  # estimate for the whole stage; None: not estimated
    seconds: float | None  # for what is left of it, one worker; None: not measured
    optional: bool = False  # not part of the default run


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a run would do."""

    system: str
    scale: str
    seed: int
    folder: str
    rows: tuple[PlanRow, ...]
    free_bytes: int
    gpus: tuple[str, ...]
    measured_on: str | None
    estimate: tuple[str, ...] = ()  # lines about the whole scale, where it was not measured itself

    @property
    def disk_bytes(self) -> int:
        """Estimated need of what is not done."""
        return sum(row.disk_bytes or 0 for row in self.rows if row.state != DONE and not row.optional)


def make_plan(run: Run) -> Plan:
    """Look at the disk, the config and the machine."""
    measured = read_measured(run)
    rows = []
    for state in inspect(run):
        stage = run.stages[state.name]
        size = stage.disk_bytes(run.config) if stage.disk_bytes else None
        rows.append(
            PlanRow(
                stage=state.name, toolchain=state.toolchain, state=state.state, reason=state.reason,
                shards=state.shards, shards_done=state.shards_done, disk_bytes=size,
                seconds=seconds_left(state, measured.get("stages", {}).get(state.name)),
                optional=stage.optional,
            )
        )  # fmt: skip
    return Plan(
        system=run.system, scale=run.scale, seed=run.seed, folder=str(run.folder), rows=tuple(rows),
        free_bytes=shutil.disk_usage(existing(folder_setting("RUNS_DIR", "runs"))).free,
        gpus=tuple(gpu.name for gpu in list_gpus()), measured_on=measured.get("machine"),
        estimate=() if measured else estimate_lines(run),
    )  # fmt: skip


def read_measured(run: Run) -> dict[str, Any]:
    """The scale's entry of measured.yaml: {machine, command, stages: {name: seconds of CPU-bound work}}; or
    {}.
    """
    path = run.home / "measured.yaml"
    tree = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return (tree or {}).get(run.scale, {})


def estimate_lines(run: Run) -> tuple[str, ...]:
    """What the system's own estimate says of these settings; nothing where it has none."""
    name = f"experiments.{run.package}.estimate"
    return tuple(import_module(name).lines(run.config)) if find_spec(name) else ()


def seconds_left(state: StageState, measured: float | None) -> float | None:
    """Seconds of one worker for what is left; `measured` is for a whole narrow stage, or for one shard."""
    if state.is_done:
        return 0.0
    if measured is None:
        return None
    return measured * (state.shards - (state.shards_done or 0)) if state.shards is not None else measured


def existing(path: Path) -> Path:
    """The path, or its nearest parent that is there."""
    while not path.exists():
        path = path.parent
    return path


def as_json(plan: Plan) -> str:
    """The plan for programs."""
    return json.dumps({**asdict(plan), "disk_bytes": plan.disk_bytes}, indent=1)


def as_text(plan: Plan) -> str:
    """The plan as a table and three lines."""
    header = ("stage", "toolchain", "shards", "state", "time left", "why")
    rows = [
        (row.stage, row.toolchain, shard_text(row), state_text(row), time_text(row.seconds), row.reason)
        for row in plan.rows
    ]
    due = [row.state != DONE for row in plan.rows if not row.optional]
    left = sum(due)
    lines = [f"{plan.system}, scale {plan.scale}, seed {plan.seed}: {left} of {len(due)} stages to do", ""]
    lines += table([header, *rows])
    need = f"about {size_text(plan.disk_bytes)} needed" if plan.disk_bytes else "little needed"
    lines += ["", f"disk:  {size_text(plan.free_bytes)} free, {need} ({plan.folder})"]
    lines += [f"GPUs:  {', '.join(plan.gpus) or 'none'}"]
    lines += [
        f"time:  of one worker, measured on {plan.measured_on}" if plan.measured_on else "time:  not measured"
    ]
    lines += ["", *plan.estimate] if plan.estimate else []
    start = f"make {target_of(plan.system)} SCALE={plan.scale}" + (f" SEED={plan.seed}" if plan.seed else "")
    lines += ["", f"Nothing was started. To do it: {start}" if left else "Everything is up to date."]
    return "\n".join(lines)


def shard_text(row: PlanRow) -> str:
    """`12/3907` for a wide stage."""
    return f"{row.shards_done}/{row.shards}" if row.shards is not None else "-"


def state_text(row: PlanRow) -> str:
    """The state; of an optional stage that is not done, that it is one."""
    return f"{row.state} (optional)" if row.optional and row.state != DONE else row.state


def time_text(seconds: float | None) -> str:
    """Seconds in the unit that fits."""
    if seconds is None:
        return "not measured"
    if seconds == 0:
        return "-"
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def size_text(num_bytes: float) -> str:
    """Bytes in decimal units."""
    for unit, size in (("TB", 1e12), ("GB", 1e9)):
        if num_bytes >= size:
            return f"{num_bytes / size:.1f} {unit}"
    return f"{num_bytes / 1e6:.0f} MB"


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Left-aligned columns, two spaces apart."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
