"""One small world and one renderer for all tests of this folder."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

pytest.importorskip("bpy", reason="needs the Blender toolchain")

from experiments.solid.render.importing import reset_blender
from experiments.solid.render.renderer import Renderer
from tests.solid.render.worlds import placed, shapes, target_scene, tiny_config, write_clean, write_rooms


@pytest.fixture(scope="session")
def world(tmp_path_factory) -> SimpleNamespace:
    """`config`, `meshes`, `rooms`, and the `folder` they lie in."""
    folder = tmp_path_factory.mktemp("world")
    config = tiny_config()
    reset_blender()
    meshes = write_clean(folder / "clean", shapes())
    return SimpleNamespace(
        folder=folder, config=config, meshes=meshes, rooms=write_rooms(folder / "rooms", config)
    )


@pytest.fixture(scope="session")
def renderer(world) -> Renderer:
    return Renderer(world.config, world.meshes, world.rooms)


@pytest.fixture(scope="session")
def crowd(world):
    """A room with five objects, some of them before others."""
    rows = [
        (0, (0.0, 0.5, 1.0), 0.9, (0.3, 0.2, 0.1)),
        (1, (0.3, -1.5, 1.1), 0.5, (0.0, 0.0, 0.0)),
        (2, (-0.9, 0.0, 1.0), 0.8, (1.0, -0.4, 0.6)),
        (1, (-0.5, -2.0, 1.2), 0.3, (0.0, 1.0, 0.0)),
        (0, (1.2, 1.5, 1.4), 1.2, (-0.5, 0.7, 2.0)),
    ]
    objects = [placed(world.meshes, str(i), *row) for i, row in enumerate(rows)]
    return target_scene(objects, rooms=world.rooms)
