"""The camera search: where it may stand, what it may not have in front of it, when it gives up."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.solid.layout import LayoutFailure, camera
from experiments.solid.layout.camera import Pinhole, any_ray_hits, find_camera
from experiments.solid.layout.geometry import look_at_matrix
from experiments.solid.layout.grid import room_grid


def search(seed, config, room):
    grid = room_grid(room, config.rooms.footprint, config.layout.cells_per_unit)
    return find_camera(np.random.default_rng(seed), config, room=room, grid=grid)


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_rays_hit_what_solving_for_the_point_of_intersection_hits(seed):
    rng = np.random.default_rng(seed)
    triangles = rng.uniform(-2, 2, (6, 3, 3))
    origin, directions = rng.uniform(-2, 2, 3), rng.normal(size=(5, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    within = rng.uniform(0.5, 3)
    expected = False
    for a, b, c in triangles:
        for direction in directions:
            u, v, distance = np.linalg.solve(np.column_stack([b - a, c - a, -direction]), origin - a)
            expected |= u >= 0 and v >= 0 and u + v <= 1 and 0 <= distance <= within
    assert any_ray_hits(origin, directions, triangles, within=within) == expected


def test_a_wall_counts_up_to_the_distance_and_not_beyond():
    wall = np.array([[(3.0, -9, -9), (3.0, 9, -9), (3.0, 0, 20)]])
    ray = np.array([[1.0, 0, 0]])
    assert any_ray_hits(np.zeros(3), ray, wall, within=3.001)
    assert not any_ray_hits(np.zeros(3), ray, wall, within=2.999)
    assert not any_ray_hits(np.zeros(3), -ray, wall, within=100)
    assert not any_ray_hits(np.zeros(3), np.array([[0, 1.0, 0]]), wall, within=100)  # parallel


def test_the_fan_is_100_unit_rays_over_the_image_with_its_corners():
    location = np.array([4.0, 0, 1])
    pinhole = Pinhole(location, look_at_matrix(location, np.zeros(3)), 0.691111, (160, 120))
    fan = pinhole.fan()
    assert fan.shape == (100, 3)
    np.testing.assert_allclose(np.linalg.norm(fan, axis=1), 1)
    pixels = pinhole.pixels(fan @ pinhole.rotation)
    np.testing.assert_allclose(sorted(set(pixels[:, 0].round(6))), np.linspace(0, 160, 10), atol=1e-5)
    np.testing.assert_allclose(sorted(set(pixels[:, 1].round(6))), np.linspace(0, 120, 10), atol=1e-5)


def test_cameras_stand_on_floor_columns_at_the_configured_distance(smoke, rooms):
    for seed in range(60):
        pinhole, _, _ = search(seed, smoke, rooms.rooms[2])
        x, y, z = pinhole.location
        floor = room_grid(rooms.rooms[2], 12.0, 4).columns
        floor = floor[(floor[:, 0] == x) & (floor[:, 1] == y), 2]
        assert 3.6 <= np.hypot(x, y) <= 6.0
        assert max(0.1, floor[0] + 1e-3) <= z <= 2.0


def test_a_high_floor_drawn_before_does_not_lift_the_cameras_after_it(make_rooms, smoke, monkeypatch):
    # The published search keeps the raised height range for all later draws.
    room = make_rooms({"tower": {"platform": 3.0}}).rooms[0]
    low, high = [], []
    for seed in range(60):
        refusals = iter([True] * 10)
        monkeypatch.setattr(camera, "any_ray_hits", lambda *_, refusals=refusals, **__: next(refusals, False))
        pinhole, chosen, tries = search(seed, smoke, room)
        assert tries == 11
        x, y, z = pinhole.location
        (high if x > 0 and y > 0 else low).append((z, chosen.look_at[2]))
    assert len(low) > 20 and len(high) > 5
    assert max(z for z, _ in low) <= 2.0 and max(target for _, target in low) <= 0.1 + 2.0
    floor = np.ceil(3.0 / (12 / 47)) * 12 / 47 + 1e-3
    assert all(
        z == pytest.approx(floor) for z, _ in high
    )  # above the configured heights: just over the floor
    assert all(floor <= target <= floor + 2 for _, target in high)


def test_no_floor_at_the_cameras_distance_is_a_layout_failure(make_rooms, smoke):
    room = make_rooms({"closet": {"size": 2.0}}).rooms[0]
    with pytest.raises(LayoutFailure, match="no floor at the camera's distance"):
        search(0, smoke, room)


def test_the_search_gives_up_after_500_cameras_in_front_of_walls(rooms, smoke, monkeypatch):
    monkeypatch.setattr(camera, "any_ray_hits", lambda *_, **__: True)
    with pytest.raises(LayoutFailure, match="a wall stood in front of 500 cameras"):
        search(0, smoke, rooms.rooms[0])
