"""Bad meshes: skipped with a reason and counted, or one clear line and exit code 2."""

from __future__ import annotations

import json
import re
import struct

import numpy as np
import pytest
import trimesh

from experiments.solid.meshes import index
from experiments.solid.meshes.validate import inspect
from suite.errors import EXIT_BAD_INPUT, BadInput, Missing
from tests.solid.meshes.models import (
    TETRAHEDRON_FACES,
    obj_text,
    run_index,
    tetrahedron,
    write_obj,
    write_textured_obj,
)


def reason_of(path) -> str:
    answer = inspect(str(path), str(path.parent))
    assert "facts" not in answer, answer
    assert "\n" not in answer["reason"]
    return answer["reason"]


def box_glb(**options) -> bytes:
    return trimesh.Scene(trimesh.creation.box((1, 2, 3))).export(file_type="glb", **options)


def test_facts_of_a_good_obj(tmp_path):
    facts = inspect(str(write_textured_obj(tmp_path / "model.obj", stretch=1)), str(tmp_path))["facts"]
    assert (facts["num_vertices"], facts["num_faces"], facts["extent"]) == (4, 4, (1.0, 2.0, 3.0))
    assert facts["textured"] is True


@pytest.mark.parametrize("suffix", ["glb", "ply", "stl", "obj"])
def test_every_format_gives_the_same_shape(tmp_path, suffix):
    path = tmp_path / f"box.{suffix}"
    trimesh.creation.box((1, 2, 3)).export(path)
    facts = inspect(str(path), str(tmp_path))["facts"]
    assert facts["num_faces"] == 12
    np.testing.assert_allclose(facts["extent"], (1, 2, 3), atol=1e-6)
    reference = index.find_twins([np.array(facts["signature"]), _signature_of_box()])
    assert reference == {1: 0}


def _signature_of_box():
    from experiments.solid.meshes.geometry import similarity_signature

    box = trimesh.creation.box((1, 2, 3))
    return similarity_signature(box.vertices, box.faces)


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("gone.obj", None, "does not exist"),
        ("empty.obj", b"", "empty"),
        ("cut.obj", obj_text(tetrahedron()).encode()[:-3], "corners"),
        ("cut.glb", box_glb()[:-40], "truncated"),
        ("header.glb", box_glb()[:15], "not a GLB"),
        ("text.glb", b"this is no model at all....", "not a GLB"),
        ("json.glb", struct.pack("<4sIIII", b"glTF", 2, 24, 4, 0x4E4F534A) + b"{{{{", "JSON"),
        ("cut.stl", struct.pack("<80sI", b"", 12) + bytes(100), "truncated"),
        ("text.ply", b"ply\nformat ascii 1.0\nelement vertex 9\n", "cannot be read|no faces|no vertices"),
        ("points.obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\n", "no faces"),
        ("nothing.obj", b"# nothing\n", "no vertices"),
        ("nan.obj", obj_text(tetrahedron()).replace("v 1 0 0", "v nan 0 0").encode(), "not finite"),
        ("inf.obj", obj_text(tetrahedron()).replace("v 1 0 0", "v 1e999 0 0").encode(), "not finite"),
        ("point.obj", obj_text(tetrahedron(scale=0)).encode(), "zero size"),
        ("line.obj", b"v 0 0 0\nv 1 0 0\nv 2 0 0\nf 1 2 3\n", "no area: zero size"),
        ("model.fbx", b"binary", "not one of"),
    ],
)
def test_an_unusable_file_has_a_reason(tmp_path, name, data, reason):
    if data is not None:
        (tmp_path / name).write_bytes(data)
    assert re.search(reason, reason_of(tmp_path / name))


def test_nan_in_a_glb_is_found(tmp_path):
    box = trimesh.creation.box((1, 2, 3))
    box.vertices[3, 1] = np.nan
    (tmp_path / "nan.glb").write_bytes(trimesh.Scene(box).export(file_type="glb"))
    assert "not finite" in reason_of(tmp_path / "nan.glb")


def test_a_missing_or_damaged_texture_is_found(tmp_path):
    path = write_textured_obj(tmp_path / "model.obj", stretch=1, texture=None)
    assert reason_of(path) == "texture 'skin.png' is missing"
    (tmp_path / "skin.png").write_bytes(b"no picture")
    assert "not a readable picture" in reason_of(path)


def test_a_texture_outside_the_mesh_folder_is_refused(tmp_path):
    path = write_textured_obj(tmp_path / "in" / "model.obj", stretch=1)
    (path.parent / "model.mtl").write_text("newmtl skin\nmap_Kd ../secret.png\n")
    assert "outside the mesh folder" in reason_of(path)


def test_a_missing_texture_of_a_gltf_is_found(tmp_path):
    files = trimesh.exchange.gltf.export_gltf(trimesh.Scene(trimesh.creation.box()))
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    tree = json.loads((tmp_path / "model.gltf").read_text())
    tree["images"] = [{"uri": "wood%20grain.png"}]
    (tmp_path / "model.gltf").write_text(json.dumps(tree))
    assert reason_of(tmp_path / "model.gltf") == "texture 'wood grain.png' is missing"
    next(tmp_path.glob("*.bin")).unlink()
    assert "buffer" in reason_of(tmp_path / "model.gltf")


def test_bad_meshes_are_skipped_counted_and_listed(tmp_path):
    raw = tmp_path / "raw"
    for k in range(3):
        write_obj(raw / f"good{k}.obj", stretch=1 + k)
    write_obj(raw / "hollow.obj", "v 0 0 0\n")
    kept, rejected, ctx = run_index(raw, tmp_path / "run")
    assert [row["id"] for row in kept] == ["good0", "good1", "good2"]
    assert [(row["id"], row["reason"]) for row in rejected] == [("hollow", "it has no faces")]
    assert ctx.counts["classes"] == 3
    assert ctx.counts["unusable"] == 1


def test_twins_are_skipped_unless_told_otherwise(tmp_path):
    raw = tmp_path / "raw"
    write_obj(raw / "a.obj")
    write_obj(raw / "b.obj")  # same bytes
    write_obj(raw / "c.obj", obj_text(tetrahedron(scale=7) + 5))  # same geometry
    write_obj(raw / "d.obj", stretch=2)
    kept, rejected, ctx = run_index(raw, tmp_path / "run")
    assert [row["id"] for row in kept] == ["a", "d"]
    assert [row["twin_of"] for row in rejected] == ["a", "a"]
    assert ctx.counts["twins"] == 2
    kept, rejected, _ = run_index(raw, tmp_path / "faithful", "meshes.skip_twins=false")
    assert [row["id"] for row in kept] == ["a", "b", "c", "d"]
    assert rejected == []


def test_twins_are_not_bad_meshes(tmp_path):
    for name in "abcd":
        write_obj(tmp_path / "raw" / f"{name}.obj")
    kept, _, _ = run_index(tmp_path / "raw", tmp_path / "run", "meshes.max_bad_share=0")
    assert len(kept) == 1


def test_too_many_bad_meshes_stop_the_stage(tmp_path):
    write_obj(tmp_path / "raw" / "good.obj")
    write_obj(tmp_path / "raw" / "bad.obj", "f 1 2 3\n")
    with pytest.raises(BadInput, match=r"1 of 2 meshes are unusable, allowed: 0.4 .first: models/bad.obj: "):
        run_index(tmp_path / "raw", tmp_path / "run", "meshes.max_bad_share=0.4")


def test_a_wrong_class_count_names_both_numbers(tmp_path):
    write_obj(tmp_path / "raw" / "good.obj")
    with pytest.raises(BadInput, match="1 usable meshes, meshes.num_classes is 5") as caught:
        run_index(tmp_path / "raw", tmp_path / "run", "meshes.num_classes=5")
    assert caught.value.exit_code == EXIT_BAD_INPUT


def test_the_order_is_that_of_the_bytes_of_the_paths(tmp_path):
    for k, name in enumerate(["b/model.obj", "a/x.obj", "B.obj", "a-b.obj", "\u00e9.obj"]):
        write_obj(tmp_path / "raw" / name, stretch=1 + k)
    kept, _, _ = run_index(tmp_path / "raw", tmp_path / "run")
    assert [row["id"] for row in kept] == ["B", "a-b", "a/x", "b", "\u00e9"]


def test_a_list_file_fixes_order_and_choice(tmp_path):
    for k, name in enumerate("abc"):
        write_obj(tmp_path / "raw" / f"{name}.obj", stretch=1 + k)
    listed = tmp_path / "shapenet.json"
    listed.write_text(json.dumps([{"model": "c.obj"}, {"model": "a.obj"}]))
    kept, _, _ = run_index(tmp_path / "raw", tmp_path / "run", f"meshes.list_file={listed}")
    assert [row["id"] for row in kept] == ["c", "a"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('[{"model": "a.obj"}, {"model": "./a.obj"}]', "entries 0 and 1 are both 'a.obj'"),
        ('[{"model": "../a.obj"}]', "leaves the mesh folder"),
        ('[{"model": "/etc/passwd"}]', "leaves the mesh folder"),
        ('{"model": "a.obj"}', "not a list"),
        ("[1", "not valid JSON"),
    ],
)
def test_a_bad_list_file_is_one_clear_line(tmp_path, text, reason):
    write_obj(tmp_path / "raw" / "a.obj")
    listed = tmp_path / "list.json"
    listed.write_text(text)
    with pytest.raises(BadInput, match=reason) as caught:
        run_index(tmp_path / "raw", tmp_path / "run", f"meshes.list_file={listed}")
    assert str(listed) in str(caught.value)


def test_a_missing_folder_of_meshes_is_exit_3(tmp_path):
    with pytest.raises(Missing, match="no such folder of meshes"):
        run_index(tmp_path / "nowhere", tmp_path / "run")


def test_worker_processes_give_the_same_index_as_one_process(tmp_path, monkeypatch):
    raw = tmp_path / "raw"
    for k in range(24):
        write_obj(raw / f"{k:02d}.obj", stretch=1 + k)
    write_obj(raw / "99.obj", "v 1\n")
    alone = run_index(raw, tmp_path / "one")[:2]
    monkeypatch.setattr(index, "FEW", 2)
    assert run_index(raw, tmp_path / "many")[:2] == alone


def test_a_model_that_changed_since_it_was_collected_is_rejected(tmp_path):
    rows = [
        {
            "id": "a",
            "name": "a",
            "class": "a",
            "model": "models/a",
            "sha256": "0" * 64,
            "license": "",
            "source": "",
        }
    ]
    write_obj(tmp_path / "a.obj")
    kept, rejected = index.select(rows, [inspect(str(tmp_path / "a.obj"), str(tmp_path))], skip_twins=True)
    assert kept == []
    assert "SHA-256" in rejected[0]["reason"]


def test_faces_of_the_fixture_enclose_a_volume():
    assert trimesh.Trimesh(tetrahedron(), TETRAHEDRON_FACES).volume == pytest.approx(1.0)  # 1 * 2 * 3 / 6
