"""The grid: one cell for each arm, number of real pictures, seed and detector.

    for cell in cells(config):
        cell.name  # dense-pasted-50-seed1

It follows from the settings alone, so that a wide stage can be cut before anything is there. An arm without
pictures of its own (`real`, and the initialisations) has no cell without real pictures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from experiments.compare.arms import Arm, arms_of

if TYPE_CHECKING:
    from experiments.compare.config import CompareConfig


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One training and its test."""

    arm: Arm
    real: int  # real pictures that are trained on
    seed: int
    detector: str

    @property
    def name(self) -> str:
        """Unique among the cells of a run."""
        return f"{self.detector}-{self.arm.name}-{self.real}-seed{self.seed}"


def cells(config: CompareConfig) -> tuple[Cell, ...]:
    """All of them; the number of the shard is the place here.

    The detector that takes longest comes first, so that no core waits long for the last cell.
    """
    return tuple(
        Cell(arm=arm, real=real, seed=seed, detector=detector)
        for detector in sorted(config.cells.detectors, key=lambda name: name != "mask-rcnn")
        for seed in config.cells.seeds
        for arm in arms_of(config)
        for real in config.cells.real
        if has_cell(arm, real, detector)
    )


def has_cell(arm: Arm, real: int, detector: str) -> bool:
    """Whether there is something to learn from, and whether the arm's weights are of this detector."""
    if arm.kind == "init":
        return real > 0 and detector == "mask-rcnn"
    return real > 0 or arm.kind == "data"
