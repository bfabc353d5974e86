"""The audit sees each kind of wrong scene: every case breaks one thing and names what is reported."""

import math
from dataclasses import replace

import numpy as np
import pytest

from experiments.solid.layout import compose_query, compose_target
from experiments.solid.layout.audit import audit_scene
from experiments.solid.layout.audit_rig import column_ends
from experiments.solid.layout.grid import room_grid


@pytest.fixture(scope="module")
def good(smoke, rooms, meshes):
    scene = compose_target(
        np.random.default_rng(8), smoke, rooms=rooms, meshes=meshes, seed=0, index=0, attempt=0
    )
    assert audit_scene(scene, rooms.get(scene.room.id), meshes, smoke) == []
    assert len(scene.objects) >= 5 and len(scene.lights) == 3
    return scene


def with_object(scene, number, **changes):
    objects = list(scene.objects)
    objects[number] = replace(objects[number], **changes)
    return replace(scene, objects=tuple(objects))


def with_light(scene, number, **changes):
    lights = list(scene.lights)
    lights[number] = replace(lights[number], **changes)
    return replace(scene, lights=tuple(lights))


def with_camera(scene, **changes):
    return replace(scene, camera=replace(scene.camera, **changes))


def shifted(vector, *, x=0.0, y=0.0, z=0.0):
    return (vector[0] + x, vector[1] + y, vector[2] + z)


CASES = {
    "too many attempts": (lambda s: replace(s, attempted=99), "objects attempted"),
    "more objects than attempts": (lambda s: replace(s, objects=s.objects * 3), "objects placed of"),
    "a name twice": (lambda s: with_object(s, 1, name=s.objects[0].name), "not distinct"),
    "undrawn object": (lambda s: replace(s, drawn=s.drawn[1:]), "never drawn"),
    "tries": (lambda s: with_object(s, 0, tries=4), "differs from the draw"),
    "draws of one object": (lambda s: replace(s, drawn=(s.drawn[0],) * 6 + s.drawn[1:]), "6 poses drawn"),
    "size outside its bin": (
        lambda s: replace(s, drawn=(replace(s.drawn[0], size=9.0), *s.drawn[1:])),
        "is not in bin",
    ),
    "box and mesh": (lambda s: with_object(s, 0, scale=s.objects[0].scale * 1.1), "does not enclose"),
    "box and size": (lambda s: with_object(s, 0, size=s.objects[0].size * 1.01), "longest edge"),
    "class": (lambda s: with_object(s, 0, class_id=77), "class 77"),
    "outside the picture": (
        lambda s: with_object(s, 0, location=shifted(s.camera.location, x=s.camera.location[0])),
        "outside the picture",
    ),
    "too near": (lambda s: with_camera(s, location=shifted(s.objects[0].location, x=0.5)), "from the camera"),
    "a box in another": (lambda s: with_object(s, 0, location=s.objects[1].location), "intersect"),
    "through the floor": (
        lambda s: with_object(s, 0, location=(*s.objects[0].location[:2], 0.0)),
        "meets floor",
    ),
    "in a wall": (lambda s: with_object(s, 0, location=(6.0, *s.objects[0].location[1:])), "meets wall."),
    "far from all": (lambda s: with_object(s, 1, location=shifted(s.objects[1].location, z=40.0)), "is near"),
    "first object with a rule": (lambda s: with_object(s, 0, rules=s.objects[1].rules), "first one"),
    "near rule not drawn": (
        lambda s: with_object(s, 1, rules=replace(s.objects[1].rules, near=False)),
        "near rule was not drawn",
    ),
    "camera radius": (
        lambda s: with_camera(s, location=shifted(s.camera.location, x=20.0)),
        "from the centre",
    ),
    "camera height": (lambda s: with_camera(s, location=shifted(s.camera.location, z=3.0)), "camera: height"),
    "look-at": (
        lambda s: with_camera(s, look_at=shifted(s.camera.look_at, x=9.0)),
        "out of range along axis 0",
    ),
    "camera aim": (
        lambda s: with_camera(s, rotation=((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))),
        "does not look at",
    ),
    "rolled camera": (
        lambda s: with_camera(s, rotation=tuple((row[1], -row[0], row[2]) for row in s.camera.rotation)),
        "rolled",
    ),
    "texture": (
        lambda s: replace(s, room=replace(s.room, textures={**s.room.textures, "wall": "x.jpg"})),
        "x.jpg",
    ),
    "no texture": (lambda s: replace(s, room=replace(s.room, textures={})), "not every material"),
    "ceiling": (
        lambda s: replace(s, room=replace(s.room, ceiling_strength={"ceiling": 3.0})),
        "strength 3.0",
    ),
    "no ceiling": (lambda s: replace(s, room=replace(s.room, ceiling_strength={})), "not every ceiling"),
    "no fill light": (lambda s: replace(s, lights=s.lights[:1]), "lights are"),
    "light target": (lambda s: with_light(s, 0, target="nobody"), "which is not there"),
    "two targets": (lambda s: with_light(s, 0, target="nobody"), "different objects"),
    "light energy": (lambda s: with_light(s, 1, energy=31.0), "31.0 W"),
    "light size": (lambda s: with_light(s, 2, size=1.0), "back light: size"),
    "light height": (
        lambda s: with_light(s, 1, location=shifted(s.lights[1].location, z=3.0)),
        "fill light: height",
    ),
    "light radius": (
        lambda s: with_light(s, 0, location=(0.1, 0.1, s.lights[0].location[2])),
        "of the camera's distance",
    ),
    "fill wedge": (
        lambda s: with_light(s, 1, location=(-s.lights[0].location[0], -s.lights[0].location[1], 0.5)),
        "fill light: outside its wedge",
    ),
    "back wedge": (
        lambda s: with_light(s, 2, location=(*(0.9 * c for c in s.camera.location[:2]), 5.95)),
        "back light: outside its wedge",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_broken_scene_is_reported(name, good, smoke, rooms, meshes):
    change, line = CASES[name]
    found = audit_scene(change(good), rooms.get(good.room.id), meshes, smoke)
    assert any(line in one for one in found), found


def test_a_wall_in_front_of_the_camera_is_reported(good, smoke, rooms, meshes):
    strict = replace(smoke, layout=replace(smoke.layout, min_wall_distance=30.0))
    found = audit_scene(good, rooms.get(good.room.id), meshes, strict)
    assert any("a wall" in one and "in view" in one for one in found), found


def test_an_object_that_breaks_its_rules_is_reported(smoke, rooms, meshes):
    overlap = depth = 0
    for seed in range(40):
        scene = compose_target(
            np.random.default_rng(seed), smoke, rooms=rooms, meshes=meshes, seed=0, index=0, attempt=0
        )
        for number, placed in enumerate(scene.objects):
            if number and not placed.rules.overlap:  # claim rules that it did not have to follow
                claimed = with_object(
                    scene, number, rules=replace(placed.rules, overlap=True, depth_order=True)
                )
                found = "\n".join(audit_scene(claimed, rooms.get(scene.room.id), meshes, smoke))
                overlap += "is in no earlier rectangle" in found
                depth += "the next smaller object" in found or "the next larger object" in found
    assert overlap > 5 and depth > 5


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda s: replace(s, shots=s.shots[:-1]), "7 shots, expected 8"),
        (lambda s: replace(s, shots=s.shots[::-1]), "not at its place"),
        (
            lambda s: replace(
                s,
                shots=tuple(
                    replace(shot, camera=replace(shot.camera, rotation=s.shots[0].camera.rotation))
                    for shot in s.shots
                ),
            ),
            "does not look at the model",
        ),
        (
            lambda s: replace(s, shots=tuple(replace(shot, light=s.shots[0].light) for shot in s.shots)),
            "not the camera's",
        ),
        (lambda s: with_object(s, 0, location=(1.0, 0.0, 0.0)), "alone at the origin"),
        (lambda s: with_object(s, 0, euler=(0.0, 0.0, 0.0)), "tilted by 0.0"),
    ],
)
def test_a_broken_query_is_reported(change, line, smoke, meshes):
    scene = compose_query(np.random.default_rng(0), smoke, class_id=1, meshes=meshes, seed=0)
    assert any(line in one for one in audit_scene(change(scene), None, meshes, smoke))


def test_the_audit_sees_the_same_columns_as_the_grid(smoke, rooms):
    for room in rooms.rooms:
        for x, y, floor, ceiling in room_grid(room, 12.0, 4).columns[::37]:
            assert column_ends(room, smoke, x, y) == (pytest.approx(floor), pytest.approx(ceiling))
    assert column_ends(rooms.rooms[0], smoke, 7.0, 0.0) == (None, None)
    assert math.isclose(column_ends(rooms.rooms[2], smoke, 1.0, 1.0)[0], 3 * 12 / 47)
