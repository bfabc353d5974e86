"""The stages of the cells: trainings, the table of what they came to, the page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from experiments.compare.arms import arms_of
from experiments.compare.cells.grid import cells
from experiments.compare.config import CompareConfig
from experiments.compare.config_cells import Training
from experiments.compare.stages_data import make_stage
from suite.config import read_tree
from suite.outside import annotated_state, tabletop_state
from suite.provenance import ROOT
from suite.stage import Stage

HOMES = {"mask-rcnn": "experiments/solid/configs", "dense": "experiments/dense_detector/configs"}


def cell_stages(config: CompareConfig) -> Iterator[Stage]:
    """In order."""
    made = tuple(arm.stage for arm in arms_of(config) if arm.stage is not None)
    yield make_stage(
        "cells", "train and test a detector for each arm, number of real pictures, seed", "cells.stage:run",
        inputs=made, config=("arms", "target", "cells"), outside=cells_state, num_shards=num_cells,
        decides=("torch", "torchvision", "numpy", "pillow", "pycocotools"),
    )  # fmt: skip
    yield make_stage(
        "table", "mean and deviation over the seeds of every arm", "table:run", uses_gpu=False,
        inputs=("cells",), config=("arms", "cells"),
    )  # fmt: skip
    yield make_stage(
        "report", "one offline page: AP over real pictures, costs, losses", "report:run", uses_gpu=False,
        inputs=(*made, "cells", "table"),
        config=("arms", "target", "cells", "solid_run", "imaginarynet_run"),
    )  # fmt: skip


def num_cells(config: CompareConfig, inputs: Mapping[str, Path] | None = None) -> int:
    """One shard is one cell."""
    return len(cells(config))


def cells_state(config: CompareConfig) -> dict[str, Any]:
    """What the cells read beside their inputs: the target's files, and the detectors' settings."""
    detectors = {
        name: detector_tree(name, config.cells.training(name)) for name in sorted(config.cells.detectors)
    }
    return {"target": target_state(config), "detectors": detectors}


def detector_tree(name: str, training: Training) -> dict[str, Any] | None:
    """The settings file of a detector with all that it overlays; None where it is not there."""
    path = ROOT / HOMES[name] / f"{training.scale}.yaml"
    sections = ("detector", "finetune", "data", "model", "anchors", "assign", "loss", "train", "evaluate")
    if not path.is_file():
        return None
    return {key: value for key, value in read_tree(path).items() if key in sections}


def target_state(config: CompareConfig) -> Any:
    """tabletop's digest list, or the user's files and folders."""
    target = config.target
    if target.source == "tabletop":
        return tabletop_state()
    files, folders = (target.train_json, target.test_json), (target.train_images, target.test_images)
    return annotated_state(files=files, folders=folders)
