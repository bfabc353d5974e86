"""The settings of W2N, which learns from the boxes that a trained OICR finds, as noisy labels."""

from __future__ import annotations

from dataclasses import dataclass

from experiments.imaginarynet.config_sections import _at_least


@dataclass(frozen=True)
class W2NConfig:
    """How often the labels are made anew, and how a round is trained."""

    rounds: int = 2

    def __post_init__(self) -> None:
        _at_least("w2n", 1, rounds=self.rounds)
