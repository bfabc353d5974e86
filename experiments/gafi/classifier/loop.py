"""The epochs of one classifier: train, evaluate every split, keep the best weights of each; resumable.

The same loop serves the classifier of real images (a fixed set), every candidate of a search (a set that is
generated anew every k epochs) and MultiGAN: what differs is the Provider.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from keras import ops

from experiments.gafi.classifier.trainer import ClassifierTrainer, TrainState, as_device
from experiments.gafi.nn import backend
from experiments.gafi.nn.backend import Tensor
from experiments.gafi.nn.state import ModelState, from_arrays, load_arrays, save_arrays, to_arrays
from suite.errors import BadInput, Stopped

STATE = "fit_state.npz"


@dataclass(frozen=True)
class Samples:
    """The training set of an epoch."""

    images: Tensor  # (n,H,W,C) uint8 or float32
    labels: Tensor  # (n,) integers
    stats: Mapping[str, Any] = field(default_factory=dict)  # columns of the history as JSON, always the same


class Provider(Protocol):
    """Where the training set of an epoch comes from."""

    def epoch(self, epoch: int) -> Samples:
        """The set of epoch `epoch` (from 1): a function of that alone, as a resumed run begins anywhere."""


@dataclass(frozen=True)
class FixedProvider:
    """The same set in every epoch."""

    images: Tensor
    labels: Tensor

    def epoch(self, epoch: int) -> Samples:
        return Samples(self.images, self.labels)


@dataclass(frozen=True)
class Best:
    """The first epoch (from 1) of greatest accuracy on a split, and the network after it."""

    epoch: int
    accuracy: float
    model: ModelState


@dataclass(frozen=True)
class FitResult:
    """What a training left."""

    # A row per epoch: epoch, lr, loss, accuracy, `<split>_loss` and `<split>_accuracy`, then the provider's.
    history: list[dict[str, Any]]
    best: dict[str, Best]  # by split
    last: TrainState


def fit(
    trainer: ClassifierTrainer, provider: Provider, *, evals: Mapping[str, tuple[Tensor, Tensor]],
    epochs: int, seed: int, work: Path, check_stop: Callable[[], None] = lambda: None,
    progress: Callable[[Mapping[str, Any]], None] = lambda row: None, keep_epochs_dir: Path | None = None,
) -> FitResult:  # fmt: skip
    """Train a fresh network for `epochs` epochs, or go on where `work` says that an earlier call was killed.

    evals: {split: (images, labels)}, evaluated after every epoch; `<split>_accuracy` chooses its best epoch.
    seed: of weights, order and augmentation.
    work: folder for the state; a resumed run ends with the same bytes.
    check_stop: raises Stopped, between epochs.
    progress: gets each epoch's row, also of those found done.
    keep_epochs_dir: where `epoch_%03d.npz`, the network after each epoch, is kept.
    Raises BadInput for a loss that is not finite and for a state of another training.
    """
    work.mkdir(parents=True, exist_ok=True)
    if keep_epochs_dir is not None:
        keep_epochs_dir.mkdir(parents=True, exist_ok=True)
    evals = {split: (as_device(x), np.asarray(backend.to_numpy(y))) for split, (x, y) in evals.items()}
    identity = {"seed": seed, "epochs": epochs, "splits": list(evals)}
    state, history = _begin(trainer, work / STATE, identity)
    for row in history:
        progress(row)
    saved = len(history)
    for epoch in range(len(history) + 1, epochs + 1):
        try:
            check_stop()
        except Stopped:
            if saved < len(history):
                _save(trainer, work / STATE, state, {**identity, "history": history})
            raise
        samples, lr = provider.epoch(epoch), trainer.lr(epoch, epochs=epochs)
        state, loss, accuracy = trainer.train_epoch(
            state, samples.images, samples.labels, epoch=epoch, seed=seed, lr=lr
        )
        row: dict[str, Any] = {"epoch": epoch, "lr": lr, "loss": loss, "accuracy": accuracy}
        for split, (images, labels) in evals.items():
            row[f"{split}_loss"], row[f"{split}_accuracy"] = trainer.evaluate(state, images, labels)
            if all(row[f"{split}_accuracy"] > earlier[f"{split}_accuracy"] for earlier in history):
                save_arrays(work / f"best_{split}.npz", to_arrays(trainer.model, state.model))
        history.append({**row, **samples.stats})
        del samples  # so that the provider can let it go before it makes the next one
        if keep_epochs_dir is not None:
            save_arrays(keep_epochs_dir / epoch_file(epoch), to_arrays(trainer.model, state.model))
        # After a kill the best weights may be newer than the state; repeated epochs write the same bytes.
        if epoch % trainer.compute.checkpoint_epochs == 0 or epoch == epochs:
            _save(trainer, work / STATE, state, {**identity, "history": history})
            saved = epoch
        progress(history[-1])
    best = {split: _best(trainer, work, history, split) for split in evals}
    return FitResult(history, best, state)


def epoch_file(epoch: int) -> str:
    """Name of the network after the 1-based epoch."""
    return f"epoch_{epoch:03d}.npz"


def best_epoch(history: list[dict[str, Any]], split: str) -> int:
    """The 1-based epoch of greatest `<split>_accuracy`; the first wins."""
    return 1 + int(np.argmax([row[f"{split}_accuracy"] for row in history]))


def _best(trainer: ClassifierTrainer, work: Path, history: list[dict[str, Any]], split: str) -> Best:
    epoch, path = best_epoch(history, split), work / f"best_{split}.npz"
    model = from_arrays(trainer.model, load_arrays(path), where=path)
    return Best(epoch, history[epoch - 1][f"{split}_accuracy"], model)


def _begin(
    trainer: ClassifierTrainer, path: Path, identity: dict[str, Any]
) -> tuple[TrainState, list[dict[str, Any]]]:
    """(state, history so far): the saved ones, or fresh ones."""
    state = trainer.initial(identity["seed"])
    if not path.exists():
        return state, []
    arrays = load_arrays(path)
    try:
        meta = json.loads(str(arrays.pop("meta")))
        history = meta.pop("history")
        slots = [ops.convert_to_tensor(arrays.pop(f"slot/{i:05d}")) for i in range(len(state.slots))]
    except (KeyError, json.JSONDecodeError):
        meta = None
    if meta != identity:
        raise BadInput("the state of another training", file=path, fix="remove it, or give its settings")
    return TrainState(from_arrays(trainer.model, arrays, where=path), slots), history


def _save(trainer: ClassifierTrainer, path: Path, state: TrainState, meta: dict[str, Any]) -> None:
    arrays = to_arrays(trainer.model, state.model)
    arrays |= {f"slot/{i:05d}": backend.to_numpy(slot) for i, slot in enumerate(state.slots)}
    save_arrays(path, {**arrays, "meta": np.array(json.dumps(meta))})
