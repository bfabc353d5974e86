"""Bad input through the public commands: one clear line, exit code 2, no traceback, nothing lost."""

import json
import os
import shutil
import subprocess

import pytest

from experiments.solid.store.writer import shard_files
from tests.solid.conftest import BEFORE_PICTURES, Run

pytestmark = pytest.mark.slow
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs a mount")


def refused(done, *told):
    """Exit code 2 and, as the last line, an error that says all of `told`."""
    assert done.returncode == 2, done.stderr[-2000:]
    assert "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ")
    for words in told:
        assert words in last
    return last


@pytest.fixture
def damaged(finished, tmp_path):
    """A copy of the finished run, to be damaged."""
    return finished.copy(tmp_path, *BEFORE_PICTURES, "targets", "queries")


@pytest.fixture
def tmpfs(tmp_path):
    """Mounts a small file system in memory; `mount("size=1m")` returns its folder."""
    mounted = []

    def mount(options):
        folder = tmp_path / f"disk{len(mounted)}"
        folder.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], check=True)
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def events(done):
    return [line for line in done.stderr.splitlines() if ": rendered " in line]


def test_a_sound_store_passes_the_check(damaged):
    assert damaged("check").returncode == 0


def test_a_deleted_shard_is_reported_and_only_it_is_rendered_again(damaged):
    before = (damaged.folder / "targets" / "00000" / "manifest.json").read_bytes()
    shard_files(damaged.folder / "create-store", "targets", 1)["images"].unlink()
    refused(damaged("check"), "4")
    done = damaged.must("targets")
    assert len(events(done)) == 4
    assert (damaged.folder / "targets" / "00000" / "manifest.json").read_bytes() == before
    damaged.must("check")


def test_a_corrupt_picture_is_listed_and_repair_leaves_only_what_is_bad_to_do(damaged):
    path = shard_files(damaged.folder / "create-store", "targets", 0)["images"]
    data = bytearray(path.read_bytes())
    start = data.index(b"\x89PNG", data.index(b"\x89PNG") + 1)  # the second picture of the shard
    data[start + 60 : start + 90] = bytes(30)
    path.write_bytes(data)
    refused(damaged("check"), "1")
    listed = json.loads((damaged.folder / "check.part" / "check.json").read_text())
    assert list(listed["targets"]["bad"]) == ["1"] and listed["targets"]["missing"] == []
    refused(damaged("check", "--repair"), "1")
    done = damaged.must("targets")
    assert [line.rsplit("=", 1)[1] for line in events(done)] == ["1"]
    damaged.must("check")


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("layout.near_probb=1", "did you mean near_prob"),
        ("layout.num_objects=[9, 3]", "must be an increasing pair"),
        ("layout.size_probs=[0.5, 0.1, 0.2]", "add up to 0.8"),
        ("render.samples=many", "expected int"),
        ("rooms.source=scenenett", "choose one of procedural, scenenet"),
    ],
)
def test_a_typo_in_the_config_is_named(prepared, tmp_path, override, told):
    refused(prepared("targets", out=tmp_path / "targets", overrides=(override,)), told)
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_number_of_classes_says_both_numbers(prepared, tmp_path):
    last = refused(prepared("index", out=tmp_path / "index", overrides=("meshes.num_classes=7",)), "7")
    assert "32" in last


def test_a_room_folder_without_rooms_is_named(tmp_path):
    run = Run(tmp_path, ("rooms.source=scenenet", f"rooms.folder={tmp_path / 'none'}"))
    done = run("rooms")
    assert (
        done.returncode in (2, 3) and str(tmp_path / "none") in done.stderr and "Traceback" not in done.stderr
    )


@root_only
def test_an_unwritable_output_ends_in_one_line(prepared, tmpfs):
    disk = tmpfs("size=1m")
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    refused(prepared("rooms", out=disk / "rooms"), "read-only")


@root_only
def test_a_full_disk_loses_nothing(prepared, finished, tmpfs):
    """The store's disk fills up in the middle of `targets`; with more room the same command goes on to the
    same end.
    """
    disk = tmpfs("size=24m")
    for stage in BEFORE_PICTURES:
        shutil.copytree(prepared.folder / stage, disk / stage)
    run = Run(disk)
    free = shutil.disk_usage(disk).free
    run.must("targets", "--list-missing")
    (disk / "filler").write_bytes(bytes(max(shutil.disk_usage(disk).free - 40_000, 0)))
    assert free > 40_000
    refused(run("targets"), "free")
    (disk / "filler").unlink()
    run.must("targets")
    one, two = (json.loads((r.folder / "targets" / "manifest.json").read_text()) for r in (run, finished))
    assert [s["outputs_sha256"] for s in one["shards"]] == [s["outputs_sha256"] for s in two["shards"]]
