"""A cell of the dense detector: its own network, losses and settings, with a budget of updates.

Anchors are those of the settings, not of the training boxes: the detector is the same in all cells.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from experiments.compare.cells.pictures import Lesson, Picture
from experiments.compare.config_cells import Training
from experiments.dense_detector.config import DenseConfig
from experiments.dense_detector.data import DetectionDataset
from experiments.dense_detector.descent import Descent
from experiments.dense_detector.detector import Detector, choose_shapes, make_detector
from experiments.dense_detector.evaluate import detect_all
from experiments.dense_detector.schedule import lr_factor
from experiments.dense_detector.selection import ImageRecord, Selection
from experiments.solid.learn.data.sampler import EpochSampler
from experiments.solid.learn.engine.loop import train_loop
from experiments.solid.learn.engine.setup import seed_everything, set_up
from suite.config import load_config
from suite.datasets import Detections
from suite.provenance import ROOT
from suite.stage import Context

CONFIGS = "experiments/dense_detector/configs"
NOTHING = np.zeros((0, 4), np.float32)


def settings(training: Training) -> DenseConfig:
    """Settings of the detector. Raises BadInput for a scale that is not there and as every config does."""
    return load_config(DenseConfig, ROOT / CONFIGS / f"{training.scale}.yaml", training.overrides)


def train_and_detect(ctx: Context, training: Training, lesson: Lesson, *, seed: int) -> Detections:
    """Train on the lesson, then find the objects of the test pictures; resumes to the step."""
    config = settings(training)
    set_up(config.train.threads)
    seed_everything(seed, "compare.dense")
    selection = learned_selection(lesson)
    detector = make_detector(config, classes_of(lesson), choose_shapes(config, selection, seed), ctx.device)
    train(
        ctx, detector, dataset_of(selection, config), lesson.order, iterations=training.iterations, seed=seed
    )
    return detect_all(detector, dataset_of(test_selection(lesson), config))


def train(
    ctx: Context,
    detector: Detector,
    dataset: DetectionDataset,
    order: tuple[int, ...],
    *,
    iterations: int,
    seed: int,
) -> None:
    """Change the detector's weights by `iterations` updates; SIGTERM stops after a checkpoint."""
    config = detector.config
    size = config.train.batch_size
    order *= -(-size // len(order))  # fewer pictures than a batch: each more than once in it
    sampler = EpochSampler(len(order), size, seed=seed, stream="compare.dense.order")
    descent = Descent(detector, config.train)
    shown: list[int] = []

    def step(index: int) -> dict[str, Tensor | float]:
        shown[:] = [order[place] for place in sampler.batch(index)]
        chance = {"seed": seed, "epoch": index, "flip": config.data.flip, "jitter": config.data.jitter}
        rate = lr_factor(config.train, index, steps_per_epoch=iterations, num_steps=iterations)
        row = descent.update(detector, dataset.batch(shown, **chance), config.train.lr * rate)
        return {"loss": torch.tensor(row["loss"]), "lr": float(row["lr"] or 0)}

    train_loop(
        ctx,
        step=step,
        state={"model": detector.model, "descent": descent},
        iterations=iterations,
        checkpoint_every=config.train.checkpoint_every,
        log_every=config.train.log_every,
        sample_ids=lambda: [dataset.selection.images[place].file_name for place in shown],
    )


def dataset_of(selection: Selection, config: DenseConfig) -> DetectionDataset:
    """Pictures by absolute path, at the size of the network."""
    return DetectionDataset(
        selection, Path("/"), size_wh=config.data.size_wh, grey=config.data.grey, cache=config.data.cache
    )


def classes_of(lesson: Lesson) -> tuple[tuple[int, str], ...]:
    """(category id, name) by label."""
    return tuple((one.id, one.name) for one in lesson.target.categories)


def learned_selection(lesson: Lesson) -> Selection:
    """The pictures that are trained on, as the dense detector has them; their ids are their places."""
    return _selection(lesson, tuple(_record(place, one) for place, one in enumerate(lesson.pictures)))


def test_selection(lesson: Lesson) -> Selection:
    """The test pictures with their own ids. Their objects are left out: another program measures."""
    target = lesson.target
    records = tuple(
        _record(one.id, Picture(
            (target.test_dir / one.file_name).absolute(), one.width, one.height,
            NOTHING, np.zeros(0, np.int64), None, True,
        ))
        for one in target.test.images
    )  # fmt: skip
    return _selection(lesson, records)


test_selection.__test__ = False  # pytest would collect it by its name


def _record(image_id: int, picture: Picture) -> ImageRecord:
    boxes = np.clip(picture.boxes, 0, [picture.width, picture.height] * 2)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1).astype(np.float64)
    return ImageRecord(
        image_id, str(picture.file), picture.width, picture.height,
        boxes=boxes.astype(np.float32), labels=picture.labels, areas=areas,
        ignore=NOTHING, ignore_labels=np.zeros(0, np.int64), ignore_areas=np.zeros(0),
        ignore_crowd=np.zeros(0, bool),
    )  # fmt: skip


def _selection(lesson: Lesson, records: tuple[ImageRecord, ...]) -> Selection:
    categories = lesson.target.categories
    return Selection(records, tuple(one.name for one in categories), tuple(one.id for one in categories))
