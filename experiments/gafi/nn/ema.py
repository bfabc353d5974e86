"""Exponential moving average of a network over all its variables (published code; GaFi, section 3).

All means all: kernels, moving statistics of batch norm and the vectors of spectral norm, so that the averaged
generator is a whole network. Up to and including step `start` the average is a plain copy.
"""

from __future__ import annotations

from collections.abc import Sequence

from keras import ops

from experiments.gafi.nn.backend import Tensor
from experiments.gafi.nn.state import ModelState


def decay_at(step: Tensor, *, decay: float, start: int) -> Tensor:
    """Weight of the old average at `step` (1-based, an integer scalar): 0 up to `start`, then `decay`."""
    return ops.where(step <= start, 0.0, ops.cast(decay, "float32"))


def update(average: ModelState, current: ModelState, step: Tensor, *, decay: float, start: int) -> ModelState:
    """`d * average + (1 - d) * current`, variable by variable in float32; exactly `current` up to `start`."""
    weight = decay_at(step, decay=decay, start=start)

    def mixed(old: Sequence[Tensor], new: Sequence[Tensor]) -> list[Tensor]:
        return [weight * a + (1.0 - weight) * b for a, b in zip(old, new, strict=True)]

    return ModelState(mixed(average.trainable, current.trainable), mixed(average.other, current.other))
