"""A look-alike of the authors' SceneNet folder: its layout, its names, its defects."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

pytest.importorskip("bpy", reason="needs the blender toolchain")

import trimesh
from trimesh.visual import TextureVisuals
from trimesh.visual.material import PBRMaterial

from experiments.solid.library import RoomLibrary
from experiments.solid.rooms import stage
from tests.solid.meshes.models import context
from tests.solid.render.worlds import picture, quad, to_gltf

FLOOR = quad([(0, 0, -1), (5, 0, -1), (5, 3, -1), (0, 3, -1)])
CEILING = quad([(0, 0, 1.5), (0, 3, 1.5), (5, 3, 1.5), (5, 0, 1.5)])
WALLS = [
    quad([(0, 0, -1), (0, 3, -1), (0, 3, 1.5), (0, 0, 1.5)]),
    quad([(5, 0, -1), (5, 0, 1.5), (5, 3, 1.5), (5, 3, -1)]),
]
SHELF = trimesh.creation.box((1, 1, 8))  # a leftover that sticks out of the shell
# object: (mesh, material or None, pictures in it, kind that it must get)
PARTS = {
    "floor_tiles_floor_tiles_0125": (FLOOR, "Tiles_04.001", 0, "floor"),
    "CeilingWall": (CEILING, "plaster", 1, "ceiling"),
    "walls1_line01_12": (WALLS[0], "Brick_2", 1, "wall"),
    "Wall3.002": (WALLS[1], "glazed", 2, "wall"),
    "painting_07": (quad([(0.1, 1, 0), (0.1, 2, 0), (0.1, 2, 1), (0.1, 1, 1)]), None, 0, "other"),
    "thing": (SHELF, "Wood_11.003", 0, "other"),
}


@pytest.fixture(scope="module")
def rooms(tmp_path_factory):
    """The stage's result on two rooms with these parts, one of them among the published ids."""
    folder = tmp_path_factory.mktemp("scenenet") / "scenenet"
    (folder / "models").mkdir(parents=True)
    for name in ("041", "099"):
        (folder / "models" / f"{name}.glb").write_bytes(look_alike())
    (folder / "models" / "thumbs.db").write_bytes(b"")
    for k, name in enumerate(("Tiles", "Brick", "plaster", "unknown", "unknown")):
        (folder / "textures" / name).mkdir(parents=True, exist_ok=True)
        picture(k).save(folder / "textures" / name / f"{k}.png")
    ctx = context(
        "rooms", tmp_path_factory.mktemp("out") / "rooms", "rooms.source=scenenet", f"rooms.folder={folder}"
    )
    stage.run(ctx)
    return ctx


def look_alike() -> bytes:
    scene = trimesh.Scene()
    for number, (name, (mesh, material, pictures, _)) in enumerate(PARTS.items()):
        copy = trimesh.Trimesh(to_gltf(mesh.vertices), mesh.faces, process=False)
        if material is not None:
            look = PBRMaterial(
                name=material,
                baseColorTexture=picture(number) if pictures else None,
                emissiveTexture=picture(90 + number) if pictures > 1 else None,
                emissiveFactor=[1.0, 1.0, 1.0] if pictures > 1 else None,
            )
            copy.visual = TextureVisuals(uv=mesh.vertices[:, :2], material=look)
        scene.add_geometry(copy, node_name=name, geom_name=name)
    return scene.export(file_type="glb")


def test_objects_are_sorted_by_name_and_get_the_kind_of_their_name(rooms):
    surfaces = RoomLibrary.load(rooms.out).rooms[0].surfaces
    assert [surface.name for surface in surfaces] == sorted(PARTS)
    assert {surface.name: surface.kind for surface in surfaces} == {n: part[3] for n, part in PARTS.items()}


def test_the_shell_is_12_by_12_by_6_and_leftovers_move_with_it_without_sizing_it(rooms):
    room = RoomLibrary.load(rooms.out).rooms[0]
    shell = np.concatenate([room.of_kind(kind) for kind in ("wall", "floor", "ceiling")]).reshape(-1, 3)
    np.testing.assert_allclose([shell.min(axis=0), shell.max(axis=0)], [(-6, -6, 0), (6, 6, 6)], atol=1e-5)
    other = room.of_kind("other").reshape(-1, 3)
    # z of the leftover: -4..4 in a shell of -1..1.5, which is 6 units high afterwards
    np.testing.assert_allclose((other[:, 2].min(), other[:, 2].max()), (-7.2, 12.0), atol=1e-4)


def test_materials_with_at_most_one_picture_take_one_of_their_folder(rooms):
    entry = json.loads((rooms.out / "rooms.json").read_text())["rooms"][0]
    folders = {name: {file.split("/")[-2] for file in files} for name, files in entry["materials"].items()}
    assert folders == {
        "Tiles_04.001": {"Tiles"}, "plaster": {"plaster"}, "Brick_2": {"Brick"}, "Wood_11.003": {"unknown"},
    }  # fmt: skip
    assert "glazed" not in entry["materials"]  # two pictures: it keeps them


def test_rooms_that_differ_from_the_published_set_are_told(rooms):
    assert rooms.counts["rooms"] == 2
    assert any(
        re.match(
            r"the published set has 40 rooms: 39 of them are not here .*1 here are not among .*099", text
        )
        for text in rooms.warnings
    )


def test_the_published_set_itself_is_not_mentioned():
    assert len(set(stage.SCENENET_IDS)) == 40
    assert stage.differs_from_published([f"{number:03d}" for number in stage.SCENENET_IDS]) is None
