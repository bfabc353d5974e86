"""What a batch reads and what stays in memory, whatever the size of a shard."""

import dataclasses
import gc
import tracemalloc

import pytest
from zarr.storage import WrapperStore

from experiments.solid.learn.data import pretrain
from experiments.solid.learn.data.index import StoreIndex
from experiments.solid.learn.data.pretrain import pretrain_loader
from experiments.solid.store.reader import SolidStore
from tests.solid.learn.stores import LAYOUT, coloured_query, coloured_target, write_store


class Counting(WrapperStore):
    """Notes every read: (array/shard, bytes)."""

    reads: list = []

    async def get(self, key, prototype, byte_range=None):
        found = await self._store.get(key, prototype, byte_range)
        if not key.endswith("zarr.json"):
            Counting.reads.append((key, 0 if found is None else len(found)))
        return found


@pytest.fixture
def loader(tmp_path, monkeypatch, with_pretrain):
    """`loader(shard_size)`: batches of a store of 64 pictures in shards of that size, reads counted."""

    class Counted(SolidStore):
        @classmethod
        def open(cls, path):
            return SolidStore.open(path, wrap=Counting)

    def make(shard_size, **settings):
        layout = dataclasses.replace(LAYOUT, num_images=64, shard_size=shard_size)
        folder = write_store(tmp_path / str(shard_size), layout)
        index = StoreIndex.build(SolidStore.open(folder), folder / "index")
        monkeypatch.setattr(pretrain, "SolidStore", Counted)
        Counting.reads.clear()
        return pretrain_loader(folder, index, with_pretrain(workers=0, **settings), seed=0, stop_step=100)

    return make


@pytest.mark.parametrize("shard_size", [4, 64])
def test_a_batch_reads_its_own_samples_and_the_index_of_their_shards(loader, shard_size):
    batches = loader(shard_size)
    next(batches)  # opens the arrays
    for _ in range(5):
        Counting.reads.clear()
        batch = next(batches)
        sizes = {}
        for key, size in Counting.reads:
            sizes.setdefault(key.split("/")[0], []).append(size)
        pictures, queries = len(batch.targets), len(batch.queries)
        assert set(sizes) == {"images", "label_maps", "valid"}
        assert len(sizes["label_maps"]) == 2 * pictures  # a shard's index and one inner chunk each
        assert len(sizes["images"]) == 2 * (pictures + queries)
        assert len(sizes["valid"]) == queries
        shown = sum(len(coloured_target(t["image_id"]).image) for t in batch.targets)
        most = sum(max(map(len, coloured_query(int(c)).shots)) for c in batch.query_ids)
        indexes = pictures * (16 * shard_size + 4) + queries * (16 * 4 * LAYOUT.num_shots + 4)
        assert sum(sizes["images"]) <= shown + most + indexes + 8 * (pictures + queries)


def test_the_published_order_reads_single_samples_too(loader):
    batches = loader(64, sampler="chunk_cache", cache_size=64)
    next(batches)
    Counting.reads.clear()
    next(batches)
    assert sum(size for key, size in Counting.reads if key.startswith("label_maps")) < 2 * (16 * 64 + 4 + 400)


def test_nothing_is_kept_from_one_batch_to_the_next(loader):
    batches = loader(64)
    tracemalloc.start()
    try:
        for _ in range(4):
            next(batches)
        Counting.reads.clear()
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(32):  # 64 pictures: each of the 62 once
            next(batches)
        Counting.reads.clear()
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 20 * 48 * 64  # kept label maps would take 62 x 48 x 64, pictures three times as much
