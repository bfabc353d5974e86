"""From a setting and the run's export to training data, and the target set for evaluation.

data = load_sources(config, export, setting, seed=0)
target = load_target(config)
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.imaginarynet.detectors.data.records import TrainingData
from suite.datasets import CocoSet

if TYPE_CHECKING:
    from experiments.imaginarynet.config import ImaginaryNetConfig
    from experiments.imaginarynet.config_detectors import SettingConfig


@dataclass(frozen=True)
class Target:
    """The real target set with its boxes, for evaluation alone; no trainer takes it."""

    test: CocoSet
    test_dir: Path  # of the pictures
    train: CocoSet
    train_dir: Path
    class_names: tuple[str, ...]


def load_sources(
    config: ImaginaryNetConfig, export: Path | None, setting: SettingConfig, *, seed: int
) -> TrainingData:
    """Read the pictures that a setting names; `export`: the run's export folder, None where it has none."""
    raise NotImplementedError


def load_target(config: ImaginaryNetConfig) -> Target:
    """The target's test and training splits with their boxes."""
    raise NotImplementedError
