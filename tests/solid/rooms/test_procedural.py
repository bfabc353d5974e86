"""The procedural rooms: closed, right way round, the right size, the same every time."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.solid.rooms.procedural import HEIGHT, MAKERS, make_room, write_room
from suite.seeds import item_rng

SHELL = {"wall", "floor", "ceiling"}


def triangles_of(surface) -> np.ndarray:
    return np.concatenate([surface.quads[:, [0, 1, 2]], surface.quads[:, [0, 2, 3]]])


def room_of(index: int, seed: int) -> dict[str, np.ndarray]:
    return {s.name: triangles_of(s) for s in make_room(index, item_rng(seed, "solid.room", index))}


def enclosed(triangles: np.ndarray) -> float:
    """Signed volume; positive when the faces look outward."""
    return float(np.einsum("fd,fd->", triangles[:, 0], np.cross(triangles[:, 1], triangles[:, 2])) / 6)


@settings(deadline=None, max_examples=30)
@given(index=st.integers(0, 5), seed=st.integers(0, 1000))
def test_the_shell_fills_the_box_and_faces_inward(index, seed):
    parts = room_of(index, seed)
    shell = np.concatenate([parts[name] for name in SHELL]).reshape(-1, 3)
    np.testing.assert_allclose(shell.min(axis=0), (-6, -6, 0))
    np.testing.assert_allclose(shell.max(axis=0), (6, 6, HEIGHT))
    if "riser" in parts:  # the walls go on behind the podium
        return
    floor = parts["floor"]
    area = np.linalg.norm(np.cross(floor[:, 1] - floor[:, 0], floor[:, 2] - floor[:, 0]), axis=1) / 2
    closed = np.concatenate([parts[name] for name in SHELL])
    assert enclosed(closed) == pytest.approx(-HEIGHT * area.sum())


def test_the_riser_of_the_podium_faces_the_room():
    parts = room_of(5, 0)
    corners = parts["riser"]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert (normal[:, 1] < 0).all()
    heights = np.unique(parts["floor"][..., 2])
    assert heights.tolist() == [0.0, corners[..., 2].max()]


@pytest.mark.parametrize("index", range(len(MAKERS)))
def test_floors_look_up_and_ceilings_down(index):
    parts = room_of(index, 3)
    for name, sign in (("floor", 1), ("ceiling", -1)):
        corners = parts[name]
        normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        assert (sign * normal[:, 2] > 0).all()


@settings(deadline=None, max_examples=30)
@given(index=st.integers(0, 5), seed=st.integers(0, 1000))
def test_the_middle_of_the_room_stays_free(index, seed):
    for name, triangles in room_of(index, seed).items():
        if name in ("floor", "ceiling"):
            continue
        middle = triangles.reshape(-1, 3)[:, :2]
        assert np.abs(middle).max(axis=1).min() > 1.5


def test_the_shapes_take_turns():
    names = [tuple(sorted(room_of(index, 0))) for index in range(len(MAKERS))]
    assert [room_of(index + len(MAKERS), 0).keys() >= SHELL for index in range(6)] == [True] * 6
    assert len(set(names)) == 4  # three of the six shapes consist of wall, floor and ceiling only
    assert len({len(room_of(index, 0)["wall"]) for index in (0, 1, 3)}) == 3


def test_the_same_seed_gives_the_same_bytes_and_another_seed_another_room(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_room(str(tmp_path / f"{name}.glb"), 1, item_rng(seed, "solid.room", 1))
    a, b, c = ((tmp_path / f"{name}.glb").read_bytes() for name in "abc")
    assert a == b
    assert a != c


def test_the_glb_is_y_up_and_names_its_parts(tmp_path):
    write_room(str(tmp_path / "room.glb"), 4, item_rng(0, "solid.room", 4))
    scene = trimesh.load(tmp_path / "room.glb", process=False)
    assert set(scene.geometry) == {"wall", "floor", "ceiling", "partition"}
    np.testing.assert_allclose(scene.extents, (12, HEIGHT, 12), atol=1e-5)
    assert scene.geometry["floor"].visual.material.name == "floor_1"
    assert scene.geometry["floor"].visual.uv is not None
