"""Settings of the cells: which detectors, how many real pictures, which seeds, how long each is trained."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

DetectorName = Literal["mask-rcnn", "dense"]


@dataclass(frozen=True)
class Training:
    """One detector: settings of the experiment that it comes from, and its budget, the same in all cells."""

    scale: str = "smoke"  # experiments/{solid,dense_detector}/configs/<scale>.yaml
    iterations: int = 200  # updates of the weights, whatever is trained on
    overrides: tuple[str, ...] = ()  # key=value, laid over that file

    def __post_init__(self) -> None:
        if self.iterations < 1:
            raise ValueError(f"`cells`: `iterations` of a detector is {self.iterations}, must be at least 1")


@dataclass(frozen=True)
class CellsConfig:
    """The grid, and how long each of its cells is trained."""

    detectors: tuple[DetectorName, ...] = ("mask-rcnn", "dense")
    real: tuple[int, ...] = (0, 10, 50, 200)  # real pictures beside those of the arm
    seeds: tuple[int, ...] = (0, 1, 2)
    mask_rcnn: Training = field(default_factory=Training)
    dense: Training = field(default_factory=Training)

    def __post_init__(self) -> None:
        for name in ("detectors", "real", "seeds"):
            values = getattr(self, name)
            if not values or len(set(values)) != len(values):
                raise ValueError(f"`cells.{name}` is {list(values)}; name one or more, each once")
        for name in ("real", "seeds"):
            if (least := min(getattr(self, name))) < 0:
                raise ValueError(f"`cells.{name}` has {least}, must be at least 0")

    def training(self, detector: str) -> Training:
        """Settings of a detector by its name."""
        return self.mask_rcnn if detector == "mask-rcnn" else self.dense
