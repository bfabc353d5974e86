"""Scenes of assets/tabletop: objects that stand upright on the floor of a room, most of them wholly in view.

SOLID's own composer (experiments/solid/layout) lets objects float in any pose. A target set that shares those
statistics would flatter the pre-training, so only its parts are used here: rooms and their dressing, camera
search, light rig, collision tests, scene file. No Blender in this module.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from experiments.solid.config import SolidConfig
from experiments.solid.layout.camera import NEAR_PLANE, Pinhole, find_camera
from experiments.solid.layout.collide import boxes_meet_boxes, boxes_meet_triangles
from experiments.solid.layout.compose import draw_cycles_seed, dress_room, scene_world
from experiments.solid.layout.failure import LayoutFailure
from experiments.solid.layout.geometry import euler_matrix
from experiments.solid.layout.grid import room_grid
from experiments.solid.layout.lights import three_point_lights
from experiments.solid.layout.placement import draw_size
from experiments.solid.layout.scene import SCHEMA, Box, Draw, PlacedObject, Rules, Scene
from experiments.solid.library import MeshLibrary, Room, RoomLibrary
from suite.seeds import item_rng

STREAMS = {"train": "tabletop.train", "val": "tabletop.val", "test": "tabletop.test"}
# Blender's OBJ importer turns y up into z up. These files have z up already, so the turn is undone.
TURNED = frozenset(("bottle", "bread", "cereal", "lemon", "milk", "mug"))
LONGEST_SIDE = (26.0, 100.0)  # pixels of an object's rectangle within the picture
MIN_SHARE_IN_VIEW = 0.75  # of the rectangle's area
MAX_OVERLAP = 0.4  # of the smaller of two rectangles
MIN_AREA = 120  # visible pixels of every object
MIN_SIDE = 10  # of its box's shorter side, pixels
MIN_VISIBILITY = 0.45  # visible pixels / pixels when alone
GAP = 1e-3  # scene units between an object and the floor, so that the two do not meet
_NO_RULES = Rules(near=False, overlap=False, depth_order=False)

Rectangle = tuple[float, float, float, float]


@dataclass(frozen=True, eq=False)
class _Pose:
    """An object as it would stand, and its rectangle x1, y1, x2, y2 in the picture."""

    euler: np.ndarray  # (3,)
    rotation: np.ndarray  # (3, 3)
    size: float
    size_bin: int
    scale: float
    half_extents: np.ndarray  # (3,)
    location: np.ndarray  # (3,)
    rectangle: Rectangle


class Floor:
    """The state of one scene while objects are stood on its floor."""

    def __init__(self, config: SolidConfig, *, room: Room, meshes: MeshLibrary, camera: Pinhole) -> None:
        self._layout, self._meshes, self._camera = config.layout, meshes, camera
        self._obstacles = room.of_kind("wall", "other")
        self._rotations: list[np.ndarray] = []
        self._rectangles: list[Rectangle] = []
        self.objects: list[PlacedObject] = []
        self.drawn: list[Draw] = []

    def place(self, rng: np.random.Generator, name: str, class_id: int) -> bool:
        """Draw poses until one fits; False after `layout.max_tries`."""
        for tries in range(1, self._layout.max_tries + 1):
            size, size_bin = draw_size(rng, self._layout)
            pose = self._draw_pose(rng, class_id, size, size_bin)
            fits = pose is not None and self._fits(pose)
            self.drawn.append(
                Draw(name=name, class_id=class_id, size=size, bin=size_bin, rules=_NO_RULES, placed=fits)
            )
            if fits:
                self._settle(pose, name=name, class_id=class_id, tries=tries)
                return True
        return False

    def _draw_pose(self, rng: np.random.Generator, class_id: int, size: float, size_bin: int) -> _Pose | None:
        """Upright, turned at random, its centre under a random point of the picture; None if out of reach."""
        upright = -np.pi / 2 if self._meshes.classes[class_id]["id"] in TURNED else 0.0
        euler = np.array([upright, 0.0, rng.uniform(-np.pi, np.pi)])
        across, up = rng.uniform(-1, 1, 2)
        rotation = euler_matrix(euler)
        extent = self._meshes.extents[class_id]
        scale = float(size / extent.max())
        half_extents = extent * scale / 2
        height = float(np.abs(rotation[2]) @ half_extents) + GAP
        tangents = self._camera.tangents
        ray = self._camera.rotation @ np.array([across * tangents[0], up * tangents[1], -1.0])
        if ray[2] >= 0:  # above the horizon
            return None
        location = self._camera.location + ray * (height - self._camera.location[2]) / ray[2]
        low, high = self._layout.object_distance
        distance = float(np.hypot(*(location - self._camera.location)[:2]))
        if height >= self._camera.location[2] or not low < distance < high:
            return None
        hull = self._camera.to_camera(self._meshes.hull(class_id) * scale @ rotation.T + location)
        if (-hull[:, 2]).min() < NEAR_PLANE:
            return None
        pixels = self._camera.pixels(hull)
        return _Pose(
            euler=euler, rotation=rotation, size=size, size_bin=size_bin, scale=scale,
            half_extents=half_extents, location=location,
            rectangle=(*pixels.min(axis=0).tolist(), *pixels.max(axis=0).tolist()),
        )  # fmt: skip

    def _fits(self, pose: _Pose) -> bool:
        """Whether it is large enough, in view, not hidden, and meets neither a wall nor another object."""
        width, height = self._camera.resolution
        seen = intersection(pose.rectangle, (0.0, 0.0, float(width), float(height)))
        if seen is None or area(seen) < MIN_SHARE_IN_VIEW * area(pose.rectangle):
            return False
        if not LONGEST_SIDE[0] <= max(seen[2] - seen[0], seen[3] - seen[1]) <= LONGEST_SIDE[1]:
            return False
        for other in self._rectangles:
            shared = intersection(pose.rectangle, other)
            if shared is not None and area(shared) > MAX_OVERLAP * min(area(pose.rectangle), area(other)):
                return False
        center = pose.location[None]
        if boxes_meet_triangles(center, pose.rotation, pose.half_extents, self._obstacles)[0]:
            return False
        if not self.objects:
            return True
        return not boxes_meet_boxes(
            center,
            pose.rotation,
            pose.half_extents,
            other_centers=np.array([placed.location for placed in self.objects]),
            other_rotations=np.array(self._rotations),
            other_half_extents=np.array([placed.obb.half_extents for placed in self.objects]),
        )[0]

    def _settle(self, pose: _Pose, *, name: str, class_id: int, tries: int) -> None:
        self._rotations.append(pose.rotation)
        self._rectangles.append(pose.rectangle)
        self.objects.append(
            PlacedObject(
                name=name, class_id=class_id, euler=tuple(pose.euler.tolist()), size=pose.size,
                scale=pose.scale, location=tuple(pose.location.tolist()),
                obb=Box(tuple(pose.half_extents.tolist())), rules=_NO_RULES, tries=tries,
            )
        )  # fmt: skip


def area(rectangle: Rectangle) -> float:
    """Area of x1, y1, x2, y2."""
    return (rectangle[2] - rectangle[0]) * (rectangle[3] - rectangle[1])


def intersection(one: Rectangle, other: Rectangle) -> Rectangle | None:
    """What two rectangles share, None if they do not overlap."""
    shared = (*np.maximum(one[:2], other[:2]).tolist(), *np.minimum(one[2:], other[2:]).tolist())
    return shared if shared[0] < shared[2] and shared[1] < shared[3] else None


def shows_enough(boxes: np.ndarray, areas: np.ndarray) -> bool:
    """Whether all objects, with visible boxes (n, 4) and areas (n,) in pixels, can be learnt from."""
    sides = boxes[:, 2:] - boxes[:, :2]  # negative for an object without a pixel
    return bool(areas.min() >= MIN_AREA and sides.min() >= MIN_SIDE)


def class_names(meshes: MeshLibrary) -> list[str]:
    """The names of the classes, sorted; several meshes may share one."""
    return sorted({entry["class"] for entry in meshes.classes})


def compose(
    config: SolidConfig,
    *,
    rooms: RoomLibrary,
    meshes: MeshLibrary,
    split: str,
    seed: int,
    index: int,
    attempt: int,
) -> Scene:
    """Draw the scene of one attempt at one picture of a split.

    Raises LayoutFailure if fewer objects than were drawn found a place: draw again with the next attempt.
    """
    rng = item_rng(seed, STREAMS[split], index, attempt)
    room = rooms.rooms[rng.integers(len(rooms.rooms))]
    choice = dress_room(rng, config, room)
    grid = room_grid(room, config.rooms.footprint, config.layout.cells_per_unit)
    pinhole, camera, camera_tries = find_camera(rng, config, room=room, grid=grid)
    floor = Floor(config, room=room, meshes=meshes, camera=pinhole)
    low, high = config.layout.num_objects
    attempted = int(rng.integers(low, high + 1))
    for number, class_id in enumerate(draw_classes(rng, config, meshes, attempted)):
        if not floor.place(rng, str(number), class_id):
            raise LayoutFailure(f"no place for object {number} of {attempted}")
    lights = three_point_lights(
        rng,
        config,
        grid=grid,
        camera_location=pinhole.location,
        targets=[placed.name for placed in floor.objects],
    )
    return Scene(
        schema=SCHEMA, kind="target", seed=seed, index=index, attempt=attempt,
        resolution=tuple(config.render.resolution), fov=float(config.render.fov), camera=camera, room=choice,
        world=scene_world(config), objects=tuple(floor.objects), lights=lights, shots=(), attempted=attempted,
        drawn=tuple(floor.drawn), camera_tries=camera_tries, cycles_seed=draw_cycles_seed(rng),
    )  # fmt: skip


def draw_classes(rng: np.random.Generator, config: SolidConfig, meshes: MeshLibrary, count: int) -> list[int]:
    """`count` meshes: a uniform class, by `reuse_prob` the one before, then one of its meshes."""
    names = class_names(meshes)
    chosen, name = [], ""
    for _ in range(count):
        if not name or rng.random() >= config.layout.reuse_prob:
            name = names[rng.integers(len(names))]
        ids = [k for k, entry in enumerate(meshes.classes) if entry["class"] == name]
        chosen.append(int(ids[rng.integers(len(ids))]))
    return chosen
