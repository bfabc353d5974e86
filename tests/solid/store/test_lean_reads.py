"""What a loader reads of a store: pictures without the small arrays, whole columns without pictures."""

import numpy as np
import pytest
from zarr.storage import WrapperStore

from experiments.solid.store.reader import MissingSample, SolidStore
from experiments.solid.store.schema import GROUPS
from experiments.solid.store.writer import shard_files
from suite.errors import BadInput
from tests.solid.store.fakes import LAYOUT, empty_store, target, write_shard


@pytest.fixture
def store(tmp_path):
    path = empty_store(tmp_path)
    for group in GROUPS:
        for shard in range(LAYOUT.num_shards(group)):
            write_shard(path, group, shard)
    return path


def damage(path, group, name, shard, content=None):
    """Delete the file of one array, or put something else in its place."""
    file = shard_files(path, group, shard)[name]
    file.unlink() if content is None else file.write_bytes(content)
    return SolidStore.open(path)


def test_a_picture_is_that_of_the_whole_sample(store):
    opened = SolidStore.open(store)
    for index in range(LAYOUT.num_images):
        sample = target(index)
        rgb, label_map = opened.read_picture(index, len(sample.bboxes))
        assert (rgb == sample.rgb()).all()
        assert (label_map == sample.label_map).all()


def test_a_picture_costs_the_files_of_two_arrays(store):
    class Named(WrapperStore):
        names: list = []

        async def get(self, key, prototype, byte_range=None):
            Named.names.append(key)
            return await self._store.get(key, prototype, byte_range)

    opened = SolidStore.open(store, wrap=Named)
    opened.read_picture(0, len(target(0).bboxes))
    Named.names.clear()
    opened.read_picture(1, len(target(1).bboxes))
    assert {name.split("/")[0] for name in Named.names} == {"images", "label_maps"}


def test_lost_and_damaged_pictures_are_refused_in_one_line(store):
    n = len(target(5).bboxes)
    with pytest.raises(BadInput, match=f"targets 5: label map holds {n} of {n + 1} objects"):
        SolidStore.open(store).read_picture(5, n + 1)
    file = shard_files(store, "targets", 1)["images"]
    whole = file.read_bytes()
    png = whole.index(target(5).image)
    file.write_bytes(whole[: png + 60] + b"\0" * 20 + whole[png + 80 :])
    with pytest.raises(BadInput, match="targets 5: PNG does not decode"):
        SolidStore.open(store).read_picture(5, n)
    with pytest.raises(MissingSample, match="images is empty"):
        damage(store, "targets", "images", 1).read_picture(5, n)
    with pytest.raises(BadInput, match="label map holds 0 of"):
        damage(store, "targets", "label_maps", 1).read_picture(5, n)


def test_a_column_is_one_array_of_all_rows_of_a_shard(store):
    opened = SolidStore.open(store)
    for shard in range(LAYOUT.num_shards("targets")):
        rows = LAYOUT.shard_rows("targets", shard)
        counts = opened.read_column("targets", "num_boxes", shard)
        boxes = opened.read_column("targets", "bboxes", shard)
        assert counts.tolist() == [len(target(row).bboxes) for row in rows]
        for row, n, found in zip(rows, counts, boxes, strict=True):
            assert (found[:n] == target(row).bboxes).all()
            assert (found[n:] == -1).all()
    assert opened.read_column("queries", "num_views", 1).dtype == np.int32


def test_a_damaged_column_names_its_file(store):
    with pytest.raises(BadInput, match="targets/num_boxes/c/1: num_boxes does not decode"):
        damage(store, "targets", "num_boxes", 1, b"rubbish").read_column("targets", "num_boxes", 1)
