"""Composing scenes: the order in which the parts of a target and of a query are drawn."""

from __future__ import annotations

import numpy as np

from experiments.solid.config import SolidConfig
from experiments.solid.layout.camera import find_camera
from experiments.solid.layout.failure import LayoutFailure
from experiments.solid.layout.geometry import euler_matrix
from experiments.solid.layout.grid import room_grid
from experiments.solid.layout.lights import three_point_lights
from experiments.solid.layout.placement import Placer, draw_size, place_objects
from experiments.solid.layout.scene import (
    SCHEMA,
    Box,
    Camera,
    Draw,
    PlacedObject,
    PointLight,
    RoomChoice,
    Rules,
    Scene,
    Shot,
    World,
)
from experiments.solid.library import MeshLibrary, Room, RoomLibrary

_NO_RULES = Rules(near=False, overlap=False, depth_order=False)
# Euler angles (-90, 180, 0) degrees: the camera looks along -y from (0, distance, 0) and z is up (published
# code).
_TURNTABLE_ROTATION = np.array([[-1.0, 0, 0], [0, 0, 1], [0, 1, 0]])


def compose_target(
    rng: np.random.Generator,
    config: SolidConfig,
    *,
    rooms: RoomLibrary,
    meshes: MeshLibrary,
    seed: int,
    index: int,
    attempt: int,
) -> Scene:
    """Draw the scene of one target picture.

    `rng` decides everything; `seed`, `index` and `attempt` are only written down. Raises LayoutFailure if
    this draw leads nowhere: draw again with the next attempt.
    """
    room = rooms.rooms[rng.integers(len(rooms.rooms))]
    choice = dress_room(rng, config, room)
    grid = room_grid(room, config.rooms.footprint, config.layout.cells_per_unit)
    pinhole, camera, camera_tries = find_camera(rng, config, room=room, grid=grid)
    placer = Placer(config, room=room, grid=grid, meshes=meshes, camera=pinhole)
    attempted = place_objects(rng, config, placer, meshes.num_classes)
    if not placer.objects:
        raise LayoutFailure(f"room {room.id}: none of {attempted} objects found a place")
    lights = three_point_lights(
        rng,
        config,
        grid=grid,
        camera_location=pinhole.location,
        targets=[placed.name for placed in placer.objects],
    )
    return Scene(
        schema=SCHEMA,
        kind="target",
        seed=seed,
        index=index,
        attempt=attempt,
        resolution=tuple(config.render.resolution),
        fov=float(config.render.fov),
        camera=camera,
        room=choice,
        world=scene_world(config),
        objects=tuple(placer.objects),
        lights=lights,
        shots=(),
        attempted=attempted,
        drawn=tuple(placer.drawn),
        camera_tries=camera_tries,
        cycles_seed=draw_cycles_seed(rng),
    )


def compose_query(
    rng: np.random.Generator, config: SolidConfig, *, class_id: int, meshes: MeshLibrary, seed: int
) -> Scene:
    """Draw the turntable of one class: one pose, `queries.num_shots` cameras, a light on each."""
    queries = config.queries
    euler = np.array([np.radians(queries.tilt), rng.uniform(-np.pi, np.pi), rng.uniform(-np.pi, np.pi)])
    size, size_bin = draw_size(rng, config.layout) if queries.sizes == "mixture" else (1.0, -1)
    extent = meshes.extents[class_id]
    scale = float(size / extent.max())
    placed = PlacedObject(
        name="0",
        class_id=class_id,
        euler=tuple(euler.tolist()),
        size=size,
        scale=scale,
        location=(0.0, 0.0, 0.0),
        obb=Box(tuple((extent * scale / 2).tolist())),
        rules=_NO_RULES,
        tries=1,
    )
    return Scene(
        schema=SCHEMA,
        kind="query",
        seed=seed,
        index=class_id,
        attempt=0,
        resolution=(queries.resolution, queries.resolution),
        fov=float(config.render.fov),
        camera=None,
        room=None,
        world=scene_world(config),
        objects=(placed,),
        lights=(),
        shots=_turntable(config),
        attempted=1,
        drawn=(Draw(name="0", class_id=class_id, size=size, bin=size_bin, rules=_NO_RULES, placed=True),),
        camera_tries=1,
        cycles_seed=draw_cycles_seed(rng),
    )


def _turntable(config: SolidConfig) -> tuple[Shot, ...]:
    """Cameras at equal angles about z. Counting shots, not adding up angles, makes their number certain."""
    shots = []
    for number in range(config.queries.num_shots):
        turn = euler_matrix((0, 0, 2 * np.pi * number / config.queries.num_shots))
        location = tuple((turn @ (0.0, config.queries.distance, 0.0)).tolist())
        rotation = tuple(tuple(row) for row in (turn @ _TURNTABLE_ROTATION).tolist())
        shots.append(
            Shot(
                camera=Camera(location=location, rotation=rotation, look_at=(0.0, 0.0, 0.0)),
                light=PointLight(location=location, energy=float(config.queries.light_energy)),
            )
        )
    return tuple(shots)


def dress_room(rng: np.random.Generator, config: SolidConfig, room: Room) -> RoomChoice:
    """A texture for every material, a strength for every ceiling; sorted, so file order decides nothing."""
    textures = {
        name: candidates[rng.integers(len(candidates))]
        for name, candidates in sorted((name, sorted(paths)) for name, paths in room.materials.items())
    }
    strengths = {
        name: float(rng.uniform(*config.rooms.ceiling_strength))
        for name in sorted(surface.name for surface in room.surfaces if surface.kind == "ceiling")
    }
    return RoomChoice(id=room.id, textures=textures, ceiling_strength=strengths)


def scene_world(config: SolidConfig) -> World:
    """The light from everywhere that the settings name."""
    return World(
        color=tuple(float(c) for c in config.render.world_color), strength=float(config.render.world_strength)
    )


def draw_cycles_seed(rng: np.random.Generator) -> int:
    """The seed of the path tracer's noise."""
    return int(rng.integers(2**31 - 1))
