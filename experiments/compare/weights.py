"""`solid-weights`: which file the arm `solid` begins with, and what it cost.

weights.json has the file's path below RUNS_DIR, its SHA-256 and size; the weights stay where they are. That
the file is still the same is checked when it is opened.
"""

from __future__ import annotations

from pathlib import Path

from experiments.compare.arms import solid_run
from experiments.compare.cost import chain_parts, note_cost
from suite.errors import BadInput, Missing
from suite.manifest import file_digest, read_json, write_json
from suite.runs import folder_setting
from suite.stage import Context

FILE, MODEL = "weights.json", "model.pth"


def run(ctx: Context) -> None:
    """The stage."""
    run = solid_run(ctx.config)
    model = run.folder / run.until / MODEL
    if not model.is_file():
        fix = f"make reproduce-{run.system} SCALE={run.scale} SEED={run.seed}, or leave the arm solid out"
        raise Missing("the pre-trained weights are not there", file=model, fix=fix)
    path = model.relative_to(folder_setting("RUNS_DIR", "runs")).as_posix()
    row = {"path": path, "sha256": file_digest(model), "bytes": model.stat().st_size}
    write_json(ctx.out / FILE, row)
    note_cost(ctx, chain_parts(run.folder / run.until))
    ctx.count("weights")


def weights_file(folder: Path) -> Path:
    """The weights of the finished stage in `folder`. Raises BadInput where they are gone or another's."""
    row = read_json(folder / FILE)
    if not isinstance(row, dict) or not {"path", "sha256"} <= set(row):
        raise BadInput("is missing or damaged", file=folder / FILE, fix="run the stage solid-weights again")
    path = folder_setting("RUNS_DIR", "runs") / row["path"]
    if not path.is_file() or file_digest(path) != row["sha256"]:
        fix = "run the stage solid-weights again"
        raise BadInput("is gone, or not the file that was noted", file=path, fix=fix)
    return path
