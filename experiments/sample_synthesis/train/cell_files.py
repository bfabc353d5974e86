"""The folder of a finished cell: names of its files, and the rule by which it counts as finished."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.sample_synthesis.cells import Cell
from suite.arrays import read_arrays, write_arrays
from suite.datasets.detections import Detections
from suite.errors import BadInput
from suite.manifest import file_digest, read_json, write_json

WEIGHTS, HISTORY = "weights.npz", "history.json"
CELL = "cell.json"  # written last
EVALUATED = ("valid", "test")
FIELDS = ("image_ids", "category_ids", "scores", "boxes_xyxy")  # of detections
SCHEMA = 1


def predictions_file(split: str) -> str:
    """Name of a cell's detections in a split."""
    return f"predictions_{split}.npz"


def write_predictions(path: Path, detections: Detections) -> None:
    """Write image_ids, category_ids int64, scores float64, boxes_xyxy float64 as `.npz`."""
    write_arrays(path, **{name: getattr(detections, name) for name in FIELDS})


def read_predictions(path: Path) -> Detections:
    """What `write_predictions` wrote. Raises BadInput."""
    arrays = read_arrays(path)
    try:
        return Detections(*(arrays[name] for name in FIELDS))
    except (KeyError, ValueError) as error:
        raise BadInput(f"holds no detections ({error})", file=path, fix="evaluate the cell again") from None


def finish(folder: Path, facts: Mapping[str, Any]) -> None:
    """Write `cell.json`: `facts` and the digests of all other files of the folder. The last act of a cell."""
    files = {path.name: file_digest(path) for path in sorted(folder.iterdir()) if path.name != CELL}
    write_json(folder / CELL, {"schema": SCHEMA, **facts, "files": files})


def finished(folder: Path) -> dict[str, Any] | None:
    """What `cell.json` says; None unless the cell is finished and every file has its recorded digest."""
    facts = read_json(folder / CELL)
    if not isinstance(facts, dict) or facts.get("schema") != SCHEMA:
        return None
    for name, wanted in facts["files"].items():
        path = folder / name
        if not path.is_file() or file_digest(path) != wanted:
            return None
    return facts


def cell_folder(stage_folder: Path, cell: Cell) -> Path:
    """The folder of a finished cell in a finished stage. Raises BadInput."""
    for path in sorted(stage_folder.glob(f"[0-9]*/{cell.name}/{CELL}")):
        if finished(path.parent) is None:
            raise BadInput("is damaged", file=path.parent, fix="remove it and run its stage again")
        return path.parent
    raise BadInput(f"holds no cell {cell.name}", file=stage_folder, fix="run that stage first")
