"""The three-point rig: wedges, ranges, and what happens without a place."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.solid.layout import LayoutFailure
from experiments.solid.layout.grid import room_grid
from experiments.solid.layout.lights import in_wedge, three_point_lights

CAMERA = np.array([4.5, -1.0, 1.2])


def lights(seed, config, grid):
    rng = np.random.default_rng(seed)
    return three_point_lights(rng, config, grid=grid, camera_location=CAMERA, targets=["0", "3"])


@given(st.floats(-np.pi, np.pi), st.floats(-np.pi, np.pi), st.floats(0.1, 2))
def test_on_the_ground_the_wedge_is_one_of_azimuths(azimuth, other, radius):
    difference = np.degrees(abs((other - azimuth + np.pi) % (2 * np.pi) - np.pi))
    direction = np.array([np.cos(azimuth), np.sin(azimuth), 0])
    point = radius * np.array([[np.cos(other), np.sin(other), 0]])
    for half_angle in (30, 60):
        if abs(difference - half_angle) > 1e-6:
            assert in_wedge(point, direction, np.radians(half_angle))[0] == (difference < half_angle)


def test_a_high_light_has_a_narrower_wedge_over_the_floor():
    angles = np.linspace(-np.pi, np.pi, 721)
    ring = np.stack([np.cos(angles), np.sin(angles), np.zeros_like(angles)], axis=1)
    low = in_wedge(ring, np.array([1.0, 0, 0]), np.radians(60))
    high = in_wedge(ring, np.array([1.0, 0, 1.0]), np.radians(60))
    assert (low | ~high).all() and 0 < high.sum() < low.sum()


def test_ranges_roles_and_common_target(rooms, smoke):
    grid = room_grid(rooms.rooms[0], 12.0, 4)
    drawn = [lights(seed, smoke, grid) for seed in range(100)]
    targets = set()
    for key, fill, back in drawn:
        assert (key.role, fill.role, back.role) == ("key", "fill", "back")
        assert len({light.target for light in (key, fill, back)}) == 1
        targets.add(key.target)
        assert 150 <= key.energy <= 300 and 10 <= fill.energy <= 30 and 20 <= back.energy <= 60
        assert 0.01 <= key.size <= 0.25 and fill.size == back.size == 0.25
        assert {light.spread for light in (key, fill, back)} == {np.pi}
        assert 2 <= key.location[2] <= 5 and 0.1 <= fill.location[2] <= 1
        # The ceiling is at 6, where the back light's range begins: it lies between the highest free cell and
        # 6.
        assert grid.z[-1] <= back.location[2] <= 6
        for light in (key, fill, back):
            assert 0.8 <= np.hypot(*light.location[:2]) / np.hypot(*CAMERA[:2]) <= 1.0
    assert targets == {"0", "3"}


def test_no_column_for_the_key_light_is_a_layout_failure(rooms, smoke):
    grid = room_grid(rooms.rooms[0], 12.0, 4)
    with pytest.raises(LayoutFailure, match="key light"):
        lights(0, smoke, replace(grid, columns=grid.columns[:0]))


@pytest.mark.parametrize("floor", [0.0, 1.9])
def test_the_fill_light_can_always_share_the_key_lights_column(rooms, smoke, floor):
    grid = room_grid(rooms.rooms[0], 12.0, 4)
    alone = replace(grid, columns=np.array([[4.2, 0.5, floor, 5.8]]))
    for seed in range(20):
        assert [light.role for light in lights(seed, smoke, alone)] == ["key", "fill"]


def test_without_a_place_for_the_back_light_there_are_two(rooms, smoke):
    grid = room_grid(rooms.rooms[0], 12.0, 4)
    near_camera = grid.columns[grid.columns[:, 0] > 0]
    assert {len(lights(seed, smoke, replace(grid, columns=near_camera))) for seed in range(20)} == {2}
