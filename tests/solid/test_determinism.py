"""Same seed, same store: whatever the workers and the shard size. Another seed, another store."""

import json
import subprocess

import numpy as np
import pytest

from experiments.solid.store.reader import SolidStore
from tests.solid.conftest import BEFORE_PICTURES, ROOT, Run

pytestmark = pytest.mark.slow


def samples(run):
    store = SolidStore.open(run.folder / "create-store" / "solid.zarr")
    return [store.read_target(index) for index in range(len(store))]


def assert_equal(one, two):
    """Annotations, label maps and pixels bit-equal."""
    assert len(one) == len(two) > 0
    for a, b in zip(one, two, strict=True):
        for name in ("bboxes", "label_map", "visibility", "mask_bbox_ratio", "angles"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
        np.testing.assert_array_equal(a.rgb(), b.rgb())
        assert a.scene == b.scene


def test_two_workers_give_the_store_of_one(prepared, finished, tmp_path):
    run = prepared.copy(tmp_path, *BEFORE_PICTURES)
    run.must("targets", "--list-missing")
    workers = [subprocess.Popen(run.command("targets", "--shard", str(shard)), cwd=ROOT) for shard in (1, 0)]
    assert [worker.wait() for worker in workers] == [0, 0]
    run.must("targets", "--gather")
    assert_equal(samples(run), samples(finished))


def test_another_shard_size_gives_the_same_samples(prepared, finished, tmp_path):
    base = prepared.copy(tmp_path, "clean", "rooms")
    run = Run(base.folder, ("store.shard_size=8",))
    run.must("create-store")
    run.must("targets")
    assert_equal(samples(run), samples(finished))


def test_another_seed_gives_other_pictures(prepared, finished, tmp_path):
    run = prepared.copy(tmp_path, *BEFORE_PICTURES)
    run.must("targets", "--list-missing", "--seed", "1")
    run.must("targets", "--shard", "0", "--seed", "1")
    store = SolidStore.open(run.folder / "create-store" / "solid.zarr")
    assert not np.array_equal(store.read_target(0).rgb(), samples(finished)[0].rgb())


def test_the_manifests_name_the_device_that_rendered(finished):
    for stage in ("targets", "queries"):
        shards = sorted((finished.folder / stage).glob("*/manifest.json"))
        assert shards
        for path in shards:
            kind, _, name = json.loads(path.read_text())["facts"]["rendered_on"].partition(": ")
            assert kind == "CPU" and name
