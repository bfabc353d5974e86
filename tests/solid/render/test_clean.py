"""Cleaning models: formats, axes, welding, textures, bad files, checkpoints."""

import json

import numpy as np
import pytest
import trimesh

from experiments.solid.render import clean
from experiments.solid.render.importing import (
    discarding,
    images_of,
    import_objects,
    mesh_vertices,
    reset_blender,
)
from experiments.solid.stages import STAGES
from suite.errors import BadInput, Missing, Stopped
from suite.stage import STOP, Context
from tests.solid.render.worlds import picture, quad, shapes, tiny_config, write_glb

# A right-angled wedge in OBJ's y-up coordinates, longest along y, with a texture.
WEDGE = """mtllib wedge.mtl
v 1 0 0
v 2 0 0
v 1 3 0
v 1 0 0.5
vt 0 0
vt 1 0
vt 0 1
usemtl paint
f 1/1 3/3 2/2
f 1/1 2/2 4/3
f 1/1 4/2 3/3
f 2/1 3/2 4/3
"""
BAD = {
    "no_faces": "v 0 0 0\nv 1 0 0\nv 0 1 0\n",
    "no_size": "v 1 1 1\nv 1 1 1\nv 1 1 1\nf 1 2 3\n",
}


@pytest.fixture(autouse=True)
def empty_blender():
    reset_blender()


def write_wedge(folder, *, with_texture=True, side=16):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "wedge.obj").write_text(WEDGE)
    (folder / "wedge.mtl").write_text("newmtl paint\nKd 0.8 0.4 0.2\nmap_Kd wedge.png\n")
    if with_texture:
        picture(1, side).save(folder / "wedge.png")
    return folder / "wedge.obj"


def cleaned(source, tmp_path, *overrides):
    """The record and the arrays of a cleaned model."""
    glb, npz = tmp_path / "out.glb", tmp_path / "out.npz"
    record = clean.clean_model(source, glb, npz, tiny_config(*overrides))
    arrays = np.load(npz)
    return record, arrays["vertices"], arrays["faces"]


def test_an_obj_is_turned_upright_centred_and_keeps_its_size(tmp_path):
    record, vertices, faces = cleaned(write_wedge(tmp_path), tmp_path)
    assert record.extent == pytest.approx((1, 0.5, 3), abs=1e-4)  # x, y, z: OBJ's y is Blender's z
    assert np.abs(vertices.min(axis=0) + vertices.max(axis=0)).max() < 1e-5
    assert len(faces) == 4 and vertices.dtype == np.float32 and faces.dtype == np.int32
    assert (record.vertices_before, record.num_materials, record.missing_textures) == (4, 1, 0)


def test_the_npz_is_what_blender_sees_in_the_glb(tmp_path):
    _, vertices, _ = cleaned(write_wedge(tmp_path), tmp_path)
    with discarding():
        (obj,) = import_objects(tmp_path / "out.glb")
        assert np.array_equal(mesh_vertices(obj.data), vertices)
        assert len(images_of(obj.data.materials)) == 1


@pytest.mark.parametrize("suffix", ["stl", "ply", "glb", "obj"])
def test_every_format_gives_the_same_volume(suffix, tmp_path):
    ball = trimesh.creation.icosphere(subdivisions=2, radius=0.5)
    source = tmp_path / f"ball.{suffix}"
    ball.export(source)
    record, vertices, faces = cleaned(source, tmp_path)
    assert len(faces) == len(ball.faces)
    assert trimesh.Trimesh(vertices, faces).volume == pytest.approx(ball.volume, rel=1e-3)
    assert record.extent == pytest.approx((1, 1, 1), abs=0.01)


def test_loose_triangles_are_welded_and_pushed_out_a_hair(tmp_path):
    ball = trimesh.creation.icosphere(subdivisions=2, radius=0.5)
    soup = trimesh.Trimesh(
        ball.triangles.reshape(-1, 3), np.arange(len(ball.faces) * 3).reshape(-1, 3), process=False
    )
    soup.export(tmp_path / "soup.ply")
    record, vertices, _ = cleaned(tmp_path / "soup.ply", tmp_path)
    assert record.vertices_before == 3 * len(ball.faces)
    # Half of 1e-5 along the normal; without welding the corners of each face would part along its own normal.
    assert np.linalg.norm(vertices, axis=1).max() == pytest.approx(0.5 + 5e-6, abs=1e-6)
    assert len(np.unique(vertices.round(6), axis=0)) == len(ball.vertices)


def test_sharp_edges_are_split_and_others_are_not(tmp_path):
    trimesh.creation.box((1, 1, 1)).export(tmp_path / "box.ply")
    _, sharp, _ = cleaned(tmp_path / "box.ply", tmp_path)
    _, dull, _ = cleaned(tmp_path / "box.ply", tmp_path, "meshes.edge_split_angle=100")
    assert np.abs(sharp).max() == pytest.approx(0.5 + 5e-6, abs=5e-7)  # each face moves along its own normal
    assert np.abs(dull).max() == pytest.approx(
        0.5 + 5e-6 / np.sqrt(3), abs=5e-7
    )  # corners along the diagonal


def test_many_objects_become_one_with_all_their_materials(tmp_path):
    one, two = shapes()[0], shapes()[1].copy()
    two.apply_translation((3, 0, 0))
    write_glb(tmp_path / "pair.glb", {"a": (one, "red"), "b": (two, "blue")}, textured=True)
    record, _, _ = cleaned(tmp_path / "pair.glb", tmp_path)
    assert record.num_materials == 2
    assert record.extent == pytest.approx((4, 1, 1), abs=0.01)


def test_a_missing_texture_costs_the_texture_and_is_counted(tmp_path):
    record, _, _ = cleaned(write_wedge(tmp_path, with_texture=False), tmp_path)
    assert record.missing_textures == 1
    with discarding():
        (obj,) = import_objects(tmp_path / "out.glb")
        assert images_of(obj.data.materials) == set()
        shader = next(n for n in obj.data.materials[0].node_tree.nodes if n.type == "BSDF_PRINCIPLED")
        assert tuple(shader.inputs["Base Color"].default_value)[:3] == pytest.approx(
            (0.8, 0.4, 0.2), abs=0.01
        )


def test_large_textures_are_scaled_to_the_limit(tmp_path):
    cleaned(write_wedge(tmp_path, side=64), tmp_path, "render.texture_limit=32")
    with discarding():
        (obj,) = import_objects(tmp_path / "out.glb")
        assert [tuple(image.size) for image in images_of(obj.data.materials)] == [(32, 32)]


@pytest.mark.parametrize("name", BAD)
def test_a_model_without_usable_geometry_is_refused(name, tmp_path):
    (tmp_path / "bad.obj").write_text(BAD[name])
    with pytest.raises(BadInput):
        cleaned(tmp_path / "bad.obj", tmp_path)


def test_truncated_and_missing_files_are_named(tmp_path):
    write_glb(tmp_path / "cut.glb", {"a": (shapes()[0], "red")})
    (tmp_path / "cut.glb").write_bytes((tmp_path / "cut.glb").read_bytes()[:500])
    with pytest.raises(BadInput, match="cut.glb"):
        cleaned(tmp_path / "cut.glb", tmp_path)
    with pytest.raises(Missing, match="gone.obj"):
        cleaned(tmp_path / "gone.obj", tmp_path)


@pytest.fixture
def stage(tmp_path):
    """An index of five models, the second one damaged, and a function that makes the stage's context."""
    folder = tmp_path / "meshes"
    index = []
    for number, shape in enumerate([*shapes(), quad([(0, 0, 0), (1, 0, 0), (1, 2, 0), (0, 2, 0)])]):
        write_glb(folder / f"{number}.glb", {"part": (shape, "paint")}, textured=True)
        index.append({"id": f"m{number}", "model": f"{number}.glb", "license": "MIT"})
    (folder / "bad.obj").write_text(BAD["no_faces"])
    index.insert(1, {"id": "bad", "model": "bad.obj", "license": "MIT"})
    (tmp_path / "index").mkdir()
    (tmp_path / "index/index.json").write_text(json.dumps(index))

    def context(out, *overrides):
        (tmp_path / out).mkdir(exist_ok=True)
        return Context(stage=STAGES["clean"], config=tiny_config(*overrides), seed=0, device="cpu", key="k",
                       inputs={"meshes": folder, "index": tmp_path / "index"},
                       out=tmp_path / out, final=tmp_path / out)  # fmt: skip

    return context


def files(ctx):
    """The finished files of a stage by name: neither checkpoints nor events."""
    paths = [p for p in sorted(ctx.out.rglob("*")) if p.is_file() and ctx.work not in p.parents]
    return {p.name: p.read_bytes() for p in paths if p.name != ".events.jsonl"}


def test_failed_models_are_dropped_counted_and_leave_no_gap(stage):
    ctx = stage("out", "meshes.max_bad_share=0.5")
    clean.run(ctx)
    classes = json.loads((ctx.out / "classes.json").read_text())
    assert [c["id"] for c in classes] == ["m0", "m1", "m2", "m3"]
    assert [c["glb"] for c in classes] == [f"models/{k:05d}.glb" for k in range(4)]
    for entry in classes:
        vertices = np.load(ctx.out / entry["npz"])["vertices"]
        assert np.ptp(vertices, axis=0) == pytest.approx(entry["extent"], abs=1e-6)
    (row,) = json.loads((ctx.out / "dropped.json").read_text())
    assert row["id"] == "bad" and "no mesh with a face" in row["reason"]
    assert (ctx.counts["models"], ctx.counts["dropped"]) == (4, 1)


def test_too_many_failures_stop_the_stage(stage):
    with pytest.raises(BadInput, match="1 of 5 models"):
        clean.run(stage("out", "meshes.max_bad_share=0.01"))


def test_a_stopped_stage_goes_on_where_it_was_and_ends_in_the_same_bytes(stage, monkeypatch):
    whole = stage("whole", "meshes.max_bad_share=0.5")
    clean.run(whole)
    done = []
    real = clean.clean_model

    def watched(source, *rest):
        done.append(source.name)
        STOP.is_set = len(done) == 2
        return real(source, *rest)

    monkeypatch.setattr(clean, "clean_model", watched)
    ctx = stage("stopped", "meshes.max_bad_share=0.5")
    with pytest.raises(Stopped):
        clean.run(ctx)
    STOP.is_set = False
    clean.run(ctx)
    assert done == ["0.glb", "bad.obj", "1.glb", "2.glb", "3.glb"]
    assert files(ctx) == files(whole)
