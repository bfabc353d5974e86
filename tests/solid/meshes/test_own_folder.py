"""MESHES=/path: a folder of the user, of any depth, format and defect."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
import trimesh
from PIL import Image

from experiments.solid.config import SolidConfig, mesh_overrides
from experiments.solid.meshes import fetch
from experiments.solid.meshes.validate import Limits, inspect
from suite.config import load_config
from suite.errors import BadInput
from suite.runs import Run, own_overrides
from tests.solid.meshes.models import run_index, write_obj, write_textured_obj

ROOT = Path(__file__).resolve().parents[3]
TINY = ROOT / "experiments/solid/configs/tiny.yaml"


@pytest.fixture
def folder(tmp_path) -> Path:
    """Five good meshes in four formats at several depths, and what people have beside them."""
    root = tmp_path / "my meshes"
    (root / "a" / "b" / "c").mkdir(parents=True)
    trimesh.creation.box((1, 2, 3)).export(root / "box.glb")
    trimesh.creation.icosphere(2).export(root / "a" / "ball.ply")
    trimesh.creation.cone(1, 2).export(root / "a" / "b" / "cone.stl")
    write_obj(root / "a" / "b" / "c" / "WEDGE.OBJ", stretch=3)
    write_textured_obj(root / "a" / "skin" / "model.obj", stretch=5)
    (root / "notes.txt").write_text("no mesh")
    (root / "a" / "broken.glb").write_bytes(b"rubbish")
    (root / "gone.obj").symlink_to(root / "nowhere.obj")
    return root


def test_the_variable_becomes_settings_of_the_run(folder, monkeypatch):
    monkeypatch.setenv("MESHES", str(folder))
    meshes = load_config(SolidConfig, TINY, list(own_overrides("solid"))).meshes
    assert (meshes.source, meshes.folder, meshes.num_classes) == ("folder", str(folder), None)
    run = Run(system="solid", scale="tiny", seed=0, overrides=own_overrides("solid"))
    assert run.config.meshes.folder == str(folder)


def test_a_relative_path_becomes_absolute_for_the_mount_too(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    monkeypatch.setenv("MESHES", folder.name)
    assert f'meshes.folder="{folder}"' in own_overrides("solid")
    assert os.environ["MESHES"] == str(folder)


def test_names_with_blanks_and_signs_reach_the_config_unchanged(tmp_path, monkeypatch):
    odd = tmp_path / "it's: a #1 {folder}"
    odd.mkdir()
    monkeypatch.setenv("MESHES", str(odd))
    assert load_config(SolidConfig, TINY, list(own_overrides("solid"))).meshes.folder == str(odd)


@pytest.mark.parametrize("kind", ["missing", "file"])
def test_a_bad_folder_is_one_line_and_exit_2(tmp_path, kind):
    path = tmp_path / "meshes"
    if kind == "file":
        path.touch()
    with pytest.raises(BadInput, match="no such folder of meshes"):
        mesh_overrides(str(path))
    env = {**os.environ, "MESHES": str(path), "SCALE": "tiny", "PYTHONPATH": str(ROOT)}
    line = [os.sys.executable, "-m", "suite", "reproduce", "solid", "--place", "venv"]
    done = subprocess.run(line, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert (
        done.stderr == f"error: {path}: no such folder of meshes; MESHES names a folder (its absolute path)\n"
    )


def test_a_folder_without_meshes_is_exit_2(tmp_path):
    (tmp_path / "empty" / "deep").mkdir(parents=True)
    with pytest.raises(BadInput, match=r"no mesh was found; put .obj .glb .gltf .ply .stl files there"):
        run_index(tmp_path / "empty", tmp_path / "run")


def test_every_format_and_depth_is_found_and_every_rejection_has_its_reason(folder, tmp_path, capsys):
    kept, rejected, ctx = run_index(folder, tmp_path / "run")
    assert [row["id"] for row in kept] == ["a/b/c/WEDGE", "a/b/cone", "a/ball", "a/skin", "box"]
    assert {row["id"]: row["reason"] for row in rejected} == {
        "a/broken": "not a GLB file",
        "gone": "the file does not exist",
    }
    assert ctx.warnings[0].startswith(
        "2 of 7 meshes rejected, first models/a/broken.glb: not a GLB file; all"
    )
    assert ctx.warnings[0].endswith("rejected.json")


def test_enormous_files_are_rejected_before_they_are_read(tmp_path, monkeypatch):
    path = tmp_path / "big.stl"
    with path.open("wb") as stream:
        stream.truncate(3_000_000_000)  # a hole: takes no space
    monkeypatch.setattr(Path, "read_bytes", lambda self: pytest.fail("read"))
    answer = inspect(str(path), str(tmp_path), Limits(max_file_mb=500))
    assert answer == {"reason": "enormous: 3000 MB, allowed 500 (meshes.max_file_mb)"}


def test_meshes_with_too_many_triangles_are_rejected(tmp_path):
    trimesh.creation.icosphere(3).export(tmp_path / "ball.ply")  # 1280 faces
    answer = inspect(str(tmp_path / "ball.ply"), str(tmp_path), Limits(max_faces=1279))
    assert answer == {"reason": "enormous: 1280 triangles, allowed 1279 (meshes.max_faces)"}
    assert "facts" in inspect(str(tmp_path / "ball.ply"), str(tmp_path), Limits(max_faces=1280))


def test_an_enormous_texture_is_a_reason_and_no_crash(tmp_path, monkeypatch):
    path = write_textured_obj(tmp_path / "model.obj", stretch=1)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1)  # of the 2 x 2 pixels of the fixture: above twice that
    assert inspect(str(path), str(tmp_path)) == {"reason": "texture 'skin.png' is enormous"}


def test_a_file_that_may_not_be_read_costs_that_mesh(tmp_path, monkeypatch):
    write_obj(tmp_path / "closed.obj")

    def refuse(self):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    answer = inspect(str(tmp_path / "closed.obj"), str(tmp_path))
    assert answer == {"reason": "cannot be read (Permission denied)"}


def test_a_folder_that_cannot_be_listed_is_told(tmp_path, monkeypatch):
    write_obj(tmp_path / "raw" / "open" / "a.obj")
    (tmp_path / "raw" / "closed").mkdir()
    scandir = os.scandir

    def refuse(place):
        if os.fspath(place).endswith("closed"):
            raise PermissionError(13, "Permission denied", os.fspath(place))
        return scandir(place)

    monkeypatch.setattr(os, "scandir", refuse)
    told: list[str] = []
    assert fetch.list_models(tmp_path / "raw", told.append) == ["open/a.obj"]
    assert told == [f"{tmp_path}/raw/closed: cannot be listed (Permission denied), its meshes are left out"]


def test_limits_come_from_the_settings(folder, tmp_path):
    kept, rejected, _ = run_index(folder, tmp_path / "run", "meshes.max_faces=100")
    assert [row["id"] for row in rejected if "enormous" in row["reason"]] == ["a/ball"]
    _, rejected, _ = run_index(folder, tmp_path / "run2", "meshes.max_file_mb=0.001")
    assert any("MB, allowed 0.001" in row["reason"] for row in rejected)


def test_the_published_settings_have_no_limits():
    meshes = load_config(SolidConfig, ROOT / "experiments/solid/configs/paper.yaml").meshes
    assert (meshes.max_file_mb, meshes.max_faces) == (None, None)
    assert json.loads(json.dumps(meshes.merge_distance)) == 1e-6
