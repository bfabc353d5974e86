"""The rooms stage, with Blender: both sources through one loader."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

pytest.importorskip("bpy", reason="needs the blender toolchain")

from experiments.solid.layout.camera import find_camera
from experiments.solid.layout.grid import room_grid
from experiments.solid.library import RoomLibrary
from experiments.solid.rooms import stage
from experiments.solid.rooms.procedural import write_room
from suite.errors import BadInput, Missing
from suite.seeds import item_rng
from tests.solid.meshes.models import context


@pytest.fixture(scope="module")
def procedural(tmp_path_factory):
    ctx = context("rooms", tmp_path_factory.mktemp("procedural"), "rooms.num_rooms=6")
    stage.run(ctx)
    return ctx


def test_every_room_has_walls_a_floor_and_a_ceiling(procedural):
    library = RoomLibrary.load(procedural.out)
    assert [room.id for room in library.rooms] == [f"{k:03d}" for k in range(6)]
    for room in library.rooms:
        kinds = {surface.name: surface.kind for surface in room.surfaces}
        assert {kinds.pop(name) for name in ("wall", "floor", "ceiling")} == {"wall", "floor", "ceiling"}
        assert set(kinds.values()) <= {"other"}


def test_rooms_are_12_by_12_by_6_and_stand_on_the_floor(procedural):
    for room in RoomLibrary.load(procedural.out).rooms:
        shell = np.concatenate([room.of_kind(kind) for kind in ("wall", "floor", "ceiling")]).reshape(-1, 3)
        np.testing.assert_allclose(shell.min(axis=0), (-6, -6, 0), atol=1e-5)
        np.testing.assert_allclose(shell.max(axis=0), (6, 6, 6), atol=1e-5)


def test_every_material_has_pictures_of_its_own_folder(procedural):
    entries = json.loads((procedural.out / "rooms.json").read_text())["rooms"]
    for entry in entries:
        named = {name for surface in entry["surfaces"] for name in surface["materials"]}
        assert set(entry["materials"]) == named
        for name, files in entry["materials"].items():
            folder = name.removesuffix("_1")
            expected = folder if folder in ("wall", "floor", "ceiling") else "unknown"
            assert {file.split("/")[1] for file in files} == {expected}
            assert len(files) >= 3
            assert all((procedural.out / file).is_file() for file in files)


def test_a_camera_is_found_in_every_room(procedural):
    for room in RoomLibrary.load(procedural.out).rooms:
        grid = room_grid(room, 12.0, 4)
        for seed in range(5):
            pinhole, _, tries = find_camera(
                np.random.default_rng(seed), procedural.config, room=room, grid=grid
            )
            assert 3.6 <= np.hypot(*pinhole.location[:2]) <= 6.0
            assert tries <= 50


def test_the_same_seed_gives_the_same_rooms(procedural, tmp_path):
    again = context("rooms", tmp_path / "again", "rooms.num_rooms=6")
    stage.run(again)
    for name in ("rooms.json", "models/002.glb", "models/002.npz"):
        assert (again.out / name).read_bytes() == (procedural.out / name).read_bytes()


@pytest.fixture
def scenenet(tmp_path):
    folder = tmp_path / "scenenet"
    (folder / "models").mkdir(parents=True)
    for k in (0, 3, 12):
        write_room(str(folder / "models" / f"{k:03d}.glb"), k, item_rng(0, "solid.room", k))
    shutil.copytree(stage.TEXTURES / "unknown", folder / "textures" / "unknown")
    return folder


def run_scenenet(folder, out):
    ctx = context("rooms", out, "rooms.source=scenenet", f"rooms.folder={folder}")
    stage.run(ctx)
    return ctx


def test_a_scenenet_folder_goes_through_the_same_loader(scenenet, tmp_path):
    ctx = run_scenenet(scenenet, tmp_path / "out")
    library = RoomLibrary.load(ctx.out)
    assert [room.id for room in library.rooms] == ["000", "003", "012"]
    assert all(room.glb.is_file() for room in library.rooms)
    assert all(f.startswith("source/textures/unknown/") for f in library.rooms[0].materials["wall_1"])


def test_a_damaged_room_among_few_stops_the_stage(scenenet, tmp_path):
    whole = (scenenet / "models" / "003.glb").read_bytes()
    (scenenet / "models" / "003.glb").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadInput, match="1 of 3 rooms cannot be used"):
        run_scenenet(scenenet, tmp_path / "out")


def test_a_damaged_room_among_many_costs_that_room(scenenet, tmp_path):
    for k in range(20, 30):
        shutil.copy(scenenet / "models" / "000.glb", scenenet / "models" / f"{k:03d}.glb")
    (scenenet / "models" / "020.glb").write_bytes(b"broken")
    ctx = run_scenenet(scenenet, tmp_path / "out")
    assert ctx.counts["rooms"] == 12
    assert ctx.counts["skipped"] == 1
    assert "020.glb" in ctx.warnings[0]


def test_missing_pieces_are_named(scenenet, tmp_path):
    shutil.rmtree(scenenet / "textures" / "unknown")
    with pytest.raises(Missing, match="ceiling_1"):
        run_scenenet(scenenet, tmp_path / "a")
    shutil.rmtree(scenenet / "textures")
    with pytest.raises(Missing, match="holds no folder 'textures'"):
        run_scenenet(scenenet, tmp_path / "b")
