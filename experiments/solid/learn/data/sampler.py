"""Which pictures a step takes, as a function of (seed, step, rank) alone: any run can start at any step."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from suite.errors import BadInput
from suite.seeds import item_rng


class EpochSampler:
    """Every item exactly once per epoch over all ranks; epochs follow each other without a gap.

    `items`: their number, or the ids to draw from. Step s takes positions s * batch_size and up of the
    endless row of shuffled epochs, and each rank its part of them, so that a batch may reach into the next
    epoch. Not in the published code, where every rank shuffles the whole set on its own.
    """

    def __init__(
        self,
        items: int | Sequence[int] | np.ndarray,
        batch_size: int,
        *,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        stream: str = "solid.pretrain.order",
    ) -> None:
        """`batch_size`: over all ranks. BadInput: it is no multiple of the ranks, or more than the items."""
        self.items = np.arange(items) if isinstance(items, int) else np.asarray(items, dtype=np.int64)
        self.per_rank = rank_share(batch_size, world_size)
        if len(self.items) < batch_size:
            what = f"{len(self.items)} pictures to train on, a batch takes {batch_size}"
            raise BadInput(what, fix="lower the batch size (or held_out), or add pictures")
        self.batch_size, self.seed, self.rank, self.stream = batch_size, seed, rank, stream
        self._epoch: tuple[int, np.ndarray] = (-1, self.items)

    def batch(self, step: int) -> np.ndarray:
        """(batch_size / world_size,) int64: items of this rank at a step."""
        first = step * self.batch_size + self.rank * self.per_rank
        return np.array([self._at(position) for position in range(first, first + self.per_rank)], np.int64)

    def _at(self, position: int) -> int:
        epoch, place = divmod(position, len(self.items))
        if self._epoch[0] != epoch:
            order = item_rng(self.seed, self.stream, epoch).permutation(self.items)
            self._epoch = (epoch, order)
        return self._epoch[1][place]


class ChunkCacheSampler:
    """The published order (SOLID code, pre-training loader), as a function of (seed, step, rank).

    The shards are shuffled; whole shards are taken until at least `cache_size` pictures are at hand; these
    are walked twice, in two independent orders; then the next shards are taken, without end. Every rank does
    so on its own with the whole set. The last cache before the list of shards is shuffled anew may be
    smaller. Only the order is kept: pictures are read one by one, so memory does not grow with the cache.
    """

    STREAM = "solid.pretrain.chunk_cache"
    PASSES = 2

    def __init__(
        self,
        rows: Sequence[int] | np.ndarray,
        batch_size: int,
        *,
        shard_size: int,
        cache_size: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        """`rows`: pictures to draw from; row r lies in shard r // shard_size. BadInput as EpochSampler."""
        self.items = np.asarray(rows, dtype=np.int64)
        self.per_rank = rank_share(batch_size, world_size)
        if len(self.items) < batch_size:
            what = f"{len(self.items)} pictures to train on, a batch takes {batch_size}"
            raise BadInput(what, fix="lower the batch size (or held_out), or add pictures")
        self.cache_size, self.seed, self.rank = cache_size, seed, rank
        _, starts = np.unique(self.items // shard_size, return_index=True)
        self._shards = np.split(self.items, starts[1:]) if len(starts) else []
        self._caches: tuple[int, list[np.ndarray]] = (-1, [])
        self._walk: tuple[tuple[int, int, int], np.ndarray] = ((-1, -1, -1), self.items)

    def batch(self, step: int) -> np.ndarray:
        """(batch_size / world_size,) int64: items of this rank at a step."""
        first = step * self.per_rank
        return np.array([self._at(position) for position in range(first, first + self.per_rank)], np.int64)

    def _at(self, position: int) -> int:
        """Item at a position of this rank's endless row; one list of shards gives every item twice."""
        rounds, place = divmod(position, self.PASSES * len(self.items))
        if self._caches[0] != rounds:
            self._caches = (rounds, self._fill_caches(rounds))
        for number, cache in enumerate(self._caches[1]):
            if place < self.PASSES * len(cache):
                which, place = divmod(place, len(cache))
                return self._order(rounds, number, which)[place]
            place -= self.PASSES * len(cache)
        raise AssertionError("the caches of a round hold every item")

    def _fill_caches(self, rounds: int) -> list[np.ndarray]:
        rng = item_rng(self.seed, f"{self.STREAM}.shards.{self.rank}", rounds)
        caches: list[np.ndarray] = []
        held: list[np.ndarray] = []
        for shard in rng.permutation(len(self._shards)):
            held.append(self._shards[shard])
            if sum(map(len, held)) >= self.cache_size:
                caches.append(np.concatenate(held))
                held = []
        return [*caches, np.concatenate(held)] if held else caches

    def _order(self, rounds: int, number: int, which: int) -> np.ndarray:
        place = (rounds, number, which)
        if self._walk[0] != place:
            stream = f"{self.STREAM}.walk.{self.rank}"
            rng = item_rng(self.seed, stream, rounds, attempt=self.PASSES * number + which)
            self._walk = (place, rng.permutation(self._caches[1][number]))
        return self._walk[1]


Sampler = EpochSampler | ChunkCacheSampler


def rank_share(batch_size: int, world_size: int) -> int:
    """Pictures per rank. BadInput unless the ranks divide the batch."""
    if batch_size % world_size:
        raise BadInput(
            f"a batch of {batch_size} does not divide among {world_size} processes",
            fix="choose a batch size that is a multiple of the number of processes",
        )
    return batch_size // world_size
