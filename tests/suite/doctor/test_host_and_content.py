"""The machine, environments, data and assets, in a temporary repository."""

import json
import os
import re
import sys
from importlib import import_module
from types import SimpleNamespace

import pytest

from suite.doctor import content, host
from suite.doctor.needs import TOOLCHAIN_GB, TOOLCHAINS
from suite.doctor.result import MISSING, OK, WARN
from suite.runs import systems
from tests.suite.doctor.fakes import REPOSITORY


def test_python_older_than_3_11_is_missing_and_newer_ones_want_the_exact_one_too(context, fakes, monkeypatch):
    assert host.check_python(context()).state == OK
    monkeypatch.setattr(host, "sys", SimpleNamespace(version_info=(3, 9, 18), executable="python3"))
    assert host.check_python(context()).value == "3.9.18 is too old"
    monkeypatch.setattr(host, "sys", SimpleNamespace(version_info=(3, 13, 0), executable="python3"))
    assert host.check_python(context()).state == WARN
    fakes("python3.11", {})
    assert host.check_python(context()).state == OK


@pytest.mark.parametrize(
    ("uid", "apt", "state"), [(0, True, WARN), (0, False, MISSING), (1000, True, MISSING)]
)
def test_missing_system_packages_are_the_set_ups_work_for_root_on_debian(
    uid, apt, state, context, fakes, monkeypatch
):
    monkeypatch.setattr(host.os, "geteuid", lambda: uid)
    monkeypatch.setattr(host.importlib.util, "find_spec", lambda name: None)
    if apt:
        fakes("apt-get", {})
    result = host.check_venv_module(context())
    assert (
        result.state == state and "apt-get install -y --no-install-recommends python3-venv" in result.remedy
    )
    monkeypatch.undo()
    monkeypatch.setattr(host.os, "geteuid", lambda: uid)
    here = context()
    monkeypatch.setattr(here.bootstrap, "can_load", lambda soname: soname != "libXi.so.6")
    result = host.check_system_libraries(here)
    assert result.state == state and result.value == "not installed: libxi6" and " libxi6" in result.remedy


def test_disk_is_held_against_toolchains_and_the_stages_own_estimate(context, monkeypatch):
    smoke = host.check_disk(context())
    toolchains = TOOLCHAIN_GB["blender"] + TOOLCHAIN_GB["detectron2"]
    assert smoke.state == OK and f"({toolchains:.1f} of them toolchains)" in smoke.value
    monkeypatch.setattr(host.shutil, "disk_usage", lambda path: SimpleNamespace(free=10**11))
    paper = host.check_disk(context(scale="paper"))
    assert paper.state == MISSING and "RUNS_DIR=" in paper.remedy
    needed = re.match(r"100 GB free, about ([\d.]+) GB needed", paper.value)
    assert float(needed[1]) > 100, "a million images"


def test_memory_and_shm_are_judged_by_what_is_free(context, monkeypatch):
    assert host.check_memory(context()).value.endswith("GB available")
    monkeypatch.setattr(host, "_memory_gb", lambda: (8.0, 1.0))
    assert host.check_memory(context()).state == MISSING
    monkeypatch.setattr(host.shutil, "disk_usage", lambda path: SimpleNamespace(free=64 * 10**6))
    result = host.check_shm(context())
    assert result.state == WARN and result.value == "0.06 GB free" and "--shm-size" in result.remedy


def test_memory_is_the_same_with_and_without_psutil(monkeypatch):
    with_psutil = host._memory_gb()
    monkeypatch.setitem(sys.modules, "psutil", None)
    without = host._memory_gb()
    assert without[0] == pytest.approx(with_psutil[0], rel=0.01)


def test_writing_is_tried_for_real_and_leaves_nothing(context, root):
    result = host.check_runs_writable(context())
    assert result.state == OK and str(root / "runs") in result.value and list((root / "runs").iterdir()) == []
    other = host.check_runs_writable(context(RUNS_DIR=str(root / "not/yet")))
    assert other.state == OK and other.value.endswith("will be created") and not (root / "not").exists()


def test_an_unwritable_folder_is_missing_for_runs_and_a_warning_for_data(context, root):
    for check, name, state in (
        (host.check_runs_writable, "runs", MISSING),
        (host.check_data_writable, "data", WARN),
    ):
        (root / name).rmdir()
        (root / name).write_text("a file where the folder should be")
        result = check(context())
        assert result.state == state and "Not a directory" in result.value and "chown" in result.remedy


def test_a_folder_of_somebody_else_is_told_with_the_command(context, root, monkeypatch):
    monkeypatch.setattr(host.os, "geteuid", lambda: os.getuid() + 1)
    result = host.check_runs_writable(context())
    assert result.state == WARN and f"belong to uid {os.getuid()}" in result.value


def test_a_read_only_disk_has_its_own_remedy(context, monkeypatch):
    def refuse(**_):
        raise OSError(host.errno.EROFS, "Read-only file system")

    monkeypatch.setattr(host.tempfile, "mkstemp", refuse)
    result = host.check_runs_writable(context())
    assert result.state == MISSING and "RUNS_DIR" in result.remedy and "chown" not in result.remedy


def test_slurm_is_asked_for_its_partitions(context, fakes):
    assert host.check_slurm(context()).value == "no sbatch and sinfo"
    fakes("sbatch", {"--version": (0, "slurm-wlm 22.05.8\n", "")})
    fakes(
        "sinfo",
        {
            "--version": (0, "slurm-wlm 22.05.8\n", ""),
            "--noheader": (0, "gpu* up 4 gpu:2\ncpu up 9 (null)\n", ""),
        },
    )
    assert host.check_slurm(context()).value == "partitions: gpu, cpu"
    fakes(
        "sinfo",
        {"--version": (0, "slurm-wlm\n", ""), "--noheader": (1, "", "Unable to contact slurm controller\n")},
    )
    result = host.check_slurm(context())
    assert result.state == WARN and "Unable to contact" in result.value


def make_environment(root, toolchain, digest=None):
    folder = root / ".tox" / toolchain
    (folder / "bin").mkdir(parents=True, exist_ok=True)
    (folder / "bin/python").touch()
    if digest is not None:
        (folder / ".lock-sha256").write_text(digest + "\n")


@pytest.mark.parametrize("accel", ["cpu", "cuda"])
def test_an_environment_is_held_against_the_digest_of_its_lock(accel, context, root):
    def state():
        return content.check_environments(context())[0]

    assert state().state == WARN and "made by the first run" in state().value
    make_environment(root, "blender")
    assert "half built" in state().value
    bootstrap = context().bootstrap
    make_environment(root, "blender", bootstrap.recipe("blender", accel).digest)
    assert state().state == OK and f"requirements.{accel}.lock" in state().value
    (root / f"docker/blender/requirements.{accel}.lock").write_text("another version\n")
    assert state().state == WARN and "made from another lock" in state().value


@pytest.mark.parametrize(
    ("record", "text"),
    [
        (
            {"url": "x", "archive_info": {"hashes": {"sha256": "5d2e9e51e523" + "0" * 52}}},
            "third-party re-upload",
        ),
        (
            {"url": "x", "vcs_info": {"vcs": "git", "commit_id": "02b5c4e295e990042a71"}},
            "official repository at 02b5c4e295e9",
        ),
    ],
)
def test_detectron2_is_named_by_where_it_came_from(record, text, context, root):
    assert content.check_detectron2(context()).value == "none installed outside images yet"
    info = root / ".tox/detectron2/lib/python3.11/site-packages/detectron2-0.6.dist-info"
    info.mkdir(parents=True)
    assert content.check_detectron2(context()).state == WARN
    (info / "direct_url.json").write_text(json.dumps(record))
    result = content.check_detectron2(context())
    assert result.state == OK and result.value.startswith("0.6, ") and text in result.value


def test_data_sets_are_needed_from_their_scale_on_and_found_by_their_files(context, root):
    before = {r.name: r.state for r in content.check_data_sets(context())}
    assert before == {"data-shapenet": WARN, "data-scenenet": WARN}
    assert {r.state for r in content.check_data_sets(context(scale="paper"))} == {MISSING}
    mesh = root / "data/shapenet/02691156/a/models/model_normalized.obj"
    mesh.parent.mkdir(parents=True)
    assert "holds no" in content.check_data_sets(context())[0].value
    mesh.touch()
    (root / "data/scenenet/models").mkdir(parents=True)
    (root / "data/scenenet/models/000.glb").touch()
    shapenet, scenenet = content.check_data_sets(context(scale="paper"))
    assert shapenet.state == OK and scenenet.state == MISSING and "holds no textures/*/*" in scenenet.value
    assert "Licence" in scenenet.why and scenenet.remedy


def test_data_sets_can_lie_elsewhere(context, root, tmp_path):
    (tmp_path / "disk/shapenet").mkdir(parents=True)
    (tmp_path / "disk/shapenet/a.glb").touch()
    assert content.check_data_sets(context(DATA_DIR=str(tmp_path / "disk")))[0].state == OK


def test_a_data_set_of_the_system_counts_where_data_has_none(context, root, tmp_path):
    import yaml

    sets = yaml.safe_load((root / "suite/datasets.yaml").read_text())
    fashion = sets["fashion-mnist"] | {"also": str(tmp_path / "usr"), "systems": ["solid"]}
    (root / "suite/datasets.yaml").write_text(yaml.safe_dump({"fashion-mnist": fashion}))
    (absent,) = content.check_data_sets(context(scale="paper"))
    assert absent.state == WARN and str(root / "data/fashion-mnist") in absent.value
    assert "make fetch-fashion-mnist" in absent.remedy
    (tmp_path / "usr").mkdir()
    for kind in ("images-idx3", "labels-idx1"):
        for part in ("train", "t10k"):
            (tmp_path / f"usr/{part}-{kind}-ubyte.gz").touch()
    (found,) = content.check_data_sets(context(scale="paper"))
    assert (found.state, found.value) == (OK, str(tmp_path / "usr"))


def test_a_python_without_yaml_says_that_it_cannot_list_the_data_sets(context, monkeypatch):
    monkeypatch.setitem(sys.modules, "yaml", None)
    (result,) = content.check_data_sets(context())
    assert result.state == WARN and "PyYAML" in result.value


def test_the_data_set_list_names_only_systems_that_exist():
    import yaml

    sets = yaml.safe_load((REPOSITORY / "suite/datasets.yaml").read_text())
    keys = {"title", "folder", "holds", "systems", "scales", "what", "licence", "get"}
    for about in sets.values():
        assert set(about) - {"also"} == keys and set(about["systems"]) <= set(systems())


def test_assets_are_verified_by_digest(context, root):
    assert content.check_assets(context()).value == "1 files, 0.0 MB, digests verified"
    model = root / "assets/meshes/models/cup/model.obj"
    model.write_text("v 0 0 1\n")
    result = content.check_assets(context())
    assert result.state == MISSING and "model.obj does not have the digest in meshes.json" in result.value
    model.unlink()
    assert "lists model.obj, which is not there" in content.check_assets(context()).value


def test_asset_lists_of_other_shapes_are_understood(context, root):
    digest = content.sha256(root / "assets/meshes/models/cup/model.obj")
    (root / "assets/weights").mkdir()
    (root / "assets/weights/tiny.bin").write_bytes(b"w")
    tiny = content.sha256(root / "assets/weights/tiny.bin")
    (root / "assets/weights/list.json").write_text(json.dumps([{"file": "tiny.bin", "sha256": tiny}]))
    (root / "assets/manifest.json").write_text(json.dumps({"meshes/models/cup/model.obj": digest}))
    (root / "assets/broken.json").write_text("{")
    assert content.check_assets(context()).value.startswith("3 files")


def test_without_any_list_the_clone_is_called_incomplete(context, root):
    (root / "assets/meshes/meshes.json").unlink()
    assert content.check_assets(context()).state == WARN


def test_the_toolchains_of_each_system_are_those_of_its_stages():
    assert sorted(TOOLCHAINS) == systems()
    for system, named in TOOLCHAINS.items():
        stages = import_module(f"experiments.{system.replace('-', '_')}.stages").STAGES
        assert set(named) == {stage.toolchain for stage in stages.values()}
