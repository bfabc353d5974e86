"""Loading meshes and rooms: what comes back, and one clear line for everything that is wrong."""

import json

import numpy as np
import pytest

from experiments.solid.layout.geometry import euler_matrix
from experiments.solid.library import MeshLibrary, RoomLibrary
from suite.errors import BadInput, Missing


@pytest.fixture
def clean_dir(make_meshes):
    cube = np.array([(x, y, z) for x in (0, 1) for y in (0, 2) for z in (0, 3)], dtype=float)
    return make_meshes([cube, cube + np.random.default_rng(0).normal(size=cube.shape)]).folder


@pytest.fixture
def rooms_dir(make_rooms):
    return make_rooms({"a": {}, "b": {"inner_wall": True}}).folder


def edit(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_meshes_come_in_the_order_of_the_list(clean_dir):
    meshes = MeshLibrary.load(clean_dir)
    assert meshes.num_classes == 2
    np.testing.assert_array_equal(meshes.extents[0], (1, 2, 3))
    assert meshes.vertices(0).shape == (8, 3) and meshes.vertices(0).dtype == np.float64
    np.testing.assert_allclose(meshes.vertices(0).min(axis=0), (-0.5, -1, -1.5))
    assert meshes.vertices(1) is meshes.vertices(1)
    with pytest.raises(ValueError, match="read-only"):
        meshes.vertices(1)[0] = 0


def test_the_hull_projects_to_the_same_extent_in_every_direction(make_meshes):
    meshes = make_meshes([np.random.default_rng(0).normal(size=(500, 3))])
    assert len(meshes.hull(0)) < 200
    for angle in range(8):
        turn = euler_matrix((angle, 2 * angle, 3 * angle))
        np.testing.assert_allclose(
            (meshes.hull(0) @ turn).max(axis=0), (meshes.vertices(0) @ turn).max(axis=0)
        )


def test_a_flat_mesh_is_its_own_hull(make_meshes):
    sheet = np.array([(x, y, 0) for x in range(5) for y in range(5)], dtype=float)
    meshes = make_meshes([sheet, np.eye(3)])
    np.testing.assert_array_equal(meshes.hull(0), meshes.vertices(0))
    np.testing.assert_array_equal(meshes.hull(1), meshes.vertices(1))


def test_rooms_keep_their_surfaces_apart(rooms_dir):
    rooms = RoomLibrary.load(rooms_dir)
    assert [room.id for room in rooms.rooms] == ["a", "b"]
    room = rooms.get("b")
    assert room.of_kind("wall").shape == (10, 3, 3) and room.of_kind("floor", "ceiling").shape == (4, 3, 3)
    assert room.of_kind("other").shape == (0, 3, 3)
    assert room.glb == rooms_dir / "models" / "001.glb"
    assert room.materials["wall"] == ("textures/wall/a.jpg", "textures/wall/b.jpg", "textures/wall/c.jpg")
    with pytest.raises(BadInput, match="no room 'c'"):
        rooms.get("c")


def test_missing_folders_are_missing(tmp_path):
    for library, name in ((MeshLibrary, "classes.json"), (RoomLibrary, "rooms.json")):
        with pytest.raises(Missing, match=f"{name}: no such file; run the stage"):
            library.load(tmp_path)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda classes: classes.clear(), "holds no list of classes"),
        (lambda classes: classes[1].pop("npz"), "entry 1 lacks"),
        (lambda classes: classes[1].update(extent=[1, 2]), "three numbers"),
        (lambda classes: classes[1].update(extent=[0, 0, 0]), "entry 1 has no size"),
        (lambda classes: classes[1].update(extent=[1, float("nan"), 1]), "entry 1 has no size"),
    ],
)
def test_a_bad_list_of_classes_is_bad_input(clean_dir, change, line):
    edit(clean_dir / "classes.json", change)
    with pytest.raises(BadInput, match=line):
        MeshLibrary.load(clean_dir)


def test_a_missing_truncated_or_poisoned_mesh_is_reported_with_its_file(clean_dir):
    path = clean_dir / "models" / "00001.npz"
    whole = path.read_bytes()
    for content, line in (
        (whole[:100], "not a readable"),
        (b"", "not a readable"),
        (b"text", "not a readable"),
    ):
        path.write_bytes(content)
        with pytest.raises(BadInput, match=f"00001.npz: {line}"):
            MeshLibrary.load(clean_dir).vertices(1)
    np.savez(path, vertices=np.full((4, 3), np.nan))
    with pytest.raises(BadInput, match="finite"):
        MeshLibrary.load(clean_dir).vertices(1)
    np.savez(path, vertices=np.array([{"a": 1}], dtype=object))  # would run code if unpickled
    with pytest.raises(BadInput, match="not a readable"):
        MeshLibrary.load(clean_dir).vertices(1)
    np.savez(path, faces=np.zeros((1, 3)))
    with pytest.raises(BadInput, match="vertices"):
        MeshLibrary.load(clean_dir).vertices(1)
    path.unlink()
    with pytest.raises(Missing, match="00001.npz"):
        MeshLibrary.load(clean_dir).vertices(1)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda content: content.clear(), "no list `rooms`"),
        (lambda content: content["rooms"][0].pop("surfaces"), "malformed"),
        (lambda content: content["rooms"][0].update(matrix=[1]), "malformed"),
        (lambda content: content["rooms"][1].update(id="a"), "same id"),
        (lambda content: content["rooms"][0]["materials"].update(wall=[]), "material 'wall' has no texture"),
        (
            lambda content: content["rooms"][0]["surfaces"][0].update(kind="lawn"),
            "has kind 'lawn'; use one of wall",
        ),
        (lambda content: content["rooms"][0]["surfaces"][0].update(kind="other"), "room a has no floor"),
        (lambda content: content["rooms"][0]["surfaces"].pop(), "surface that does not exist"),
    ],
)
def test_a_bad_list_of_rooms_is_bad_input(rooms_dir, change, line):
    edit(rooms_dir / "rooms.json", change)
    with pytest.raises(BadInput, match=line):
        RoomLibrary.load(rooms_dir)


def test_triangles_and_surfaces_must_match(rooms_dir):
    np.savez(rooms_dir / "models" / "000.npz", triangles=np.zeros((4, 3, 3)), surface=np.zeros(3, int))
    with pytest.raises(BadInput, match="do not match"):
        RoomLibrary.load(rooms_dir)


def test_what_is_not_json_is_bad_input(rooms_dir, clean_dir):
    for library, path in ((RoomLibrary, rooms_dir / "rooms.json"), (MeshLibrary, clean_dir / "classes.json")):
        path.write_bytes(b"\xff{")
        with pytest.raises(BadInput, match="not valid JSON"):
            library.load(path.parent)
