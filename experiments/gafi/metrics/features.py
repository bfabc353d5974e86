"""Features of pictures for the distances, by an extractor that is named after its weights.

FID and its like are numbers about a network as much as about pictures. The published code takes the ImageNet
network of keras.applications, which needs a download and three channels. The default here is C_real, the
classifier of the run: "FID on C_real features", comparable within a run and with nothing else. A network of
yours is a `.keras` file (METRICS.extractor = path): any model from pictures (n, H, W, C) in [-1, 1] to
features (n, d); pictures are resized bilinearly to its input size and grey ones are repeated on its channels.
Its name then holds the file's digest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from suite.errors import BadInput
from suite.manifest import file_digest
from suite.paths import data_path

C_REAL = "c_real"  # METRICS.extractor: the default
BATCH = 256  # pictures in one call of a network


@dataclass(frozen=True, eq=False)
class Features:
    """What a network makes of n pictures."""

    features: np.ndarray  # (n, d) float64
    probabilities: np.ndarray | None  # (n, K) float64; None for a network without classes


@dataclass(frozen=True, eq=False)
class Extractor:
    """A network for metrics. `name` says whose weights: "C_real features", "user file ... features"."""

    name: str
    call: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray | None]]  # float32 (b, H, W, C) -> see Features

    def __call__(self, images: np.ndarray) -> Features:
        """Features of pictures float32 (n, H, W, C) in [-1, 1], a batch at a time; the last one is padded.

        All calls have one shape, so that a compiled network is compiled once.
        """
        if not len(images):
            raise ValueError("no pictures to take features of")
        features, probabilities = [], []
        for start in range(0, len(images), BATCH):
            batch = np.asarray(images[start : start + BATCH], dtype=np.float32)
            padded = np.concatenate([batch, np.zeros((BATCH - len(batch), *batch.shape[1:]), np.float32)])
            found, p = self.call(padded)
            features.append(np.asarray(found[: len(batch)], dtype=np.float64))
            if p is not None:
                probabilities.append(np.asarray(p[: len(batch)], dtype=np.float64))
        return Features(np.concatenate(features), np.concatenate(probabilities) if probabilities else None)


def extractors(
    named: str, model: Any, state: Any, *, random_seed: int
) -> tuple[Extractor, Extractor, Extractor]:
    """(what METRICS.extractor names, C_real, the same network with random weights).

    model, state: C_real (classifier.stage.load_classifier). random_seed: of the random weights. Raises
    BadInput.
    """
    from experiments.gafi.nn.classifiers import initial_state

    c_real = classifier_extractor("C_real features", model, state)
    extractor = c_real if named == C_REAL else file_extractor(data_path(named))
    fresh = initial_state(model, seed=random_seed % 2**32)
    return extractor, c_real, classifier_extractor("random weights", model, fresh)


def classifier_extractor(name: str, model: Any, state: Any) -> Extractor:
    """Features and class probabilities of a network of nn/classifiers.py at `state` (ModelState)."""
    import keras

    from experiments.gafi.nn.backend import jit, to_numpy
    from experiments.gafi.nn.classifiers import apply_features
    from experiments.gafi.nn.state import ModelState, apply

    def forward(trainable: list, other: list, images: Any) -> tuple[Any, Any]:
        at = ModelState(trainable, other)
        logits, _ = apply(model, at, images, training=False)
        return apply_features(model, at, images), keras.ops.softmax(logits)

    compiled = jit(forward)
    return Extractor(name, lambda images: to_numpy(compiled(state.trainable, state.other, images)))


def file_extractor(path: Path) -> Extractor:
    """A network of the user's in the `.keras` format. Raises BadInput; code in the file is refused."""
    import keras

    from experiments.gafi.nn.backend import to_numpy

    if path.suffix != ".keras" or not path.is_file():
        raise BadInput("is no .keras file", file=path, fix="METRICS.extractor is c_real, or such a file")
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except (ValueError, TypeError, OSError, KeyError) as error:
        raise BadInput(f"cannot be read ({type(error).__name__})", file=path, fix="save it again") from None
    _, height, width, channels = model.input_shape

    def call(images: np.ndarray) -> tuple[np.ndarray, None]:
        if None not in (height, width):
            images = keras.ops.image.resize(images, (height, width), interpolation="bilinear")
        if images.shape[-1] == 1 and channels != 1:
            images = keras.ops.repeat(images, channels, axis=-1)
        features = to_numpy(model(images, training=False))
        return features.reshape(len(features), -1), None

    return Extractor(f"{path.stem} {file_digest(path)[:8]} features", call)
