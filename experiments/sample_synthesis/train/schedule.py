"""How long a training lasts, and which of its epochs counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How long is trained and which epoch counts."""

    epochs: int
    steps_per_epoch: int
    checkpoint_every: int  # steps
    selection: Literal["best", "last"] = "best"

    @property
    def num_steps(self) -> int:
        return self.epochs * self.steps_per_epoch


def chosen_epoch(history: Sequence[Mapping[str, Any]], selection: str) -> int:
    """The epoch, from 1, that counts: the first of greatest `val_meanAP`, or the last; 0 before any."""
    values = [row["val_meanAP"] for row in history]
    if not history or selection == "last" or any(value is None for value in values):
        return len(history)
    return 1 + int(np.argmax(values))
