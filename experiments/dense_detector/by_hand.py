"""Training and evaluation outside a run: one database, one folder of pictures, one folder for the result."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from experiments.dense_detector.checkpoint import LAST
from experiments.dense_detector.config import DenseConfig
from experiments.dense_detector.db import open_read_only
from experiments.dense_detector.detector import load_detector, torch_device
from experiments.dense_detector.evaluate import Evaluator, metric_rows
from experiments.dense_detector.splits import Subset, dataset_of, hold_out, read_split
from experiments.dense_detector.train import Trainer
from suite.config import dump, to_tree
from suite.datasets.detections import write_detections
from suite.errors import BadInput
from suite.manifest import file_digest, write_json
from suite.provenance import all_packages, git_state
from suite.stage import STOP
from suite.tables import csv_text


def train(
    config: DenseConfig,
    database: Path,
    images_dir: Path,
    *,
    val_images: Path,
    out: Path,
    seed: int,
    device: str,
    resume: bool,
) -> dict[str, Any]:
    """Train in `out`; returns the summary. Validates on split `val`, or on a held-out share of `train`.

    Beside what Trainer writes: run.json with settings, versions, commit and the database's digest. Raises
    BadInput where `out` holds a run and `resume` is not set, or the other way round.
    """
    held = (out / LAST).exists()
    if held and not resume:
        raise BadInput("holds a run", file=out, fix="go on with --resume, or choose another --out")
    if resume and not held:
        raise BadInput("holds no run to resume", file=out, fix="leave --resume out, or check --out")
    torch_device(device)  # says so where there is none
    sets = training_sets(config, database, images_dir, val_images, seed)
    out.mkdir(parents=True, exist_ok=True)
    digest = file_digest(database)
    trainer = Trainer(config, *sets, out=out, seed=seed, device=device, database=digest, resume=resume)
    (out / "config.yaml").write_text(dump(config), encoding="utf-8")
    facts = {"seed": seed, "device": device, "git": git_state(), "packages": all_packages()}
    write_json(out / "run.json", {"config": to_tree(config), "database_sha256": digest, **facts})
    summary = trainer.run(lambda: STOP.is_set)
    write_json(out / "summary.json", summary)
    return summary


def training_sets(
    config: DenseConfig, database: Path, images_dir: Path, val_images: Path, seed: int
) -> tuple[Subset, Subset]:
    """What is trained and what is validated on."""
    with contextlib.closing(open_read_only(database)) as conn:
        splits = {row[0] for row in conn.execute("SELECT DISTINCT split FROM images")}
    rest = read_split(config.data, database, "train", images_dir, keep_empty=False)
    if "val" not in splits:
        return hold_out(rest, config.data.val_share, seed)
    return rest, read_split(config.data, database, "val", val_images, keep_empty=True)


def evaluate(
    checkpoint: Path, database: Path, images_dir: Path, *, split: str, out: Path | None, device: str
) -> list[tuple[str, float | None]]:
    """(metric, value) of a checkpoint on one split, with the classes and areas that it was trained for."""
    detector = load_detector(checkpoint, device)
    data = detector.config.data
    subset = read_split(data, database, split, images_dir, keep_empty=True)
    if subset.classes != detector.classes:
        what = f"its classes are {_names(subset.classes)}, the checkpoint's {_names(detector.classes)}"
        raise BadInput(what, file=database, fix="use the database of the same categories")
    result = Evaluator(dataset_of(subset, data, cache=False)).evaluate(detector)
    rows = metric_rows(checkpoint.stem, result.metrics)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / "results.csv").write_text(csv_text(rows), encoding="utf-8")
        write_detections(out / "predictions.json", result.detections)
    return [(row["metric"], row["value"]) for row in rows]


def _names(classes: tuple[tuple[int, str], ...]) -> str:
    return ", ".join(f"{name} ({key})" for key, name in classes)
