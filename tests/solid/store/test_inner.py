"""Reading inner chunks without zarr: the same values, and None wherever only zarr can tell."""

import json

import numpy as np
import pytest

from experiments.solid.store.inner import InnerChunks
from experiments.solid.store.reader import SolidStore
from experiments.solid.store.schema import GROUPS
from experiments.solid.store.writer import shard_files
from tests.solid.store.fakes import LAYOUT, empty_store, target, write_shard


@pytest.fixture
def store(tmp_path):
    path = empty_store(tmp_path)
    for group in GROUPS:
        for shard in range(LAYOUT.num_shards(group)):
            write_shard(path, group, shard)
    return path


def test_every_row_of_every_shard_is_as_zarr_reads_it(store):
    images, maps = (InnerChunks.open(store / "targets" / name) for name in ("images", "label_maps"))
    opened = SolidStore.open(store)
    for index in range(LAYOUT.num_images):
        sample = opened.read_target(index)
        assert images.read(index) == sample.image
        found = maps.read(index)
        np.testing.assert_array_equal(found, sample.label_map)
        assert found.flags.writeable  # so that torch.from_numpy takes it as it is


def test_a_loader_asks_zarr_for_nothing(store, monkeypatch):
    opened = SolidStore.open(store)
    monkeypatch.setattr(SolidStore, "_slice", lambda *_: pytest.fail("zarr was asked"))
    rgb, label_map = opened.read_picture(3, len(target(3).bboxes))
    np.testing.assert_array_equal(rgb, target(3).rgb())
    np.testing.assert_array_equal(label_map, target(3).label_map)


def test_what_is_not_a_sharded_array_of_bytes_or_uint8_is_left_to_zarr(store):
    for name in ("bboxes", "visibility", "attempts", "valid", "nothing"):
        assert InnerChunks.open(store / "targets" / name) is None
    assert InnerChunks.open(store / "queries" / "images") is None  # a chunk per view
    meta = store / "targets" / "images" / "zarr.json"
    content = json.loads(meta.read_text())
    content["codecs"][0]["configuration"]["index_location"] = "start"
    meta.write_text(json.dumps(content))
    assert InnerChunks.open(meta.parent) is None
    meta.write_text("{")
    assert InnerChunks.open(meta.parent) is None


@pytest.mark.parametrize("name", ["images", "label_maps"])
def test_any_byte_of_the_index_or_of_a_map_that_changes_is_noticed(store, name):
    file = shard_files(store, "targets", 0)[name]
    whole = file.read_bytes()
    index = 16 * LAYOUT.shard_size + 4
    places = range(len(whole) - index, len(whole)) if name == "images" else range(0, len(whole), 7)
    before = InnerChunks.open(store / "targets" / name)
    values = [before.read(row) for row in range(LAYOUT.shard_size)]
    for place in places:
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        for row, value in enumerate(values):
            found = before.read(row)
            assert found is None or np.array_equal(np.asarray(found), np.asarray(value))
    if name == "images":
        assert before.read(0) is None


def test_missing_and_short_files_are_left_to_zarr(store):
    chunks = InnerChunks.open(store / "targets" / "images")
    file = shard_files(store, "targets", 0)["images"]
    whole = file.read_bytes()
    for length in (0, 3, 16 * LAYOUT.shard_size, len(whole) - 1):
        file.write_bytes(whole[:length])
        assert chunks.read(0) is None
    file.unlink()
    assert chunks.read(0) is None
