"""Render assets/tabletop again, and compare it with the files that are shipped.

    python -m assets.make.tabletop --out runs/tabletop --compare                 # what `make tabletop` does
    python -m assets.make.tabletop --out runs/tabletop --compare --count 20      # ... with COUNT=20
    python -m assets.make.tabletop --out assets/tabletop --work runs/tabletop-new    # replace the shipped

In Blender's environment. Every finished picture is kept in the work folder, so a stopped command goes on
where it was. Exit code 0: the same annotations and pictures; 1: they differ; others: see suite/errors.py.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from assets.make.tabletop_compare import compare
from assets.make.tabletop_plan import CONFIG, SEED, Plan, pictures
from assets.make.tabletop_rooms import write_rooms
from assets.make.tabletop_set import assemble
from assets.make.workers import WorkerFailed, run_workers
from experiments.solid.config import SolidConfig
from experiments.solid.store.samples import sample_path
from suite.config import load_config
from suite.datasets.tabletop import TABLETOP
from suite.errors import BadInput, guard
from suite.provenance import ROOT
from suite.stage import STOP

WORK = "work"  # below --out, unless --work is given
STAGES = {  # verb -> its inputs, as folders of the work folder
    "fetch-meshes": {},
    "index": {"meshes": "fetch-meshes"},
    "clean": {"meshes": "fetch-meshes", "index": "index"},
    "rooms": {},
}


def prepare(plan: Plan, config: SolidConfig, config_path: Path) -> None:
    """Clean the meshes and measure the rooms by SOLID's own stages; what is up to date stays."""
    write_rooms(plan.source, num_rooms=config.rooms.num_rooms, seed=SEED)
    for verb, inputs in STAGES.items():
        command = [sys.executable, "-m", "experiments.solid", verb, "--config", str(config_path)]
        command += ["-o", f"rooms.folder={plan.source}", "--seed", str(SEED)]
        for name, folder in inputs.items():
            command += [f"--{name}", str(plan.work / folder)]
        done = subprocess.run(
            [*command, "--out", str(plan.work / verb)], cwd=ROOT, capture_output=True, text=True, check=False
        )
        if done.returncode:
            said = (done.stderr.strip().splitlines() or [f"{verb} failed"])[-1]
            raise WorkerFailed(done.returncode, said.removeprefix("error: "))


def render_all(plan: Plan, config_path: Path, *, workers: int, count: int | None) -> None:
    """Start the workers, show how far they are, stop them if one fails or this process is stopped."""
    wanted = pictures(count)
    started_with = _num_done(plan, wanted)
    command = [sys.executable, "-m", "assets.make.tabletop_render", "--config", str(config_path)]
    command += ["--work", str(plan.work), *(["--count", str(count)] if count else [])]
    run_workers(command, workers, total=len(wanted), num_done=lambda: _num_done(plan, wanted))
    print(f"tabletop: {len(wanted) - started_with} pictures rendered now, {started_with} kept from before")


def _num_done(plan: Plan, wanted: Sequence[tuple[str, int]]) -> int:
    return sum(sample_path(plan.checkpoints(split), index).exists() for split, index in wanted)


def make(
    out: Path, *, work: Path, config_path: Path = CONFIG, workers: int | None = None, count: int | None = None
) -> None:
    """Render what is missing and write the set into `out`. Raises BadInput, Missing or Stopped."""
    config = load_config(SolidConfig, config_path)
    plan = Plan.of(work, config)
    pictures(count)  # a wrong number is told before anything is rendered
    prepare(plan, config, config_path)
    render_all(plan, config_path, workers=workers or len(os.sched_getaffinity(0)), count=count)
    assemble(out, pictures(count), config, plan)


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description="Render assets/tabletop again.")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the set is written")
    parser.add_argument("--work", type=Path, metavar="DIR", help="checkpoints (default: <out>/work)")
    parser.add_argument(
        "--count", type=int, metavar="N", help="only the first pictures of each split, N in all"
    )
    parser.add_argument("--workers", type=int, metavar="N", help="processes (default: one a core)")
    parser.add_argument(
        "--compare", action="store_true", help="with the shipped set; exit code 1 if they differ"
    )
    options = parser.parse_args()
    out, shipped = options.out.resolve(), TABLETOP.resolve()
    if out == shipped and (options.count or options.compare or not options.work):
        raise BadInput(
            "this would replace the shipped set", file=options.out,
            fix="choose another --out, or give --work and neither --count nor --compare",
        )  # fmt: skip
    STOP.install()
    make(out, work=(options.work or out / WORK).resolve(), workers=options.workers, count=options.count)
    return compare(out, shipped) if options.compare else 0


if __name__ == "__main__":
    sys.exit(guard(main))
