"""One compiled training step and one compiled prediction, re-used by every classifier that a process trains.

The step takes the whole state as arguments, so a search over dozens of candidates compiles once. Images
stay on the device as they are stored (uint8 or float32); decoding and augmentation are part of the step.
With XLA, TensorFlow draws other random numbers from the same key, hence other augmentations.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from keras import ops

from experiments.gafi.config import milestones, precision_of
from experiments.gafi.nn import backend
from experiments.gafi.nn.augment import augment
from experiments.gafi.nn.backend import Tensor
from experiments.gafi.nn.classifiers import build_classifier, initial_state
from experiments.gafi.nn.optimizers import build_optimizer
from experiments.gafi.nn.schedule import lr_at
from experiments.gafi.nn.state import ModelState, apply
from suite.errors import BadInput
from suite.seeds import item_rng

ORDER, AUGMENT = "gafi.classifier.order", "gafi.classifier.augment"  # streams; an item is an epoch
FIRST_LOSS_SCALE, DOUBLE_AFTER = 2.0**15, 2000  # mixed_float16: Keras' values


class TrainState(NamedTuple):
    """Everything that an epoch changes."""

    model: ModelState
    slots: list[Tensor]  # the optimiser's; with mixed_float16 also [loss scale, steps since it changed]


class ClassifierTrainer:
    """Trains networks of one architecture on images of one shape.

    script: settings with the sections DATA, OPTIMIZATION, MODEL, AUG, RUN (a ClassifierScript,
    PipelineScript or MultiGanScript). image_shape: (H,W,C). compute: section COMPUTE.
    """

    def __init__(self, script: Any, *, image_shape: tuple[int, int, int], num_classes: int, compute: Any):
        height, width, channels = image_shape
        if height != width:
            raise BadInput(f"images of {height}x{width} pixels", fix="classifiers take square images")
        self.script, self.compute = script, compute
        self.image_shape, self.num_classes = tuple(image_shape), num_classes
        self.precision = precision_of(script.RUN, compute)
        self.model = build_classifier(
            script.MODEL, num_classes=num_classes, channels=channels, image_size=height, seed=0,
            precision=self.precision,
        )  # fmt: skip
        rule = script.OPTIMIZATION
        self.optimizer = build_optimizer(
            rule.optimizer, momentum=rule.momentum, nesterov=rule.nesterov, weight_decay=rule.weight_decay
        )
        self.step = backend.jit(self._step, xla=compute.xla_classifier)
        self._predict = backend.jit(self._predict_batch, xla=compute.xla_classifier)

    def initial(self, seed: int) -> TrainState:
        """The state before the first epoch, a function of the seed."""
        model = initial_state(self.model, seed=seed, init_sharing=self.compute.init_sharing)
        slots = self.optimizer.init(model.trainable)
        if self.precision == "mixed_float16":
            slots = [*slots, *map(ops.convert_to_tensor, (np.float32(FIRST_LOSS_SCALE), np.float32(0)))]
        return TrainState(model, slots)

    def lr(self, epoch: int, *, epochs: int) -> float:
        """The learning rate of epoch `epoch` (from 1) of `epochs`."""
        base = self.script.OPTIMIZATION.lr
        return lr_at(epoch, lr=base, milestones=milestones(self.compute, epochs))

    def train_epoch(
        self, state: TrainState, images: Tensor, labels: Tensor, *, epoch: int, seed: int, lr: float
    ) -> tuple[TrainState, float, float]:
        """(new state, mean loss, share of right answers) of one pass in an order of (seed, epoch) alone.

        images: (n,H,W,C) uint8 or float32 in the network's range; labels: (n,) integers. The last, smaller
        batch is trained on too, unless DATA.drop_remainder. Raises BadInput as soon as the epoch is over if
        the loss was not finite.
        """
        batch = self.script.OPTIMIZATION.batch_size
        num = len(labels)
        order = item_rng(seed, ORDER, epoch).permutation(num).astype(np.int32)
        if self.script.DATA.drop_remainder and num >= batch:
            order = order[: num - num % batch]
        starts = range(0, len(order), batch)
        keys = item_rng(seed, AUGMENT, epoch).integers(-(2**31), 2**31, size=(len(starts), 2), dtype=np.int64)
        rate = ops.convert_to_tensor(np.float32(lr))
        images, labels = as_device(images), as_device(labels)
        (trainable, other), slots = state
        losses, right = [], []
        for start, key in zip(starts, keys.astype(np.int32), strict=True):
            index = ops.convert_to_tensor(order[start : start + batch])
            trainable, other, slots, loss, hits = self.step(
                trainable, other, slots, ops.take(images, index, axis=0), ops.take(labels, index, axis=0),
                ops.convert_to_tensor(key), rate,
            )  # fmt: skip
            losses.append(loss)
            right.append(hits)
        sizes = [min(batch, len(order) - start) for start in starts]
        values = np.array(backend.to_numpy(losses), np.float64)
        if not np.isfinite(values).all():
            step = int(np.flatnonzero(~np.isfinite(values))[0]) + 1
            what = f"the loss of the classifier is not finite (epoch {epoch}, step {step}, lr {lr:g})"
            raise BadInput(what, fix="lower OPTIMIZATION.lr, or run with COMPUTE.precision=float32")
        loss = float(np.dot(values, sizes) / len(order))
        accuracy = float(np.sum(backend.to_numpy(right), dtype=np.float64) / len(order))
        return TrainState(ModelState(list(trainable), list(other)), list(slots)), loss, accuracy

    def predict(self, state: TrainState | ModelState, images: Tensor) -> np.ndarray:
        """(n,K) float32 probabilities of (n,H,W,C) images, uint8 or float32, in inference."""
        model = state.model if isinstance(state, TrainState) else state
        batch = self.script.OPTIMIZATION.val_batch_size
        num, images = len(images), as_device(images)
        parts = []
        for start in range(0, num, batch):
            # The last batch repeats the last image: one shape, hence one compilation, for sets of any size.
            index = np.minimum(np.arange(start, start + batch, dtype=np.int32), num - 1)
            chosen = ops.take(images, ops.convert_to_tensor(index), axis=0)
            parts.append(self._predict(model.trainable, model.other, chosen))
        return np.concatenate([*backend.to_numpy(parts), np.zeros((0, self.num_classes), np.float32)])[:num]

    def evaluate(self, state: TrainState | ModelState, images: Tensor, labels: Tensor) -> tuple[float, float]:
        """(mean cross-entropy, share of right answers) on (n,H,W,C) images with (n,) labels."""
        probs, labels = self.predict(state, images), backend.to_numpy(labels)
        of_label = probs[np.arange(len(labels)), labels].astype(np.float64)
        loss = float(-np.log(np.maximum(of_label, 1e-7)).mean())  # Keras cuts probabilities there too
        return loss, float((probs.argmax(axis=1) == labels).mean())

    # --- compiled ---

    def _predict_batch(self, trainable: list[Tensor], other: list[Tensor], images: Tensor) -> Tensor:
        images = decode(images, normalize=self.script.DATA.normalize)
        logits, _ = apply(self.model, ModelState(trainable, other), images, training=False)
        return ops.softmax(logits)

    def _step(
        self, trainable: list[Tensor], other: list[Tensor], slots: list[Tensor], images: Tensor,
        labels: Tensor, key: Tensor, lr: Tensor,
    ) -> tuple[list[Tensor], list[Tensor], list[Tensor], Tensor, Tensor]:  # fmt: skip
        """(trainable, other, slots, loss, number of right answers) after one batch."""
        data = self.script.DATA
        images = decode(images, normalize=data.normalize)
        fill = -1.0 if data.normalize else 0.0
        images = augment(images, key, self.script.AUG, fill=fill, flip=data.horizontal_flip)
        if self.precision != "mixed_float16":
            (loss, (_, hits, new_other)), grads = self._gradient(trainable, other, images, labels, 1.0)
            trainable, slots = self.optimizer.update(trainable, grads, slots, lr=lr)
            return trainable, new_other, slots, loss, hits
        *slots, scale, calm = slots
        (_, (loss, hits, new_other)), grads = self._gradient(trainable, other, images, labels, scale)
        grads = [grad / scale for grad in grads]
        fine = ops.all(ops.stack([ops.all(ops.isfinite(grad)) for grad in grads]))
        new, new_slots = self.optimizer.update(trainable, grads, slots, lr=lr)
        return (
            _choose(fine, new, trainable),
            _choose(fine, new_other, other),
            [*_choose(fine, new_slots, slots), *next_scale(fine, scale, calm)],
            loss,
            hits,
        )

    def _gradient(
        self, trainable: list[Tensor], other: list[Tensor], images: Tensor, labels: Tensor, scale: Any
    ) -> Any:
        """((scale * loss, (loss, right answers, new other)), gradients)."""

        def loss_of(params: list[Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor, list[Tensor]]]:
            logits, new_other = apply(self.model, ModelState(params, other), images, training=True)
            loss = cross_entropy(logits, labels)
            hits = ops.sum(ops.cast(ops.argmax(logits, axis=1) == ops.cast(labels, "int32"), "float32"))
            return loss * scale, (loss, hits, new_other)

        return backend.value_and_grad(loss_of)(trainable)


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean of -log softmax(logits)[label]: categorical cross-entropy on probabilities, but stable."""
    chosen = ops.one_hot(labels, logits.shape[-1], dtype="float32")
    return -ops.mean(ops.sum(chosen * ops.log_softmax(logits), axis=1))


def decode(images: Tensor, *, normalize: bool) -> Tensor:
    """Uint8 as float32 in [-1,1] (in [0,1] without `normalize`); float32 as it is."""
    if backend_dtype(images) != "uint8":
        return images
    unit = ops.cast(images, "float32") / 255.0
    return (unit - 0.5) / 0.5 if normalize else unit


def backend_dtype(array: Any) -> str:
    """The element type's name, of an array of the host or of the device."""
    return str(getattr(array.dtype, "name", array.dtype))


def as_device(array: Any) -> Tensor:
    """On the device; int64 labels as int32, which every backend has."""
    if backend_dtype(array) == "int64":
        return ops.cast(ops.convert_to_tensor(np.asarray(array, np.int32)), "int32")
    return ops.convert_to_tensor(array)


def next_scale(fine: Tensor, scale: Tensor, calm: Tensor) -> tuple[Tensor, Tensor]:
    """(loss scale, steps since it grew): halved by an overflow, doubled after DOUBLE_AFTER steps without."""
    grown = calm + 1 >= DOUBLE_AFTER
    after_fine = ops.where(grown, scale * 2, scale)
    return (
        ops.where(fine, after_fine, ops.maximum(scale / 2, 1.0)),
        ops.where(fine & ~grown, calm + 1, 0.0),
    )


def _choose(condition: Tensor, new: list[Tensor], old: list[Tensor]) -> list[Tensor]:
    return [ops.where(condition, a, b) for a, b in zip(new, old, strict=True)]
