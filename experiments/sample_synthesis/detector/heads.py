"""The heads: of each tapped map two 3x3 convolutions, classes and offsets of the cell's three anchors.

Section "Detector" of the dissertation and published code: independent per level, Glorot-uniform kernels, zero
biases, L2 on the kernels only; no layers between backbone and head. Channels of a cell run anchor by anchor.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras

from experiments.sample_synthesis.detector.archs import ASPECT_RATIOS
from experiments.sample_synthesis.detector.layers import Tensor, conv


def add_heads(taps: Sequence[Tensor], *, num_classes: int, l2: float, seed: int) -> Tensor:
    """(n, A, num_classes + 4), class logits first, of the tapped maps in order; l2: factor of sum(w^2)."""
    levels = []
    for number, tap in enumerate(taps, start=1):
        parts = []
        for kind, channels in (("class", num_classes), ("box", 4)):
            name = f"head{number}_{kind}"
            x = conv(
                tap, len(ASPECT_RATIOS) * channels, 3, padding="same", seed=seed, name=name,
                kernel_regularizer=keras.regularizers.L2(l2) if l2 else None,
            )  # fmt: skip
            parts.append(keras.layers.Reshape((-1, channels), name=f"{name}_rows")(x))
        levels.append(keras.layers.Concatenate(axis=-1, name=f"head{number}")(parts))
    return keras.layers.Concatenate(axis=1, name="outputs")(levels)
