"""The tables of docs/hardware.md: time, memory and disk of each system and scale, from what was measured.

    python -m suite.pages.hardware            prints the tables
    python -m suite.pages.hardware --write    puts them into docs/hardware.md

Seconds of stages come from experiments/<system>/measured.yaml, whole runs by the clock from whole_runs.yaml,
disk from what `make plan` estimates. What has no figure is "not measured"; nothing is scaled from another
scale. A test makes the tables again and compares them with the page.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from suite.errors import guard
from suite.plan import Plan, make_plan, size_text, time_text
from suite.provenance import ROOT
from suite.runs import Run, systems

PAGE = ROOT / "docs" / "hardware.md"
WHOLE_RUNS = Path(__file__).with_name("whole_runs.yaml")
SCALES = ("smoke", "small", "medium", "paper")  # no number of `tiny` is shown
UNKNOWN = "not measured"
BEGIN, END = "<!-- begin {} -->", "<!-- end {} -->"


def whole_runs() -> list[Mapping[str, Any]]:
    """Rows of whole_runs.yaml: system, scale, time, memory, command, beside."""
    return yaml.safe_load(WHOLE_RUNS.read_text(encoding="utf-8"))["runs"]


@contextmanager
def runs_in(folder: str) -> Iterator[None]:
    """RUNS_DIR is another folder for a while: what lies in the user's own must not count as done."""
    before = os.environ.get("RUNS_DIR")
    os.environ["RUNS_DIR"] = folder
    try:
        yield
    finally:
        if before is None:
            del os.environ["RUNS_DIR"]
        else:
            os.environ["RUNS_DIR"] = before


def plans() -> Iterator[tuple[Run, Plan]]:
    """A plan of every system at every scale that it has, as if nothing had been run."""
    with tempfile.TemporaryDirectory() as empty, runs_in(empty):
        for system in systems():
            for scale in SCALES:
                if (ROOT / f"experiments/{system.replace('-', '_')}/configs/{scale}.yaml").is_file():
                    run = Run(system=system, scale=scale, seed=0)
                    yield run, make_plan(run)


def scales_table() -> str:
    """One row for each system and scale: by the clock, of one worker, largest process, disk."""
    rows = [
        ("system", "scale", "by the clock", "seconds of one worker, all stages", "largest process", "disk")
    ]
    told = {(row["system"], row["scale"]): row for row in whole_runs()}
    for run, plan in plans():
        whole = told.get((run.system, run.scale), {})
        rows.append(
            (
                run.system,
                f"`{run.scale}`",
                whole.get("time", UNKNOWN),
                one_worker(plan),
                whole.get("memory", UNKNOWN),
                f"about {size_text(plan.disk_bytes)}" if plan.disk_bytes else "little",
            )
        )
    return markdown(rows)


def one_worker(plan: Plan) -> str:
    """The sum over the stages of the default run; how many of them have no figure, where not all have."""
    rows = [row for row in plan.rows if not row.optional]
    known = [row.seconds for row in rows if row.seconds is not None]
    if not known:
        return UNKNOWN
    missing = len(rows) - len(known)
    return time_text(sum(known)) + (f" ({missing} of {len(rows)} stages not measured)" if missing else "")


def runs_table() -> str:
    """The whole runs: command and what else the machine did."""
    rows = [("command", "time", "beside")]
    rows += [(f"`{row['command']}`", row["time"], row["beside"]) for row in whole_runs()]
    return markdown(rows)


def stages_table() -> str:
    """The dearest stages of each measured scale."""
    rows = [("system", "scale", "measured on", "dearest stages, seconds of one worker or shard")]
    for system in systems():
        path = ROOT / f"experiments/{system.replace('-', '_')}/measured.yaml"
        tree = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else {}
        for scale in SCALES:
            if scale in tree:
                dear = sorted(tree[scale]["stages"].items(), key=lambda item: -item[1])[:4]
                told = ", ".join(f"`{name}` {seconds:.0f}" for name, seconds in dear if seconds >= 1)
                rows.append((system, f"`{scale}`", tree[scale]["machine"], told))
    return markdown(rows)


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table, its first row the head."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


TABLES = {"scales": scales_table, "runs": runs_table, "stages": stages_table}


def fill(page: str) -> str:
    """The page with its tables made anew between their marks."""
    for name, table in TABLES.items():
        begin, end = BEGIN.format(name), END.format(name)
        before, _, rest = page.partition(begin)
        _, _, after = rest.partition(end)
        page = f"{before}{begin}\n{table()}\n{end}{after}"
    return page


def main(words: Sequence[str]) -> int:
    """Print the tables or write the page."""
    if list(words) == ["--write"]:
        PAGE.write_text(fill(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    else:
        print("\n\n".join(table() for table in TABLES.values()))
    return 0


if __name__ == "__main__":
    sys.exit(guard(lambda: main(sys.argv[1:])))
