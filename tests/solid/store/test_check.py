import dataclasses
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.solid.config import SolidConfig
from experiments.solid.store.check import check_store, complaint, run, summarize
from experiments.solid.store.invariants import (
    equal_shots,
    query_problems,
    scene_problems,
    target_problems,
    tight_boxes,
)
from experiments.solid.store.repair import repair_stage
from experiments.solid.store.samples import QuerySample, load_sample, missing_indices
from experiments.solid.store.schema import GROUPS
from experiments.solid.store.statistics import TargetStatistics, distribution_warnings
from experiments.solid.store.writer import commit_query_shard, commit_target_shard, shard_files
from suite.config import load_config
from suite.errors import BadInput
from suite.manifest import file_digest, read_json, write_json
from suite.stage import Context, Stage
from tests.solid.store.fakes import LAYOUT, finished_run, query, target
from tests.solid.store.test_samples import assert_same

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def folders(tmp_path):
    return finished_run(tmp_path)


def check(folders):
    stages = {group: folders[group] for group in GROUPS}
    return check_store(folders["store"], stages=stages)


def rewrite(folders, group, shard, samples):
    """Commit other samples and make the manifest vouch for them: only the sample itself is wrong then."""
    commit = commit_target_shard if group == "targets" else commit_query_shard
    commit(folders["store"] / "solid.zarr", shard, samples)
    path = folders[group] / f"{shard:05d}" / "manifest.json"
    manifest = read_json(path)
    for row in manifest["outputs"]:
        file = folders[group] / row["path"]
        row.update(bytes=file.stat().st_size, sha256=file_digest(file))
    write_json(path, manifest)


# --- what holds for one sample


def brute_force_box(mask):
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]


@given(st.integers(0, 10_000))
def test_tight_boxes_equal_brute_force(seed):
    sample = target(seed)
    boxes, areas = tight_boxes(sample.label_map, len(sample.bboxes))
    assert boxes.tolist() == [brute_force_box(mask) for mask in sample.masks()]
    assert areas.tolist() == sample.masks().sum(axis=(1, 2)).tolist()


def test_a_good_target_has_no_problems():
    for index in range(20):
        sample = target(index)
        assert target_problems(sample, LAYOUT) + scene_problems(json.loads(sample.scene), sample, index) == []


GOOD = target(1, num_boxes=3)


def changed(name, where, value):
    array = getattr(GOOD, name).copy()
    array[where] = value
    return {name: array}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (changed("bboxes", (0, 2), 31), "box 0 is"),  # not tight
        (changed("bboxes", (0, 4), 5), "a class is outside 0..4"),
        (changed("label_map", (0, 0), 4), "label map holds [1, 2, 3, 4], expected 1..3"),
        (changed("visibility", 0, 0), "visibility is outside (0, 1]"),
        (changed("visibility", 0, 1.01), "visibility is outside (0, 1]"),
        (changed("mask_bbox_ratio", 0, 0.5), "mask_bbox_ratio differs"),
        (changed("angles", 0, np.nan), "angle is not finite"),
        ({"attempts": 0}, "attempts is 0"),
        ({"image": query(0).shots[0]}, "picture is 20x3, expected 32x24"),
        ({"image": GOOD.image[:-20]}, "PNG is truncated"),
    ],
)
def test_each_fault_of_a_target_is_told(change, told):
    assert len(GOOD.bboxes) == 3
    problems = target_problems(dataclasses.replace(GOOD, **change), LAYOUT)
    assert len(problems) == 1
    assert told in problems[0]


def test_a_scene_of_another_picture_is_told():
    assert "scene is of index 1" in scene_problems(json.loads(GOOD.scene), GOOD, 2)
    assert scene_problems(None, GOOD, 1) == ["scene is not valid JSON"]


def test_faults_of_a_query_are_told():
    good = query(3)
    assert query_problems(good, LAYOUT) == []
    assert query_problems(QuerySample(3, (good.shots[0], b"", good.shots[2])), LAYOUT) == []
    assert query_problems(QuerySample(3, (b"",) * 3), LAYOUT) == ["no view shows the object"]
    assert query_problems(QuerySample(3, (good.shots[0], target(0).image)), LAYOUT) == [
        "shot 1: picture is 32x24, expected 20x20"
    ]
    assert equal_shots(QuerySample(3, (good.shots[0], good.shots[1], good.shots[0], b"", b""))) == [(0, 2)]


# --- what holds for a store


def test_a_good_store_passes(folders):
    tree = summarize(check(folders))
    assert complaint(tree) is None
    assert tree["targets"]["finished"] == LAYOUT.num_images
    assert tree["queries"]["finished"] == LAYOUT.num_classes
    assert tree["statistics"]["pictures"] == LAYOUT.num_images


@pytest.mark.parametrize("name", sorted(GROUPS["targets"]))
def test_a_deleted_shard_file_names_exactly_its_rows(folders, name):
    shard_files(folders["store"], "targets", 1)[name].unlink()
    tree = summarize(check(folders))
    lost = sorted(tree["targets"]["missing"] + [int(row) for row in tree["targets"]["bad"]])
    assert lost == [4, 5, 6, 7]
    assert tree["targets"]["finished"] == 6
    assert f"../store/solid.zarr/targets/{name}/c/1" in tree["targets"]["files"][0]


@pytest.mark.parametrize("name", sorted(GROUPS["queries"]))
def test_a_deleted_query_shard_names_exactly_its_classes(folders, name):
    shard_files(folders["store"], "queries", 2)[name].unlink()
    tree = summarize(check(folders))
    assert sorted(tree["queries"]["missing"] + [int(row) for row in tree["queries"]["bad"]]) == [4]


def test_a_truncated_png_names_exactly_its_row(folders):
    samples = [target(row) for row in range(4)]
    samples[2] = dataclasses.replace(samples[2], image=samples[2].image[:-100])
    rewrite(folders, "targets", 0, samples)
    tree = summarize(check(folders))
    assert tree["targets"]["bad"] == {"2": ["PNG is truncated"]}
    assert complaint(tree) == "targets damaged: 2"


def test_a_nulled_query_names_exactly_its_class(folders):
    path = shard_files(folders["store"], "queries", 0)["images"]
    num_views = shard_files(folders["store"], "queries", 0)["num_views"].read_bytes()
    nulled = QuerySample(1, (query(1).shots[0], b"", query(1).shots[2]))
    rewrite(folders, "queries", 0, [query(0), nulled])
    shard_files(folders["store"], "queries", 0)["num_views"].write_bytes(
        num_views
    )  # it was there when written
    assert path.exists()
    tree = summarize(check(folders))
    assert list(tree["queries"]["bad"]) == ["1"]
    assert "2 of 3 views are left, shots [1] are empty" in tree["queries"]["bad"]["1"][0]


def test_a_replaced_shard_is_noticed_by_its_digest_though_every_sample_is_good(folders):
    others = [
        dataclasses.replace(target(row), visibility=target(row).visibility * np.float32(0.5))
        for row in range(4)
    ]
    commit_target_shard(folders["store"] / "solid.zarr", 0, others)
    tree = summarize(check(folders))
    assert tree["targets"]["files"] == [
        "../store/solid.zarr/targets/visibility/c/0/0 differs from its digest"
    ]
    assert list(tree["targets"]["bad"]) == ["0", "1", "2", "3"]


def test_many_processes_find_the_same(folders):
    shard_files(folders["store"], "targets", 2)["valid"].unlink()
    stages = {group: folders[group] for group in GROUPS}
    one, two = (summarize(check_store(folders["store"], stages=stages, processes=n)) for n in (1, 2))
    assert one == two
    assert one["targets"]["missing"] == [8, 9]


# --- repair


def test_repair_keeps_the_good_samples_as_checkpoints_and_leaves_the_rest_alone(folders):
    samples = [target(row) for row in range(4)]
    samples[2] = dataclasses.replace(samples[2], image=samples[2].image[:-100])
    rewrite(folders, "targets", 0, samples)
    key = read_json(folders["targets"] / "00000" / "manifest.json")["key"]
    bad = [report for report in check(folders) if not report.is_good]
    assert repair_stage(folders["store"], "targets", folders["targets"], bad) == 3

    part = folders["targets"].with_name("targets.part")
    assert not folders["targets"].exists()
    assert sorted(p.name for p in part.iterdir()) == ["00000.part", "00001", "00002", "key.json"]
    work = part / "00000.part" / ".work"
    assert missing_indices(work, range(4)) == [2]
    assert_same(load_sample(work, 3), target(3))
    assert read_json(part / "00000.part" / "key.json") == {"key": key}
    assert repair_stage(folders["store"], "targets", folders["targets"], bad) == 3


def context(folders, tmp_path, **options):
    for name in ("clean", "rooms"):
        (tmp_path / name).mkdir()
    folders = {**folders, "clean": tmp_path / "clean", "rooms": tmp_path / "rooms"}
    stage = Stage(system="solid", name="check", summary="", toolchain="blender", version=1, run="")
    config = load_config(SolidConfig, ROOT / "experiments/solid/configs/tiny.yaml")
    out = tmp_path / "check.part"
    out.mkdir()
    return Context(
        stage=stage,
        config=config,
        seed=0,
        device="cpu",
        inputs=folders,
        out=out,
        final=tmp_path / "check",
        key="",
        options=options,
    )


def test_the_stage_passes_a_good_store_and_writes_its_findings(folders, tmp_path):
    ctx = context(folders, tmp_path)
    run(ctx)
    tree = read_json(ctx.out / "check.json")
    assert tree["targets"]["finished"] == ctx.counts["targets_good"] == LAYOUT.num_images
    assert TargetStatistics.from_tree(tree["statistics"]).pictures == LAYOUT.num_images
    # The fakes' scene files are not the composer's: the audit says so, and the store is good all the same.
    assert tree["audit"]["scenes"] == len(tree["audit"]["violations"]) == LAYOUT.num_images
    assert "not a scene" in tree["audit"]["violations"][0]
    assert any("placement rules are violated" in text for text in ctx.warnings)


def test_the_stage_ends_in_one_line_and_lists_every_index(folders, tmp_path, capsys):
    shard_files(folders["store"], "targets", 1)["images"].unlink()
    ctx = context(folders, tmp_path)
    with pytest.raises(BadInput, match=r"targets missing: 4, 5, 6, 7; all of them: .*--repair") as caught:
        run(ctx)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    assert "targets missing: 4 5 6 7" in capsys.readouterr().out
    assert read_json(ctx.out / "check.json")["targets"]["missing"] == [4, 5, 6, 7]


def test_the_stage_repairs_on_demand(folders, tmp_path):
    shard_files(folders["store"], "targets", 1)["images"].unlink()
    with pytest.raises(BadInput, match="run the same make command"):
        run(context(folders, tmp_path, repair=True))
    assert (tmp_path / "targets.part" / "00001.part").is_dir()
    assert (tmp_path / "queries" / "manifest.json").exists()


# --- statistics


def test_statistics_are_additive_and_survive_json():
    whole, parts = TargetStatistics(), [TargetStatistics(), TargetStatistics()]
    for index in range(10):
        for statistics in (whole, parts[index % 2]):
            statistics.add(target(index), json.loads(target(index).scene))
    parts[0].merge(parts[1])
    assert parts[0].to_tree() == whole.to_tree()
    assert TargetStatistics.from_tree(json.loads(json.dumps(whole.to_tree()))).to_tree() == whole.to_tree()
    assert whole.visibility.sum() == whole.box_size.sum() == whole.class_boxes.total()


def test_draws_from_the_config_raise_no_warning_and_others_do():
    layout = load_config(SolidConfig, ROOT / "experiments/solid/configs/paper.yaml").layout
    rng = np.random.default_rng(0)
    drawn = Counter(rng.choice(3, 5000, p=layout.size_probs).tolist())
    attempted = Counter(rng.integers(20, 26, 3000).tolist())
    assert distribution_warnings(TargetStatistics(drawn_bins=drawn, attempted=attempted), layout) == []
    flat = Counter({0: 1700, 1: 1650, 2: 1650})
    (first, *others) = distribution_warnings(TargetStatistics(drawn_bins=flat, attempted=attempted), layout)
    assert first == "drawn size bin 0: 0.340 of 5000, expected 0.700"
    assert len(others) == 2
    assert distribution_warnings(TargetStatistics(attempted=Counter({3: 1})), layout)[0] == (
        "attempted objects 3 is outside the config"
    )


# --- a full disk


def can_mount():
    return sys.platform == "linux" and os.geteuid() == 0 and shutil.which("mount") is not None


@pytest.mark.skipif(not can_mount(), reason="mounting a small disk needs root on Linux")
def test_a_full_disk_ends_in_exit_2_and_loses_nothing(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], check=False, capture_output=True
    )
    if mounted.returncode != 0:
        pytest.skip("mounting is not allowed here")
    program = f"""
import sys
from pathlib import Path
from experiments.solid.store.samples import save_sample
from suite.errors import guard
from tests.solid.store.fakes import empty_store, target, write_shard
disk = Path({str(disk)!r})
def main():
    if not (disk / "store").exists():
        empty_store(disk / "store")
    for index in range(10):
        save_sample(disk / "work", index, target(index))
    (disk / "ballast").write_bytes(bytes(1 << 20))
"""
    commit = """
def main():
    for shard in range(3):
        write_shard(disk / "store" / "solid.zarr", "targets", shard)
"""
    end = "\nsys.exit(guard(main))"

    def python(code):
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env=environment,
            check=False,
            capture_output=True,
            text=True,
        )

    try:
        for code in (program + end, program + commit + end):
            done = python(code)
            assert done.returncode == 2, done.stderr
            assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
            assert "no space left on the device; free some space" in done.stderr
        (disk / "ballast").unlink()
        assert missing_indices(disk / "work", range(10)) == []
        done = python(program + commit + end)
        assert done.returncode == 0, done.stderr
        assert not list(disk.rglob("*.partial"))
    finally:
        subprocess.run(["umount", disk], check=True)
