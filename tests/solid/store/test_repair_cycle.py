"""Damage, check, repair and rerun through the real stage contract, with fakes in place of the renderer."""

import shutil

import pytest

from experiments.solid.store.check import check_store, complaint, summarize
from experiments.solid.store.repair import repair_stage
from experiments.solid.store.samples import load_sample, missing_indices, save_sample
from experiments.solid.store.schema import GROUPS
from experiments.solid.store.writer import commit_target_shard, reset_group, shard_files
from suite.manifest import MANIFEST, write_json
from suite.stage import Job, Stage
from tests.solid.store.fakes import LAYOUT, empty_store, manifest, target

RENDERED: list[int] = []


def prepare(ctx):
    reset_group(ctx.inputs["store"], "targets", key=ctx.key)


def render(ctx):
    rows = LAYOUT.shard_rows("targets", ctx.shard)
    for index in missing_indices(ctx.work, rows):
        RENDERED.append(index)
        save_sample(ctx.work, index, target(index))
    samples = [load_sample(ctx.work, row) for row in rows]
    for path in commit_target_shard(ctx.inputs["store"], ctx.shard, samples):
        ctx.output(path)


@pytest.fixture
def job(tmp_path):
    empty_store(tmp_path / "store")
    write_json(tmp_path / "store" / MANIFEST, manifest("store"))
    here = "tests.solid.store.test_repair_cycle"
    stage = Stage(
        system="solid",
        name="targets",
        summary="",
        toolchain="blender",
        version=1,
        run=f"{here}:render",
        prepare=f"{here}:prepare",
        inputs=("store",),
        num_shards=lambda config, inputs=None: LAYOUT.num_shards("targets"),
    )
    make = lambda: Job(  # noqa: E731
        stage=stage,
        config={},
        seed=0,
        device="cpu",
        inputs={"store": tmp_path / "store"},
        out=tmp_path / "targets",
    )
    RENDERED.clear()
    assert make().run()
    assert sorted(RENDERED) == list(range(LAYOUT.num_images))
    RENDERED.clear()
    return make


def findings(tmp_path):
    return check_store(tmp_path / "store", stages={"targets": tmp_path / "targets"})


def digests(tmp_path):
    return {path: path.read_bytes() for path in (tmp_path / "store").rglob("*") if path.is_file()}


def test_after_repair_the_stage_renders_exactly_the_damaged_samples(job, tmp_path):
    before = digests(tmp_path)
    images = shard_files(tmp_path / "store", "targets", 1)["images"]
    data = bytearray(images.read_bytes())
    where = data.index(target(6).image)
    data[where + 60] ^= 0xFF  # inside the pixels of one PNG
    images.write_bytes(data)

    bad = [r for r in findings(tmp_path) if r.group == "targets" and not r.is_good]
    assert [list(r.bad) for r in bad] == [[6]]
    assert repair_stage(tmp_path / "store", "targets", tmp_path / "targets", bad) == 3

    assert job().run()
    assert RENDERED == [6]
    assert digests(tmp_path) == before
    assert [r for r in findings(tmp_path) if r.group == "targets" and not r.is_good] == []
    assert not job().run()


@pytest.mark.parametrize("name", ["images", "valid"])
def test_a_deleted_shard_file_is_redone_by_the_next_run_without_repair(job, tmp_path, name):
    before = digests(tmp_path)
    shard_files(tmp_path / "store", "targets", 2)[name].unlink()
    assert complaint(summarize(findings(tmp_path))).startswith("targets missing: 8, 9")
    assert job().run()
    assert RENDERED == [8, 9]
    assert digests(tmp_path) == before


def test_a_store_made_anew_is_filled_anew(job, tmp_path):
    shutil.rmtree(tmp_path / "store" / "solid.zarr")
    shutil.rmtree(tmp_path / "store")
    empty_store(tmp_path / "store")
    write_json(tmp_path / "store" / MANIFEST, manifest("store"))
    assert job().run()
    assert sorted(RENDERED) == list(range(LAYOUT.num_images))
    assert set(GROUPS) == {"targets", "queries"}
