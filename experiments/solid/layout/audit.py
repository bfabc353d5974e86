"""Checks a finished scene against the rules it was to follow, from the scene, the room and the meshes alone.

Written apart from the composer on purpose: plain loops, polygon cutting instead of separating axes, rotations
from SciPy, projection by a 3 x 4 matrix, rays by solving for the point of intersection. Only the settings and
the file formats are shared. `audit_scene` returns one line per violation; an empty list means none was found.

What it cannot see: whether a place was chosen uniformly, and filters 2 to 4 of poses that were not placed.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.spatial.transform import Rotation

from experiments.solid.config import SolidConfig
from experiments.solid.layout.audit_rig import audit_camera, audit_lights
from experiments.solid.layout.clipping import SolidBox
from experiments.solid.layout.scene import PlacedObject, Scene
from experiments.solid.library import MeshLibrary, Room

_SHRINK = 1e-6  # boxes are made smaller by this, so that rounding is no violation
_SLACK = 1e-6  # on distances


def audit_scene(scene: Scene, room: Room | None, meshes: MeshLibrary, config: SolidConfig) -> list[str]:
    """All violations in a target or query scene; `room` is the scene's room (None for a query)."""
    unknown = [placed for placed in scene.objects if not 0 <= placed.class_id < meshes.num_classes]
    if unknown:  # nothing more can be said without the mesh
        return [f"object {one.name}: class {one.class_id} of {meshes.num_classes}" for one in unknown]
    if scene.kind == "query":
        return _audit_sizes(scene, meshes, config) + _audit_turntable(scene, config)
    assert room is not None, "a target scene has a room"
    return [
        *_audit_numbers(scene, config),
        *_audit_sizes(scene, meshes, config),
        *audit_camera(scene, room, config),
        *_audit_view(scene, config),
        *_audit_rules(scene, meshes, config),
        *_audit_collisions(scene, room),
        *_audit_dressing(scene, room, config),
        *audit_lights(scene, room, config),
    ]


def _audit_numbers(scene: Scene, config: SolidConfig) -> list[str]:
    """Attempts, tries and what was written down about them."""
    found, layout = [], config.layout
    low, high = layout.num_objects
    if not low <= scene.attempted <= high:
        found.append(f"{scene.attempted} objects attempted, allowed are {low} to {high}")
    if not 1 <= len(scene.objects) <= scene.attempted:
        found.append(f"{len(scene.objects)} objects placed of {scene.attempted} attempted")
    names = [placed.name for placed in scene.objects]
    if len(set(names)) != len(names) or any(not 0 <= int(name) < scene.attempted for name in names):
        found.append(f"object names {names} are not distinct numbers below {scene.attempted}")
    for name in sorted({draw.name for draw in scene.drawn}):
        draws = [draw for draw in scene.drawn if draw.name == name]
        placed = [one for one in scene.objects if one.name == name]
        if len(draws) > layout.max_tries:
            found.append(f"object {name}: {len(draws)} poses drawn, {layout.max_tries} allowed")
        if [draw.placed for draw in draws] != [False] * (len(draws) - 1) + [bool(placed)]:
            found.append(f"object {name}: the list of draws does not say where it was placed")
        elif placed and (placed[0].tries, placed[0].size, placed[0].class_id, placed[0].rules) != (
            len(draws),
            draws[-1].size,
            draws[-1].class_id,
            draws[-1].rules,
        ):
            found.append(f"object {name}: differs from the draw that placed it")
    if not set(names) <= {draw.name for draw in scene.drawn}:
        found.append("an object stands there that was never drawn")
    return found


def _audit_sizes(scene: Scene, meshes: MeshLibrary, config: SolidConfig) -> list[str]:
    """Sizes within their bins, boxes that follow from the meshes."""
    found = []
    for draw in scene.drawn:
        low, high = config.layout.size_bins[draw.bin] if draw.bin >= 0 else (1.0, 1.0)
        if not low <= draw.size <= high:
            found.append(f"object {draw.name}: size {draw.size} is not in bin {draw.bin} ({low}, {high})")
    for placed in scene.objects:
        vertices = meshes.vertices(placed.class_id) * placed.scale
        for axis in range(3):
            edge = vertices[:, axis].max() - vertices[:, axis].min()
            # Vertices are float32 on disk, extents are not: a relative difference of 1e-5 is rounding.
            if abs(edge - 2 * placed.obb.half_extents[axis]) > 1e-5 * placed.size:
                found.append(f"object {placed.name}: its box does not enclose its mesh along axis {axis}")
        if abs(2 * max(placed.obb.half_extents) - placed.size) > 1e-9:
            found.append(
                f"object {placed.name}: longest edge {2 * max(placed.obb.half_extents)}, size {placed.size}"
            )
    return found


def _audit_view(scene: Scene, config: SolidConfig) -> list[str]:
    """Centres in the picture and neither too near nor too far from the camera, measured on the ground."""
    found, (low, high) = [], config.layout.object_distance
    width, height = scene.resolution
    for placed in scene.objects:
        u, v, depth = _project(scene, placed.location)
        if depth <= 0 or not (-_SLACK <= u <= width + _SLACK and -_SLACK <= v <= height + _SLACK):
            found.append(f"object {placed.name}: its centre is outside the picture")
        dx, dy = (placed.location[axis] - scene.camera.location[axis] for axis in (0, 1))
        if not low < math.hypot(dx, dy) < high:
            found.append(
                f"object {placed.name}: {math.hypot(dx, dy):.3f} from the camera, allowed {low} to {high}"
            )
    return found


def _audit_rules(scene: Scene, meshes: MeshLibrary, config: SolidConfig) -> list[str]:
    """Each object against those placed before it: near, overlap and depth order, where drawn."""
    found = []
    for number, placed in enumerate(scene.objects):
        earlier, rules = scene.objects[:number], placed.rules
        if not earlier and (rules.near or rules.overlap or rules.depth_order):
            found.append(f"object {placed.name}: the first one cannot follow a rule")
        elif rules.depth_order and not rules.overlap:
            found.append(f"object {placed.name}: depth order without overlap")
        if earlier and config.layout.near_prob >= 1 and not rules.near:
            found.append(f"object {placed.name}: the near rule was not drawn at probability 1")
        if rules.near and not any(
            math.dist(placed.location, other.location)
            <= math.hypot(*other.obb.half_extents) + config.layout.near_slack + _SLACK
            for other in earlier
        ):
            found.append(f"object {placed.name}: no earlier object is near")
        if rules.overlap and not in_earlier_rectangle(scene, number, meshes):
            found.append(f"object {placed.name}: its centre is in no earlier rectangle")
        if rules.depth_order:
            found += _audit_depth_order(scene, placed, earlier)
    return found


def _audit_depth_order(scene: Scene, placed: PlacedObject, earlier: tuple[PlacedObject, ...]) -> list[str]:
    distance = {one.name: math.dist(one.location, scene.camera.location) for one in (*earlier, placed)}
    smaller = [one for one in earlier if one.size <= placed.size]
    larger = [one for one in earlier if one.size > placed.size]
    found = []
    if smaller:
        next_smaller = max(smaller, key=lambda one: one.size)
        if distance[placed.name] <= distance[next_smaller.name] - _SLACK:
            found.append(f"object {placed.name}: nearer than the next smaller object {next_smaller.name}")
    if larger:
        next_larger = min(larger, key=lambda one: one.size)
        if distance[placed.name] >= distance[next_larger.name] + _SLACK:
            found.append(f"object {placed.name}: farther than the next larger object {next_larger.name}")
    return found


def in_earlier_rectangle(scene: Scene, number: int, meshes: MeshLibrary) -> bool:
    """Whether the centre of object `number` projects into the rectangle of an object placed before it."""
    u, v, _ = _project(scene, scene.objects[number].location)
    for other in scene.objects[:number]:
        turn = Rotation.from_euler("xyz", other.euler)
        vertices = turn.apply(meshes.vertices(other.class_id) * other.scale) + other.location
        vertices = _in_front(scene, vertices)
        if not len(vertices):
            continue
        across, down, _ = _project(scene, vertices)
        if (
            across.min() - _SLACK <= u <= across.max() + _SLACK
            and down.min() - _SLACK <= v <= down.max() + _SLACK
        ):
            return True
    return False


def _in_front(scene: Scene, vertices: np.ndarray, near: float = 0.1) -> np.ndarray:
    """Vertices at least `near` before the camera, and where lines to those behind cross that depth."""
    forward = -np.array(scene.camera.rotation)[:, 2]
    depths = (vertices - scene.camera.location) @ forward
    front, back = vertices[depths >= near], vertices[depths < near]
    crossings = []
    for behind, depth in zip(back, depths[depths < near], strict=True):
        shares = (near - depth) / (depths[depths >= near] - depth)
        crossings.append(behind + shares[:, None] * (front - behind))
    return np.concatenate([front, *crossings])


def _project(scene: Scene, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixel x, pixel y and depth of world points (3,) or (N, 3) by the camera's 3 x 4 matrix."""
    width, height = scene.resolution
    focal = width / (2 * math.tan(scene.fov / 2))
    world_to_camera = np.diag([1.0, -1.0, -1.0]) @ np.array(scene.camera.rotation).T
    intrinsic = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    matrix = intrinsic @ np.column_stack([world_to_camera, -world_to_camera @ scene.camera.location])
    points = np.asarray(points)
    x, y, depth = matrix @ np.concatenate([points.T, np.ones_like(points.T[:1])])
    return x / depth, y / depth, depth


def _audit_collisions(scene: Scene, room: Room) -> list[str]:
    """No box meets another box or a wall, a floor or another surface of the room."""
    found, boxes = [], {}
    for placed in scene.objects:
        axes = Rotation.from_euler("xyz", placed.euler).as_matrix().T
        halves = np.maximum(np.array(placed.obb.half_extents) - _SHRINK, 0)
        boxes[placed.name] = SolidBox(placed.location, axes, halves)
    names = list(boxes)
    for number, name in enumerate(names):
        for other in names[:number]:
            if boxes[name].meets_box(boxes[other]):
                found.append(f"objects {other} and {name}: their boxes intersect")
    solid = [n for n, surface in enumerate(room.surfaces) if surface.kind != "ceiling"]
    for triangle, surface in zip(room.triangles, room.surface, strict=True):
        if surface not in solid:
            continue
        low, high = triangle.min(axis=0), triangle.max(axis=0)
        for name, box in boxes.items():
            reach = np.array([box.radius] * 3)
            if (box.center + reach < low).any() or (box.center - reach > high).any():
                continue
            if box.meets_triangle(triangle):
                found.append(f"object {name}: its box meets {room.surfaces[surface].name}")
    return found


def _audit_dressing(scene: Scene, room: Room, config: SolidConfig) -> list[str]:
    """Textures and ceilings."""
    found = []
    if scene.room is None or scene.room.id != room.id:
        return [f"the scene is not of room {room.id}"]
    if set(scene.room.textures) != set(room.materials):
        found.append("not every material has a texture")
    for name, path in scene.room.textures.items():
        if path not in room.materials.get(name, ()):
            found.append(f"material {name}: {path} is none of its textures")
    low, high = config.rooms.ceiling_strength
    if set(scene.room.ceiling_strength) != {s.name for s in room.surfaces if s.kind == "ceiling"}:
        found.append("not every ceiling has a strength")
    for name, strength in scene.room.ceiling_strength.items():
        if not low <= strength <= high:
            found.append(f"ceiling {name}: strength {strength} is not in {low} to {high}")
    return found


def _audit_turntable(scene: Scene, config: SolidConfig) -> list[str]:
    """A query's cameras: on the circle, at equal angles, aimed at the model, each with its light."""
    found, queries = [], config.queries
    if len(scene.shots) != queries.num_shots:
        found.append(f"{len(scene.shots)} shots, expected {queries.num_shots}")
    for number, shot in enumerate(scene.shots):
        angle = math.pi / 2 + 2 * math.pi * number / len(scene.shots)
        expected = (queries.distance * math.cos(angle), queries.distance * math.sin(angle), 0.0)
        if math.dist(shot.camera.location, expected) > 1e-9:
            found.append(f"shot {number}: the camera is not at its place on the circle")
        right, up, backward = np.array(shot.camera.rotation).T
        if not np.allclose(backward, np.array(shot.camera.location) / queries.distance, atol=1e-9):
            found.append(f"shot {number}: the camera does not look at the model")
        if not np.allclose(up, (0, 0, 1), atol=1e-9) or not np.allclose(
            right, np.cross(up, backward), atol=1e-9
        ):
            found.append(f"shot {number}: the camera is not upright")
        if shot.light.location != shot.camera.location or shot.light.energy != queries.light_energy:
            found.append(f"shot {number}: the light is not the camera's")
    if [placed.location for placed in scene.objects] != [(0.0, 0.0, 0.0)]:
        found.append("the model is not alone at the origin")
    elif abs(scene.objects[0].euler[0] - math.radians(queries.tilt)) > 1e-12:
        found.append(f"the model is tilted by {math.degrees(scene.objects[0].euler[0])} degrees")
    return found
