"""The audit of camera and lights; see `audit` for how it differs from the composer."""

from __future__ import annotations

import math
from collections import defaultdict
from functools import lru_cache

import numpy as np

from experiments.solid.config import SolidConfig
from experiments.solid.layout.scene import AreaLight, Scene
from experiments.solid.library import Room

_SLACK = 1e-6
_BORDER = 1e-4  # a column that close to a triangle's border is over it, as for the composer
_FAN = 10  # rays per side of the picture
_HEIGHTS = {"key": (2.0, 5.0), "fill": (0.1, 1.0), "back": (6.0, 10.0)}  # SOLID, lights


def audit_camera(scene: Scene, room: Room, config: SolidConfig) -> list[str]:
    """Where the camera stands, where it looks and that no wall is close in front of it."""
    found, layout, camera = [], config.layout, scene.camera
    x, y, z = camera.location
    low, high = layout.camera_radius
    if not low - _SLACK <= math.hypot(x, y) <= high + _SLACK:
        found.append(f"camera: {math.hypot(x, y):.3f} from the centre, allowed {low} to {high}")
    floor, _ = column_ends(room, config, x, y)
    if floor is None:
        found.append("camera: no floor below it")
        return found
    lowest = max(layout.camera_height[0], floor + 1e-3)
    if not lowest - _SLACK <= z <= max(layout.camera_height[1], lowest) + _SLACK:
        found.append(f"camera: height {z:.3f} over a floor at {floor:.3f}")
    for axis, (low, high), base in (
        (0, layout.look_at_xy, 0),
        (1, layout.look_at_xy, 0),
        (2, layout.look_at_z, lowest),
    ):
        if not low - _SLACK <= camera.look_at[axis] - base <= high + _SLACK:
            found.append(f"camera: look-at point {camera.look_at} out of range along axis {axis}")
    right, up, backward = np.array(camera.rotation).T
    aim = np.subtract(camera.look_at, camera.location)
    if np.linalg.norm(np.cross(aim, backward)) > 1e-6 * np.linalg.norm(aim) or aim @ backward > 0:
        found.append("camera: does not look at its look-at point")
    if abs(right[2]) > 1e-9 or up[2] < 0 or not np.allclose(np.cross(right, up), backward, atol=1e-9):
        found.append("camera: is rolled or mirrored")
    nearest = nearest_wall(scene, room)
    if nearest < layout.min_wall_distance - _SLACK:
        found.append(f"camera: a wall {nearest:.3f} away in view, allowed from {layout.min_wall_distance}")
    return found


def nearest_wall(scene: Scene, room: Room) -> float:
    """Distance to the nearest wall along a fan of rays over the picture, inf if none is hit."""
    right, up, backward = np.array(scene.camera.rotation).T
    origin, nearest = np.array(scene.camera.location), math.inf
    width, height = scene.resolution
    half = math.tan(scene.fov / 2)
    walls = np.array([surface.kind == "wall" for surface in room.surfaces])[room.surface]
    for a, b, c in room.triangles[walls]:
        normal = np.cross(b - a, c - a)
        # Coordinates of a point of the plane in the basis (b - a, c - a), by the pseudo-inverse.
        to_plane = np.linalg.pinv(np.column_stack([b - a, c - a]))
        for i in range(_FAN):
            for j in range(_FAN):
                across, along = 2 * i / (_FAN - 1) - 1, 2 * j / (_FAN - 1) - 1
                ray = across * half * right + along * half * height / width * up - backward
                ray = ray / math.sqrt(ray @ ray)
                slope = normal @ ray
                distance = normal @ (a - origin) / slope if slope else math.inf
                if not 0 <= distance < nearest:
                    continue
                s, t = to_plane @ (origin + distance * ray - a)
                if s >= 0 and t >= 0 and s + t <= 1:
                    nearest = distance
    return nearest


def column_ends(room: Room, config: SolidConfig, x: float, y: float) -> tuple[float | None, float | None]:
    """Lowest and highest grid height between the floor and the ceiling over a point, None without floor."""
    heights = {"floor": [], "ceiling": []}
    for kind, triangle in _level_triangles(room):
        sides = []
        for i in range(3):
            (ax, ay), (bx, by) = triangle[i][:2], triangle[(i + 1) % 3][:2]
            sides.append(((bx - ax) * (y - ay) - (by - ay) * (x - ax)) / math.hypot(bx - ax, by - ay))
        if min(sides) >= -_BORDER or max(sides) <= _BORDER:
            heights[kind].append([vertex[2] for vertex in triangle])
    if not heights["floor"]:
        return None, None
    top = config.rooms.footprint
    floor = max(max(z) for z in heights["floor"])
    ceiling = min(((min(z) + max(z)) / 2 for z in heights["ceiling"]), default=top)
    count = round(top * config.layout.cells_per_unit)
    levels = [top * level / (count - 1) for level in range(count)]
    inside = [z for z in levels if floor - _BORDER <= z <= ceiling + _BORDER]
    return (inside[0], inside[-1]) if inside else (None, None)


@lru_cache(maxsize=64)
def _level_triangles(room: Room) -> list[tuple[str, list[list[float]]]]:
    """Kind and corners of the floor and ceiling triangles in level patches of at least 0.1 in area."""
    result = []
    for number, surface in enumerate(room.surfaces):
        if surface.kind not in ("floor", "ceiling"):
            continue
        areas, waiting, owners = {}, [], defaultdict(list)
        triangles = room.triangles[room.surface == number].tolist()
        for t, triangle in enumerate(triangles):
            normal = np.cross(np.subtract(triangle[1], triangle[0]), np.subtract(triangle[2], triangle[0]))
            length = math.sqrt(normal @ normal)
            if length < 1e-12 or abs(normal[2]) < 0.9 * length:
                continue
            areas[t] = length / 2
            waiting.append(t)
            for edge in _edges(triangle):
                owners[edge].append(t)
        seen = set()
        for first in waiting:
            patch, front = [], [first]
            while front:
                t = front.pop()
                if t not in seen:
                    seen.add(t)
                    patch.append(t)
                    front += [other for edge in _edges(triangles[t]) for other in owners[edge]]
            if sum(areas[t] for t in patch) >= 0.1:
                result += [(surface.kind, triangles[t]) for t in patch]
    return result


def _edges(triangle: list[list[float]]) -> list[frozenset]:
    corners = [tuple(round(value * 1e4) for value in vertex) for vertex in triangle]
    return [frozenset((corners[i], corners[(i + 1) % 3])) for i in range(3)]


def audit_lights(scene: Scene, room: Room, config: SolidConfig) -> list[str]:
    """Two or three area lights within their ranges, the fill beside the key, the back behind."""
    found, layout = [], config.layout
    if [light.role for light in scene.lights] not in (["key", "fill"], ["key", "fill", "back"]):
        return [f"lights are {[light.role for light in scene.lights]}"]
    if len({light.target for light in scene.lights}) != 1:
        found.append("the lights point at different objects")
    energies = {
        "key": layout.key_light_energy,
        "fill": layout.fill_light_energy,
        "back": layout.back_light_energy,
    }
    for light in scene.lights:
        if light.target not in {placed.name for placed in scene.objects}:
            found.append(f"{light.role} light: points at {light.target}, which is not there")
        low, high = energies[light.role]
        if not low <= light.energy <= high:
            found.append(f"{light.role} light: {light.energy} W, allowed {low} to {high}")
        low, high = layout.key_light_size if light.role == "key" else (0.25, 0.25)
        if not low <= light.size <= high or light.spread != math.pi:
            found.append(f"{light.role} light: size {light.size}, spread {light.spread}")
        found += _audit_place(scene, light, room, config)
    key, fill = scene.lights[0].location, scene.lights[1].location
    x, y, z = scene.camera.location
    wedges = [("fill", fill, key, 60)]
    if len(scene.lights) == 3:
        wedges.append(("back", scene.lights[2].location, (-x, -y, z), 30))
    for role, location, direction, degrees in wedges:
        floor, _ = column_ends(room, config, location[0], location[1])
        if floor is not None and not _between(np.array([*location[:2], floor]), np.array(direction), degrees):
            found.append(f"{role} light: outside its wedge")
    return found


def _audit_place(scene: Scene, light: AreaLight, room: Room, config: SolidConfig) -> list[str]:
    x, y, z = light.location
    share = math.hypot(x, y) / math.hypot(*scene.camera.location[:2])
    found = []
    if not 0.8 - _SLACK <= share <= 1 + _SLACK:
        found.append(f"{light.role} light: {share:.3f} of the camera's distance from the centre")
    floor, ceiling = column_ends(room, config, x, y)
    if floor is None:
        return [*found, f"{light.role} light: no floor below it"]
    ends = sorted((max(floor, _HEIGHTS[light.role][0]), min(ceiling, _HEIGHTS[light.role][1])))
    if not ends[0] - 1e-3 <= z <= ends[1] + 1e-3:
        found.append(f"{light.role} light: height {z:.3f}, allowed {ends}")
    return found


def _between(point: np.ndarray, direction: np.ndarray, degrees: float) -> bool:
    """Whether the point is a positive combination of the direction turned both ways about z.

    A share along the normal of the two is allowed.
    """
    sides = []
    for sign in (-1, 1):
        angle = math.atan2(direction[1], direction[0]) + sign * math.radians(degrees)
        radius = math.hypot(direction[0], direction[1])
        sides.append(np.array([radius * math.cos(angle), radius * math.sin(angle), direction[2]]))
    shares = np.linalg.solve(np.column_stack([*sides, np.cross(*sides)]), point)
    return bool(shares[0] > -1e-9 and shares[1] > -1e-9)
