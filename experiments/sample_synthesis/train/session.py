"""One cell from its images to its files: train, take the chosen epoch, look at the test pictures once.

Cells of one architecture in one process share a network and its compiled step; every cell begins with weights
of its own. The initial weights of an architecture depend on seed and run alone, so the arms of a run begin
with the same ones.
"""

from __future__ import annotations

import gc
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.sample_synthesis.cells import Cell
from experiments.sample_synthesis.detector.anchors import Anchors, make_anchors
from experiments.sample_synthesis.detector.build import build_detector
from experiments.sample_synthesis.detector.encode import encode_batch_tf
from experiments.sample_synthesis.detector.loss import detection_loss
from experiments.sample_synthesis.metrics.compat import compat_map
from experiments.sample_synthesis.train.arms import Recipe, recipe
from experiments.sample_synthesis.train.cell_files import (
    EVALUATED,
    HISTORY,
    WEIGHTS,
    finish,
    finished,
    predictions_file,
    write_predictions,
)
from experiments.sample_synthesis.train.checkpoint import (
    Weights,
    digest,
    read_weights,
    weights_of,
    write_weights,
)
from experiments.sample_synthesis.train.loop import FitResult, Trainer, fit
from experiments.sample_synthesis.train.pipeline import JoinedSet, batches
from experiments.sample_synthesis.train.predict import predict
from experiments.sample_synthesis.train.sources import Sources
from suite.errors import BadInput
from suite.manifest import write_json
from suite.seeds import item_rng

if TYPE_CHECKING:
    import keras

    from experiments.sample_synthesis.config import SampleSynthesisConfig


class Detectors:
    """Networks, their compiled steps and their initial weights, each made once per process."""

    def __init__(self, config: SampleSynthesisConfig, *, seed: int, weights: Path | None = None) -> None:
        """weights: folder with ImageNet weights, for `detector.init: imagenet`."""
        self.config, self.seed, self.weights = config, seed, weights
        self._trainers: dict[str, Trainer] = {}
        self._initial: dict[tuple[str, int], dict[str, np.ndarray]] = {}

    def trainer(self, arch: str) -> Trainer:
        """The trainer of an architecture; whoever uses it resets it first."""
        if arch not in self._trainers:
            self._keep(self._build(arch, 1, init="random"), arch)  # nobody needs its weights
        return self._trainers[arch]

    def initial(self, arch: str, run: int) -> dict[str, np.ndarray]:
        """The weights that the cells of a run begin with, unless they are finetuned."""
        if (arch, run) not in self._initial:
            model = self._build(arch, run, init=self.config.detector.init)
            self._initial[arch, run] = weights_of(model)
            self._keep(model, arch)
        return self._initial[arch, run]

    def anchors(self, arch: str) -> Anchors:
        """The anchors that the outputs refer to."""
        return make_anchors(arch, self.config.detector.image_size)

    def _build(self, arch: str, run: int, *, init: str) -> keras.Model:
        seed = int(item_rng(self.seed, f"train.init.{arch}", run).integers(2**31))
        return build_detector(
            arch, image_size=self.config.detector.image_size, init=init, weights=self.weights,
            l2=self.config.train.l2, seed=seed,
        )  # fmt: skip

    def _keep(self, model: keras.Model, arch: str) -> None:
        """Make a trainer of the first model of an architecture."""
        if arch not in self._trainers:
            loss = partial(detection_loss, kind=self.config.detector.loss)
            self._trainers[arch] = Trainer(model, lr=self.config.train.lr, loss=loss)


def train_cell(
    cell: Cell, *, config: SampleSynthesisConfig, sources: Sources, detectors: Detectors, seed: int,
    out: Path, work: Path, parent: Path | None = None, check_stop: Callable[[], None] = lambda: None,
    progress: Callable[[Mapping[str, Any]], None] = lambda row: None,
) -> dict[str, Any]:  # fmt: skip
    """Train and evaluate a cell; returns what its cell.json says. A finished cell is left as it is.

    out: the cell's folder: weights.npz, history.json, predictions_valid.npz, predictions_test.npz, cell.json.
    work: for its resumable state; removed at the end.
    parent: weights to start from instead of initial ones; a finetuned cell needs them.
    check_stop: raises Stopped, between steps, after which the same call goes on. progress: a row per epoch.
    Raises BadInput, e.g. for weights of another architecture and for more images than there are.
    """
    done = finished(out)
    if done is not None:
        return done
    if cell.parent is not None and parent is None:
        raise BadInput(f"{cell.name} starts from pretrained weights", fix="name them")
    if parent is None:
        initial, where = detectors.initial(cell.arch, cell.run), "initial weights"
    else:
        initial, where = read_weights(parent, arch=cell.arch).arrays, str(parent)
    available = sources.available(cell.variant, with_synthetic=cell.sees_synthetic)
    plan = recipe(config, cell, available, seed=seed)
    result = _fit(
        cell, plan, config=config, sources=sources, detectors=detectors, initial=initial, where=where,
        work=work, seed=seed, check_stop=check_stop, progress=progress,
    )  # fmt: skip
    out.mkdir(parents=True, exist_ok=True)
    write_weights(out / WEIGHTS, Weights(result.weights, cell.arch, config.detector.image_size))
    write_json(out / HISTORY, result.history)
    evaluate_weights(cell.arch, result.weights, config=config, sources=sources, detectors=detectors, out=out)
    facts = {
        "cell": asdict(cell),
        "name": cell.name,
        "epoch": result.epoch,
        "val_meanAP": result.history[result.epoch - 1]["val_meanAP"],
        "steps": plan.schedule.num_steps,
        "draws": len(plan.order),
        "different_images": len(np.unique(plan.order)),
        "validation_images": len(plan.validation),
        "initial_sha256": digest(initial),
        "weights_sha256": digest(result.weights),
    }
    finish(out, facts)
    shutil.rmtree(work)
    return finished(out)


def _fit(
    cell: Cell, plan: Recipe, *, config: SampleSynthesisConfig, sources: Sources, detectors: Detectors,
    initial: Mapping[str, np.ndarray], where: str, work: Path, seed: int, check_stop: Callable[[], None],
    progress: Callable[[Mapping[str, Any]], None],
) -> FitResult:  # fmt: skip
    trainer, anchors = detectors.trainer(cell.arch), detectors.anchors(cell.arch)
    valid, truth = sources.pictures("valid"), sources.truth("valid", plan.validation)
    detector = config.detector

    def evaluate() -> float | None:
        found = predict(
            trainer, valid, anchors, min_confidence=detector.min_confidence, nms_iou=detector.nms_iou,
            positions=plan.validation, threads=config.compute.threads,
        )  # fmt: skip
        return compat_map(truth, found, confidence_floor=detector.min_confidence).mean

    def stream(start: int) -> Iterator[Any]:
        return batches(
            _items(plan, cell, sources), plan.order, batch=config.train.batch, start=start,
            encode=partial(encode_batch_tf, anchors), threads=config.compute.threads,
        )  # fmt: skip

    gc.collect()  # the graphs of the last cell's pipeline
    return fit(
        trainer, stream, schedule=plan.schedule, initial=initial, evaluate=evaluate, work=work, where=where,
        identity={"cell": cell.name, "seed": seed, "initial": digest(initial)}, check_stop=check_stop,
        progress=progress,
    )  # fmt: skip


def _items(plan: Recipe, cell: Cell, sources: Sources) -> Any:
    if plan.data == "synthetic":
        return sources.synthetic(cell.variant)
    if plan.data == "both":
        return JoinedSet(sources.items("train"), sources.synthetic(cell.variant))
    return sources.items("train")


def evaluate_weights(
    arch: str, weights: Mapping[str, np.ndarray], *, config: SampleSynthesisConfig, sources: Sources,
    detectors: Detectors, out: Path, splits: tuple[str, ...] = EVALUATED,
    where: Path | str = "weights",
) -> None:  # fmt: skip
    """Write what these weights find in the splits, down to the lower of both confidence floors."""
    trainer, detector = detectors.trainer(arch), config.detector
    trainer.reset(weights, where=where)
    floor = min(detector.score_floor, detector.min_confidence)
    for split in splits:
        found = predict(
            trainer, sources.pictures(split), detectors.anchors(arch), min_confidence=floor,
            nms_iou=detector.nms_iou, threads=config.compute.threads,
        )  # fmt: skip
        write_predictions(out / predictions_file(split), found)
