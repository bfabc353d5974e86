"""The pictures that ReDO learns from, and which of them a step sees.

A step's two batches (one to redraw, one to compare with) and its latents are functions of the seed, the
attempt and the step alone, so that a killed training goes on as if it had not been.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from experiments.sample_synthesis.redo.networks import NUM_REGIONS
from suite.errors import BadInput
from suite.seeds import item_rng

REDRAWN, COMPARED, LATENTS, HELD_OUT = "redo.redrawn", "redo.compared", "redo.latents", "redo.held-out"
HELD_OUT_SHARE, MAX_HELD_OUT = 0.1, 1000  # pictures that the restart rule and the evaluation look at


@dataclass(frozen=True)
class Split:
    """Rows of a set of pictures."""

    train: np.ndarray  # int64, ascending
    held_out: np.ndarray  # int64, ascending; at least one, unless there is a single picture


def split(num_pictures: int, *, seed: int) -> Split:
    """A tenth of the pictures, at most MAX_HELD_OUT and at least one, is kept out of the training."""
    if num_pictures < 2:
        raise BadInput(f"ReDO learns from two pictures at least, there are {num_pictures}")
    count = min(max(1, int(num_pictures * HELD_OUT_SHARE)), MAX_HELD_OUT)
    order = item_rng(seed, HELD_OUT, 0).permutation(num_pictures)
    return Split(train=np.sort(order[count:]), held_out=np.sort(order[:count]))


def rows_of_step(
    step: int, *, rows: np.ndarray, batch: int, seed: int, stream: str, attempt: int
) -> np.ndarray:
    """Rows (batch,) of step `step` from 0: without repetition within an epoch of len(rows) // batch whole
    batches, in an order drawn per epoch. With fewer rows than a batch they are repeated.
    """
    if len(rows) < batch:
        rows = np.resize(rows, batch)
    epoch, place = divmod(step, len(rows) // batch)
    order = item_rng(seed, stream, epoch, attempt).permutation(len(rows))
    return rows[order[place * batch : (place + 1) * batch]]


def latents_of_step(step: int, *, batch: int, latent: int, seed: int, attempt: int) -> Tensor:
    """Standard normal latents, float32 (batch, R, latent)."""
    rng = item_rng(seed, LATENTS, step, attempt)
    return torch.from_numpy(rng.standard_normal((batch, NUM_REGIONS, latent), np.float32))


def to_input(pictures: np.ndarray, input_range: str = "ours") -> Tensor:
    """uint8 (n, S, S, 3) -> float32 (n, 3, S, S) in [-1, 1] (ours) or [0, 1] (published synthesis)."""
    x = torch.from_numpy(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2))).float() / 255.0
    return x * 2 - 1 if input_range == "ours" else x
