"""A generator and classifiers whose acceptance is known in closed form; they fit `nn.state.apply`.

The generator gives constant images: image(z, c) = clip(centre_c + z_0 / 8), centre_c = -1 + 2 (c + 1/2) / K.
The classifier reads the first pixel x: its logits are -SHARPNESS (x - centre_k)^2, so it agrees where x is
nearest to the wanted centre: |z_0| < 8/K for the classes within, and one-sided for the first and the last,
beyond which x is clipped to the image's range.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from experiments.gafi.nn.state import ModelState

SCALE = 1 / 8  # of z_0 in the image
SHARPNESS = 40.0


class Net(NamedTuple):
    """A model with its state, as `Scorer` takes it."""

    model: Any
    state: ModelState


class StubGenerator:
    """See the module; `shift` (its only weight) is added to all images."""

    def __init__(self, classes: int, *, latent_dim: int = 3, image_shape: tuple[int, int, int] = (4, 4, 1)):
        self.classes, self.latent_dim, self.image_shape = classes, latent_dim, image_shape
        self.calls = 0  # times that it was traced

    def stateless_call(self, trainable: list, other: list, inputs: tuple, training: bool) -> tuple:
        assert not training
        self.calls += 1
        z, labels = inputs
        centre = -1 + 2 * (ops.cast(labels, "float32") + 0.5) / self.classes
        value = ops.clip(centre + trainable[0] + z[:, 0] * SCALE, -1, 1)
        return value[:, None, None, None] * ops.ones((1, *self.image_shape)), other


class StubClassifier:
    """See the module."""

    def __init__(self, classes: int):
        self.classes = classes

    def stateless_call(self, trainable: list, other: list, images: Any, training: bool) -> tuple:
        assert not training
        centres = -1 + 2 * (np.arange(self.classes, dtype=np.float32) + 0.5) / self.classes
        return -SHARPNESS * (images[:, 0, 0, 0][:, None] - centres) ** 2, other


class OtherClassClassifier(StubClassifier):
    """Surely of another class than the one the image was made for, at standard deviations up to 1/4."""

    def stateless_call(self, trainable: list, other: list, images: Any, training: bool) -> tuple:
        logits, other = super().stateless_call(trainable, other, images, training)
        return ops.roll(logits, 1, axis=-1), other


class LabelBlindClassifier(StubClassifier):
    """Always the first class: accepts all of it and none of the others."""

    def stateless_call(self, trainable: list, other: list, images: Any, training: bool) -> tuple:
        wanted = np.arange(self.classes) == 0
        return ops.broadcast_to(np.float32(9.0) * wanted, (ops.shape(images)[0], self.classes)), other


def generator(classes: int, *, shift: float = 0.0, **settings: Any) -> Net:
    return Net(StubGenerator(classes, **settings), ModelState([ops.convert_to_tensor(np.float32(shift))], []))


def classifier(classes: int, kind: type[StubClassifier] = StubClassifier) -> Net:
    return Net(kind(classes), ModelState([], []))


def agreement(classes: int, label: int, stddev: float) -> float:
    """Probability that the classifier agrees with an image of a class, in closed form."""
    within = math.erf(1 / classes / (SCALE * stddev) / math.sqrt(2))
    return within if 0 < label < classes - 1 else (1 + within) / 2


def confidence(image_value: np.ndarray, label: np.ndarray, classes: int) -> np.ndarray:
    """(n,) float64: the stub classifier's probability of `label` for images of a constant value (n,)."""
    centres = -1 + 2 * (np.arange(classes) + 0.5) / classes
    logits = -SHARPNESS * (image_value[:, None].astype(np.float64) - centres) ** 2
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return odds[np.arange(len(label)), label] / odds.sum(axis=1)
