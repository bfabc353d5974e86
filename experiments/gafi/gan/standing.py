"""Standing statistics: moving statistics of batch norm gathered anew (Brock et al. 2019).

Off in all published settings (`PIPELINE.apply_standing_stats`). On a copy of the generator every moving
mean is set to 0 and every moving variance to 1; then follow `standing_stats_bs` passes in training mode,
each with a random batch size of 1..standing_stats_bs, latents from N(0, 1) and uniform labels. Training
mode moves the vectors u of spectral norm, too, as it does in the published code.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import ops

from experiments.gafi.nn.state import ModelState, apply, names_of
from suite.errors import BadInput
from suite.seeds import item_rng

FIRST_VALUES = {"moving_mean": 0.0, "moving_variance": 1.0}


def standing_state(
    model: keras.Model, state: ModelState, *, size: int, num_classes: int, latent_dim: int, seed: int
) -> ModelState:
    """The state with standing statistics; `state` itself stays as it is.

    size: largest batch and number of passes (published: one setting for both). The passes are run one by
    one and not compiled: almost each has another batch size. Raises BadInput for size < 1.
    """
    if size < 1:
        raise BadInput(f"PIPELINE.standing_stats_bs is {size}", fix="give at least 1")
    current = reset_statistics(model, state)
    for number in range(size):
        latents, labels = _draw(number, size=size, num_classes=num_classes, latent_dim=latent_dim, seed=seed)
        _, other = apply(model, current, (latents, labels), training=True)
        current = ModelState(current.trainable, other)
    return current


def reset_statistics(model: keras.Model, state: ModelState) -> ModelState:
    """The state with all moving means 0 and all moving variances 1; vectors u stay."""
    other = []
    for name, value in zip(names_of(model).other, state.other, strict=True):
        first = FIRST_VALUES.get(name.rpartition("/")[2])
        other.append(value if first is None else ops.full(value.shape, first, dtype=value.dtype))
    return ModelState(list(state.trainable), other)


def _draw(
    number: int, *, size: int, num_classes: int, latent_dim: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Latents (n, latent_dim) and labels (n,) of pass `number`, with a random n in 1..size."""
    rng = item_rng(seed, "gafi.gan.standing", number)
    count = int(rng.integers(1, size + 1))
    latents = rng.standard_normal((count, latent_dim)).astype(np.float32)
    return latents, rng.integers(0, num_classes, count).astype(np.int32)
