"""The learning rate of a classifier by epoch, as a closed form: a resumed run needs no scheduler state."""

from __future__ import annotations

from collections.abc import Sequence


def lr_at(epoch: int, *, lr: float, milestones: Sequence[int] = (60, 80)) -> float:
    """The rate of epoch `epoch` (from 1): x 0.1 from each milestone epoch on.

    milestones: published 60 and 80, whatever the number of epochs; so epochs 60 to 79 run at lr/10.
    """
    return lr / 10.0 ** sum(epoch >= milestone for milestone in milestones)
