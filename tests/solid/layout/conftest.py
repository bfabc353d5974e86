"""Small rooms and meshes made by hand, written in the formats of the stages `rooms` and `clean`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from experiments.solid.config import SolidConfig
from experiments.solid.library import MeshLibrary, RoomLibrary
from suite.config import load_config

CONFIGS = Path(__file__).parents[3] / "experiments" / "solid" / "configs"


def quad(a, b, c, d):
    """Two triangles (2, 3, 3) of a plane quadrilateral."""
    return np.array([[a, b, c], [a, c, d]], dtype=np.float32)


def box_room(*, floor=True, ceiling=True, inner_wall=False, platform=0.0, size=6.0, height=6.0):
    """Surfaces {name: (kind, triangles)} of a closed room with x, y in [-size, size] and z in [0, height]."""
    s, h = size, height
    surfaces = {}
    if floor:
        surfaces["floor"] = ("floor", quad((-s, -s, 0), (s, -s, 0), (s, s, 0), (-s, s, 0)))
    if ceiling:
        surfaces["ceiling"] = ("ceiling", quad((-s, -s, h), (-s, s, h), (s, s, h), (s, -s, h)))
    if platform:  # a step over a quarter of the floor
        surfaces["floor.step"] = (
            "floor",
            quad((0, 0, platform), (s, 0, platform), (s, s, platform), (0, s, platform)),
        )
    corners = [(-s, -s), (s, -s), (s, s), (-s, s)]
    for number in range(4):
        (x1, y1), (x2, y2) = corners[number], corners[(number + 1) % 4]
        surfaces[f"wall.{number}"] = ("wall", quad((x1, y1, 0), (x2, y2, 0), (x2, y2, h), (x1, y1, h)))
    if inner_wall:  # half across the room, so that some objects would stand in it
        surfaces["wall.inner"] = ("wall", quad((-s, 1, 0), (-1, 1, 0), (-1, 1, h), (-s, 1, h)))
    return surfaces


def write_rooms(folder: Path, rooms: dict[str, dict]) -> RoomLibrary:
    """Write rooms.json and models/*.npz and load them again."""
    (folder / "models").mkdir(parents=True)
    entries = []
    for number, (room_id, surfaces) in enumerate(rooms.items()):
        triangles = [part for _, part in surfaces.values()]
        np.savez(
            folder / "models" / f"{number:03d}.npz",
            triangles=np.concatenate(triangles),
            surface=np.repeat(np.arange(len(surfaces), dtype=np.int32), [len(part) for part in triangles]),
        )
        entries.append(
            {
                "id": room_id,
                "glb": f"models/{number:03d}.glb",
                "npz": f"models/{number:03d}.npz",
                "matrix": np.eye(4).tolist(),
                "surfaces": [
                    {"name": name, "kind": kind, "materials": [kind]} for name, (kind, _) in surfaces.items()
                ],
                "materials": {
                    kind: [f"textures/{kind}/{letter}.jpg" for letter in "abc"]
                    for kind in sorted({kind for kind, _ in surfaces.values()})
                },
            }
        )
    (folder / "rooms.json").write_text(json.dumps({"rooms": entries}))
    return RoomLibrary.load(folder)


def write_meshes(folder: Path, meshes: list[np.ndarray]) -> MeshLibrary:
    """Write classes.json and models/*.npz of vertex clouds (V, 3), centred, and load them."""
    (folder / "models").mkdir(parents=True)
    entries = []
    for number, vertices in enumerate(meshes):
        vertices = vertices - (vertices.min(axis=0) + vertices.max(axis=0)) / 2
        faces = np.arange(len(vertices) // 3 * 3, dtype=np.int32).reshape(-1, 3)
        np.savez(folder / "models" / f"{number:05d}.npz", vertices=vertices.astype(np.float32), faces=faces)
        entries.append(
            {
                "id": f"mesh{number}",
                "glb": f"models/{number:05d}.glb",
                "npz": f"models/{number:05d}.npz",
                "extent": np.ptp(vertices, axis=0).tolist(),
            }
        )
    (folder / "classes.json").write_text(json.dumps(entries))
    return MeshLibrary.load(folder)


@pytest.fixture(scope="session")
def make_rooms(tmp_path_factory):
    """make_rooms({"id": box_room_options, ...}) -> RoomLibrary."""
    return lambda rooms: write_rooms(
        tmp_path_factory.mktemp("rooms") / "rooms",
        {name: box_room(**options) for name, options in rooms.items()},
    )


@pytest.fixture(scope="session")
def make_meshes(tmp_path_factory):
    """make_meshes([vertices, ...]) -> MeshLibrary."""
    return lambda meshes: write_meshes(tmp_path_factory.mktemp("clean") / "clean", meshes)


@pytest.fixture(scope="session")
def rooms(make_rooms) -> RoomLibrary:
    return make_rooms({"plain": {}, "divided": {"inner_wall": True}, "stepped": {"platform": 0.7}})


@pytest.fixture(scope="session")
def meshes(make_meshes) -> MeshLibrary:
    """A cube, a plank, a sheet, a needle and two clouds."""
    rng = np.random.default_rng(5)
    cube = np.array([(x, y, z) for x in (0, 1) for y in (0, 1) for z in (0, 1)], dtype=np.float64)
    clouds = [rng.normal(size=(200, 3)), rng.uniform(size=(60, 3)) ** 3]
    return make_meshes([cube, cube * (2, 0.5, 0.1), cube * (1, 1, 0), cube * (0.02, 0.02, 3), *clouds])


@pytest.fixture(scope="session")
def smoke() -> SolidConfig:
    return load_config(SolidConfig, CONFIGS / "smoke.yaml")


@pytest.fixture
def with_layout(smoke):
    """with_layout(max_tries=1, ...) -> the smoke configuration with other layout settings."""
    return lambda **changes: replace(smoke, layout=replace(smoke.layout, **changes))
