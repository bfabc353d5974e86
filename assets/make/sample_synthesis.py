"""Render assets/sample_synthesis again, and compare it with the files that are shipped.

    python -m assets.make.sample_synthesis --out runs/samples --compare               # everything
    python -m assets.make.sample_synthesis --out runs/samples --compare --count 2     # 2 of each split
    python -m assets.make.sample_synthesis --out assets/sample_synthesis --work DIR   # replace the shipped

In Blender's environment; the QR codes are drawn before by assets.make.sample_synthesis_codes. `--sets` takes
some of qr_photos, bird, car, bird_scenes, car_scenes. Every finished picture is kept in the work folder, so a
stopped command goes on where it was. Exit code 0: the same; 1: they differ; others: see suite/errors.py.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from assets.make.sample_synthesis_compare import compare
from assets.make.sample_synthesis_plan import CODES, SETS, SHIPPED, Plan, pictures
from assets.make.sample_synthesis_set import assemble
from assets.make.workers import run_workers
from suite.errors import BadInput, Missing, guard
from suite.stage import STOP

WORK = "work"  # below --out, unless --work is given


def render_all(plan: Plan, names: tuple[str, ...], *, workers: int, count: int | None) -> None:
    """Start the workers, show how far they are, stop them if one fails or this process is stopped."""
    wanted = pictures(names, count)

    def num_done() -> int:
        return sum(plan.note(*one).is_file() for one in wanted)

    kept = num_done()
    command = [sys.executable, "-m", "assets.make.sample_synthesis_render", "--work", str(plan.work)]
    command += ["--sets", ",".join(names), *(["--count", str(count)] if count else [])]
    run_workers(command, workers, total=len(wanted), num_done=num_done)
    print(f"sample_synthesis: {len(wanted) - kept} pictures rendered now, {kept} kept from before")


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description="Render assets/sample_synthesis again.")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the sets are written")
    parser.add_argument("--work", type=Path, metavar="DIR", help="checkpoints (default: <out>/work)")
    parser.add_argument("--sets", default=",".join(SETS), metavar="A,B", help="which sets (default: all)")
    parser.add_argument("--count", type=int, metavar="N", help="only the first N pictures of each split")
    parser.add_argument("--workers", type=int, metavar="N", help="processes (default: one a core)")
    parser.add_argument(
        "--compare", action="store_true", help="with the shipped sets; exit code 1 if they differ"
    )
    options = parser.parse_args()
    out, names = options.out.resolve(), tuple(options.sets.split(","))
    wanted = pictures(names, options.count)
    if out == SHIPPED.resolve() and (options.count or options.compare or not options.work):
        raise BadInput(
            "this would replace the shipped sets", file=options.out,
            fix="choose another --out, or give --work and neither --count nor --compare",
        )  # fmt: skip
    if not CODES.is_file():
        raise Missing("no QR codes", file=CODES, fix="run assets.make.sample_synthesis_codes (needs segno)")
    STOP.install()
    plan = Plan.of((options.work or out / WORK).resolve())
    render_all(plan, names, workers=options.workers or len(os.sched_getaffinity(0)), count=options.count)
    assemble(out, wanted, plan)
    return compare(out, SHIPPED, wanted) if options.compare else 0


if __name__ == "__main__":
    sys.exit(guard(main))
