"""Which pictures a batch takes, as a function of (seed, batch) alone: any run can start at any batch."""

from __future__ import annotations

import numpy as np

from suite.seeds import item_rng


class EpochSampler:
    """Every item exactly once per epoch; epochs follow each other without a gap.

    Batch b takes positions b * batch_size and up of the endless row of shuffled epochs, so that it may reach
    into the next epoch, and over whole epochs concatenated sources are seen in the ratio of their sizes.
    """

    def __init__(self, num_items: int, batch_size: int, *, seed: int, stream: str) -> None:
        """Raises ValueError unless there is an item and a place in the batch."""
        if num_items < 1 or batch_size < 1:
            raise ValueError(f"{num_items} items in batches of {batch_size}: need 1 and 1")
        self.num_items, self.batch_size, self.seed, self.stream = num_items, batch_size, seed, stream
        self._epoch: tuple[int, np.ndarray] = (-1, np.zeros(0, np.int64))

    def batch(self, number: int) -> np.ndarray:
        """int64 (batch_size,): the items of a batch, from 0 on."""
        first = number * self.batch_size
        return np.array([self._at(position) for position in range(first, first + self.batch_size)], np.int64)

    def _at(self, position: int) -> int:
        epoch, place = divmod(position, self.num_items)
        if self._epoch[0] != epoch:
            self._epoch = (epoch, item_rng(self.seed, self.stream, epoch).permutation(self.num_items))
        return int(self._epoch[1][place])
