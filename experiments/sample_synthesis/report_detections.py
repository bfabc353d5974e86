"""Test pictures with what a detector finds in them, the best and the worst ones.

Shown is the finetuned network on the fewest real images, and below each picture the one from scratch on the
same images: the claim is about the difference between these two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from experiments.sample_synthesis.cells import Cell
from experiments.sample_synthesis.data.types import RealSet
from experiments.sample_synthesis.figures import detection_picture
from experiments.sample_synthesis.metrics.scores import above
from experiments.sample_synthesis.train.cell_files import HISTORY, predictions_file, read_predictions
from suite.errors import BadInput
from suite.manifest import read_json
from suite.metrics.iou import box_iou

NUM_SHOWN = 4  # of the best, and of the worst
IOU = 0.5
SHOWN_ARMS = ("finetuned", "from_scratch", "matched")  # of a picture, one below the other


@dataclass(frozen=True)
class Score:
    """How right the detections of a picture are."""

    image: int  # its position in the set
    hits: int
    missed: int
    false: int

    @property
    def f1(self) -> float:
        """2 hits / (2 hits + missed + false): 1 where all is right, as in an empty picture left empty."""
        total = 2 * self.hits + self.missed + self.false
        return 2 * self.hits / total if total else 1.0

    def text(self) -> str:
        """In words."""
        return f"{self.hits} found, {self.missed} missed, {self.false} false"


@dataclass(frozen=True, eq=False)
class Found:
    """Detections of one picture, surest first."""

    boxes: np.ndarray  # float64 (n, 4) xyxy, pixels of the picture
    scores: np.ndarray  # float64 (n,)


@dataclass(frozen=True, eq=False)
class Example:
    """A picture of the page, once per network."""

    file_name: str
    pictures: Mapping[str, np.ndarray]  # {arm: uint8 (h, w, 3)}
    captions: Mapping[str, str]  # {arm: what is right and wrong}


def cell_path(folders: Mapping[str, Path], cell: Cell, file: str) -> Path:
    """A file of a finished cell; folders: of the stages `pretrain` and `cells`. Raises BadInput."""
    folder = folders["pretrain" if cell.is_pretraining else "cells"]
    for path in sorted(folder.glob(f"[0-9]*/{cell.name}/{file}")):
        return path
    raise BadInput(f"holds no {file} of {cell.name}", file=folder, fix="run that stage again")


def histories(folders: Mapping[str, Path], cells: Sequence[Cell]) -> dict[str, list[dict[str, float]]]:
    """{training in words: rows of its history.json} of the first runs of an architecture on most real images.

    Raises BadInput.
    """
    main = [cell for cell in cells if cell.ablation is None and cell.run == 1]
    most = max((cell.num_real or 0 for cell in main), default=0)
    found = {}
    for cell in main:
        if cell.num_real in (None, most):
            path = cell_path(folders, cell, HISTORY)
            rows = read_json(path)
            if not isinstance(rows, list):
                raise BadInput("is no history", file=path, fix="train the cell again")
            found[f"{cell.arm.replace('_', ' ')}{f', {most} real' if cell.num_real else ''}"] = rows
    return found


def shown_cells(cells: Sequence[Cell], arch: str) -> dict[str, Cell]:
    """{arm: its first run on the fewest real images}, those of SHOWN_ARMS that there are."""
    main = [c for c in cells if c.ablation is None and c.run == 1 and c.arch == arch and c.num_real]
    fewest = min((cell.num_real for cell in main), default=None)
    there = {cell.arm: cell for cell in main if cell.num_real == fewest}
    return {arm: there[arm] for arm in SHOWN_ARMS if arm in there}


def read_found(path: Path, *, floor: float) -> dict[int, Found]:
    """{image id: its detections of at least this confidence} of a cell's predictions. Raises BadInput."""
    all_of_them = above(read_predictions(path), floor)
    found = {}
    for image_id in np.unique(all_of_them.image_ids).tolist():
        rows = np.flatnonzero(all_of_them.image_ids == image_id)
        rows = rows[np.argsort(-all_of_them.scores[rows], kind="stable")]
        found[image_id] = Found(all_of_them.boxes_xyxy[rows], all_of_them.scores[rows])
    return found


NOTHING = Found(np.zeros((0, 4)), np.zeros(0))


def judge(image: int, truth: np.ndarray, found: Found) -> Score:
    """Each detection, surest first, takes the free true box that it overlaps most, from IoU 0.5 on."""
    overlap = box_iou(found.boxes, np.asarray(truth, np.float64))
    hits = 0
    for row in range(len(found.boxes)):
        best = int(overlap[row].argmax()) if len(truth) else 0
        if len(truth) and overlap[row, best] >= IOU:
            hits += 1
            overlap[:, best] = -1
    return Score(image, hits, len(truth) - hits, len(found.boxes) - hits)


def best_and_worst(scores: Sequence[Score]) -> tuple[list[Score], list[Score]]:
    """NUM_SHOWN each, disjoint; of equals the busier picture, then the earlier."""
    order = sorted(scores, key=lambda s: (-s.f1, -s.hits - s.missed, s.image))
    half = min(NUM_SHOWN, (len(order) + 1) // 2)
    best = order[:half]
    rest = sorted(order[half:], key=lambda s: (s.f1, -s.missed - s.false, s.image))
    return best, rest[:NUM_SHOWN]


def examples(
    real: RealSet, cells: Mapping[str, Cell], folders: Mapping[str, Path], *, floor: float
) -> dict[str, list[Example]]:
    """{"best": ..., "worst": ...} test pictures of the first of `cells`, with what all of them find."""
    if not cells:
        return {}
    found = {
        arm: read_found(cell_path(folders, cell, predictions_file("test")), floor=floor)
        for arm, cell in cells.items()
    }
    truth = real.boxes()
    ids = [image.id for image in real.coco.images]
    first = next(iter(found.values()))
    scores = [judge(n, truth[n], first.get(ids[n], NOTHING)) for n in range(len(ids))]
    best, worst = best_and_worst(scores)

    def example(score: Score) -> Example:
        n = score.image
        with Image.open(real.paths()[n]) as image:
            picture = np.asarray(image.convert("RGB"))
        mine = {arm: one.get(ids[n], NOTHING) for arm, one in found.items()}
        drawn = {
            arm: detection_picture(picture, truth=truth[n], found=one.boxes, scores=one.scores)
            for arm, one in mine.items()
        }
        captions = {arm: judge(n, truth[n], one).text() for arm, one in mine.items()}
        return Example(real.coco.images[n].file_name, drawn, captions)

    return {"best": [example(score) for score in best], "worst": [example(score) for score in worst]}
