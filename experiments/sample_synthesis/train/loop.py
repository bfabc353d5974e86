"""The training loop: one compiled step, Adam, an evaluation after each epoch, going on exactly where it was.

Adam has a constant rate and Keras' defaults (betas 0.9 and 0.999, epsilon 1e-7), batch normalisation is in
training mode; after each epoch the validation set is evaluated and the weights of the first epoch of greatest
value are kept (dissertation, training section). On the CPU a training is a function of its settings and seed:
killed anywhere and started again, it ends with the same bytes.

Not covered: equal results on a GPU, or with another number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from experiments.sample_synthesis.detector.loss import l2_loss
from experiments.sample_synthesis.train.checkpoint import (
    State,
    assign_weights,
    read_state,
    to_host,
    weights_of,
    write_state,
)
from experiments.sample_synthesis.train.schedule import Schedule, chosen_epoch
from suite.errors import BadInput, Stopped

STATE = "state.npz"
PARTS = ("class", "box", "l2")  # of the loss

Loss = Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]
Batch = tuple[tf.Tensor, tf.Tensor, tf.Tensor]  # images uint8 (n,S,S,3), targets (n,A,C+4), weight (n,A)


class Trainer:
    """A detector with its optimiser and its compiled step; one serves all trainings of an architecture."""

    def __init__(self, model: keras.Model, *, lr: float, loss: Loss, xla: bool = False) -> None:
        """loss: (outputs, targets, weight) -> (class term, box term), each already divided by positives."""
        self.model, self.loss = model, loss
        optimizer: keras.optimizers.Optimizer = keras.optimizers.Adam(lr)
        if keras.config.dtype_policy().name == "mixed_float16":
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
        optimizer.build(model.trainable_variables)
        self.optimizer = optimizer
        self._fresh = [to_host(variable) for variable in optimizer.variables]
        size = tuple(model.input_shape[1:])
        image = tf.TensorSpec((None, *size), tf.uint8)
        self._step = tf.function(self._train_step, jit_compile=xla, autograph=False)
        self._infer = tf.function(self._inference, input_signature=[image], autograph=False)

    def reset(self, weights: Mapping[str, np.ndarray], *, where: Path | str = "weights") -> None:
        """Start a training at `weights` with a fresh optimiser. Raises BadInput for another architecture."""
        assign_weights(self.model, weights, where=where)
        self._assign_slots(self._fresh)

    def step(self, batch: Batch) -> tf.Tensor:
        """One update. Returns the loss in its parts, float32 (3,): class, box, L2."""
        return self._step(*batch)

    def predict(self, images: tf.Tensor) -> np.ndarray:
        """Outputs float32 (n, A, C+4) for uint8 (n,S,S,3); batch normalisation in inference mode."""
        return self._infer(images).numpy()

    def slots(self) -> list[np.ndarray]:
        """The optimiser's variables."""
        return [to_host(variable) for variable in self.optimizer.variables]

    def restore(self, state: State, *, where: Path) -> None:
        """Go back to a state of the same architecture."""
        assign_weights(self.model, state.weights, where=where)
        self._assign_slots(state.slots)

    def _assign_slots(self, slots: list[np.ndarray]) -> None:
        for variable, value in zip(self.optimizer.variables, slots, strict=True):
            variable.assign(value)

    def _train_step(self, images: tf.Tensor, targets: tf.Tensor, weight: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            outputs = self.model(tf.cast(images, tf.float32), training=True)
            of_class, of_box = self.loss(tf.cast(outputs, tf.float32), targets, weight)
            penalty = tf.cast(l2_loss(self.model), tf.float32)
            total = self.optimizer.scale_loss(of_class + of_box + penalty)
        variables = self.model.trainable_variables
        self.optimizer.apply(tape.gradient(total, variables), variables)
        return tf.stack([of_class, of_box, penalty])

    def _inference(self, images: tf.Tensor) -> tf.Tensor:
        return tf.cast(self.model(tf.cast(images, tf.float32), training=False), tf.float32)


@dataclass(frozen=True, eq=False)
class FitResult:
    """What a training left."""

    weights: dict[str, np.ndarray]  # of the epoch that counts
    epoch: int  # which that is, from 1
    # A row per epoch: epoch, loss (mean over its steps), its parts, val_meanAP (None without validation).
    history: list[dict[str, Any]]
    resumed_from: int  # the step at which this call began: 0 for a fresh training


def fit(
    trainer: Trainer, batches: Callable[[int], Iterable[Batch]], *, schedule: Schedule,
    initial: Mapping[str, np.ndarray], identity: Mapping[str, Any], work: Path,
    evaluate: Callable[[], float | None] = lambda: None, check_stop: Callable[[], None] = lambda: None,
    progress: Callable[[Mapping[str, Any]], None] = lambda row: None, where: Path | str = "weights",
) -> FitResult:  # fmt: skip
    """Train from `initial`, or go on from the state that an earlier call left in `work`.

    batches: from the number of steps already done to the batches that come next.
    identity: JSON that names the training; a state of another one, or a damaged one, is not used.
    evaluate: mAP of the trainer's model on the validation set, after each epoch; None: there is no such set,
    and the last epoch counts.
    check_stop: raises Stopped, asked before each step; the state is written first.
    progress: gets each epoch's row, also of those found done. where: names the source of `initial` in errors.
    Raises BadInput for a loss that is not finite and for weights of another architecture.
    """
    work.mkdir(parents=True, exist_ok=True)
    path = work / STATE
    trainer.reset(initial, where=where)
    found = read_state(path, identity)
    run = _Run(trainer, schedule, found, path=path, identity=identity, evaluate=evaluate, progress=progress)
    stream = iter(batches(run.step))
    while run.step < schedule.num_steps:
        try:
            check_stop()
        except Stopped:
            run.save()
            raise
        run.advance(next(stream))
    run.save()
    return FitResult(run.best, run.chosen, run.history, found.step if found else 0)


class _Run:
    """A training under way."""

    def __init__(
        self, trainer: Trainer, schedule: Schedule, found: State | None, *, path: Path,
        identity: Mapping[str, Any], evaluate: Callable[[], float | None],
        progress: Callable[[Mapping[str, Any]], None],
    ) -> None:  # fmt: skip
        self.trainer, self.schedule, self.path, self.identity = trainer, schedule, path, identity
        self.evaluate, self.progress = evaluate, progress
        self.step, self.saved = 0, -1
        self.losses: list[tf.Tensor] = []
        self.history: list[dict[str, Any]] = []
        self.best: dict[str, np.ndarray] = {}
        if found is not None:
            trainer.restore(found, where=path)
            self.step = self.saved = found.step
            self.losses, self.best = [tf.constant(row) for row in found.losses], found.best
            self.history = found.history
            for row in self.history:
                progress(row)

    @property
    def chosen(self) -> int:
        """The epoch, from 1, whose weights `best` holds."""
        return chosen_epoch(self.history, self.schedule.selection)

    def advance(self, batch: Batch) -> None:
        """One step, and what is due after it."""
        self.losses.append(self.trainer.step(batch))
        self.step += 1
        if self.step % self.schedule.steps_per_epoch == 0:
            self._end_epoch()
        if self.step % self.schedule.checkpoint_every == 0:
            self.save()

    def _end_epoch(self) -> None:
        parts = tf.stack(self.losses).numpy().astype(np.float64).mean(axis=0)
        self.losses = []
        row = {"epoch": len(self.history) + 1, "loss": float(parts.sum())}
        row |= {f"{name}_loss": float(value) for name, value in zip(PARTS, parts, strict=True)}
        if not np.isfinite(parts).all():
            terms = ", ".join(f"{name} {value:g}" for name, value in zip(PARTS, parts, strict=True))
            what = f"the loss of epoch {row['epoch']} is not finite ({terms})"
            raise BadInput(what, file=self.path.parent, fix="lower train.lr")
        self.history.append({**row, "val_meanAP": self.evaluate()})
        if self.chosen == len(self.history):
            self.best = weights_of(self.trainer.model)
        self.progress(self.history[-1])

    def save(self) -> None:
        """Write the state, unless the file already holds it."""
        if self.saved == self.step:
            return
        losses = np.array([row.numpy() for row in self.losses], dtype=np.float32).reshape(-1, len(PARTS))
        state = State(
            self.step, weights_of(self.trainer.model), self.trainer.slots(), self.best, losses, self.history
        )
        write_state(self.path, state, self.identity)
        self.saved = self.step
