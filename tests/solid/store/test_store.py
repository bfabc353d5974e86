import dataclasses
import json
import multiprocessing
import os
import pickle
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from zarr.storage import WrapperStore

from experiments.solid.config import SolidConfig
from experiments.solid.store.reader import MissingSample, SolidStore
from experiments.solid.store.samples import GivenUp, QuerySample
from experiments.solid.store.schema import GROUPS, StoreLayout
from experiments.solid.store.writer import (
    commit_query_shard,
    commit_target_shard,
    create_store,
    group_key,
    read_layout,
    reset_group,
    shard_files,
)
from suite.config import load_config
from suite.errors import BadInput
from tests.solid.store.fakes import LAYOUT, empty_store, query, target, write_shard
from tests.solid.store.test_samples import assert_same

ROOT = Path(__file__).resolve().parents[3]


def other_python():
    """Python of another environment that reads stores (with another numpy), or None."""
    named = os.environ.get("SYNDET_OTHER_PYTHON")
    candidates = (
        [named] if named else [ROOT / ".tox" / name / "bin/python" for name in ("detectron2", "suite")]
    )
    return next((str(path) for path in candidates if Path(path).is_file()), None)


@pytest.fixture
def store(tmp_path):
    path = empty_store(tmp_path)
    for group in GROUPS:
        for shard in range(LAYOUT.num_shards(group)):
            write_shard(path, group, shard)
    return path


# --- round trips


def test_every_sample_comes_back_as_it_was_written(store):
    opened = SolidStore.open(store)
    assert len(opened) == LAYOUT.num_images
    for index in range(LAYOUT.num_images):
        assert_same(opened.read_target(index), target(index))
        assert json.loads(opened.read_scene(index))["index"] == index
    for class_id in range(LAYOUT.num_classes):
        assert_same(opened.read_query_sample(class_id), query(class_id))
        assert opened.read_query(class_id, 2).shape == (5, LAYOUT.query_resolution, 3)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=st.tuples(*[st.integers(1, 9)] * 3),
    seed=st.integers(0, 1000),
)
def test_round_trip_at_any_shard_size(tmp_path_factory, sizes, seed):
    num_images, shard_size, height = sizes
    layout = StoreLayout(num_images, 3, 1, 5, height + 12, 20, 8, shard_size, 2)
    path = empty_store(tmp_path_factory.mktemp("s"), layout)
    for shard in range(layout.num_shards("targets")):
        rows = layout.shard_rows("targets", shard)
        commit_target_shard(path, shard, [target(seed + row, layout) for row in rows])
    opened = SolidStore.open(path)
    for row in range(num_images):
        assert_same(opened.read_target(row), target(seed + row, layout))


def test_the_same_samples_give_the_same_files(tmp_path):
    written = [write_shard(empty_store(tmp_path / name), "targets", 1) for name in "ab"]
    assert [f.read_bytes() for f in written[0]] == [f.read_bytes() for f in written[1]]


def test_committing_again_is_idempotent_even_over_damaged_files(store):
    files = shard_files(store, "targets", 0)
    before = {name: file.read_bytes() for name, file in files.items()}
    files["images"].write_bytes(b"rubbish")
    files["valid"].unlink()
    (files["images"].parent / "0.deadbeef.partial").write_bytes(b"of a killed write")
    assert write_shard(store, "targets", 0) == list(files.values())
    assert {name: file.read_bytes() for name, file in files.items()} == before
    assert not list(store.rglob("*.partial"))


def test_a_shard_touches_no_file_of_another_shard(tmp_path):
    path = empty_store(tmp_path)
    write_shard(path, "targets", 0)
    before = {f: f.read_bytes() for f in path.rglob("*") if f.is_file()}
    written = write_shard(path, "targets", 1)
    after = {f for f in path.rglob("*") if f.is_file()}
    assert after - set(before) == set(written)
    assert all(f.read_bytes() == content for f, content in before.items())


def test_given_up_samples_are_recorded_and_read_as_missing(tmp_path):
    path = empty_store(tmp_path)
    commit_target_shard(path, 0, [target(0), GivenUp("no room"), target(2), target(3)])
    commit_query_shard(path, 0, [QuerySample(0, (b"",) * 3), query(1)])
    opened = SolidStore.open(path)
    assert opened.states("targets").tolist() == [1, 2, 1, 1] + [0] * 6
    assert opened.valid("queries").tolist() == [False, True, False, False, False]
    with pytest.raises(MissingSample, match="was given up"):
        opened.read_target(1)
    with pytest.raises(MissingSample, match="was never finished"):
        opened.read_target(5)


def test_a_shard_is_committed_whole_or_not_at_all(tmp_path):
    path = empty_store(tmp_path)
    with pytest.raises(ValueError, match="as a whole"):
        commit_target_shard(path, 0, [target(0)])
    with pytest.raises(ValueError, match="class 0: got class 1"):
        commit_query_shard(path, 0, [query(1), query(0)])
    with pytest.raises(BadInput, match="shard 3 does not exist"):
        commit_target_shard(path, 3, [])


# --- groups, versions, sizes


def test_resetting_with_the_same_key_keeps_the_samples_and_another_key_drops_them(store):
    assert reset_group(store, "targets", key="key of targets") is False
    assert SolidStore.open(store).valid("targets").all()
    assert reset_group(store, "targets", key="new") is True
    assert group_key(store, "targets") == "new"
    assert not SolidStore.open(store).valid("targets").any()
    assert SolidStore.open(store).valid("queries").all()


def test_a_store_whose_stages_never_ran_reads_as_missing(tmp_path):
    path = create_store(tmp_path / "solid.zarr", LAYOUT, classes_sha256="")
    opened = SolidStore.open(tmp_path)
    assert not opened.valid("targets").any()
    with pytest.raises(MissingSample, match="no targets have been written"):
        opened.read_target(0)
    with pytest.raises(BadInput, match="no group targets"):
        commit_target_shard(path, 0, [target(i) for i in range(4)])


def test_a_newer_schema_is_refused_in_one_line(store):
    root = store / "zarr.json"
    tree = json.loads(root.read_text())
    tree["attributes"]["schema"] = 2
    root.write_text(json.dumps(tree))
    with pytest.raises(BadInput, match=r"schema 2 is newer than this code knows \(1\)") as caught:
        SolidStore.open(store)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [None, "", "{}", '{"attributes": {"format": "other"}}'])
def test_what_is_no_store_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "zarr.json").write_text(content)
    with pytest.raises(BadInput, match="not a SOLID store"):
        SolidStore.open(tmp_path)


def test_the_published_setting_gives_the_published_chunks():
    config = load_config(SolidConfig, ROOT / "experiments/solid/configs/paper.yaml")
    layout = StoreLayout.of(config, 52447)
    assert layout.num_shards("targets") == 3907  # SOLID code: 1,000,000 images in chunks of 256
    assert layout.num_shards("queries") == 205  # 52,447 classes in chunks of 256
    assert (layout.width, layout.height, layout.max_objects) == (640, 480, 25)


def test_attributes_name_version_key_classes_and_units(store):
    tree = json.loads((store / "targets" / "zarr.json").read_text())["attributes"]
    assert tree == {
        "schema": 1,
        "key": "key of targets",
        "num_classes": 5,
        "resolution": [32, 24],
        "units": "boxes in pixels, half-open; angles in radians",
    }
    assert read_layout(store) == LAYOUT


# --- cost of a random read


class Counting(WrapperStore):
    """Notes every read: (file, bytes)."""

    reads: list = []

    async def get(self, key, prototype, byte_range=None):
        found = await self._store.get(key, prototype, byte_range)
        if not key.endswith("zarr.json"):
            Counting.reads.append((key, 0 if found is None else len(found)))
        return found


@pytest.mark.parametrize("shard_size", [4, 64])
def test_one_sample_costs_one_shard_index_and_one_inner_chunk_per_array(tmp_path, shard_size):
    layout = StoreLayout(shard_size, 2, 2, 4, 24, 32, 20, shard_size, 2)
    path = empty_store(tmp_path, layout)
    write_shard(path, "targets", 0, layout)
    opened = SolidStore.open(path, wrap=Counting)
    opened.read_target(0)  # opens the arrays
    Counting.reads.clear()
    sample = opened.read_target(2)
    by_array = {}
    for key, size in Counting.reads:
        by_array.setdefault(key.split("/")[0], []).append(size)
    assert set(by_array) == set(GROUPS["targets"])
    index_bytes = 16 * shard_size + 4
    for name, sizes in by_array.items():
        if GROUPS["targets"][name].sharded:
            assert len(sizes) == 2, name
            assert sizes[0] == index_bytes, name
        else:
            assert len(sizes) == 1, name
            assert sizes[0] <= 4 * shard_size + 32, name  # one number per row, compressed
    assert by_array["images"][1] == len(sample.image) + 8  # vlen-bytes: count and length in front
    assert by_array["label_maps"][1] < sample.label_map.size


def test_one_view_costs_one_view(store):
    opened = SolidStore.open(store, wrap=Counting)
    opened.read_query(0, 0)
    Counting.reads.clear()
    opened.read_query(1, 2)
    images = [size for key, size in Counting.reads if key.startswith("images")]
    assert images == [16 * LAYOUT.query_shard_size * LAYOUT.num_shots + 4, len(query(1).shots[2]) + 8]


# --- processes


def _read_in_worker(opened, index, queue):
    queue.put(len(opened.read_target(index).image))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_an_open_store_works_in_worker_processes(store, method):
    opened = SolidStore.open(store)
    opened.read_target(0)  # zarr's event loop runs in the parent now
    context = multiprocessing.get_context(method)
    queue = context.SimpleQueue()
    worker = context.Process(target=_read_in_worker, args=(opened, 5, queue))
    worker.start()
    assert queue.get() == len(target(5).image)
    worker.join()
    assert worker.exitcode == 0
    assert pickle.loads(pickle.dumps(opened)).path == opened.path  # noqa: S301


def test_two_processes_write_different_shards_at_once(tmp_path):
    path = empty_store(tmp_path)
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=write_shard, args=(path, "targets", shard)) for shard in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    opened = SolidStore.open(path)
    for index in range(LAYOUT.num_images):
        assert_same(opened.read_target(index), target(index))


@pytest.mark.parametrize("arrays_written", range(len(GROUPS["targets"])))
def test_a_kill_inside_a_shard_leaves_no_half_valid_sample(tmp_path, arrays_written):
    path = empty_store(tmp_path)
    write_shard(
        path, "targets", 0
    )  # an earlier version of the shard is there: it must not vouch for the new one
    program = f"""
import os, zarr
from pathlib import Path
from tests.solid.store.fakes import write_shard
done, plain = 0, zarr.Array.__setitem__
def counted(self, where, value):
    global done
    if done == {arrays_written}:
        os.kill(os.getpid(), 9)
    plain(self, where, value)
    done += 1
zarr.Array.__setitem__ = counted
write_shard(Path({str(path)!r}), "targets", 0)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False
    )
    assert done.returncode == -9
    assert not SolidStore.open(path).valid("targets").any()
    write_shard(path, "targets", 0)
    assert_same(SolidStore.open(path).read_target(3), target(3))


@pytest.mark.skipif(
    other_python() is None, reason="no other environment here; SYNDET_OTHER_PYTHON can name one"
)
def test_a_store_opens_in_the_other_environment(store):
    program = f"""
import json, zlib, numpy, zarr
from experiments.solid.store.reader import SolidStore
opened = SolidStore.open({str(store)!r})
rows = [opened.read_target(i) for i in range(len(opened))]
sums = [[zlib.crc32(r.image), zlib.crc32(r.label_map.tobytes()), int(r.bboxes.sum()), r.scene] for r in rows]
print(json.dumps(sums + [int(opened.read_query(c, s).sum()) for c in range(5) for s in range(3)]))
"""
    here, there = (
        subprocess.run(
            [python, "-W", "error", "-c", program],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for python in (sys.executable, other_python())
    )
    assert json.loads(here) == json.loads(there)


def test_the_reader_decodes_on_demand(store):
    sample = SolidStore.open(store).read_target(0)
    assert sample.image.startswith(b"\x89PNG")
    assert sample.rgb().dtype == np.uint8
    with pytest.raises(IndexError):
        SolidStore.open(store).read_target(LAYOUT.num_images)
    with pytest.raises(IndexError):
        SolidStore.open(store).read_query(0, LAYOUT.num_shots)


def peak_bytes_of_a_read(folder, shard_size):
    layout = dataclasses.replace(LAYOUT, num_images=shard_size, shard_size=shard_size)
    path = empty_store(folder, layout)
    write_shard(path, "targets", 0, layout)
    opened = SolidStore.open(path)
    opened.read_target(0)
    tracemalloc.start()
    try:
        opened.read_target(1)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_of_a_read_does_not_grow_with_the_shard_but_for_its_index(tmp_path):
    small, large = (peak_bytes_of_a_read(tmp_path / str(size), size) for size in (4, 256))
    # The index takes 16 bytes per sample and is held a few times; all samples together would take 800 kB.
    assert large - small < 256 * 16 * 4
