"""Reading room files: names, rescaling, materials, damage."""

import numpy as np
import pytest

from experiments.solid.render.rooms_scan import scan_room
from suite.errors import BadInput, Missing
from tests.solid.render.worlds import box_room_parts, quad, tiny_config, write_glb


def test_the_shell_fills_the_footprint_and_height_and_stands_on_zero(world, tmp_path):
    write_glb(tmp_path / "room.glb", box_room_parts())
    room = scan_room(tmp_path / "room.glb", world.config)
    points = room.triangles.reshape(-1, 3)
    assert np.abs(points.min(axis=0) - [-6, -6, 0]).max() < 1e-5
    assert np.abs(points.max(axis=0) - [6, 6, 6]).max() < 1e-5
    assert room.triangles.dtype == np.float32 and room.surface.dtype == np.int32
    assert np.allclose(
        room.matrix, np.diag([4, 3, 3, 1]) + [[0, 0, 0, -6], [0, 0, 0, -6], [0] * 4, [0] * 4], atol=1e-5
    )


def test_surfaces_come_sorted_by_name_with_kinds_and_materials(world, tmp_path):
    write_glb(
        tmp_path / "room.glb",
        box_room_parts() | {"chair": (quad([(1, 1, 0), (2, 1, 0), (2, 2, 1), (1, 2, 1)]), "x")},
    )
    room = scan_room(tmp_path / "room.glb", world.config)
    assert [(s["name"], s["kind"]) for s in room.surfaces] == [
        ("Ceiling.001", "ceiling"), ("chair", "other"), ("floor", "floor"),
        ("wall0", "wall"), ("wall1", "wall"), ("wall2", "wall"), ("wall3", "wall"),
    ]  # fmt: skip
    assert [s["materials"] for s in room.surfaces][:3] == [["plaster"], ["x"], ["wood_1"]]
    assert room.textured == ("brick", "plaster", "wood_1", "x")
    assert np.bincount(room.surface).tolist() == [2] * 7
    floor = room.triangles[room.surface == 2]
    assert np.abs(floor[..., 2]).max() < 1e-5


def test_other_objects_move_with_the_room_but_do_not_size_it(world, tmp_path):
    far = quad([(9, 0, 0), (10, 0, 0), (10, 1, 0), (9, 1, 0)])
    write_glb(tmp_path / "room.glb", box_room_parts() | {"sofa": (far, "x")})
    room = scan_room(tmp_path / "room.glb", world.config)
    sofa = room.triangles[room.surface == [s["name"] for s in room.surfaces].index("sofa")].reshape(-1, 3)
    assert np.abs(sofa.min(axis=0) - [30, -6, 0]).max() < 1e-4
    assert np.abs(sofa.max(axis=0) - [34, -3, 0]).max() < 1e-4


def test_the_config_decides_the_size(tmp_path, world):
    write_glb(tmp_path / "room.glb", box_room_parts())
    room = scan_room(tmp_path / "room.glb", tiny_config("rooms.footprint=5", "rooms.height=2.5"))
    assert np.ptp(room.triangles.reshape(-1, 3), axis=0) == pytest.approx([5, 5, 2.5])


@pytest.mark.parametrize(
    "parts, message",
    [
        ({"wall": (quad([(0, 0, 0), (1, 0, 0), (1, 0, 1), (0, 0, 1)]), "x")}, "no floor"),
        ({"floor": (quad([(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0)]), "x")}, "flat"),
    ],
)
def test_a_room_without_floor_or_height_is_refused(parts, message, world, tmp_path):
    write_glb(tmp_path / "room.glb", parts)
    with pytest.raises(BadInput, match=message):
        scan_room(tmp_path / "room.glb", world.config)


def test_missing_and_truncated_rooms_are_named(world, tmp_path):
    with pytest.raises(Missing, match="room.glb"):
        scan_room(tmp_path / "room.glb", world.config)
    write_glb(tmp_path / "room.glb", box_room_parts())
    (tmp_path / "room.glb").write_bytes((tmp_path / "room.glb").read_bytes()[:400])
    with pytest.raises(BadInput, match="room.glb"):
        scan_room(tmp_path / "room.glb", world.config)
