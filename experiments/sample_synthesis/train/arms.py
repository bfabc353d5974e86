"""The arms: which images a cell trains on, in which order, and which validation images choose its epoch.

pretrained    synthetic images only
from_scratch  N real images; "scratch" means without synthetic pretraining, the backbone may be ImageNet's
finetuned     the weights of `pretrained`, a fresh optimiser, N real images
matched       as from_scratch, with as many steps as pretrained and finetuned have together (ours)
mixed         real and synthetic images in one session (pretraining ablation)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from experiments.sample_synthesis.cells import Cell, epochs, num_synthetic
from experiments.sample_synthesis.data.splits import subset
from experiments.sample_synthesis.train.order import item_order, mixed_order
from experiments.sample_synthesis.train.schedule import Schedule
from suite.errors import BadInput

if TYPE_CHECKING:
    from experiments.sample_synthesis.config import SampleSynthesisConfig


@dataclass(frozen=True, eq=False)
class Available:
    """How many images of an object there are."""

    train: int
    valid: int
    synthetic: int  # of the cell's variant
    rows: np.ndarray | None = None  # int64 (train,): places in the published list, of `first_rows_subset`


@dataclass(frozen=True, eq=False)
class Recipe:
    """A cell's session."""

    data: Literal["real", "synthetic", "both"]
    order: np.ndarray  # int64 (draws,): positions there; of `both`, synthetic ones lie behind all real ones
    real: np.ndarray  # int64 (N,): positions of the real images that are trained on
    validation: np.ndarray  # int64: positions of the validation images; empty: the last epoch counts
    schedule: Schedule


def recipe(config: SampleSynthesisConfig, cell: Cell, available: Available, *, seed: int) -> Recipe:
    """What the cell trains on. Raises BadInput where it needs more images than there are."""
    train = config.train
    schedule = Schedule(
        epochs=epochs(config, cell), steps_per_epoch=train.steps_per_epoch,
        checkpoint_every=train.checkpoint_every, selection=train.selection,
    )  # fmt: skip
    draws = schedule.num_steps * train.batch
    real = _real(config, cell, available)
    validation = _validation(config, cell, available)
    synthetic = num_synthetic(config, cell) or 0
    if synthetic > available.synthetic:
        what = f"{cell.name} needs {synthetic} synthetic images, there are {available.synthetic}"
        raise BadInput(what, fix=f"set {cell.object}.synthesis.num_samples={synthetic}")
    common = {"seed": seed, "name": cell.name, "order": train.order}
    if cell.arm == "pretrained":
        order = item_order(synthetic, draws, **common)
        return Recipe("synthetic", order, real, validation, schedule)
    if cell.arm == "mixed":
        order = mixed_order(
            len(real), synthetic, draws, factor=cell.factor,
            real_only=config.compat.mixed_real_only, **common,
        )  # fmt: skip
        place_in_real = real[np.minimum(order, len(real) - 1)]
        places = np.where(order < len(real), place_in_real, order - len(real) + available.train)
        return Recipe("both", places, real, validation, schedule)
    order = real[item_order(len(real), draws, **common)]
    return Recipe("real", order, real, validation, schedule)


def _real(config: SampleSynthesisConfig, cell: Cell, available: Available) -> np.ndarray:
    if not cell.sees_real:
        return np.zeros(0, dtype=np.int64)
    first_rows = cell.ablation == "pretraining" and config.compat.first_rows_subset
    seed = config.train.subset_seed
    return subset(available.train, cell.num_real, seed=seed, first_rows=first_rows, rows=available.rows)


def _validation(config: SampleSynthesisConfig, cell: Cell, available: Available) -> np.ndarray:
    """All of them, or with `matched` no more than real images are trained on: none for a pretraining."""
    everyone = np.arange(available.valid)
    if config.train.validation == "full" or not available.valid:
        return everyone
    wanted = min(cell.num_real, available.valid) if cell.sees_real else 0
    return subset(available.valid, wanted, seed=config.train.subset_seed) if wanted else everyone[:0]
