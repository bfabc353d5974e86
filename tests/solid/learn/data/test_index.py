import dataclasses
import json
import pickle
import shutil

import numpy as np
import pytest

from experiments.solid.learn.data.index import StoreIndex, check_classes
from experiments.solid.store.reader import SolidStore
from experiments.solid.store.samples import GivenUp, QuerySample
from experiments.solid.store.writer import commit_query_shard, commit_target_shard, shard_files
from suite.errors import BadInput
from tests.solid.learn.stores import LAYOUT, coloured_query, coloured_target, write_store
from tests.solid.store.fakes import empty_store


@pytest.fixture
def folder(tmp_path):
    return write_store(tmp_path / "store")


def build(folder):
    return StoreIndex.build(SolidStore.open(folder), folder / "index")


def test_the_index_holds_what_is_on_every_target(store_index):
    assert store_index.rows.tolist() == list(range(LAYOUT.num_images))
    for row in range(LAYOUT.num_images):
        boxes = coloured_target(row).bboxes
        assert (store_index.boxes_of(row) == boxes).all()
        assert store_index.classes_of(row).tolist() == sorted(set(boxes[:, 4].tolist()))
    assert store_index.shots.all()
    assert store_index.num_classes == LAYOUT.num_classes
    assert store_index.damaged == 0


def test_an_index_is_shared_as_a_memory_map_and_small_when_it_is_sent_to_a_worker(store_index):
    again = pickle.loads(pickle.dumps(store_index))  # noqa: S301
    for index in (store_index, again):
        assert isinstance(index.boxes, np.memmap)
        assert not index.boxes.flags.writeable
    assert len(pickle.dumps(store_index)) < 400
    assert (again.boxes == store_index.boxes).all()


def test_what_is_missing_is_not_in_the_index(tmp_path):
    path = empty_store(tmp_path, LAYOUT)
    samples = [coloured_target(0), GivenUp("no room"), coloured_target(2), coloured_target(3)]
    commit_target_shard(path, 0, samples)
    queries = [coloured_query(c) for c in range(4)]
    queries[1] = QuerySample(1, (b"",) * 3)
    queries[2] = QuerySample(2, (queries[2].shots[0], b"", queries[2].shots[2]))
    commit_query_shard(path, 0, queries)
    index = build(tmp_path)
    assert index.rows.tolist() == [0, 2, 3]
    assert index.has_query.tolist() == [True, False, True, True, False, False]
    assert index.shots[2].tolist() == [True, False, True]
    with pytest.raises(IndexError):
        index.boxes_of(1)
    for row in index.rows:
        assert (row in index.train_rows(0)) == bool(set(index.classes_of(row)) & {0, 2, 3})


def test_the_last_rows_of_the_store_are_held_out_and_never_trained_on(store_index):
    for held_out in range(LAYOUT.num_images):
        train, rest = store_index.train_rows(held_out), store_index.held_out_rows(held_out)
        assert sorted([*train, *rest]) == store_index.rows.tolist()
        assert len(rest) == held_out
        assert rest.tolist() == list(range(LAYOUT.num_images - held_out, LAYOUT.num_images))


def test_holding_everything_out_is_refused(store_index):
    with pytest.raises(BadInput, match="held_out=12 of 12 pictures leaves none"):
        store_index.train_rows(12)


def test_a_store_without_pictures_or_queries_is_refused(tmp_path):
    path = empty_store(tmp_path, LAYOUT)
    with pytest.raises(BadInput, match="no finished target"):
        build(tmp_path)
    commit_target_shard(path, 0, [coloured_target(row) for row in range(4)])
    with pytest.raises(BadInput, match="no class has a query picture"):
        build(tmp_path)
    commit_query_shard(path, 0, [QuerySample(c, (b"",) * 3) for c in range(4)])
    with pytest.raises(BadInput, match="no class has a query picture"):
        build(tmp_path)


def test_a_class_table_of_another_size_or_order_is_refused(folder, tmp_path):
    store = SolidStore.open(folder)
    check_classes(store, folder / "classes.json")
    other = tmp_path / "classes.json"
    other.write_text(json.dumps([{"id": f"model{c}"} for c in range(5)]))
    with pytest.raises(BadInput, match=r"classes.json: 5 classes, the store at .* has 6"):
        check_classes(store, other)
    other.write_text(json.dumps([{"id": f"model{c}"} for c in (0, 2, 1, 3, 4, 5)]))
    with pytest.raises(BadInput, match="class 1 is 'model2', in the store it is 'model1'"):
        check_classes(store, other)
    shutil.copyfile(other, folder / "classes.json")
    (folder / "classes.json").write_text(json.dumps([{"id": "one"}]))
    with pytest.raises(BadInput, match="1 classes, the store"):
        build(folder)


def test_a_class_beyond_the_table_is_refused(tmp_path):
    path = empty_store(tmp_path, LAYOUT)
    samples = [coloured_target(row) for row in range(4)]
    boxes = samples[2].bboxes.copy()
    boxes[0, 4] = 6
    commit_target_shard(path, 0, [*samples[:2], dataclasses.replace(samples[2], bboxes=boxes), samples[3]])
    with pytest.raises(BadInput, match="a target shows class 6, the store has 6 classes"):
        build(tmp_path)


def test_an_index_of_another_store_is_refused(store_index, folder, tmp_path):
    store_index.check(SolidStore.open(folder))  # the same sizes and keys
    small = write_store(tmp_path / "small", dataclasses.replace(LAYOUT, num_images=8))
    with pytest.raises(BadInput, match=r"index is of another store .*num_images 12 \(store: 8\)"):
        store_index.check(SolidStore.open(small))
    attributes = folder / "solid.zarr/queries/zarr.json"
    attributes.write_text(attributes.read_text().replace("key of queries", "other key"))
    with pytest.raises(BadInput, match="other keys of targets or queries"):
        store_index.check(SolidStore.open(folder))


@pytest.mark.parametrize("name", ["index.json", "boxes.npy", "offsets.npy", "shots.npy"])
@pytest.mark.parametrize("keep", [0, 60])
def test_a_damaged_index_is_refused_in_one_line(folder, name, keep):
    index = build(folder)
    file = index.path / name
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(BadInput, match="delete it; it is made again"):
        StoreIndex.open(index.path)
    assert len(build(folder).rows) == LAYOUT.num_images


@pytest.mark.parametrize("name", ["num_boxes", "bboxes"])
@pytest.mark.parametrize("content", [None, b"rubbish"])
def test_a_shard_whose_boxes_are_lost_counts_as_damaged_and_past_5_percent_ends_it(tmp_path, name, content):
    layout = dataclasses.replace(LAYOUT, num_images=44, shard_size=2)
    folder = write_store(tmp_path / "store", layout)

    def damage(shard):
        file = shard_files(folder / "solid.zarr", "targets", shard)[name]
        file.unlink() if content is None else file.write_bytes(content)

    damage(3)  # 2 of 44: 4.5 %
    index = build(folder)
    assert index.damaged == 2
    assert sorted({*range(44)} - {*index.rows.tolist()}) == [6, 7]
    damage(4)
    with pytest.raises(BadInput, match="4 of 44 finished targets are damaged"):
        build(folder)


def test_the_number_of_finished_shards_is_told(folder):
    told = []
    StoreIndex.build(SolidStore.open(folder), folder / "index", on_shard=lambda *n: told.append(n))
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert [file.name for file in folder.iterdir() if file.name.endswith(".tmp")] == []
